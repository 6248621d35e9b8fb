"""The paper's other direction: masks brought from the CT's grid onto the PET's."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.volume import SLAB_VOXELS, Affine, Volume, resample_onto

MaskRule = Literal["nearest", "majority"]

MOST_SAMPLES = 8
"""Samples along each axis of one PET voxel at most."""


def masks_to_pet(mask: Volume, pet: Volume, rule: MaskRule = "nearest") -> Volume:
    """A mask (any type; nonzero is inside) on the PET's grid, as bool.

    "nearest" takes the mask's value at the PET voxel's centre: right on average, but thin bone comes out with holes.
    "majority" marks PET voxels that the mask fills by half or more: smooth, but bone thinner than half a PET voxel
    vanishes. Where neither is wanted, weight by `mask_share`.
    """
    if rule == "nearest":
        found = resample_onto(_binary(mask), pet, linear=False).voxels > 0
    elif rule == "majority":
        found = mask_share(mask, pet).voxels >= 0.5
    else:
        raise InputError(f'A mask goes onto the PET by "nearest" or "majority", not by "{rule}".')
    return Volume(found, pet.affine, mask.attributes)


def mask_share(mask: Volume, grid: Volume) -> Volume:
    """How much of each voxel of `grid` the mask fills: float32, 0 to 1 (z, y, x), for any two grids.

    Every voxel is sampled (linear) on a regular lattice at least as fine as the mask, so the mask's volume is kept to
    within a few percent, that of thin bone too. Works in slabs: needs memory for about SLAB_VOXELS samples beyond its
    result.
    """
    binary = _binary(mask)
    finest = min(mask.spacing_mm)
    counts = [min(MOST_SAMPLES, max(1, int(np.ceil(step / finest - 1e-6)))) for step in grid.spacing_mm]
    depth, height, width = grid.shape
    nx, ny, nz = counts
    share = np.empty(grid.shape, dtype=np.float32)
    step = max(1, SLAB_VOXELS // (height * width * nx * ny * nz))
    for start in range(0, depth, step):
        stop = min(start + step, depth)
        fine = _lattice(grid.affine.shifted((0, 0, start)), (stop - start, height, width), (nx, ny, nz))
        filled = resample_onto(binary, fine, linear=True).voxels
        blocks = filled.reshape(stop - start, nz, height, ny, width, nx)
        share[start:stop] = blocks.mean(axis=(1, 3, 5), dtype=np.float32)
    return Volume(share, grid.affine, mask.attributes)


def _binary(mask: Volume) -> Volume:
    voxels: npt.NDArray[np.uint8] = (mask.voxels != 0).view(np.uint8)
    return mask.with_voxels(voxels)


def _lattice(affine: Affine, shape: tuple[int, int, int], counts_xyz: tuple[int, int, int]) -> Volume:
    """A grid of samples inside every voxel; its voxels take no memory."""
    counts = np.asarray(counts_xyz)
    matrix = affine.matrix.copy()
    matrix[:3, :3] = affine.matrix[:3, :3] / counts
    matrix[:3, 3] = affine.points_mm(0.5 / counts - 0.5)
    fine = [n * count for n, count in zip(shape, reversed(counts_xyz), strict=True)]
    return Volume(np.broadcast_to(np.uint8(0), fine), Affine(matrix))
