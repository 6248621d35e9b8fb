"""What a NIfTI-1 file holds where ITK is silent: it reads a spacing of zero as 1, and missing or NaN voxels as 0."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

_HEADER_BYTES = 348
_GZIP_MAGIC = b"\x1f\x8b"
_CHUNK_BYTES = 1 << 20
_FLOATS = {16: "f4", 64: "f8"}
"""numpy's names of NIfTI's floating datatypes; others cannot hold NaN."""


@dataclass(frozen=True)
class NiftiHeader:
    """`pixdim_mm` along x, y, z as written; where the voxels begin, how many bytes they take, and their float type."""

    pixdim_mm: tuple[float, float, float]
    start: int
    data_bytes: int
    float_type: str | None


@dataclass(frozen=True)
class NiftiVoxels:
    """Whether all stated voxels are there (and match the checksum, if compressed), and how many are NaN or infinite."""

    whole: bool
    not_finite: int


def read_nifti_header(path: Path) -> NiftiHeader | None:
    """The header of a NIfTI-1 or Analyze file; None where `path` is another format. Raises OSError."""
    if not path.name.lower().endswith((".nii", ".nii.gz", ".hdr", ".img")):
        return None
    with _open(path.with_suffix(".hdr") if path.suffix == ".img" else path) as file:
        try:
            header = file.read(_HEADER_BYTES)
        except (EOFError, zlib.error, gzip.BadGzipFile):
            return None
    for order in "<>":
        if len(header) < _HEADER_BYTES or struct.unpack_from(f"{order}i", header)[0] != _HEADER_BYTES:
            continue
        dimensions = struct.unpack_from(f"{order}8h", header, 40)
        datatype, bits = struct.unpack_from(f"{order}2h", header, 70)
        x, y, z = struct.unpack_from(f"{order}3f", header, 80)
        offset = struct.unpack_from(f"{order}f", header, 108)[0]
        voxels = math.prod(max(n, 1) for n in dimensions[1 : 1 + max(dimensions[0], 0)])
        start = int(offset) if math.isfinite(offset) and offset > 0 else 0
        name = _FLOATS.get(datatype)
        return NiftiHeader((x, y, z), start, (voxels * bits + 7) // 8, order + name if name else None)
    return None


def inspect_nifti_voxels(path: Path) -> NiftiVoxels | None:
    """Read all voxels of a NIfTI file, a piece at a time; None where `path` is another format. Raises OSError."""
    header = read_nifti_header(path)
    if header is None:
        return None
    left, not_finite = header.data_bytes, 0
    with _open(path.with_suffix(".img") if path.suffix == ".hdr" else path) as file:
        try:
            file.read(header.start)
            while piece := file.read(_CHUNK_BYTES):  # to the very end, where the checksum stands
                voxels = piece[:left]
                left -= len(voxels)
                if header.float_type and len(voxels) % np.dtype(header.float_type).itemsize == 0:
                    not_finite += int(np.count_nonzero(~np.isfinite(np.frombuffer(voxels, header.float_type))))
        except (EOFError, zlib.error, gzip.BadGzipFile):
            return NiftiVoxels(False, not_finite)
    return NiftiVoxels(left == 0, not_finite)


def _open(path: Path) -> BinaryIO:
    """Unpacks by content, not by name, as ITK does."""
    with path.open("rb") as file:
        packed = file.read(2) == _GZIP_MAGIC
    return cast(BinaryIO, gzip.open(path, "rb")) if packed else path.open("rb")
