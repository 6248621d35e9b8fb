"""What is measured of any region: HU, and SUV mean, median, maximum and peak, on the CT's grid.

The CT's grid is used because every mask lives there. Linear interpolation of the PET onto it never makes an uptake
higher than a PET voxel holds, and the mean and peak of a region hardly move; tests hold both to the PET's own grid.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from MemorySurvivalLib.imaging.case import Case
from MemorySurvivalLib.imaging.volume import Affine

Mask = npt.NDArray[np.bool_]
Box = tuple[slice, slice, slice]
Spacing = tuple[float, float, float]
Point = tuple[float, float, float]
"""In LPS millimetres."""

PEAK_RADIUS_MM = (3000.0 / (4.0 * np.pi)) ** (1.0 / 3.0)
"""Radius of a sphere of 1 cm3 (6.2 mm), over which SUVpeak is averaged (PERCIST 1.0; EANM procedure guideline 2.0)."""

_CENTRE_STEP_MM = 2.6
"""Sphere centres are tried at least this densely; the best one's neighbourhood is then tried voxel by voxel."""

_PARTS = 9
"""Each voxel is divided into this many parts along every axis to find its share inside a sphere."""


@dataclass(frozen=True)
class RegionMeasure:
    """One region in numbers. HU and SUVbw (g/mL); positions in LPS millimetres; `voxels` on the CT's grid."""

    voxels: int
    volume_ml: float
    hu_mean: float
    hu_sd: float
    hu_median: float
    suv_mean: float
    suv_median: float
    suv_max: float
    suv_peak: float
    suv_max_lps_mm: tuple[float, float, float]
    suv_peak_lps_mm: tuple[float, float, float]


def voxel_ml(spacing_mm: Spacing) -> float:
    """Volume of one voxel in millilitres."""
    return float(np.prod(spacing_mm)) / 1000.0


def measure_region(case: Case, mask: Mask, start_zyx: tuple[int, int, int] = (0, 0, 0)) -> RegionMeasure:
    """Measure where `mask` (bool, z, y, x) is true; it is a block of the case's grid that begins at `start_zyx`.

    SUVpeak is the highest mean in a 1 cm3 sphere whose centre is a voxel of the region; the sphere may reach beyond
    the region. Raises ValueError for an empty mask.
    """
    if not mask.any():
        raise ValueError("An empty region has no measurements.")
    block = tuple(slice(a, a + n) for a, n in zip(start_zyx, mask.shape, strict=True))
    hu = case.ct.voxels[block][mask].astype(np.float64)
    suv = case.pet.voxels[block][mask].astype(np.float64)
    places = np.argwhere(mask) + np.asarray(start_zyx)
    peak, peak_place = find_peak(case.pet.voxels, case.pet.spacing_mm, places)
    return RegionMeasure(
        voxels=hu.size,
        volume_ml=hu.size * voxel_ml(case.ct.spacing_mm),
        hu_mean=float(hu.mean()),
        hu_sd=float(hu.std()),
        hu_median=float(np.median(hu)),
        suv_mean=float(suv.mean()),
        suv_median=float(np.median(suv)),
        suv_max=float(suv.max()),
        suv_peak=peak,
        suv_max_lps_mm=point_of(case.ct.affine, places[int(suv.argmax())]),
        suv_peak_lps_mm=point_of(case.ct.affine, peak_place),
    )


def point_of(affine: Affine, index_zyx: npt.ArrayLike) -> tuple[float, float, float]:
    """The LPS point (mm) of a voxel index in z, y, x order."""
    x, y, z = affine.points_mm(np.asarray(index_zyx, dtype=np.float64)[::-1])
    return float(x), float(y), float(z)


def sphere_weights(
    spacing_mm: Spacing, radius_mm: float, offset_xyz: tuple[float, float, float] = (0.0, 0.0, 0.0)
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Voxel offsets (n, 3; z, y, x) around a centre and each voxel's share (0 to 1] inside a sphere.

    `offset_xyz` is where the sphere's centre lies against the voxel with offset zero, in voxels along x, y, z. Voxels
    with a share below 1 % are left out.
    """
    parts = (np.arange(_PARTS) + 0.5) / _PARTS - 0.5
    reach = [int(np.ceil(radius_mm / step + 1.0)) for step in spacing_mm]
    squares = []
    for step, n, off in zip(spacing_mm, reach, offset_xyz, strict=True):
        at = (np.arange(-n, n + 1)[:, None] + parts[None, :] - off) * step
        squares.append(at**2)
    sx, sy, sz = squares
    share = np.zeros((len(sz), len(sy), len(sx)))
    for index, layer in enumerate(sz):  # slice by slice: a fine grid's parts would not fit into memory at once
        yx = sy[:, None, :, None] + sx[None, :, None, :]
        share[index] = np.mean([(yx + z2 <= radius_mm**2).mean(axis=(2, 3)) for z2 in layer], axis=0)
    kept = np.argwhere(share >= 0.01)
    return kept - np.asarray(reach[::-1]), share[tuple(kept.T)]


def find_peak(
    suv: npt.NDArray[np.floating], spacing_mm: Spacing, places: npt.NDArray[np.int64]
) -> tuple[float, npt.NDArray[np.int64]]:
    """The highest 1 cm3 sphere mean among centres `places` (n, 3; z, y, x) and its centre.

    Parts of a sphere outside the image do not count. On grids finer than the sphere needs, centres are first tried
    on a lattice of about 2.6 mm and then voxel by voxel around the best.
    """
    offsets, weights = sphere_weights(spacing_mm, PEAK_RADIUS_MM)
    lattice = peak_lattice(spacing_mm, places)
    best = _best_of(suv, lattice, offsets, weights)
    if lattice is places:
        return best
    return _best_of(suv, near_centres(spacing_mm, places, best[1]), offsets, weights)


def peak_lattice(spacing_mm: Spacing, places: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The centres that are tried first: every one on coarse grids, then `places` itself, else about 2.6 mm apart."""
    steps = _centre_steps(spacing_mm)
    return places if (steps == 1).all() else places[((places - places[0]) % steps == 0).all(axis=1)]


def near_centres(
    spacing_mm: Spacing, places: npt.NDArray[np.int64], best: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """The centres among `places` that are tried after the lattice's best."""
    near: npt.NDArray[np.bool_] = (np.abs(places - best) <= _centre_steps(spacing_mm)).all(axis=1)
    return np.asarray(places[near])


def _centre_steps(spacing_mm: Spacing) -> npt.NDArray[np.int64]:
    return np.asarray([max(1, int(_CENTRE_STEP_MM / mm)) for mm in reversed(spacing_mm)])


def _best_of(
    suv: npt.NDArray[np.floating],
    places: npt.NDArray[np.int64],
    offsets: npt.NDArray[np.int64],
    weights: npt.NDArray[np.float64],
) -> tuple[float, npt.NDArray[np.int64]]:
    means = sphere_means(suv, places, offsets, weights)
    winner = int(means.argmax())
    return float(means[winner]), places[winner]


def sphere_means(
    suv: npt.NDArray[np.floating],
    places: npt.NDArray[np.int64],
    offsets: npt.NDArray[np.int64],
    weights: npt.NDArray[np.float64],
) -> npt.NDArray[np.float64]:
    """The mean SUV of the sphere (`sphere_weights`) around each of `places` (n, 3; z, y, x), where it lies inside."""
    reach = np.abs(offsets).max(axis=0)
    low = places.min(axis=0) - reach
    high = places.max(axis=0) + reach + 1
    inner = [slice(max(0, a), min(n, b)) for a, b, n in zip(low, high, suv.shape, strict=True)]
    pad = [(part.start - a, b - part.stop) for a, b, part in zip(low, high, inner, strict=True)]
    block = np.ascontiguousarray(suv[tuple(inner)], dtype=np.float32)
    cut = any(before or after for before, after in pad)
    if cut:
        block = np.pad(block, pad)
    strides = np.asarray([block.shape[1] * block.shape[2], block.shape[2], 1])
    flat = block.ravel()
    shifts = offsets @ strides
    centres = (places - low) @ strides
    total = np.zeros(len(places))
    for shift, weight in zip(shifts, weights, strict=True):
        total += weight * flat[centres + shift]
    if cut:
        inside = np.pad(np.ones([part.stop - part.start for part in inner], dtype=np.float32), pad).ravel()
        share = np.zeros(len(places))
        for shift, weight in zip(shifts, weights, strict=True):
            share += weight * inside[centres + shift]
        total /= share
    else:
        total /= weights.sum()
    return total
