"""The coarser grid the segmenter thinks on, and the way back to the CT's own grid."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from MemorySurvivalLib.imaging.volume import Volume, resample_onto

Mask = npt.NDArray[np.bool_]
Image = npt.NDArray[np.float32]
Spacing = tuple[float, float, float]
"""Millimetres along z, y, x: the order of the arrays."""


def shrink(volume: Volume, spacing_mm: float) -> Volume:
    """Average blocks of whole voxels so that no axis becomes coarser than `spacing_mm`; float32."""
    factors = [
        max(1, min(int(spacing_mm / step + 1e-3), size))
        for step, size in zip(volume.spacing_mm, reversed(volume.shape), strict=True)
    ]
    if factors == [1, 1, 1]:
        return volume.with_voxels(volume.voxels.astype(np.float32))
    return Volume.from_sitk(sitk.Cast(sitk.BinShrink(volume.to_sitk(), factors), sitk.sitkFloat32))


def isotropic_grid(volume: Volume, spacing_mm: float) -> Volume:
    """The volume interpolated (linear) at equal steps along all axes, covering the same voxels' centres."""
    size = [
        max(1, int(np.floor((n - 1) * step / spacing_mm + 1e-6)) + 1)
        for n, step in zip(reversed(volume.shape), volume.spacing_mm, strict=True)
    ]
    image = sitk.Cast(volume.to_sitk(), sitk.sitkFloat32)
    return Volume.from_sitk(
        sitk.Resample(
            image,
            size,
            sitk.Transform(3, sitk.sitkIdentity),
            sitk.sitkLinear,
            image.GetOrigin(),
            [spacing_mm] * 3,
            image.GetDirection(),
            float(np.min(volume.voxels)),
        )
    )


def spread_labels(labels: Volume, grid: Volume) -> npt.NDArray[np.uint8]:
    """Labels or a mask brought onto a finer grid, nearest neighbour; border voxels of the fine grid included."""
    if labels.same_grid(grid):
        return np.array(labels.voxels, dtype=np.uint8)
    image = sitk.Resample(
        sitk.Cast(labels.to_sitk(), sitk.sitkUInt8),
        [int(n) for n in reversed(grid.shape)],
        sitk.Transform(3, sitk.sitkIdentity),
        sitk.sitkNearestNeighbor,
        grid.affine.origin_mm,
        grid.affine.spacing_mm,
        grid.affine.direction.ravel().tolist(),
        0.0,
        sitk.sitkUInt8,
        True,
    )
    voxels: npt.NDArray[np.uint8] = sitk.GetArrayFromImage(image)
    return voxels


def refine_mask(mask: Volume, ct: Volume, threshold_hu: float, softness_hu: float = 150.0) -> npt.NDArray[np.uint8]:
    """Bring a mask onto the CT's finer grid, its edge moved to where the CT crosses `threshold_hu`.

    Deep inside and far outside the mask nothing changes; within one working voxel of its edge the CT decides.
    """
    if mask.same_grid(ct):
        return np.array(mask.voxels, dtype=np.uint8)
    share = mask.with_voxels(mask.voxels.astype(np.float32))
    out = np.zeros(ct.shape, dtype=np.uint8)
    depth = 48
    for start in range(0, ct.shape[0], depth):
        stop = min(start + depth, ct.shape[0])
        part = ct.cropped((start, 0, 0), (stop, ct.shape[1], ct.shape[2]))
        inside = resample_onto(share, part, linear=True).voxels.astype(np.float32)
        # Half a working voxel at the image's border has no neighbour to interpolate with.
        inside = np.where(inside == 0, spread_labels(mask, part), inside)
        edge = (inside > 0.02) & (inside < 0.98)
        density = np.clip((part.voxels[edge].astype(np.float32) - threshold_hu) / softness_hu, -1, 1)
        result = inside >= 0.5
        result[edge] = inside[edge] + 0.5 * density >= 0.5
        out[start:stop] = result
    return out
