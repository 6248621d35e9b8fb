"""Prompt boxes: per axial slice with ROI pixels the tight 2D box of the ROI (paper section 2.3.1)."""

from __future__ import annotations

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


def prompt_boxes(mask: Volume, slice_step: int) -> tuple[SliceBox, ...]:
    """Boxes of every `slice_step`-th ROI slice, from head to feet.

    `mask` is boolean with axes running to LPS, so that z grows towards the head. The first box is the topmost slice
    with ROI pixels; slices without ROI in between are passed over and do not count (paper section 2.3.1 uses one of
    every two mask-containing slices).
    """
    voxels = mask.voxels
    slices = np.flatnonzero(voxels.any(axis=(1, 2)))[::-1][::slice_step]
    boxes = []
    for z in slices:
        rows = np.flatnonzero(voxels[z].any(axis=1))
        columns = np.flatnonzero(voxels[z].any(axis=0))
        boxes.append(SliceBox(int(z), int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1))
    return tuple(boxes)
