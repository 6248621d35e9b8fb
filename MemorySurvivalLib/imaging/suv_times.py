"""When a PET was scanned: the time its values are decay-corrected to, and how that is known."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from statistics import median

from MemorySurvivalLib.imaging.pet_tags import PetTags, SliceTags
from MemorySurvivalLib.imaging.quality_flag import QualityFlag
from MemorySurvivalLib.imaging.suv_formulas import mean_count_time_s, remaining

SAME_S = 1.0
"""Times within a second are one: vendors cut fractions off in one tag and not in another."""

AGREE_S = 5.0
"""Slices whose reference times, computed back from their frames, lie this close tell one time."""

DOUBT_S = 60.0
"""From here on two statements of the reference time are a contradiction worth a flag (0.6 % of SUV for F-18)."""


@dataclass(frozen=True)
class Reference:
    """The time values are decay-corrected to, which statement told it, and what speaks against it."""

    at: datetime
    source: str
    flags: tuple[QualityFlag, ...] = ()


def find_reference(tags: PetTags, half_life_s: float | None) -> Reference | None:
    """The reference time of a series corrected to START, by the QIBA pseudo-code; None when nothing tells it.

    In this order: series time, unless it lies after any acquisition time (then the series was made later); an explicit
    decay correction time (DICOM's own, GE's, Siemens'); computed back from acquisition time, frame reference time and
    frame duration, when all slices agree; the earliest acquisition time, with a warning.
    """
    acquired = [part.acquired for part in tags.slices if part.acquired]
    backwards = _compute_back(tags, half_life_s)
    if tags.series_at and not (acquired and tags.series_at - min(acquired) > timedelta(seconds=SAME_S)):
        reference = Reference(tags.series_at, "series time (0008,0031)", _unverified(acquired))
    elif tags.decayed_to:
        words, at = tags.decayed_to[0]
        reference = Reference(at, words)
    elif backwards:
        reference = Reference(backwards, "computed back from acquisition, frame reference time and frame duration")
    elif acquired:
        sentence = (
            "The time that the PET is decay-corrected to is not told; the earliest acquisition time (0008,0032) was "
            "taken, which is wrong if slices of the first bed position are missing."
        )
        flag = QualityFlag("reference_time", "warning", sentence)
        reference = Reference(min(acquired), "earliest acquisition time (0008,0032)", (flag,))
    else:
        return None
    others = list(tags.decayed_to)
    if backwards:
        others.append(("frame reference time (0054,1300)", backwards))
    doubts = [_doubt(reference, words, at, half_life_s) for words, at in others]
    return Reference(reference.at, reference.source, (*reference.flags, *(doubt for doubt in doubts if doubt)))


def place_clock(at: time, scanned: datetime) -> datetime:
    """The last moment up to `scanned` at which the clock showed `at`: the same day, or the day before."""
    same_day = datetime.combine(scanned.date(), at)
    return same_day if same_day <= scanned else same_day - timedelta(days=1)


def _compute_back(tags: PetTags, half_life_s: float | None) -> datetime | None:
    if not half_life_s:
        return None
    found = [_frame_reference(part, half_life_s) for part in tags.slices]
    times = [at for at in found if at]
    if len(times) < len(found) or (max(times) - min(times)).total_seconds() > AGREE_S:
        return None
    first = min(times)
    return first + timedelta(seconds=median((at - first).total_seconds() for at in times))


def _frame_reference(part: SliceTags, half_life_s: float) -> datetime | None:
    """Reference time from one slice: acquisition + mean count time - frame reference time.

    The standard counts the frame reference time to the moment of the mean count rate, GE to the frame's start; the
    decay factor, where one is stated, tells which.
    """
    if part.acquired is None or not part.duration_s or part.frame_reference_s is None:
        return None
    to_mean_s = mean_count_time_s(part.duration_s, half_life_s)
    factor = part.decay_factor or 0.0
    decayed_s = math.log2(factor) * half_life_s if factor > 0 else 0.0
    if abs(decayed_s - part.frame_reference_s - to_mean_s) < to_mean_s / 4:
        to_mean_s = 0.0
    elif part.frame_reference_s == 0:
        return None  # not filled in: no mean count rate falls on the very start of a scan
    return part.acquired + timedelta(seconds=to_mean_s - part.frame_reference_s)


def _unverified(acquired: list[datetime]) -> tuple[QualityFlag, ...]:
    if acquired:
        return ()
    sentence = "The PET has no acquisition times, so it could not be checked that the series time is the scan's."
    return (QualityFlag("reference_time", "note", sentence),)


def _doubt(reference: Reference, words: str, at: datetime, half_life_s: float | None) -> QualityFlag | None:
    seconds = (at - reference.at).total_seconds()
    if abs(seconds) <= DOUBT_S or words == reference.source:
        return None
    effect = ""
    if half_life_s and abs(seconds) < 10 * half_life_s:
        change = remaining(-seconds, half_life_s) - 1
        effect = f"; where values are corrected to the scan's start, that would change SUV by {change:+.1%}"
    sentence = (
        f"The {reference.source} tells {reference.at:%Y-%m-%d %H:%M:%S} as the time of decay correction and is used, "
        f"but the {words.removeprefix('the ')} tells {at:%Y-%m-%d %H:%M:%S}{effect}."
    )
    return QualityFlag("reference_time", "warning", sentence, round(seconds, 1))
