"""Prompt boxes: per axial slice with ROI pixels the tight 2D box of the ROI (paper section 2.3.1)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from MemorySurvivalLib.imaging.volume import Volume


@dataclass(frozen=True)
class SliceBox:
    """The tight box of the ROI on slice `z` in voxel edges: first column's left edge to last column's right edge."""

    z: int
    x0: int
    y0: int
    x1: int
    y1: int


def raise_step(slices: int, slice_step: int, most_slices: int | None) -> int:
    """The smallest step from `slice_step` on that uses at most `most_slices` of so many ROI slices (None: no limit)."""
    return slice_step if most_slices is None else max(slice_step, math.ceil(slices / most_slices))


def prompt_boxes(mask: Volume, slice_step: int, most_slices: int | None = None) -> tuple[SliceBox, ...]:
    """Boxes of every `slice_step`-th ROI slice, from head to feet; `most_slices` can raise the step (`raise_step`).

    `mask` is boolean with axes running to LPS, so that z grows towards the head. The first box is the topmost slice
    with ROI pixels; slices without ROI in between are passed over and do not count (paper section 2.3.1 uses one of
    every two mask-containing slices).
    """
    voxels = mask.voxels
    slices = np.flatnonzero(voxels.any(axis=(1, 2)))[::-1]
    boxes = []
    for z in slices[:: raise_step(len(slices), slice_step, most_slices)]:
        rows = np.flatnonzero(voxels[z].any(axis=1))
        columns = np.flatnonzero(voxels[z].any(axis=0))
        boxes.append(SliceBox(int(z), int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1))
    return tuple(boxes)
