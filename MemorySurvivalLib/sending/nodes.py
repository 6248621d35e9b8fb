"""DICOM nodes as the user defined them: their addresses, and the file in which they are kept."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import msgspec

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.files import atomic_file

CALLING_AET = "MEMSURV"
"""How this software calls itself unless the user says otherwise."""

SCHEMA = "memory-survival-nodes"
SCHEMA_VERSION = 1

_NAME = re.compile(r"[^\W_][\w .()-]{0,63}")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._:%-]{0,253}[A-Za-z0-9])?|::1?")

Seconds = Annotated[float, msgspec.Meta(gt=0, le=3600)]


class Tls(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A TLS connection: whose certificates are trusted (None: the system's), and our own certificate with its key.

    Files are PEM, the key without a passphrase: no secret is kept here.
    """

    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None

    def __post_init__(self) -> None:
        if self.key_file is not None and self.cert_file is None:
            raise InputError("A TLS key was given without its certificate; give both files.")


class DimseNode(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="dimse"):
    """A node that takes C-STORE: host, TCP port, its AE title (called) and ours (calling)."""

    name: str
    host: str
    port: int
    called_aet: str
    calling_aet: str = CALLING_AET
    timeout_s: Seconds = 30.0
    tls: Tls | None = None

    def __post_init__(self) -> None:
        check_name(self.name)
        if not _HOST.fullmatch(self.host):
            raise InputError(f"{self.host!r} is not a host name or an IP address of a DICOM node.")
        if not 1 <= self.port <= 65535:
            raise InputError(f"The port of the node {self.name} is {self.port}; ports are 1 to 65535.")
        check_aet(self.called_aet)
        check_aet(self.calling_aet)

    @property
    def address(self) -> str:
        """Such as "PACS at 192.0.2.7 port 104"."""
        return f"{self.called_aet} at {self.host} port {self.port}" + (" (TLS)" if self.tls is not None else "")


class WebNode(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="dicomweb"):
    """A node that takes STOW-RS below `url` (the part before "/studies"). A token is never kept with it."""

    name: str
    url: str
    timeout_s: Seconds = 30.0
    tls: Tls | None = None

    def __post_init__(self) -> None:
        check_name(self.name)
        check_url(self.url)

    @property
    def address(self) -> str:
        """The base address."""
        return self.url

    @property
    def keeps_secrets(self) -> bool:
        """Whether a token may travel to it: over TLS, or without leaving this machine."""
        parts = urlsplit(self.url)
        return parts.scheme == "https" or _is_loopback(parts.hostname or "")


Node = DimseNode | WebNode


class _Book(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    schema: str
    schema_version: int
    nodes: tuple[Node, ...]


def check_name(name: str) -> None:
    """Raise InputError unless `name` can name a node."""
    if not _NAME.fullmatch(name):
        raise InputError(
            f"{name!r} cannot name a node; use at most 64 letters, digits, spaces, dots, dashes, no sign first."
        )


def check_aet(title: str) -> None:
    """Raise InputError unless `title` is an AE title (PS3.5 6.2: 1 to 16 printable ASCII characters, no backslash)."""
    if not (1 <= len(title) <= 16 and title.isascii() and title.isprintable() and "\\" not in title and title.strip()):
        raise InputError(
            f"{title!r} is not an AE title; it has 1 to 16 characters without accents and without a backslash."
        )


def check_url(url: str) -> None:
    """Raise InputError unless `url` is the base address of a DICOMweb service without a secret in it."""
    try:
        parts = urlsplit(url)
        port_ok = parts.port is None or parts.port > 0
    except ValueError:
        port_ok, parts = False, urlsplit("")
    if not port_ok or parts.scheme not in ("http", "https") or not parts.hostname or any(c.isspace() for c in url):
        raise InputError("A DICOMweb address has the form https://host/path, the part before /studies.")
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise InputError(
            "A DICOMweb address holds no user name, password or query; give a token in MEMORYSURVIVAL_DICOMWEB_TOKEN."
        )


def config_folder() -> Path:
    """Where the user's settings live: "config" in $MEMORYSURVIVAL_DATA, else the platform's folder for settings."""
    import platformdirs

    chosen = os.environ.get("MEMORYSURVIVAL_DATA", "").strip()
    if chosen:
        return Path(chosen).expanduser() / "config"
    return platformdirs.user_config_path("MemorySurvival", appauthor=False)


@dataclass(frozen=True)
class NodeBook:
    """The user's nodes in one JSON file. There is no default node: nothing is sent unless one is named."""

    path: Path = field(default_factory=lambda: config_folder() / "nodes.json")

    def nodes(self) -> tuple[Node, ...]:
        """All nodes, by name. Raises InputError where the file is damaged."""
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise InputError(f"The list of nodes {self.path} cannot be read ({error.strerror}).") from error
        try:
            book = msgspec.json.decode(content, type=_Book)
        except msgspec.DecodeError as error:
            raise InputError(
                f"The list of nodes {self.path} is damaged ({error}); correct it, or delete it and enter them again."
            ) from error
        if (book.schema, book.schema_version) != (SCHEMA, SCHEMA_VERSION):
            raise InputError(f"The list of nodes {self.path} is of another version; update MemorySurvival.")
        return tuple(sorted(book.nodes, key=lambda node: node.name.casefold()))

    def find(self, name: str) -> Node:
        """The node of that name, upper or lower case. Raises InputError where there is none."""
        nodes = self.nodes()
        for node in nodes:
            if node.name.casefold() == name.casefold():
                return node
        known = ", ".join(node.name for node in nodes) or "there are none yet"
        raise InputError(f"No node is called {name} (known: {known}); add it with `memory-survival node add`.")

    def save(self, node: Node, *, replace: bool = False) -> None:
        """Keep a node. Raises InputError where one of that name is there and is not to be replaced."""
        others = [each for each in self.nodes() if each.name.casefold() != node.name.casefold()]
        if len(others) < len(self.nodes()) and not replace:
            raise InputError(f"There is a node {node.name} already; choose another name, or replace it (--replace).")
        self._write([*others, node])

    def remove(self, name: str) -> Node:
        """Forget a node. Raises InputError where there is none of that name."""
        gone = self.find(name)
        self._write([node for node in self.nodes() if node != gone])
        return gone

    def _write(self, nodes: Sequence[Node]) -> None:
        book = _Book(SCHEMA, SCHEMA_VERSION, tuple(nodes))
        with atomic_file(self.path) as temporary:
            temporary.write_bytes(msgspec.json.format(msgspec.json.encode(book), indent=1))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
