"""What a NIfTI-1 file states where ITK is silent: ITK reads a zero spacing as 1 and missing voxels as 0."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

_HEADER_BYTES = 348
_GZIP_MAGIC = b"\x1f\x8b"
_CHUNK = 1 << 20


@dataclass(frozen=True)
class NiftiHeader:
    """`pixdim_mm` along x, y, z as written, and how many bytes the data file must have, unpacked."""

    pixdim_mm: tuple[float, float, float]
    data_bytes: int


def read_nifti_header(path: Path) -> NiftiHeader | None:
    """The header of a NIfTI-1 or Analyze file; None where `path` is another format. Raises OSError."""
    with _open(_header_file(path)) as file:
        try:
            header = file.read(_HEADER_BYTES)
        except (EOFError, zlib.error, gzip.BadGzipFile):
            return None
    if len(header) < _HEADER_BYTES or not _is_named_nifti(path):
        return None
    for order in "<>":
        if struct.unpack_from(f"{order}i", header, 0)[0] != _HEADER_BYTES:
            continue
        dimensions = struct.unpack_from(f"{order}8h", header, 40)
        bits = struct.unpack_from(f"{order}h", header, 72)[0]
        x, y, z = struct.unpack_from(f"{order}3f", header, 80)
        offset = struct.unpack_from(f"{order}f", header, 108)[0]
        voxels = math.prod(max(n, 1) for n in dimensions[1 : 1 + max(dimensions[0], 0)])
        start = int(offset) if math.isfinite(offset) and offset > 0 else 0
        return NiftiHeader((x, y, z), start + (voxels * bits + 7) // 8)
    return None


def is_whole(path: Path) -> bool:
    """Whether a file holds all the voxels its NIfTI header states and, if compressed, matches its checksum.

    True for files that are not NIfTI: other formats are checked by their readers. Raises OSError.
    """
    header = read_nifti_header(path)
    if header is None:
        return True
    size = 0
    with _open(_data_file(path)) as file:
        try:
            while chunk := file.read(_CHUNK):
                size += len(chunk)
        except (EOFError, zlib.error, gzip.BadGzipFile):
            return False
    return size >= header.data_bytes


def _open(path: Path) -> BinaryIO:
    """Unpacks by content, not by name, as ITK does."""
    with path.open("rb") as file:
        packed = file.read(2) == _GZIP_MAGIC
    return cast(BinaryIO, gzip.open(path, "rb")) if packed else path.open("rb")


def _is_named_nifti(path: Path) -> bool:
    return path.name.lower().endswith((".nii", ".nii.gz", ".hdr", ".img"))


def _header_file(path: Path) -> Path:
    return path.with_suffix(".hdr") if path.suffix == ".img" else path


def _data_file(path: Path) -> Path:
    return path.with_suffix(".img") if path.suffix == ".hdr" else path
