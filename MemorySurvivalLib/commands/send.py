"""`memory-survival send`: DICOM objects of results to a named node, and what waits in the outbox."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from MemorySurvivalLib import RESEARCH_USE
from MemorySurvivalLib.commands.node import add_address_options, ask_token, node_from
from MemorySurvivalLib.commands.terminal import ProgressBars
from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.sending.nodes import Node, NodeBook

if TYPE_CHECKING:
    from MemorySurvivalLib.sending.outbox import Outbox, Parcel

EXIT_LEFT = 1
"""The node did not take everything; the rest waits in the outbox."""


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "send",
        help="send results as DICOM objects to a node, or send again what it did not take",
        description="Send DICOM objects that `memory-survival dicom` made to a node that you name. What the node does "
        "not acknowledge waits in the outbox. The risk of a demonstration model is never sent. "
        f"{RESEARCH_USE}.",
    )
    parser.add_argument("paths", nargs="*", type=Path, metavar="PATH", help="DICOM files, or folders of them")
    parser.add_argument("--node", metavar="NAME", help="a node from `memory-survival node list`")
    add_address_options(parser)
    parser.add_argument("--identified", action="store_true", help="objects that name the patient may go there")
    parser.add_argument("--without-risk", action="store_true", help="masks and measurements only")
    parser.add_argument("--ask-token", action="store_true", help="ask for the token of a DICOMweb node")
    other = parser.add_mutually_exclusive_group()
    other.add_argument("--list", action="store_true", help="show what was sent and what waits")
    other.add_argument(
        "--resend", nargs="?", const="", metavar="ID", help="send what waits, of one send or of all of them"
    )
    other.add_argument("--discard", metavar="ID", help="give a send up: its copies are deleted")
    other.add_argument("--clear", action="store_true", help="delete the records of sends that are complete")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Do the one thing that was asked for; exit code 1 where something still waits."""
    from MemorySurvivalLib.sending.outbox import Outbox

    outbox = Outbox()
    if options.paths and (options.list or options.clear or options.discard or options.resend is not None):
        raise InputError("Name files to send, or one of --list, --resend, --discard and --clear, not both.")
    if options.list:
        return _list(outbox, as_json=options.json)
    if options.clear:
        print(f"Deleted the records of {outbox.forget_finished()} complete sends in {outbox.folder}.")
        return 0
    if options.discard is not None:
        outbox.discard(options.discard)
        print(f"Gave up the send {options.discard}.")
        return 0
    if options.resend is not None:
        return _resend(options, outbox)
    return _send(options, outbox)


def _send(options: argparse.Namespace, outbox: Outbox) -> int:
    from MemorySurvivalLib.sending.sending import send

    node = _named(options)
    if node is None:
        raise InputError("Name the node: --node NAME, or --host, --port and --aet, or --url.")
    if not options.paths:
        raise InputError("Name the DICOM files to send, or the folder they are in.")
    names = "objects may name the patient" if options.identified else "only objects that do not name the patient"
    sys.stderr.write(f"To {node.name} ({node.address}): {names}.\n")
    with ProgressBars() as progress:
        parcel = send(
            options.paths,
            node,
            identified=options.identified,
            without_risk=options.without_risk,
            token=ask_token(options),
            outbox=outbox,
            progress=progress,
        )
    return _tell([parcel], as_json=options.json)


def _resend(options: argparse.Namespace, outbox: Outbox) -> int:
    from MemorySurvivalLib.sending.sending import resend

    waiting = outbox.unfinished() if options.resend == "" else (outbox.find(options.resend),)
    node = _named(options)
    if node is not None and options.resend == "":
        raise InputError("Another node takes one send at a time: name it (--resend ID).")
    if not waiting:
        print("Nothing waits in the outbox.")
        return 0
    token = ask_token(options)
    with ProgressBars() as progress:
        parcels = [
            resend(
                parcel.id,
                node=node,
                identified=True if options.identified else None,
                token=token,
                outbox=outbox,
                progress=progress,
            )
            for parcel in waiting
        ]
    return _tell(parcels, as_json=options.json)


def _list(outbox: Outbox, *, as_json: bool) -> int:
    parcels, problems = outbox.parcels()
    for problem in problems:
        sys.stderr.write(f"{problem}\n")
    _tell(parcels, as_json=as_json)
    if not as_json and not parcels:
        print("The outbox is empty.")
    return 0


def _tell(parcels: Sequence[Parcel], *, as_json: bool) -> int:
    if as_json:
        content = {"research_use": RESEARCH_USE, "sends": msgspec.to_builtins(parcels)}
        print(json.dumps(content, indent=2, ensure_ascii=False))
    for parcel in () if as_json else parcels:
        print(f"{parcel.id}: {parcel.describe()}")
        if parcel.left:
            print(f"  send again with `memory-survival send --resend {parcel.id}`")
    return EXIT_LEFT if any(parcel.left for parcel in parcels) else 0


def _named(options: argparse.Namespace) -> Node | None:
    """The node that the options name or describe; None where they do neither."""
    described = any(each is not None for each in (options.host, options.port, options.aet, options.url))
    if options.node is not None and described:
        raise InputError("Name a node (--node) or describe one (--host, --port, --aet or --url), not both.")
    if options.node is not None:
        return NodeBook().find(options.node)
    return node_from(options, "unnamed node") if described else None
