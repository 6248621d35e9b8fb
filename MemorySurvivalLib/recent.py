"""The last case that was prepared, kept in memory, so that explaining what was just scored does not begin anew."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from MemorySurvivalLib.imaging.dicom_magic import is_dicom_source

_CHUNK = 1 << 22


class RecentCase:
    """Holds one value of each kind under the fingerprint of what it was made from; the next one replaces it."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[str, Any]] = {}

    def find(self, kind: str, key: str) -> Any:
        """What was kept under this key, or None."""
        found = self._kept.get(kind)
        return found[1] if found is not None and found[0] == key else None

    def make_room(self, kind: str, key: str) -> None:
        """Let go of what another key kept, before its successor takes memory of its own."""
        if kind in self._kept and self._kept[kind][0] != key:
            del self._kept[kind]

    def keep(self, kind: str, key: str, value: Any) -> None:
        """Keep a value instead of the last one."""
        self._kept[kind] = (key, value)


def fingerprint(values: Any, paths: Iterable[Path | None]) -> str:
    """Hash of plain values and of what lies at paths.

    A file counts by its content, because a viewer hands the same image over under a new name each time; a folder, and
    what lies beside a DICOM file, by names, sizes and times, because it may hold thousands of files.
    """
    digest = hashlib.sha256(msgspec.json.encode(values, enc_hook=str, order="deterministic"))
    for path in paths:
        digest.update(b"\0")
        if path is None:
            continue
        if path.is_file() and not is_dicom_source(path):
            with path.open("rb") as file:
                while chunk := file.read(_CHUNK):
                    digest.update(chunk)
            continue
        digest.update(str(path.absolute()).encode())
        folder = path if path.is_dir() else path.parent
        for one in sorted(folder.rglob("*") if path.is_dir() else folder.glob("*")):
            if one.is_file():
                found = one.stat()
                digest.update(f"{one.relative_to(folder)}\0{found.st_size}\0{found.st_mtime_ns}\0".encode())
    return digest.hexdigest()
