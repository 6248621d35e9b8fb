"""The paper's two regions of interest, derived from a segmentation (section 2.2)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.volume import Volume
from MemorySurvivalLib.roi.segmentation import BuiltinSegmentation

PARAMEDULLARY_MM = 10.0
"""How far the paramedullary region reaches from vertebrae and canal."""


def derive_spine_dilated(segmentation: BuiltinSegmentation, radius_mm: float = PARAMEDULLARY_MM) -> Volume:
    """Vertebrae and spinal canal with everything inside the body within `radius_mm` of them (uint8, CT grid).

    Empty when no spine was found. Raises InputError for a negative or non-finite radius.
    """
    if not (np.isfinite(radius_mm) and radius_mm >= 0):
        raise InputError(f"The spine cannot be dilated by {radius_mm} mm; give a radius of zero or more.")
    spine = (segmentation.vertebrae.voxels != 0) | (segmentation.canal.voxels != 0)
    near = _dilate(spine, radius_mm, segmentation.vertebrae.spacing_mm)
    near &= (segmentation.body.voxels != 0) | spine
    return segmentation.vertebrae.with_voxels(near.astype(np.uint8))


def derive_skeleton(segmentation: BuiltinSegmentation, radius_mm: float = PARAMEDULLARY_MM) -> Volume:
    """Every bone united with the dilated spine (uint8, CT grid). Raises InputError like `derive_spine_dilated`."""
    spine = derive_spine_dilated(segmentation, radius_mm)
    return spine.with_voxels(((spine.voxels != 0) | (segmentation.skeleton_bones.voxels != 0)).astype(np.uint8))


def _dilate(
    mask: npt.NDArray[np.bool_], radius_mm: float, spacing_mm: tuple[float, float, float]
) -> npt.NDArray[np.bool_]:
    """Voxels whose centre lies within `radius_mm` of a voxel centre of `mask`."""
    result = np.zeros(mask.shape, dtype=np.bool_)
    boxes = ndimage.find_objects(mask.astype(np.uint8))
    if not boxes:
        return result
    # The distance is only needed near the mask: a whole-body distance map would cost gigabytes.
    box = tuple(
        slice(max(0, part.start - int(radius_mm / step) - 1), part.stop + int(radius_mm / step) + 1)
        for part, step in zip(boxes[0], reversed(spacing_mm), strict=True)
    )
    away_mm = ndimage.distance_transform_edt(~mask[box], sampling=spacing_mm[::-1])
    result[box] = away_mm <= radius_mm + 1e-4
    return result
