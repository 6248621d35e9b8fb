"""Hotspots: connected maxima of the map above the noise floor, with their place, their bone and their share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from MemorySurvivalLib.imaging.volume import Volume
from MemorySurvivalLib.measure.basins import divide

PROMINENCE = 0.25
"""Two maxima are two hotspots when the effect between them falls by this share of the weaker one."""

MOST = 10

Point = tuple[float, float, float]


@dataclass(frozen=True)
class Hotspot:
    """A connected maximum: where (LPS, mm), the change of log-risk at its top, and what else is known of it.

    `share` is its part of the sum of all absolute effects in the region, `volume_ml` the part of the region it fills,
    `site` the bone it lies in or nearest to ("" where none is known). `agreed` says whether another fill shows it too
    (None where that was not looked at).
    """

    position_lps_mm: Point
    effect: float
    site: str = ""
    share: float = 0.0
    volume_ml: float = 0.0
    agreed: bool | None = None


def find_hotspots(effect: Volume, floor: float, stride_mm: float, most: int = MOST) -> tuple[Hotspot, ...]:
    """The strongest first. `effect` is the map (float32, zero outside the ROI), `floor` the noise floor in log-risk.

    The map is constant between lattice points, so it is looked at in steps of half the stride.
    """
    steps = tuple(max(1, int(stride_mm / 2 / mm)) for mm in effect.spacing_mm[::-1])
    starts = tuple(step // 2 if size > step // 2 else 0 for step, size in zip(steps, effect.shape, strict=True))
    coarse = np.ascontiguousarray(
        effect.voxels[tuple(slice(start, None, step) for start, step in zip(starts, steps, strict=True))]
    )
    total = float(np.abs(coarse, dtype=np.float64).sum())
    found: list[tuple[float, Hotspot]] = []
    for sign in (1.0, -1.0):
        side = np.where(sign * coarse > floor, sign * coarse, 0).astype(np.float32)
        basins = divide(side, max(floor, float(np.finfo(np.float32).tiny)), PROMINENCE)
        for voxels in basins.groups():
            found.append(_describe(side, voxels, sign, effect, starts, steps, total))
    found.sort(key=lambda one: -one[0])
    return tuple(spot for _, spot in found[:most])


def name_hotspots(hotspots: Sequence[Hotspot], name: Callable[[Point], str]) -> tuple[Hotspot, ...]:
    """The hotspots with their sites."""
    return tuple(replace(spot, site=name(spot.position_lps_mm)) for spot in hotspots)


def _describe(
    side: npt.NDArray[np.float32],
    voxels: npt.NDArray[np.int64],
    sign: float,
    effect: Volume,
    starts: tuple[int, ...],
    steps: tuple[int, ...],
    total: float,
) -> tuple[float, Hotspot]:
    values = side.ravel()[voxels].astype(np.float64)
    places = np.stack(np.unravel_index(voxels, side.shape), axis=1)
    top = places[values >= 0.98 * values.max()]
    # The voxel of the top nearest to its middle, so that the hotspot lies inside the region.
    middle = top[np.argmin(((top - top.mean(axis=0)) ** 2).sum(axis=1))]
    z, y, x = (int(start + step * at) for start, step, at in zip(starts, steps, middle, strict=True))
    px, py, pz = effect.affine.points_mm((x, y, z)).tolist()
    cell_ml = float(np.prod(effect.spacing_mm) * np.prod(steps) / 1000)
    strength = float(values.max())
    spot = Hotspot((px, py, pz), sign * strength, "", float(values.sum() / total), len(voxels) * cell_ml)
    return strength, spot
