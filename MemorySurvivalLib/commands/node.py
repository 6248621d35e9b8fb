"""`memory-survival node`: the DICOM nodes that results may be sent to."""

from __future__ import annotations

import argparse
import getpass
import json
import sys

import msgspec

from MemorySurvivalLib import RESEARCH_USE
from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.sending.nodes import CALLING_AET, DimseNode, Node, NodeBook, Tls, WebNode


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand and its actions."""
    parser = subparsers.add_parser(
        "node",
        help="define, list or check the DICOM nodes that results can be sent to",
        description=f"Manage DICOM nodes. There is no default node, and no secret is kept. {RESEARCH_USE}.",
    )
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    add = actions.add_parser("add", help="keep a node under a name")
    add.add_argument("name", metavar="NAME")
    add_address_options(add)
    add.add_argument("--replace", action="store_true", help="in place of a node of the same name")
    add.set_defaults(run=run_add)
    listing = actions.add_parser("list", help="show all nodes")
    listing.add_argument("--json", action="store_true", help="print JSON")
    listing.set_defaults(run=run_list)
    remove = actions.add_parser("remove", help="forget a node")
    remove.add_argument("name", metavar="NAME")
    remove.set_defaults(run=run_remove)
    check = actions.add_parser("check", help="ask a node whether it is there (C-ECHO, or a DICOMweb query)")
    check.add_argument("name", metavar="NAME")
    check.add_argument("--ask-token", action="store_true", help="ask for the token of a DICOMweb node")
    check.set_defaults(run=run_check)


def add_address_options(parser: argparse.ArgumentParser) -> None:
    """The options that describe a node: DIMSE by host, port and title, DICOMweb by its address."""
    parser.add_argument("--host", help="name or IP address of a node that takes C-STORE")
    parser.add_argument("--port", type=int, help="its TCP port, often 104 or 11112")
    parser.add_argument("--aet", help="its AE title")
    parser.add_argument("--calling-aet", help=f"our AE title ({CALLING_AET})")
    parser.add_argument("--url", help="address of a DICOMweb service, the part before /studies")
    parser.add_argument("--timeout", type=float, metavar="S", help="seconds to wait for an answer (30)")
    parser.add_argument("--tls", action="store_true", help="speak DICOM over TLS; https does so anyway")
    parser.add_argument("--tls-ca", metavar="FILE", help="certificates to trust, in place of the system's (PEM)")
    parser.add_argument("--tls-cert", metavar="FILE", help="our certificate (PEM)")
    parser.add_argument("--tls-key", metavar="FILE", help="its key without a passphrase (PEM)")


def node_from(options: argparse.Namespace, name: str) -> Node:
    """The node that the options describe. Raises InputError where they do not add up."""
    dimse = (options.host, options.port, options.aet)
    given = {} if options.timeout is None else {"timeout_s": options.timeout}
    if options.timeout is not None and not 0 < options.timeout <= 3600:
        raise InputError("--timeout is a number of seconds from 0 to 3600.")
    tls = Tls(options.tls_ca, options.tls_cert, options.tls_key)
    wants_tls = options.tls or tls != Tls()
    if options.url is not None:
        if any(each is not None for each in (*dimse, options.calling_aet)):
            raise InputError("A node has either a --url or --host, --port and --aet, not both.")
        return WebNode(name, options.url, tls=tls if wants_tls else None, **given)
    if any(each is None for each in dimse):
        raise InputError("A node needs --host, --port and --aet, or a --url.")
    return DimseNode(
        name,
        options.host,
        options.port,
        options.aet,
        options.calling_aet or CALLING_AET,
        tls=tls if wants_tls else None,
        **given,
    )


def ask_token(options: argparse.Namespace) -> str | None:
    """A token typed at the terminal, where that was wanted; it is not kept."""
    return getpass.getpass("Token: ").strip() or None if options.ask_token else None


def run_add(options: argparse.Namespace) -> int:
    """Keep a node."""
    node = node_from(options, options.name)
    NodeBook().save(node, replace=options.replace)
    print(f"Kept {node.name}: {node.address}")
    return 0


def run_list(options: argparse.Namespace) -> int:
    """Print all nodes."""
    book = NodeBook()
    nodes = book.nodes()
    if options.json:
        print(json.dumps({"file": str(book.path), "nodes": msgspec.to_builtins(nodes)}, indent=2, ensure_ascii=False))
        return 0
    for node in nodes:
        print(f"{node.name}: {node.address}")
    if not nodes:
        sys.stderr.write("No node is defined; add one with `memory-survival node add`.\n")
    return 0


def run_remove(options: argparse.Namespace) -> int:
    """Forget a node."""
    node = NodeBook().remove(options.name)
    print(f"Removed {node.name}: {node.address}")
    return 0


def run_check(options: argparse.Namespace) -> int:
    """Ask a node whether it is there."""
    from MemorySurvivalLib.sending.sending import check_node

    node = NodeBook().find(options.name)
    check_node(node, ask_token(options))
    print(f"{node.name} answers: {node.address}")
    return 0
