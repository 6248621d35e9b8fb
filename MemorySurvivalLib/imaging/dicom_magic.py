"""Telling DICOM from other files by how they begin, without loading pydicom."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

_MAGIC_OFFSET, _MAGIC = 128, b"DICM"
_FIRST_TAGS = (b"\x02\x00\x00\x00", b"\x02\x00\x01\x00", b"\x08\x00\x05\x00", b"\x08\x00\x08\x00", b"\x08\x00\x16\x00")
"""What old files begin with that lack the preamble: groups 0002 and 0008."""


def begins_as_dicom(file: BinaryIO) -> bool:
    """Whether an open file begins as a DICOM file does; it stands at its beginning afterwards."""
    start = file.read(_MAGIC_OFFSET + len(_MAGIC))
    file.seek(0)
    return start[_MAGIC_OFFSET:] == _MAGIC or start[:4] in _FIRST_TAGS


def is_dicom_source(path: Path) -> bool:
    """Whether a path is to be read as DICOM: a folder, or a file that begins as DICOM does."""
    try:
        if path.is_dir():
            return True
        with path.open("rb") as file:
            return begins_as_dicom(file)
    except OSError:
        return False
