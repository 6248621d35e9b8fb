"""Bone with its marrow, told from contrast agent, calcifications and metal streaks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from MemorySurvivalLib.roi.segmentation import SegmenterConfig
from MemorySurvivalLib.roi.working_grid import Image, Mask, Spacing

LARGEST_HOLE_MM2 = 2800.0
"""Marrow cavities are smaller in every section (a femoral head measures 2000 mm2); skull and pelvis enclose more."""
TYPICAL_TISSUE_HU = 45.0
AIR_HU = -150.0
"""Marrow, even pure fat, is denser."""


@dataclass(frozen=True, eq=False)
class Bones:
    """`dense` holds voxels at bone density, `enclosed` the small pockets that they surround in some plane.

    `sealed` is what they surround in at least two planes, whatever its size: marrow cavities (and the skull's
    inside), but not the spinal canal, a tunnel that is open between the vertebrae. All bool (z, y, x).
    """

    dense: Mask
    enclosed: Mask
    sealed: Mask
    tissue_hu: float
    threshold_hu: float


def find_tissue_peak(ct_hu: Image, body: Mask) -> float:
    """The commonest HU of soft tissue (water to enhanced muscle): the zero from which density is judged."""
    counts, edges = np.histogram(ct_hu[body], bins=140, range=(-20.0, 120.0))
    smooth = ndimage.gaussian_filter1d(counts.astype(np.float64), 4.0)
    rises = np.flatnonzero((smooth[1:-1] >= smooth[:-2]) & (smooth[1:-1] > smooth[2:])) + 1
    if len(rises) == 0:  # a noisy image of mostly fat: its tail hides the peak
        return TYPICAL_TISSUE_HU
    return float(edges[rises[int(np.argmax(smooth[rises]))]] + 0.5)


def find_bones(ct_hu: Image, body: Mask, spacing_mm: Spacing, config: SegmenterConfig) -> Bones:
    """Find bone on a CT (HU) inside `body`, all arrays (z, y, x).

    A voxel is dense when it passes the bone threshold and something as dense as cortex is near; small pieces are
    dropped. Holes are then looked for in all three planes.
    """
    tissue_hu = find_tissue_peak(ct_hu, body)
    threshold_hu = tissue_hu + config.bone_above_tissue_hu
    cortex = body & (ct_hu > tissue_hu + config.cortex_above_tissue_hu)
    dense = body & (ct_hu > threshold_hu)
    if cortex.any():
        dense &= ndimage.distance_transform_edt(~cortex, sampling=spacing_mm) <= config.cortex_reach_mm
    else:
        dense[:] = False
    dense = drop_small(dense, config.smallest_bone_ml, spacing_mm)
    enclosed = np.zeros(dense.shape, dtype=np.bool_)
    planes = np.zeros(dense.shape, dtype=np.uint8)
    for axis in range(3):
        pocket, small = find_holes(dense, axis, spacing_mm)
        planes += pocket
        enclosed |= small
    return Bones(dense, enclosed & (ct_hu > AIR_HU), planes >= 2, tissue_hu, threshold_hu)


def drop_small(mask: Mask, least_ml: float, spacing_mm: Spacing) -> Mask:
    """Remove pieces (26-connected) below `least_ml`."""
    labels, _ = ndimage.label(mask, np.ones((3, 3, 3)))
    keep = np.bincount(labels.ravel()) * float(np.prod(spacing_mm)) / 1000.0 >= least_ml
    keep[0] = False
    kept: Mask = keep[labels]
    return kept


def find_holes(mask: Mask, axis: int, spacing_mm: Spacing, largest_mm2: float = LARGEST_HOLE_MM2) -> tuple[Mask, Mask]:
    """Pockets of background that `mask` surrounds in the planes across `axis`: all, and those up to `largest_mm2`.

    In sagittal and coronal planes the image's first and last slice count as walls: a bone that the image cuts is
    still closed there. The other borders are open.
    """
    structure = ndimage.generate_binary_structure(3, 1)
    for end in (0, 2):
        structure[tuple(end if a == axis else 1 for a in range(3))] = False
    labels, count = ndimage.label(~mask, structure)
    pocket = np.ones(count + 1, dtype=np.bool_)
    pocket[0] = False
    for other in range(1, 3):
        if other != axis:
            for border in (0, -1):
                pocket[np.unique(np.take(labels, border, axis=other))] = False
    area_mm2 = np.bincount(labels.ravel(), minlength=count + 1) * (float(np.prod(spacing_mm)) / spacing_mm[axis])
    return pocket[labels], (pocket & (area_mm2 <= largest_mm2))[labels]
