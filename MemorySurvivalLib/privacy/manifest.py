"""What an export holds and whom it names (export.json): every file with its hash, and what the receiver must know."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import msgspec

from MemorySurvivalLib import RESEARCH_USE
from MemorySurvivalLib.files import atomic_file
from MemorySurvivalLib.report.subject import IdentityChoice

FILE_NAME = "export.json"
SCHEMA = "memory-survival-export"
SCHEMA_VERSION = 1


@dataclass(frozen=True)
class ExportedFile:
    """A file of an export (its name relative to the export's folder) and the hash of its bytes."""

    name: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True)
class ExportManifest:
    """What an export holds and whom it names; `notes` say what the receiver must know, `left_out` what is not in it.

    `head_left_out` says that everything above the neck was taken out, because the images show or may show a head.
    """

    identity: IdentityChoice
    head_left_out: bool
    notes: tuple[str, ...]
    left_out: tuple[str, ...]
    files: tuple[ExportedFile, ...]
    research_use: str = RESEARCH_USE
    schema: str = SCHEMA
    schema_version: int = SCHEMA_VERSION

    def write(self, path: Path) -> None:
        """Write export.json whole or not at all. Raises OutputError."""
        with atomic_file(path) as temporary:
            temporary.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=1))


def list_files(folder: Path) -> tuple[ExportedFile, ...]:
    """Every file below a folder, in the order of their names."""
    found = []
    for path in sorted(one for one in folder.rglob("*") if one.is_file()):
        with path.open("rb") as stream:
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
        found.append(ExportedFile(path.relative_to(folder).as_posix(), sha256, path.stat().st_size))
    return tuple(found)
