"""Which lesion of one result is which of another: by place where both share one, else only listed bone by bone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from MemorySurvivalLib.followup.comparison import SAME_WITHIN_MM
from MemorySurvivalLib.followup.spine_registration import SpineMatch
from MemorySurvivalLib.measure.lesion import Lesion
from MemorySurvivalLib.measure.tables import MeasurementRecord

SAME_IMAGE_MM = 10.0
"""On the same images the maximum of one lesion hardly moves, whatever the threshold or the region."""

Matched = Literal["same place", "registered", "by bone"]


@dataclass(frozen=True)
class LesionPair:
    """A lesion of the first and of the second result, or one of the two alone."""

    first: Lesion | None
    second: Lesion | None

    @property
    def site(self) -> str:
        """The bone, by the second result where it has the lesion."""
        shown = self.second or self.first
        return "" if shown is None else shown.site


@dataclass(frozen=True)
class BoneLesions:
    """The lesions in one bone: their number and hottest SUVmax (g/mL) in either result."""

    site: str
    first: int
    second: int
    first_suv_max: float | None
    second_suv_max: float | None


@dataclass(frozen=True)
class MatchedLesions:
    """Lesions side by side without spill-in from organs, hottest first: `pairs` where places can be compared, `bones`
    where they cannot."""

    matched: Matched
    pairs: tuple[LesionPair, ...]
    bones: tuple[BoneLesions, ...]
    sentence: str


def match_lesions(
    first: MeasurementRecord, second: MeasurementRecord, *, same_ct: bool, registration: SpineMatch | None = None
) -> MatchedLesions:
    """Lay two lesion lists beside each other.

    Positions count where both results lie on the same CT, or with a registration whose current study is the second
    result and whose prior study is the first. The nearest two are one pair, then the next nearest.
    """
    before, now = _counted(first), _counted(second)
    if same_ct:
        pairs = _pair(before, now, [lesion.suv_max_lps_mm for lesion in now], SAME_IMAGE_MM)
        sentence = f"Lesions whose maxima lie within {SAME_IMAGE_MM:g} mm on the same CT are one lesion."
        return MatchedLesions("same place", pairs, (), sentence)
    if registration is not None:
        places = np.reshape([lesion.suv_max_lps_mm for lesion in now], (-1, 3))
        pairs = _pair(before, now, registration.to_prior(places), SAME_WITHIN_MM)
        doubt = " The registration is doubtful: look at both studies." if registration.doubtful else ""
        sentence = (
            f"Lesions whose maxima lie within {SAME_WITHIN_MM:g} mm after the registration by the spine are taken for "
            f"one lesion; ribs and pelvis may move farther.{doubt}"
        )
        return MatchedLesions("registered", pairs, (), sentence)
    sentence = (
        "Counted bone by bone, because the two studies are not registered: a lesion in the same bone need not be the "
        "same lesion."
    )
    return MatchedLesions("by bone", (), _by_bone(before, now), sentence)


def _counted(record: MeasurementRecord) -> list[Lesion]:
    return [row.lesion for row in record.lesions if row.lesion.kind != "spill-in"]


def _pair(
    before: list[Lesion], now: list[Lesion], places_of_now: Iterable[Iterable[float]], most_mm: float
) -> tuple[LesionPair, ...]:
    pairs = []
    if before and now:
        theirs = np.asarray([lesion.suv_max_lps_mm for lesion in before])
        mine = np.asarray([tuple(place) for place in places_of_now])
        distance = np.linalg.norm(theirs[:, None] - mine[None], axis=-1)
        while distance.min() <= most_mm:
            one, other = np.unravel_index(int(distance.argmin()), distance.shape)
            pairs.append(LesionPair(before[one], now[other]))
            distance[one, :] = distance[:, other] = np.inf
    taken = {id(lesion) for pair in pairs for lesion in (pair.first, pair.second)}
    pairs += [LesionPair(lesion, None) for lesion in before if id(lesion) not in taken]
    pairs += [LesionPair(None, lesion) for lesion in now if id(lesion) not in taken]
    return tuple(sorted(pairs, key=_hottest, reverse=True))


def _hottest(pair: LesionPair) -> float:
    return max(lesion.suv_max for lesion in (pair.first, pair.second) if lesion is not None)


def _by_bone(before: list[Lesion], now: list[Lesion]) -> tuple[BoneLesions, ...]:
    bones = []
    for site in dict.fromkeys(lesion.site for lesion in (*before, *now)):
        first = [lesion.suv_max for lesion in before if lesion.site == site]
        second = [lesion.suv_max for lesion in now if lesion.site == site]
        bones.append(BoneLesions(site, len(first), len(second), max(first, default=None), max(second, default=None)))
    return tuple(sorted(bones, key=lambda bone: max(bone.first_suv_max or 0, bone.second_suv_max or 0), reverse=True))
