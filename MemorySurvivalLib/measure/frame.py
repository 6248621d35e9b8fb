"""Where in the body a voxel lies: midline, spine, lungs and bones as landmarks for the finders of organs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from MemorySurvivalLib.imaging.case import Case
from MemorySurvivalLib.imaging.volume import Volume
from MemorySurvivalLib.measure.uptake import Mask, Spacing, voxel_ml
from MemorySurvivalLib.roi.body import find_body
from MemorySurvivalLib.roi.segments import Segmentation
from MemorySurvivalLib.roi.working_grid import shrink

FloatArray = npt.NDArray[np.float32]
Line = npt.NDArray[np.float64]

COARSE_MM = 4.0
"""Landmarks and organs are found on a grid averaged by whole factors up to this spacing."""

LUNG_HU = (-970.0, -400.0)
LEAST_LUNG_ML = 150.0


@dataclass(frozen=True, eq=False)
class BodyFrame:
    """A patient on a coarse grid (arrays z, y, x; axes to LPS) with landmarks.

    `hu` and `suv` are smoothed a little; `bones` are bone with marrow. `mid_x` and `canal_y` (index, one a slice) lie
    in the spinal canal, continued straight on beyond its ends; where there is no spine they follow the body's middle
    and `spine_z` is None. `spine_z` and `lungs_z` are the first and last slice that shows canal and lungs.
    """

    grid: Volume
    hu: FloatArray
    suv: FloatArray
    body: Mask
    bones: Mask
    lungs: Mask
    mid_x: Line
    canal_y: Line
    spine_z: tuple[int, int] | None
    lungs_z: tuple[int, int] | None

    @property
    def spacing_mm(self) -> Spacing:
        """Voxel size along x, y, z."""
        return self.grid.spacing_mm

    @property
    def spacing_zyx(self) -> Spacing:
        """Voxel size along z, y, x."""
        x, y, z = self.grid.spacing_mm
        return z, y, x

    def left_mm(self) -> FloatArray:
        """How far left of the midline each place is (z, 1, x); negative on the right."""
        x = np.arange(self.hu.shape[2])[None, None, :]
        return np.asarray((x - self.mid_x[:, None, None]) * self.spacing_mm[0], dtype=np.float32)

    def ahead_mm(self) -> FloatArray:
        """How far in front of the spinal canal each place is (z, y, 1)."""
        y = np.arange(self.hu.shape[1])[None, :, None]
        return np.asarray((self.canal_y[:, None, None] - y) * self.spacing_mm[1], dtype=np.float32)


def make_frame(case: Case, segmentation: Segmentation) -> BodyFrame:
    """Find the landmarks. `segmentation` lies on the case's grid."""
    ct = shrink(case.ct, COARSE_MM)
    pet = shrink(case.pet, COARSE_MM)
    spacing = (ct.spacing_mm[2], ct.spacing_mm[1], ct.spacing_mm[0])
    hu = np.asarray(ct.voxels, dtype=np.float32)
    bones = share_on(segmentation.of("vertebra", "sacrum", "bone"), case.ct) >= 0.4
    canal = share_on(segmentation.of("canal"), case.ct) >= 0.4
    if segmentation.body is not None and segmentation.body.voxels.any():
        body = share_on(segmentation.body.voxels != 0, case.ct) >= 0.5
    else:
        body = find_body(hu, spacing)
    lungs = _find_lungs(hu, body, ct.spacing_mm)
    mid_x, canal_y, spine_z = _follow_middle(canal, body)
    sigma = [3.0 / mm for mm in spacing]
    return BodyFrame(
        grid=ct,
        hu=ndimage.gaussian_filter(hu, sigma),
        suv=ndimage.gaussian_filter(np.asarray(pet.voxels, dtype=np.float32), sigma),
        body=body,
        bones=bones,
        lungs=lungs,
        mid_x=mid_x,
        canal_y=canal_y,
        spine_z=spine_z,
        lungs_z=_extent(lungs),
    )


def share_on(mask: Mask, fine: Volume) -> FloatArray:
    """The share of each coarse voxel that `mask` (on the grid of `fine`) fills."""
    return np.asarray(shrink(fine.with_voxels(mask.astype(np.float32)), COARSE_MM).voxels, dtype=np.float32)


def _find_lungs(hu: FloatArray, body: Mask, spacing_mm: Spacing) -> Mask:
    air = body & (hu > LUNG_HU[0]) & (hu < LUNG_HU[1])
    core = ndimage.binary_erosion(air)
    labels, _ = ndimage.label(core)
    sizes = np.bincount(labels.ravel()) * voxel_ml(spacing_mm)
    sizes[0] = 0
    lungs: Mask = ndimage.binary_dilation((sizes >= LEAST_LUNG_ML / 2)[labels]) & air
    if np.count_nonzero(lungs) * voxel_ml(spacing_mm) < LEAST_LUNG_ML:
        return np.zeros_like(lungs)
    return lungs


def _follow_middle(canal: Mask, body: Mask) -> tuple[Line, Line, tuple[int, int] | None]:
    levels = np.arange(canal.shape[0], dtype=np.float64)
    spine_z = _extent(canal)
    source = canal if spine_z else body
    here = np.flatnonzero(source.any(axis=(1, 2)))
    if here.size == 0:
        middle = (np.asarray(canal.shape) - 1) / 2
        return np.full(len(levels), middle[2]), np.full(len(levels), middle[1]), None
    centres = np.asarray([ndimage.center_of_mass(source[z]) for z in here])
    y = np.interp(levels, here, centres[:, 0])
    x = np.interp(levels, here, centres[:, 1])
    return x, y, spine_z


def _extent(mask: Mask) -> tuple[int, int] | None:
    """The first and the last slice that shows a mask."""
    where = np.flatnonzero(mask.any(axis=(1, 2)))
    return (int(where[0]), int(where[-1])) if where.size else None
