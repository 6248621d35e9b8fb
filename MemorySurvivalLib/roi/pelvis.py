"""The pelvis at the lower end of the column: is it there, and the sacrum's fatty marrow."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from MemorySurvivalLib.roi.canal import GRID_MM
from MemorySurvivalLib.roi.column import Column
from MemorySurvivalLib.roi.working_grid import Mask

ILIUM_MM2 = 500.0
"""A section through one iliac wing is larger, through a rib or transverse process smaller."""
LEAST_BELOW_MM = 12.0
SACRUM_ABOVE_MM, SACRUM_BELOW_MM = 30.0, 120.0
"""The sacrum lies within this reach of the canal's lower end."""
SACRUM_HALF_WIDTH_MM = 58.0
THICKNESS_MM = 42.0
WIDTH_MM = 63.0
"""Cortex lies nearer than this on all four sides of sacral marrow (front and back, left and right)."""


def has_pelvis(filled: Mask, column: Column) -> bool:
    """Whether iliac wings stand on both sides of the column's lower end (cubic grid).

    False where the canal runs on to the image's lower border: then iliac crests may stand beside L4 as well.
    """
    if column.first < round(LEAST_BELOW_MM / GRID_MM):
        return False
    below, above = round(24.0 / GRID_MM), round(18.0 / GRID_MM)
    slices = range(max(0, column.first - below), min(filled.shape[0], column.first + above))
    cy, cx = column.canal_yx[0]
    centre, near, far = round(cx), round(36.0 / GRID_MM), round(150.0 / GRID_MM)
    rows = slice(max(0, round(cy) - round(75.0 / GRID_MM)), max(1, round(cy) + round(45.0 / GRID_MM)))
    seen = 0
    for z in slices:
        plane = filled[z, rows]
        sides = (plane[:, max(0, centre - far) : max(0, centre - near)], plane[:, centre + near : centre + far])
        seen += all(_largest_mm2(side) >= ILIUM_MM2 for side in sides)
    return seen >= 0.5 * len(slices) > 0


def _largest_mm2(plane: Mask) -> float:
    labels, count = ndimage.label(plane)
    return float(np.bincount(labels.ravel())[1:].max()) * GRID_MM**2 if count else 0.0


def fill_sacrum(filled: Mask, soft: Mask, column: Column) -> Mask:
    """Marrow of the sacrum, often as light as fat and open through foramina (cubic grid).

    A voxel of `soft` (neither air nor bone) is sacral marrow when bone lies close in front, behind, left and right.
    """
    result = np.zeros(filled.shape, dtype=np.bool_)
    first = max(0, column.first - round(SACRUM_BELOW_MM / GRID_MM))
    last = min(filled.shape[0], column.first + round(SACRUM_ABOVE_MM / GRID_MM))
    centre, half = round(column.canal_yx[0, 1]), round(SACRUM_HALF_WIDTH_MM / GRID_MM)
    # The ilium is the wall beside the sacrum's wings, so the box is wider than what may be filled.
    wide = half + round(WIDTH_MM / GRID_MM)
    left, right = max(0, centre - wide), min(filled.shape[2], centre + wide + 1)
    bone = filled[first:last, :, left:right]
    # Thin cortex has gaps on thick slices; light marrow would leak through them.
    wall = np.pad(bone, 2)
    wall = ndimage.binary_closing(wall, ndimage.generate_binary_structure(3, 2))[2:-2, 2:-2, 2:-2]
    between = _is_between(wall, 1, round(THICKNESS_MM / GRID_MM)) & _is_between(wall, 2, round(WIDTH_MM / GRID_MM))
    marrow = ndimage.binary_opening(between | wall, ndimage.generate_binary_structure(3, 1)) & (between | wall) & ~bone
    columns = np.abs(np.arange(left, right) - centre) <= half
    result[first:last, :, left:right] = marrow & columns & soft[first:last, :, left:right]
    return result


def _is_between(bone: Mask, axis: int, reach: int) -> Mask:
    """Whether bone lies within `reach` voxels on both sides along `axis`."""
    size = 2 * (reach // 2) + 1
    bytes_ = bone.astype(np.uint8)
    # One-sided windows: `origin` makes them end, or begin, at the voxel.
    before, after = (
        ndimage.maximum_filter1d(bytes_, size, axis=axis, mode="constant", origin=sign * (size // 2))
        for sign in (1, -1)
    )
    both: Mask = (before > 0) & (after > 0)
    return both
