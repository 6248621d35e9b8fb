"""The coarser grid the segmenter thinks on, and the way back to the CT's own grid."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk
from scipy import ndimage

from MemorySurvivalLib.imaging.volume import Volume

Mask = npt.NDArray[np.bool_]
Image = npt.NDArray[np.float32]
Spacing = tuple[float, float, float]
"""Millimetres along z, y, x: the order of the arrays."""


CHUNK = 48
"""Slices of the CT handled at once on the way back, to bound memory."""


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
    voxels = np.zeros(grid.shape, dtype=np.uint8)
    start, stop = _box_on(labels, grid)
    if start == stop:
        return voxels
    part = Volume(np.broadcast_to(np.uint8(0), grid.shape), grid.affine).cropped(start, stop)
    image = sitk.Resample(
        sitk.Cast(labels.to_sitk(), sitk.sitkUInt8),
        [int(n) for n in reversed(part.shape)],
        sitk.Transform(3, sitk.sitkIdentity),
        sitk.sitkNearestNeighbor,
        part.affine.origin_mm,
        part.affine.spacing_mm,
        part.affine.direction.ravel().tolist(),
        0.0,
        sitk.sitkUInt8,
        True,
    )
    voxels[start[0] : stop[0], start[1] : stop[1], start[2] : stop[2]] = sitk.GetArrayFromImage(image)
    return voxels


def refine_mask(mask: Volume, ct: Volume, edge_hu: Image, softness_hu: float = 150.0) -> npt.NDArray[np.uint8]:
    """Bring a mask onto the CT's finer grid, its edge moved to where the CT crosses `edge_hu` (on the mask's grid).

    Deep inside and far outside the mask nothing changes; within one working voxel of its edge the CT decides.
    """
    if mask.same_grid(ct):
        return np.array(mask.voxels, dtype=np.uint8)
    share, level = mask.with_voxels(mask.voxels.astype(np.float32)), mask.with_voxels(edge_hu)
    out = np.zeros(ct.shape, dtype=np.uint8)
    (z0, y0, x0), (z1, y1, x1) = _box_on(mask, ct)
    for start in range(z0, z1, CHUNK):
        stop = min(start + CHUNK, z1)
        part = ct.cropped((start, y0, x0), (stop, y1, x1))
        inside = spread_image(share, part)
        result = inside >= 0.5
        edge = (inside > 0.02) & (inside < 0.98)
        expected = spread_image(level, part)[edge]
        density = np.clip((part.voxels[edge].astype(np.float32) - expected) / softness_hu, -1, 1)
        result[edge] = inside[edge] + 0.5 * density >= 0.5
        out[start:stop, y0:y1, x0:x1] = result
    return out


def _box_on(mask: Volume, grid: Volume) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """The box (start, stop along z, y, x) of `grid` (same axes) around a mask on another grid, two voxels larger.

    Averaging by whole factors can leave more than one voxel's length over at the image's end.
    """
    boxes = ndimage.find_objects((mask.voxels != 0).astype(np.uint8))
    if not boxes:
        return (0, 0, 0), (0, 0, 0)
    low = np.array([part.start - 2.0 for part in boxes[0]][::-1])
    high = np.array([part.stop + 1.0 for part in boxes[0]][::-1])
    ends = grid.affine.indices(mask.affine.points_mm(np.stack([low, high])))
    start = np.clip(np.floor(ends[0]).astype(int), 0, None)[::-1]
    stop = np.minimum(np.ceil(ends[1]).astype(int)[::-1] + 1, grid.shape)
    return (int(start[0]), int(start[1]), int(start[2])), (int(stop[0]), int(stop[1]), int(stop[2]))


def spread_image(image: Volume, grid: Volume) -> Image:
    """An image brought onto a finer grid, linear, its border values continued outside."""
    resampled = sitk.Resample(
        image.to_sitk(),
        [int(n) for n in reversed(grid.shape)],
        sitk.Transform(3, sitk.sitkIdentity),
        sitk.sitkLinear,
        grid.affine.origin_mm,
        grid.affine.spacing_mm,
        grid.affine.direction.ravel().tolist(),
        0.0,
        sitk.sitkFloat32,
        True,
    )
    voxels: Image = sitk.GetArrayFromImage(resampled)
    return voxels
