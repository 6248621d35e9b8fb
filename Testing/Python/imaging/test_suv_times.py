"""Which time a PET is decay-corrected to: the order of statements, and what each of them is held against."""

from __future__ import annotations

import math
from datetime import datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from MemorySurvivalLib.imaging.pet_tags import PetTags, SliceTags
from MemorySurvivalLib.imaging.suv_formulas import mean_count_time_s
from MemorySurvivalLib.imaging.suv_times import find_reference, place_clock

START = datetime(2020, 1, 31, 11)
LATER = START + timedelta(minutes=20)
HALF_LIFE_S = 6586.2
FRAME_S = 180.0


def frame(minutes: float, *, gap_s: float | None = None, decay_factor: float | None = None) -> SliceTags:
    return SliceTags(START + timedelta(minutes=minutes), gap_s, FRAME_S, decay_factor, None, None, 0.0)


def tags(slices: tuple[SliceTags, ...], series: datetime | None, *decayed_to: tuple[str, datetime]) -> PetTags:
    return PetTags(
        slices, "", "BQML", "", "START", ("ATTN", "DECY"), "", (), series, True, None, None, decayed_to, None,
        None, None, None, None, "", "", "", 1, None, "",
    )  # fmt: skip


def standard_frames() -> tuple[SliceTags, ...]:
    """Two bed positions, frame reference time counted to the mean count rate as DICOM has it."""
    to_mean = mean_count_time_s(FRAME_S, HALF_LIFE_S)
    return tuple(frame(minutes, gap_s=60 * minutes + to_mean) for minutes in (0, 0, 3, 3))


def ge_frames() -> tuple[SliceTags, ...]:
    """The same as GE writes it: counted to the frame's start, with the decay factor of the mean count rate."""
    rate, to_mean = math.log(2) / HALF_LIFE_S, mean_count_time_s(FRAME_S, HALF_LIFE_S)
    return tuple(frame(m, gap_s=60.0 * m, decay_factor=math.exp(rate * (60 * m + to_mean))) for m in (0, 0, 3, 3))


@pytest.mark.parametrize("series", [START, START - timedelta(minutes=5), START + timedelta(seconds=0.9)])
def test_series_time_counts_unless_after_an_acquisition(series: datetime) -> None:
    found = find_reference(tags((frame(0), frame(3)), series), HALF_LIFE_S)
    assert found and found.at == series and "0008,0031" in found.source and found.flags == ()


def test_one_earlier_acquisition_is_enough_to_drop_the_series_time() -> None:
    found = find_reference(tags((frame(30), frame(30), frame(0)), START + timedelta(minutes=10)), HALF_LIFE_S)
    assert found and found.at == START and [flag.severity for flag in found.flags] == ["warning"]


def test_an_explicit_time_comes_before_computing_back() -> None:
    ge = ("GE's scan time (0009,100D)", START)
    found = find_reference(tags(standard_frames(), LATER, ge), HALF_LIFE_S)
    assert found and found.at == START and found.source == ge[0] and found.flags == ()


@pytest.mark.parametrize("frames", [standard_frames(), ge_frames()])
def test_computed_back_from_frames_however_the_vendor_counts(frames: tuple[SliceTags, ...]) -> None:
    found = find_reference(tags(frames, LATER), HALF_LIFE_S)
    assert found and abs((found.at - START).total_seconds()) < 0.01
    assert "computed back" in found.source and found.flags == ()


def test_frames_that_disagree_or_lack_times_are_not_computed_back() -> None:
    first, *others = standard_frames()
    astray = frame(0, gap_s=500)
    for frames in ((astray, *others), (frame(0, gap_s=0), *others), (frame(0), *others)):
        found = find_reference(tags(frames, LATER), HALF_LIFE_S)
        assert found and found.at == first.acquired and "earliest" in found.source
    assert find_reference(tags(standard_frames(), LATER), None)


def test_a_contradiction_is_told_with_its_effect_on_suv() -> None:
    found = find_reference(tags((frame(0),), START, ("GE's scan time (0009,100D)", LATER)), HALF_LIFE_S)
    assert found and found.at == START
    (flag,) = found.flags
    assert flag.severity == "warning" and flag.value == 1200 and "+13.5%" in flag.sentence


def test_without_acquisition_times_the_series_time_is_noted_as_unchecked() -> None:
    bare = SliceTags(None, None, None, None, None, None, 0.0)
    found = find_reference(tags((bare,), START), HALF_LIFE_S)
    assert found and found.at == START and [flag.severity for flag in found.flags] == ["note"]
    assert find_reference(tags((bare,), None), HALF_LIFE_S) is None


@given(at=st.times(), scanned=st.datetimes(datetime(2000, 1, 2), datetime(2050, 1, 1)))
def test_a_time_of_day_is_placed_within_the_day_before_the_scan(at: time, scanned: datetime) -> None:
    placed = place_clock(at, scanned)
    assert placed.time() == at and timedelta(0) <= scanned - placed < timedelta(days=1)
