"""Label maps from files: whole-number voxels, the names that came with them, and their place on the CT's grid."""

from __future__ import annotations

import gzip
import re
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.nifti import read_nifti_header
from MemorySurvivalLib.imaging.reading import read_volume
from MemorySurvivalLib.imaging.volume import Volume, resample_onto
from MemorySurvivalLib.roi.segments import Code, Structure
from MemorySurvivalLib.roi.terminology import recognise

TISSUE = Code("85756007", "SCT", "Tissue")
"""What a segment is coded as that nobody named in a way we know (Slicer's own choice, too)."""

SAME_PLACE_SHARE = 0.02
"""Voxels closer than this share of the finest spacing are the same voxels: NIfTI keeps its affine in 32 bits."""

_NIFTI_HEADER_BYTES = 348
_GZIP_MAGIC = b"\x1f\x8b"
_LABEL = re.compile(r'<Label Key="(\d+)"[^>]*>\s*(?:<!\[CDATA\[)?(.*?)(?:\]\]>)?\s*</Label>', re.DOTALL)


def read_label_map(path: Path, what: str) -> Volume:
    """Read a file whose voxels are labels (uint8 or uint16). Raises InputError for fractions and negative numbers."""
    return as_label_map(read_volume(path, what), f"{what} {path}")


def as_label_map(volume: Volume, which: str) -> Volume:
    """The same voxels as uint8 or uint16. `which` names the image in messages."""
    voxels = volume.voxels
    if voxels.dtype == np.bool_:
        return volume.with_voxels(voxels.astype(np.uint8))
    low, high = float(voxels.min()), float(voxels.max())
    if np.issubdtype(voxels.dtype, np.floating) and not np.array_equal(voxels, np.rint(voxels)):
        raise InputError(
            f"The {which} holds values that are not whole numbers, so they are not labels; choose the label map, not "
            "the image or a probability."
        )
    if low < 0 or high > np.iinfo(np.uint16).max:
        raise InputError(
            f"The {which} holds values from {low:g} to {high:g}, which are not labels (0 to 65535); choose the label "
            "map, not the image."
        )
    return volume.with_voxels(voxels.astype(np.uint8 if high <= np.iinfo(np.uint8).max else np.uint16))


def read_embedded_names(path: Path) -> dict[int, str]:
    """The label names inside a NIfTI file's extensions, as TotalSegmentator and Connectome Workbench write them.

    Empty where there are none. Raises OSError.
    """
    header = read_nifti_header(path)
    if header is None or header.start <= _NIFTI_HEADER_BYTES + 4:
        return {}
    with path.open("rb") as file:
        packed = file.read(2) == _GZIP_MAGIC
    with gzip.open(path, "rb") if packed else path.open("rb") as file:
        block = file.read(header.start)[_NIFTI_HEADER_BYTES:]
    if len(block) < 4 or block[0] == 0:
        return {}
    names: dict[int, str] = {}
    at = 4
    while at + 8 <= len(block):
        size = next((n for order in "<>" if 8 < (n := struct.unpack_from(f"{order}i", block, at)[0]) <= len(block)), 0)
        if size == 0:
            break
        text = block[at + 8 : at + size].decode("utf-8", errors="replace")
        names |= {int(label): name.strip() for label, name in _LABEL.findall(text)}
        at += size
    return names


def place_on(labels: Volume, grid: Volume, which: str) -> tuple[Volume, tuple[str, ...]]:
    """Labels (nearest voxel) on the grid of another image, and what to tell the user about it.

    On a grid that differs by rounding only, or that is a part of the other, every voxel keeps its value. Raises
    InputError when nothing of what is labelled lies inside `grid`.
    """
    tolerance_mm = SAME_PLACE_SHARE * min(grid.spacing_mm)
    if labels.same_grid(grid, tolerance_mm):
        return Volume(labels.voxels, grid.affine, labels.attributes), ()
    placed = resample_onto(labels, grid, linear=False)
    before = int(np.count_nonzero(labels.voxels))
    after = int(np.count_nonzero(placed.voxels))
    if before and not after:
        raise InputError(
            f"The {which} does not overlap with the CT in space; choose the segmentation of this patient and study."
        )
    notes = []
    if not _aligned(labels, grid, tolerance_mm):
        notes.append(f"The {which} was on another grid and was resampled to the CT's (nearest voxel).")
    share = float(after * np.prod(grid.spacing_mm) / (max(before, 1) * np.prod(labels.spacing_mm)))
    if before and share < 0.9:
        notes.append(f"Only {share:.0%} of the volume of the {which} lies inside the CT.")
    return Volume(placed.voxels, grid.affine, labels.attributes), tuple(notes)


def name_labels(
    present: Iterable[int], names: Mapping[int, str], meanings: Mapping[int, Structure]
) -> dict[int, Structure]:
    """A structure for every label: by `meanings`, else by what its name is recognised as, else just named."""
    found = {}
    for label in present:
        name = names.get(label, f"label {label}")
        found[label] = meanings.get(label) or recognise(name) or Structure(name, "other", TISSUE)
    return found


def labels_in(voxels: npt.NDArray[np.generic]) -> list[int]:
    """The labels that at least one voxel has, ascending, background left out."""
    return [int(label) for label in np.flatnonzero(count_labels(voxels)) if label]


def count_labels(voxels: npt.NDArray[np.generic]) -> npt.NDArray[np.int64]:
    """How many voxels have each label; slice by slice, because numpy counts in 64 bits and would copy the whole."""
    counts = np.zeros(int(voxels.max(initial=0)) + 1, dtype=np.int64)
    for part in voxels:
        counts += np.bincount(part.ravel(), minlength=len(counts))
    return counts


def _aligned(part: Volume, whole: Volume, tolerance_mm: float) -> bool:
    """Whether the voxels of one grid are voxels of the other, or would be if it went on."""
    corners = [(x, y, z) for z in (0, part.shape[0]) for y in (0, part.shape[1]) for x in (0, part.shape[2])]
    index = whole.affine.indices(part.affine.points_mm(corners))
    off_mm = np.abs(index - np.rint(index)) * np.asarray(whole.spacing_mm)
    same_size = np.allclose(sorted(part.spacing_mm), sorted(whole.spacing_mm), atol=tolerance_mm)
    return bool(same_size and (off_mm <= tolerance_mm).all())
