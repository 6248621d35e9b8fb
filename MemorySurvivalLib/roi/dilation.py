"""Distances and growing of masks in millimetres, whatever the voxels' shape: the one dilation of the project."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk
from scipy import ndimage

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.volume import Volume

Distances = npt.NDArray[np.float32]

ROUNDING_MM = 1e-4
"""Distances are computed in single precision; a centre at the radius itself counts as within."""


def dilate_mm(mask: Volume, radius_mm: float) -> Volume:
    """Every voxel whose centre lies within `radius_mm` of a voxel centre of `mask` (not zero), on the same grid.

    Returns uint8. Raises InputError for a negative or non-finite radius.
    """
    if not (np.isfinite(radius_mm) and radius_mm >= 0):
        raise InputError(f"A mask cannot be dilated by {radius_mm:g} mm; give a radius of zero or more.")
    voxels = (np.asarray(mask.voxels) != 0).astype(np.uint8)
    result = np.zeros(voxels.shape, dtype=np.uint8)
    boxes = ndimage.find_objects(voxels)
    if not boxes:
        return mask.with_voxels(result)
    # The distance is only needed near the mask: a whole-body distance map would cost gigabytes.
    box = tuple(
        slice(max(0, part.start - int(radius_mm / step) - 1), part.stop + int(radius_mm / step) + 1)
        for part, step in zip(boxes[0], reversed(mask.spacing_mm), strict=True)
    )
    x, y, z = mask.spacing_mm
    result[box] = measure_distance_mm(voxels[box], (z, y, x)) <= radius_mm + ROUNDING_MM
    return mask.with_voxels(result)


def measure_distance_mm(mask: npt.NDArray[np.generic], spacing_zyx_mm: tuple[float, float, float]) -> Distances:
    """From every voxel's centre to the nearest centre of a voxel of `mask` (z, y, x; not zero): 0 inside, float32.

    Infinite where the mask is empty. SimpleITK's map uses every core and single precision, scipy's neither.
    """
    voxels = (mask != 0).astype(np.uint8)
    if not voxels.any():
        return np.full(mask.shape, np.inf, dtype=np.float32)
    image = sitk.GetImageFromArray(voxels)
    image.SetSpacing(spacing_zyx_mm[::-1])
    away = sitk.SignedMaurerDistanceMap(image, insideIsPositive=False, squaredDistance=False, useImageSpacing=True)
    distance: Distances = sitk.GetArrayFromImage(away)
    return np.maximum(distance, 0.0, out=distance)
