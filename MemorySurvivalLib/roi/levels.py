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

UNCERTAIN = "a name can be off by a level or more, most of all in chest and neck"

NUMBERED = "vertebra"
"""First word of the names of vertebrae whose level is not known."""
S1_MM = 28.0
"""How much of the sacrum below L5/S1 is kept as its first segment."""


@dataclass(frozen=True)
class Levels:
    """`cuts` (profile steps, ascending from the feet) bound the vertebrae; `names` go from the top, one more than the
    inner cuts. `bottom` and `top` bound the whole (steps); `note` says how they were named."""

    cuts: tuple[float, ...]
    names: tuple[str, ...]
    bottom: float
    top: float
    note: str


def find_sacrum(wings: Curve, unit_mm: Curve, canal_end: int) -> int | None:
    """The profile step where the sacrum's wings end towards the head; None where no wings stand out.

    They are looked for up to one and a half vertebrae above the canal's lower end.
    """
    smooth = ndimage.gaussian_filter1d(wings, 2.0, mode="nearest")
    limit = min(len(smooth), canal_end + round(1.5 * float(unit_mm[canal_end]) / STEP_MM))
    if limit < 2:
        return None
    peak = int(np.argmax(smooth[:limit]))
    if smooth[peak] < 0.3:
        return None
    above = np.flatnonzero(smooth[peak:] < 0.5 * smooth[peak])
    return peak + int(above[0]) if len(above) else None


def find_discs(density: Curve, unit_mm: Curve, first: int | None = None) -> list[int]:
    """Profile steps of the discs: dips of density whose spacing fits vertebrae of about `unit_mm`.

    The best chain of cuts is found at once by dynamic programming; a cut must be a dip. With `first` the chain starts
    there.
    """
    count = len(density)
    smooth = ndimage.gaussian_filter1d(density, 1.2, mode="nearest")
    spread = float(np.mean(unit_mm)) / STEP_MM
    local = ndimage.gaussian_filter1d(smooth, 0.5 * spread, mode="nearest")
    contrast = max(float(np.std(smooth - local)), 1e-3)
    gain = np.clip((local - smooth) / contrast, -2.0, 2.5)
    gain = np.where(gain > 0.3, gain, -np.inf)
    best = gain.copy()
    if first is not None:
        best[:] = -np.inf
        best[first] = 0.0
    previous = np.full(count, -1)
    for i in range(0 if first is None else first + 1, count):
        if not np.isfinite(gain[i]):
            continue
        unit = unit_mm[i] / STEP_MM
        low, high = max(0, round(i - 2.2 * unit)), round(i - 0.55 * unit)
        if high <= low:
            continue
        places = np.arange(low, high)
        value = best[places] - 4.0 * np.log((i - places) / unit) ** 2
        k = int(np.argmax(value))
        if np.isfinite(value[k]) and (value[k] > 0 or first is not None):
            best[i] = gain[i] + value[k]
            previous[i] = places[k]
    if not np.isfinite(best).any():
        return []
    # Column left over above the last cut counts against a chain that gives up early.
    left_over = np.maximum(0.0, (count - np.arange(count)) * STEP_MM / unit_mm - 1.0)
    i = int(np.argmax(best - 1.5 * left_over))
    cuts = []
    while i >= 0:
        cuts.append(i)
        i = int(previous[i])
    return cuts[::-1]


def find_levels(density: Curve, wings: Curve, unit_mm: Curve, canal_end: int, *, pelvis: bool, skull: bool) -> Levels:
    """Cut and name the vertebrae of a column.

    `canal_end` is the profile step where the canal's lower end was followed to. With a pelvis in view the disc on top
    of the sacrum is L5/S1, the upper part of the sacrum is kept as "S1", and names count upwards; with the skull
    above, names count down from C1; otherwise the vertebrae are numbered from the top.
    """
    top = float(len(density))
    if pelvis:
        unit = float(unit_mm[canal_end]) / STEP_MM
        sacrum = find_sacrum(wings, unit_mm, canal_end)
        if sacrum is None:
            cuts = [c for c in find_discs(density, unit_mm) if c > canal_end - 0.6 * unit] or [canal_end]
            cuts = cuts[: len(NAMES)]
        else:
            near = np.arange(max(0, round(sacrum - 0.3 * unit)), min(len(density), round(sacrum + 0.3 * unit) + 1))
            smooth = ndimage.gaussian_filter1d(density, 1.2, mode="nearest")[near]
            # The sacrum's marrow may be as light as a disc: among dips the one at the wings' upper end counts.
            base = int(near[np.argmin(smooth + 0.3 * ((near - sacrum) / (0.2 * unit)) ** 2)])
            cuts = find_discs(density, unit_mm, base)[: len(NAMES)]
        bottom = max(0.0, cuts[0] - S1_MM / STEP_MM)
        note = f"Vertebrae are named from the sacrum, taking five lumbar vertebrae for granted; {UNCERTAIN}."
        return Levels(tuple(map(float, cuts)), (*NAMES[len(NAMES) - len(cuts) :], "S1"), bottom, top, note)
    cuts = find_discs(density, unit_mm)
    count = len(cuts) + 1
    if skull and count <= len(NAMES):
        note = f"Vertebrae are named downwards from the skull, because the sacrum is not in the image; {UNCERTAIN}."
        return Levels(tuple(map(float, cuts)), NAMES[:count], 0.0, top, note)
    names = tuple(f"{NUMBERED} {n}" for n in range(1, count + 1))
    note = "Vertebrae are numbered from the top, because neither sacrum nor skull is in the image."
    return Levels(tuple(map(float, cuts)), names, 0.0, top, note)
