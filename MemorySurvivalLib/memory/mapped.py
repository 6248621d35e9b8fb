"""Reading slices of a volume that may be mapped from a file, without keeping the file in memory."""

from __future__ import annotations

import mmap
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt


def take_slices(voxels: npt.NDArray[Any], indices: Sequence[int]) -> npt.NDArray[Any]:
    """A copy of the slices `indices` of voxels (z, y, x).

    Pages of a mapped file that were read count as memory of the process until the system needs them, so after a pass
    over a scan the process would seem to hold all of it. They are handed back at once.
    """
    taken = voxels[list(indices)]
    mapping = _find_mapping(voxels)
    if mapping is not None and sys.platform != "win32":
        mapping.madvise(mmap.MADV_DONTNEED)
    return taken


def _find_mapping(voxels: npt.NDArray[Any]) -> mmap.mmap | None:
    """The mapped file behind an array; None where there is none, or where handing pages back would lose changes."""
    mode = ""
    base: Any = voxels
    while isinstance(base, np.ndarray):
        mode = getattr(base, "mode", mode)
        base = base.base
    return base if isinstance(base, mmap.mmap) and mode in ("r", "r+", "w+") else None
