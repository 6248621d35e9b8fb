"""Cutting the column into vertebrae at the discs, and naming them from the sacrum or the skull."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from MemorySurvivalLib.roi.canal import GRID_MM

Curve = npt.NDArray[np.float64]

STEP_MM = GRID_MM / 2
"""Profiles along the column have this step."""

NAMES: tuple[str, ...] = (
    *(f"C{n}" for n in range(1, 8)),
    *(f"T{n}" for n in range(1, 13)),
    *(f"L{n}" for n in range(1, 6)),
)
"""The usual 24 vertebrae from the top."""

SACRUM_MM = 20.0
"""Wings beside the body for at least this length are the sacrum's; transverse processes are thinner."""
S1_MM = 28.0


@dataclass(frozen=True)
class Levels:
    """`cuts` (profile steps, ascending from the feet) bound the vertebrae; `names` go from the top, one more than the
    inner cuts. `bottom` and `top` bound the whole (steps); `note` says how they were named."""

    cuts: tuple[float, ...]
    names: tuple[str, ...]
    bottom: float
    top: float
    note: str


def find_sacrum(wings: Curve) -> float | None:
    """The profile step where the sacrum's wings end towards the head; None when there is no sacrum in the image."""
    smooth = ndimage.gaussian_filter1d(wings, 2.0, mode="nearest")
    labels, count = ndimage.label(smooth > 0.45)
    for number in range(count, 0, -1):
        inside = np.flatnonzero(labels == number)
        if len(inside) * STEP_MM >= SACRUM_MM and inside[0] * STEP_MM < 90.0:
            return float(inside[-1])
    return None


def find_discs(density: Curve, unit_mm: Curve) -> list[int]:
    """Profile steps of the discs: dips of density whose spacing fits vertebrae of about `unit_mm`.

    The best set of cuts is found at once by dynamic programming; a cut must be a dip.
    """
    count = len(density)
    smooth = ndimage.gaussian_filter1d(density, 1.2, mode="nearest")
    spread = float(np.mean(unit_mm)) / STEP_MM
    local = ndimage.gaussian_filter1d(smooth, 0.5 * spread, mode="nearest")
    contrast = max(float(np.std(smooth - local)), 1e-3)
    gain = np.clip((local - smooth) / contrast, -2.0, 2.5)
    best = np.where(gain > 0.3, gain, -np.inf)
    start = best.copy()
    previous = np.full(count, -1)
    for i in range(count):
        if not np.isfinite(start[i]):
            continue
        unit = unit_mm[i] / STEP_MM
        low, high = max(0, round(i - 1.7 * unit)), round(i - 0.55 * unit)
        if high <= low:
            continue
        places = np.arange(low, high)
        value = best[places] - 4.0 * np.log((i - places) / unit) ** 2
        k = int(np.argmax(value))
        if np.isfinite(value[k]) and value[k] > 0:
            best[i] = start[i] + value[k]
            previous[i] = places[k]
    if not np.isfinite(best).any():
        return []
    i = int(np.argmax(best))
    cuts = []
    while i >= 0:
        cuts.append(i)
        i = int(previous[i])
    return cuts[::-1]


def find_levels(density: Curve, wings: Curve, unit_mm: Curve, skull_above: bool) -> Levels:
    """Cut and name the vertebrae of a column.

    With a sacrum in view the disc on top of it is L5/S1, the upper part of the sacrum is kept as "S1", and names
    count upwards; with the skull above, names count down from C1; otherwise the vertebrae are numbered from the top.
    """
    cuts = [float(c) for c in find_discs(density, unit_mm)]
    top = float(len(density))
    sacrum = find_sacrum(wings)
    if sacrum is not None:
        unit = float(np.interp(sacrum, np.arange(len(unit_mm)), unit_mm)) / STEP_MM
        near = [c for c in cuts if abs(c - sacrum) <= 0.5 * unit]
        base = min(near, key=lambda c: abs(c - sacrum)) if near else sacrum
        cuts = [base, *(c for c in cuts if c > base + 0.4 * unit)]
        bottom = max(0.0, base - S1_MM / STEP_MM)
        count = len(cuts)  # presacral vertebrae: one above each cut
        names = (*_count_up(count), "S1")
        note = "Vertebrae are named from the sacrum, taking five lumbar vertebrae for granted."
        return Levels(tuple(cuts), names, bottom, top, note)
    names_free = len(cuts) + 1
    if skull_above and names_free <= len(NAMES):
        note = "Vertebrae are named downwards from the skull, because the sacrum is not in the image."
        return Levels(tuple(cuts), NAMES[:names_free], 0.0, top, note)
    names = tuple(f"vertebra {n}" for n in range(1, names_free + 1))
    note = "Vertebrae are numbered from the top, because neither sacrum nor skull is in the image."
    return Levels(tuple(cuts), names, 0.0, top, note)


def _count_up(count: int) -> tuple[str, ...]:
    """Names from the top of `count` vertebrae that end with L5."""
    extra = tuple(f"above {NAMES[0]} ({n})" for n in range(count - len(NAMES), 0, -1))
    return (*extra, *NAMES[max(0, len(NAMES) - count) :])
