"""SUV from headers: the formulas, the laws they obey, what is refused, and what is told."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
from dicom_made_up import Tags, apply_tags, slice_header
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from pydicom import config
from pydicom.dataset import Dataset

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.pet_quality import check_pet
from MemorySurvivalLib.imaging.suv import MissingPetTags, SuvConversion, convert_to_suv, suv_volume
from MemorySurvivalLib.imaging.suv_formulas import body_measure, frame_decay, mean_count_time_s
from MemorySurvivalLib.imaging.suv_supplied import Supplied
from MemorySurvivalLib.imaging.volume import Affine, Volume

GRID = Volume(np.zeros((3, 4, 5), np.float32), Affine(np.diag([4.0, 4.0, 3.0, 1.0])))
HALF_LIFE_S = 6586.2
PLAIN = 70 * 1000 / 370e6 * 2 ** (3600 / HALF_LIFE_S)
"""g/mL per Bq/mL for the made-up header: 70 kg, 370 MBq, one hour."""


def headers(tags: Tags | Callable[[int], Tags] | None = None, drug: Tags | None = None) -> list[Dataset]:
    made = []
    for z in range(GRID.shape[0]):
        header = slice_header(GRID, z, "PT")
        apply_tags(header, tags(z) if callable(tags) else tags or {})
        if "RadiopharmaceuticalInformationSequence" in header:
            apply_tags(header.RadiopharmaceuticalInformationSequence[0], drug or {})
        made.append(header)
    return made


def convert(
    tags: Tags | Callable[[int], Tags] | None = None, drug: Tags | None = None, **supplied: Any
) -> SuvConversion:
    return convert_to_suv(headers(tags, drug), Supplied(**supplied))


def factor(tags: Tags | Callable[[int], Tags] | None = None, drug: Tags | None = None, **supplied: Any) -> float:
    factors = convert(tags, drug, **supplied).factors
    assert len(set(factors)) == 1
    return factors[0]


def clock(at: datetime) -> Tags:
    return {
        "SeriesDate": f"{at:%Y%m%d}",
        "AcquisitionDate": f"{at:%Y%m%d}",
        "SeriesTime": f"{at:%H%M%S}",
        "AcquisitionTime": f"{at:%H%M%S}",
    }


def flag_names(conversion: SuvConversion) -> set[str]:
    return {flag.name for flag in conversion.flags}


def test_activity_is_divided_by_decayed_dose_per_gram() -> None:
    conversion = convert()
    assert conversion.factors == pytest.approx([PLAIN] * 3, rel=1e-12)
    assert conversion.uptake_min == 60
    assert conversion.reference_time == datetime(2020, 1, 31, 11)
    assert conversion.flags == ()
    assert conversion.facts["dose_mbq"] == 370 and conversion.facts["sources"]["weight_kg"] == "tag (0010,1030)"
    json.dumps(conversion.facts, allow_nan=False)


@given(weight=st.floats(2, 240), times=st.floats(1.01, 2))
@settings(max_examples=30)
def test_suv_grows_with_weight(weight: float, times: float) -> None:
    one, more = (factor({"PatientWeight": f"{kg:.8g}"}) for kg in (weight, weight * times))
    assert more / one == pytest.approx(times, rel=1e-6)


@given(dose=st.floats(30, 1000), times=st.floats(1.01, 2))
@settings(max_examples=30)
def test_suv_falls_with_dose(dose: float, times: float) -> None:
    one, more = (factor(drug={"RadionuclideTotalDose": f"{mbq * 1e6:.0f}"}) for mbq in (dose, dose * times))
    assert one / more == pytest.approx(times, rel=1e-6)


@given(mbq=st.integers(25, 2000))
@settings(max_examples=30)
def test_a_dose_in_mbq_is_one_in_bq_and_is_told(mbq: int) -> None:
    in_mbq = convert(drug={"RadionuclideTotalDose": str(mbq)})
    assert in_mbq.factors == convert(drug={"RadionuclideTotalDose": str(mbq * 1_000_000)}).factors
    assert any("can only be MBq" in sentence for sentence in in_mbq.notes)


@given(minutes=st.integers(1, 400), half_life=st.floats(4000, 9000))
@settings(max_examples=30)
def test_decay_between_injection_and_scan(minutes: int, half_life: float) -> None:
    drug = {"RadionuclideHalfLife": f"{half_life:.6f}", "RadionuclideCodeSequence": None}
    scanned = datetime(2020, 1, 31, 10) + timedelta(minutes=minutes)
    conversion = convert(clock(scanned), drug)
    assert conversion.factors[0] == pytest.approx(70e3 / 370e6 * 2 ** (60 * minutes / half_life), rel=1e-6)
    assert conversion.uptake_min == pytest.approx(minutes)


@given(start=st.integers(0, 24 * 60 - 1), minutes=st.integers(0, 300))
@settings(max_examples=30)
def test_midnight_changes_nothing(start: int, minutes: int) -> None:
    injected = datetime(2020, 2, 28) + timedelta(minutes=start)
    tags = clock(injected + timedelta(minutes=minutes))
    clock_only = {"RadiopharmaceuticalStartDateTime": None, "RadiopharmaceuticalStartTime": f"{injected:%H%M%S}"}
    dated = {"RadiopharmaceuticalStartTime": None, "RadiopharmaceuticalStartDateTime": f"{injected:%Y%m%d%H%M%S}"}
    wanted = 70e3 / 370e6 * 2 ** (60 * minutes / HALF_LIFE_S)
    assert factor(tags, clock_only) == pytest.approx(wanted, rel=1e-9)
    assert factor(tags, dated) == pytest.approx(wanted, rel=1e-9)
    crosses = start + minutes >= 24 * 60
    assert any("the day before" in sentence for sentence in convert(tags, clock_only).notes) == crosses


def test_values_decayed_to_the_injection_need_no_times() -> None:
    times = dict.fromkeys(("SeriesTime", "AcquisitionTime"))
    drug = dict.fromkeys(("RadiopharmaceuticalStartTime", "RadiopharmaceuticalStartDateTime", "RadionuclideHalfLife"))
    conversion = convert({"DecayCorrection": "ADMIN", **times}, drug)
    assert conversion.factors[0] == pytest.approx(70e3 / 370e6)
    assert conversion.uptake_min is None
    assert any("uptake time is unknown" in sentence for sentence in conversion.notes)


def test_uncorrected_frames_each_by_start_and_duration() -> None:
    def tags(z: int) -> Tags:
        corrected = ["NORM", "ATTN"]
        times = {"AcquisitionTime": f"11{5 * z:02d}00", "ActualFrameDuration": "300000"}
        return {"DecayCorrection": "NONE", "CorrectedImage": corrected, **times}

    conversion = convert(tags)
    decay = math.log(2) / HALF_LIFE_S
    for z, found in enumerate(conversion.factors):
        mean = (1 - math.exp(-decay * 300)) / (decay * 300) * math.exp(-decay * (3600 + 300 * z))
        assert found == pytest.approx(70e3 / 370e6 / mean, rel=1e-9)
    assert conversion.uptake_min == 60
    moved = convert(tags, scan_time="2020-01-31 12:00").factors
    assert np.divide(moved, conversion.factors) == pytest.approx([2 ** (3600 / HALF_LIFE_S)] * 3)


def test_uncorrected_frames_far_apart_are_refused() -> None:
    raw = {"DecayCorrection": "NONE", "CorrectedImage": ["ATTN"]}
    with pytest.raises(InputError, match="far apart"):
        convert(lambda z: {**raw, "AcquisitionDate": f"20{20 + z}0131"})


@pytest.mark.parametrize("missing", ["ActualFrameDuration", "AcquisitionTime"])
def test_uncorrected_frames_need_their_times(missing: str) -> None:
    with pytest.raises(InputError, match="choose a decay-corrected series"):
        convert({"DecayCorrection": "NONE", "CorrectedImage": ["ATTN"], missing: None})


@given(half_life=st.floats(100, 1e5), duration=st.floats(0.1, 3000))
def test_a_frame_counts_like_its_mean_time(half_life: float, duration: float) -> None:
    at = mean_count_time_s(duration, half_life)
    assert 0 < at <= duration / 2
    assert 2 ** (at / half_life) == pytest.approx(frame_decay(duration, half_life))


GML = {"Units": "GML", "PatientSex": "M", "PatientSize": "1.80", "PatientWeight": "90"}
MEASURES = {
    "LBM": 1.10 * 90 - 120 * 0.25,
    "LBMJAMES128": 1.10 * 90 - 128 * 0.25,
    "LBMJANMA": 9270 * 90 / (6680 + 216 * 90 / 1.8**2),
    "IBW": 48 + 1.06 * 28,
}


@pytest.mark.parametrize("suv_type", MEASURES)
def test_other_body_measures_are_undone(suv_type: str) -> None:
    assert factor({**GML, "SUVType": suv_type}) == pytest.approx(90 / MEASURES[suv_type])
    women = body_measure(suv_type, 90, 1.8, "F")  # type: ignore[arg-type]
    mixed = convert({**GML, "SUVType": suv_type, "PatientSex": "O"})
    assert mixed.factors[0] == pytest.approx(90 / ((women + MEASURES[suv_type]) / 2))
    assert "sex" in flag_names(mixed) and "sex" not in flag_names(convert({**GML, "SUVType": suv_type}))


def test_published_lean_body_masses_of_women() -> None:
    assert body_measure("LBM", 60, 1.6, "F") == pytest.approx(1.07 * 60 - 148 * (60 / 160) ** 2)
    assert body_measure("LBMJANMA", 60, 1.6, "F") == pytest.approx(9270 * 60 / (8780 + 244 * 60 / 2.56))
    assert body_measure("IBW", 60, 1.6, "F") == pytest.approx(45.5 + 0.91 * 8)


def test_body_surface_area_is_undone_whatever_the_sex() -> None:
    surface_cm2 = 1e4 * 0.007184 * 90**0.425 * 180**0.725
    for sex in ("M", None):
        found = factor({**GML, "Units": "CM2ML", "SUVType": "BSA", "PatientSex": sex})
        assert found == pytest.approx(90e3 / surface_cm2)


def test_an_unstated_suv_type_is_what_the_standard_says_and_told() -> None:
    conversion = convert(GML)
    assert conversion.factors == (1.0, 1.0, 1.0) and "suv_type" in flag_names(conversion)
    assert "suv_type" in flag_names(convert({**GML, "Units": "CM2ML"}))
    assert "suv_type" not in flag_names(convert({**GML, "SUVType": "BW"}))


@pytest.mark.parametrize(("units", "suv_type"), [("GML", "BSA"), ("CM2ML", "BW"), ("GML", "XYZ")])
def test_a_suv_type_that_does_not_fit_is_refused(units: str, suv_type: str) -> None:
    with pytest.raises(InputError, match="do not fit"):
        convert({**GML, "Units": units, "SUVType": suv_type})


def test_a_formula_below_zero_is_refused() -> None:
    with pytest.raises(InputError, match="gives no positive value"):
        convert({**GML, "PatientWeight": "300", "PatientSize": "1.5", "SUVType": "LBMJAMES128"})


def philips(z: int) -> Tags:
    activity = 2.0 + z
    return {
        "Units": "CNTS",
        ("LO", 0x7053, 0x0010): "Philips PET Private Group",
        ("DS", 0x7053, 0x1000): f"{activity * PLAIN:.10g}",
        ("DS", 0x7053, 0x1009): f"{activity}",
    }


def test_philips_suv_factor_comes_first_and_is_compared() -> None:
    conversion = convert(philips)
    assert conversion.factors == pytest.approx([PLAIN * n for n in (2, 3, 4)])
    assert conversion.flags == ()
    altered = convert(lambda z: {**philips(z), "PatientWeight": "77"})
    assert altered.factors == pytest.approx(conversion.factors)
    assert "give 1.10 times" in " ".join(altered.notes)


@pytest.mark.parametrize("suv_factor", [None, "0"])
def test_philips_activity_factor_where_the_suv_factor_is_missing_or_zero(suv_factor: str | None) -> None:
    conversion = convert(lambda z: {**philips(z), ("DS", 0x7053, 0x1000): suv_factor})
    assert conversion.factors == pytest.approx([PLAIN * n for n in (2, 3, 4)])
    assert "activity factor" in conversion.method


def test_a_supplied_value_goes_through_the_activity_factor() -> None:
    conversion = convert(philips, weight_kg=140)
    assert conversion.factors == pytest.approx([2 * PLAIN * n for n in (2, 3, 4)])
    earlier = convert(philips, injection_time="2020-01-31 09:30")
    assert earlier.factors == pytest.approx([2 ** (1800 / HALF_LIFE_S) * PLAIN * n for n in (2, 3, 4)])


def test_counts_without_factors_and_other_units_are_refused() -> None:
    with pytest.raises(InputError, match=r"neither Philips' SUV factor \(7053,1000\)"):
        convert({"Units": "CNTS"})
    for units in ("CPS", "PROPCPS", None):
        with pytest.raises(InputError, match=r"units \(0054,1001\)"):
            convert({"Units": units})


def test_counts_that_are_not_decayed_need_the_activity_factor() -> None:
    raw = {"DecayCorrection": "NONE", "CorrectedImage": ["ATTN"]}
    assert convert(lambda z: {**philips(z), **raw}).method.startswith("counts with Philips' activity factor")
    with pytest.raises(InputError, match="not decay-corrected"):
        convert(lambda z: {**philips(z), **raw, ("DS", 0x7053, 0x1009): None})


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        ({"CorrectedImage": ["NORM", "DECY"]}, "not attenuation-corrected"),
        ({"AttenuationCorrectionMethod": "NONE"}, "not attenuation-corrected"),
        ({"CorrectedImage": None}, "does not tell its corrections"),
        ({"CorrectedImage": ["ATTN"]}, "contradicts itself about decay"),
        ({"DecayCorrection": "NONE"}, "contradicts itself about decay"),
        ({"CorrectedImage": ["ATTN"], "DecayCorrection": "NONE", "Units": "GML"}, "not decay-corrected"),
        ({"CorrectedImage": ["ATTN"], "DecayCorrection": None}, "not decay-corrected"),
        ({"DecayCorrection": None}, "--pet-scanned"),
        ({"SeriesType": ["WHOLE BODY", "REPROJECTION"]}, "reprojection"),
    ],
)
def test_uncorrected_and_contradictory_series_are_refused(tags: Tags, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        convert(tags)
    assert not isinstance(caught.value, MissingPetTags)


def test_an_unknown_time_of_decay_correction_can_be_supplied() -> None:
    assert factor({"DecayCorrection": None}, scan_time="2020-01-31 11:00") == pytest.approx(PLAIN)


MISSING: dict[str, tuple[Tags, Tags]] = {
    "dose_bq": ({}, {"RadionuclideTotalDose": None}),
    "weight_kg": ({"PatientWeight": None}, {}),
    "half_life_s": ({}, {"RadionuclideHalfLife": None, "RadionuclideCodeSequence": None}),
    "injection_time": ({}, {"RadiopharmaceuticalStartTime": None, "RadiopharmaceuticalStartDateTime": None}),
    "scan_time": ({"SeriesTime": None, "AcquisitionTime": None}, {}),
}
RIGHT = {
    "dose_bq": 370e6,
    "weight_kg": 70,
    "half_life_s": HALF_LIFE_S,
    "injection_time": "10:00",
    "scan_time": "2020-01-31 11:00",
}
TAG_NUMBERS = {
    "dose_bq": "0018,1074",
    "weight_kg": "0010,1030",
    "half_life_s": "0018,1075",
    "injection_time": "0018,1078",
    "scan_time": "0008,0031",
}


@pytest.mark.parametrize("name", MISSING)
def test_a_missing_tag_is_named_and_can_be_supplied(name: str) -> None:
    tags, drug = MISSING[name]
    with pytest.raises(MissingPetTags, match=f"{TAG_NUMBERS[name]}.* is missing.* --pet-") as caught:
        convert(tags, drug)
    assert caught.value.missing == (name,)
    conversion = convert(tags, drug, **{name: RIGHT[name]})
    assert conversion.factors[0] == pytest.approx(PLAIN)
    assert conversion.facts["supplied"] == {name: RIGHT[name]}


def test_all_missing_tags_are_named_at_once() -> None:
    tags = {key: None for part in MISSING.values() for key in part[0]}
    with pytest.raises(MissingPetTags) as caught:
        convert({**tags, "RadiopharmaceuticalInformationSequence": None})
    assert set(caught.value.missing) == set(MISSING)
    with pytest.raises(MissingPetTags) as caught:
        convert({**GML, "SUVType": "LBM", "PatientSex": None, "PatientSize": "0", "PatientWeight": "0"})
    assert caught.value.missing == ("weight_kg", "height_m", "sex")


@pytest.mark.parametrize(
    ("tags", "drug", "name", "words"),
    [
        ({"PatientWeight": "0"}, {}, "weight_kg", "is 0 kg, which cannot be right"),
        ({"PatientWeight": "70000"}, {}, "weight_kg", "looks like grams"),
        ({}, {"RadionuclideTotalDose": "0"}, "dose_bq", "is 0 Bq"),
        ({}, {"RadionuclideTotalDose": "10"}, "dose_bq", "is 10 Bq"),
        ({}, {"RadionuclideTotalDose": "370000"}, "dose_bq", "is 370000 Bq"),
        ({}, {"RadionuclideHalfLife": "109.77"}, "half_life_s", "but that of F-18 is 6586.2 s"),
        ({}, {"RadiopharmaceuticalStartDateTime": "20200131120000"}, "injection_time", "is after the scan"),
        ({}, {"RadiopharmaceuticalStartDateTime": "20200201100000"}, "injection_time", "it would be 60 min before"),
        ({}, {"RadiopharmaceuticalStartDateTime": "20200129100000"}, "injection_time", "more than 10 half-lives"),
        ({**GML, "SUVType": "IBW", "PatientSize": "180"}, {}, "height_m", "looks like centimetres"),
    ],
)
def test_impossible_values_are_refused_and_can_be_supplied(tags: Tags, drug: Tags, name: str, words: str) -> None:
    with pytest.raises(MissingPetTags, match=words) as caught:
        convert(tags, drug)
    assert caught.value.missing == (name,)
    right = {**RIGHT, "height_m": 1.8}[name]
    convert(tags, drug, **{name: right})


def test_the_half_life_of_a_coded_radionuclide_is_taken_with_a_note() -> None:
    conversion = convert(drug={"RadionuclideHalfLife": None})
    assert conversion.factors[0] == pytest.approx(PLAIN)
    assert "half_life" in flag_names(conversion)
    assert "half_life" in flag_names(convert(drug={"RadionuclideHalfLife": "6720"}))  # 2 % off
    assert "half_life" not in flag_names(convert(drug={"RadionuclideHalfLife": "6588"}))


def test_a_supplied_value_wins_and_the_contradiction_is_told() -> None:
    conversion = convert(
        dose_bq=185e6, weight_kg=140, injection_time="2020-01-31T09:00", scan_time="11:30", half_life_s=6588
    )
    assert conversion.factors[0] == pytest.approx(140e3 / 185e6 * 2 ** (9000 / 6588))
    told = " ".join(conversion.notes)
    assert "supplied as 185 MBq and is used; the file says 370 MBq" in told
    assert "supplied as 140 kg and is used; the file says 70 kg" in told
    assert "supplied as 2020-01-31 09:00:00 and is used; the file says 2020-01-31 10:00:00" in told
    assert "supplied as 2020-01-31 11:30:00 and is used; the file says 2020-01-31 11:00:00" in told
    assert conversion.facts["sources"]["dose_bq"] == "supplied"
    agreeing = convert(dose_bq=370e6, weight_kg=70)
    assert agreeing.flags == () and agreeing.facts["sources"]["dose_bq"] == "supplied"


def test_the_scanners_suv_is_restated_for_a_supplied_weight_and_dose() -> None:
    assert factor({"Units": "GML", "SUVType": "BW"}, weight_kg=84, dose_bq=185e6) == pytest.approx(84 / 70 * 2)
    lean = {**GML, "SUVType": "LBM"}
    assert factor(lean, weight_kg=99) == pytest.approx(factor(lean) * 99 / 90)
    unknown = convert({"Units": "GML", "SUVType": "BW", "PatientWeight": None}, weight_kg=84)
    assert unknown.factors[0] == 1 and "supplied_weight_kg" in flag_names(unknown)


def test_a_supplied_value_that_suv_does_not_need_is_told() -> None:
    told = " ".join(convert({"Units": "GML", "SUVType": "BW"}, injection_time="09:59", sex="F").notes)
    assert "supplied injection time did not enter SUV, which needs none here; it counts for the uptake" in told
    assert "supplied patient's sex did not enter SUV" in told
    lean = convert({**GML, "SUVType": "LBM"}, sex="M", height_m=1.8, weight_kg=90, dose_bq=370e6)
    assert lean.flags == () and lean.factors == pytest.approx(convert({**GML, "SUVType": "LBM"}).factors)


def test_the_scanners_suv_from_an_impossible_weight_is_flagged() -> None:
    conversion = convert({"Units": "GML", "SUVType": "BW", "PatientWeight": "70000"})
    assert "scanner_weight_kg" in flag_names(conversion)


def test_unusual_values_are_flagged() -> None:
    assert flag_names(convert({"PatientWeight": "20"})) == {"weight"}
    assert flag_names(convert(drug={"RadionuclideTotalDose": "5000000"})) == {"dose"}
    assert flag_names(convert({"RescaleIntercept": "5"})) == {"rescale_intercept"}
    assert flag_names(convert({"SeriesType": ["DYNAMIC", "IMAGE"]})) == {"series_type"}
    assert flag_names(convert(drug={"RadiopharmaceuticalStartTime": "093000"})) == {"injection_time"}


def test_a_file_without_dates_uses_its_times() -> None:
    dates = dict.fromkeys(("SeriesDate", "AcquisitionDate", "StudyDate"))
    conversion = convert(dates, {"RadiopharmaceuticalStartDateTime": None})
    assert conversion.factors[0] == pytest.approx(PLAIN) and "dates" in flag_names(conversion)


@settings(max_examples=60)
@given(st.data())
def test_whatever_a_header_holds_the_end_is_suv_or_one_sentence(data: st.DataObject) -> None:
    odd = st.sampled_from(
        ["", "0", "-1", "1e30", "NaN", "x", "START", "GML", "CNTS", "NONE", "00010101", "99991231", "235959.9"]
    )
    tags, drug = (
        {key: data.draw(st.none() | odd) for key in data.draw(st.sets(st.sampled_from(keys), max_size=4))}
        for keys in (ANY_TAG, ANY_DRUG)
    )
    with config.disable_value_validation():
        made = [slice_header(GRID, z, "PT") for z in range(2)]
        try:
            for header in made:
                apply_tags(header, tags)
                apply_tags(header.RadiopharmaceuticalInformationSequence[0], drug)
        except (ValueError, OverflowError):
            reject()  # pydicom itself refuses to hold it
    try:
        conversion = convert_to_suv(made)
    except InputError as error:
        assert str(error).endswith(".") and "\n" not in str(error)
    else:
        assert all(0 < found < math.inf for found in conversion.factors)
        json.dumps(conversion.facts, allow_nan=False)
        check_pet(conversion)


ANY_TAG = ["Units", "SUVType", "DecayCorrection", "PatientWeight", "PatientSize", "PatientSex", "SeriesTime"]
ANY_TAG += ["SeriesDate", "AcquisitionTime", "AcquisitionDate", "FrameReferenceTime", "ActualFrameDuration"]
ANY_TAG += ["CorrectedImage", "RescaleIntercept", "DecayFactor", "TimezoneOffsetFromUTC", "AcquisitionDateTime"]
ANY_DRUG = ["RadionuclideTotalDose", "RadionuclideHalfLife", "RadiopharmaceuticalStartTime"]
ANY_DRUG += ["RadiopharmaceuticalStartDateTime", "Radiopharmaceutical"]


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_each_slice_gets_its_own_factor(axis: int) -> None:
    stored = Volume(np.ones((3, 4, 5), np.int16), GRID.affine)
    factors = [float(n + 1) for n in range(stored.shape[axis])]
    suv = suv_volume(stored, factors, slice_axis=axis)
    assert suv.voxels.dtype == np.float32 and suv.same_grid(stored)
    assert np.array_equal(np.moveaxis(suv.voxels, axis, 0)[:, 0, 0], factors)


def test_a_factor_for_each_slice_is_needed() -> None:
    with pytest.raises(InputError, match="3 slices but headers for 2"):
        suv_volume(GRID, [1.0, 1.0])


def test_factors_keep_the_order_of_the_headers() -> None:
    made = headers(philips)
    backwards = convert_to_suv(made[::-1]).factors
    assert backwards == convert_to_suv(made).factors[::-1] and backwards[0] > backwards[-1]
