"""The two regions of interest as the paper defines them, from a phantom's labels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.volume import Volume
from MemorySurvivalLib.simulation.tissues import BONES, VERTEBRAE, Tissue

PARAMEDULLARY_MM = 10.0
"""How far the paramedullary region reaches from vertebrae and canal."""


def dilate_mm(mask: Volume, radius_mm: float) -> Volume:
    """Every voxel whose centre lies within `radius_mm` of a voxel centre of `mask`, in millimetres along each axis.

    Returns uint8. Raises InputError for a negative radius.
    """
    if radius_mm < 0:
        raise InputError(f"A mask cannot be dilated by {radius_mm:g} mm; give a radius of zero or more.")
    voxels = np.asarray(mask.voxels) != 0
    out = np.zeros(voxels.shape, dtype=np.uint8)
    if not voxels.any():
        return mask.with_voxels(out)
    box = _padded_box(voxels, radius_mm, mask.spacing_mm)
    image = sitk.GetImageFromArray(voxels[box].astype(np.uint8))
    image.SetSpacing(mask.spacing_mm)
    away = sitk.SignedMaurerDistanceMap(image, insideIsPositive=False, squaredDistance=False, useImageSpacing=True)
    out[box] = sitk.GetArrayFromImage(away) <= radius_mm + 1e-4
    return mask.with_voxels(out)


def spine_dilated(labels: Volume, radius_mm: float = PARAMEDULLARY_MM) -> Volume:
    """C1 to L5 and the spinal canal with the paramedullary region around them (uint8)."""
    spine = np.isin(labels.voxels, [*VERTEBRAE, Tissue.SPINAL_CANAL])
    return dilate_mm(labels.with_voxels(spine.astype(np.uint8)), radius_mm)


def skeleton(labels: Volume, spine: Volume) -> Volume:
    """Every bone united with the dilated spine (uint8)."""
    bones = np.isin(labels.voxels, BONES)
    return labels.with_voxels((bones | (np.asarray(spine.voxels) != 0)).astype(np.uint8))


def _padded_box(
    voxels: npt.NDArray[np.bool_], radius_mm: float, spacing_mm: tuple[float, float, float]
) -> tuple[slice, slice, slice]:
    slices = []
    for axis in range(3):
        others = tuple(a for a in range(3) if a != axis)
        hit = np.flatnonzero(voxels.any(axis=others))
        pad = int(np.ceil(radius_mm / spacing_mm[2 - axis])) + 1
        slices.append(slice(max(int(hit[0]) - pad, 0), int(hit[-1]) + pad + 1))
    return slices[0], slices[1], slices[2]
