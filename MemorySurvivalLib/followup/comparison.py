"""Measurements of two time points side by side, and which lesion of the one is which of the other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from MemorySurvivalLib.followup.spine_registration import SpineMatch
from MemorySurvivalLib.measure.lesion import Lesion
from MemorySurvivalLib.measure.tables import MeasurementRecord

NOT_RESPONSE = (
    "A change of a risk that was trained at baseline is not a response assessment: nothing here says whether a "
    "treatment worked."
)
SAME_WITHIN_MM = 20.0
"""Maxima of one lesion lie this close after the registration; a spine moves little against itself, ribs and pelvis
more."""

Fate = Literal["in both", "only now", "only before"]


@dataclass(frozen=True)
class ComparedValue:
    """One quantity at both time points; None where it could not be measured. `change_percent` needs both."""

    name: str
    unit: str
    current: float | None
    prior: float | None

    @property
    def change_percent(self) -> float | None:
        """(current - prior) / prior."""
        if self.current is None or self.prior is None or self.prior == 0:
            return None
        return 100.0 * (self.current - self.prior) / self.prior


@dataclass(frozen=True)
class ComparedLesion:
    """A lesion and its counterpart, by their numbers in the two lists; positions in LPS mm of the current study."""

    fate: Fate
    current: int | None
    prior: int | None
    site: str
    current_suv_max: float | None
    prior_suv_max: float | None
    position_lps_mm: tuple[float, float, float]


@dataclass(frozen=True)
class Comparison:
    """Values and lesions of two studies side by side."""

    values: tuple[ComparedValue, ...]
    lesions: tuple[ComparedLesion, ...]


_VALUES: tuple[tuple[str, str, Callable[[MeasurementRecord], float | None]], ...] = (
    ("liver SUVmean", "g/mL", lambda record: record.references.liver.suv_mean if record.references.liver else None),
    (
        "blood pool SUVmean",
        "g/mL",
        lambda record: record.references.blood_pool.suv_mean if record.references.blood_pool else None,
    ),
    ("marrow SUV", "g/mL", lambda record: record.marrow_suv),
    ("hottest focal lesion SUVmax", "g/mL", lambda record: record.totals.suv_max),
    ("focal lesions", "", lambda record: float(record.totals.focal)),
    ("focal MTV", "ml", lambda record: record.totals.mtv_ml),
    ("focal TLG", "g", lambda record: record.totals.tlg_g),
)


def compare(current: MeasurementRecord, prior: MeasurementRecord, match: SpineMatch) -> Comparison:
    """Lay two measurements beside each other; lesions are paired by their maxima, the nearest pair first."""
    values = tuple(ComparedValue(name, unit, read(current), read(prior)) for name, unit, read in _VALUES)
    now = [row.lesion for row in current.lesions if row.lesion.kind != "spill-in"]
    before = [row.lesion for row in prior.lesions if row.lesion.kind != "spill-in"]
    pairs = _pair(now, before, match)
    lesions = [_row("in both", one, other, match) for one, other in pairs]
    lesions += [_row("only now", one, None, match) for one in now if one not in [pair[0] for pair in pairs]]
    lesions += [_row("only before", None, other, match) for other in before if other not in [pair[1] for pair in pairs]]
    return Comparison(values, tuple(lesions))


def _pair(now: list[Lesion], before: list[Lesion], match: SpineMatch) -> list[tuple[Lesion, Lesion]]:
    if not now or not before:
        return []
    mine = match.to_prior([lesion.suv_max_lps_mm for lesion in now])
    theirs = np.asarray([lesion.suv_max_lps_mm for lesion in before])
    distance = np.linalg.norm(mine[:, None] - theirs[None], axis=-1)
    pairs = []
    while distance.size and distance.min() <= SAME_WITHIN_MM:
        one, other = np.unravel_index(int(distance.argmin()), distance.shape)
        pairs.append((now[one], before[other]))
        distance[one, :] = distance[:, other] = np.inf
    return sorted(pairs, key=lambda pair: pair[0].number)


def _row(fate: Fate, one: Lesion | None, other: Lesion | None, match: SpineMatch) -> ComparedLesion:
    if one is not None:
        place = one.suv_max_lps_mm
    else:
        assert other is not None
        x, y, z = np.linalg.inv(match.matrix)[:3] @ (*other.suv_max_lps_mm, 1.0)
        place = (float(x), float(y), float(z))
    shown = one or other
    assert shown is not None
    return ComparedLesion(
        fate,
        None if one is None else one.number,
        None if other is None else other.number,
        shown.site,
        None if one is None else one.suv_max,
        None if other is None else other.suv_max,
        place,
    )
