"""Reading PT headers: private tags in every encoding, times as vendors write them, broken values, mixed series."""

from __future__ import annotations

from copy import deepcopy
from datetime import datetime, time
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from dicom_made_up import Tags, apply_tags, slice_header, write_series
from pydicom import config
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.pet_tags import PetTags, read_pet_tags
from MemorySurvivalLib.imaging.volume import Affine, Volume

GRID = Volume(np.zeros((2, 4, 5), np.float32), Affine(np.diag([4.0, 4.0, 3.0, 1.0])))


def header(tags: Tags | None = None, drug: Tags | None = None, z: int = 0) -> Dataset:
    with config.disable_value_validation():  # elements keep the mode they were made in
        made = slice_header(GRID, z, "PT")
        apply_tags(made, tags or {})
        apply_tags(made.RadiopharmaceuticalInformationSequence[0], drug or {})
    return made


def read(tags: Tags | None = None, drug: Tags | None = None) -> PetTags:
    return read_pet_tags([header(tags, drug)])


def coded(value: str, meaning: str, scheme: str = "SRT") -> Dataset:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, scheme, meaning
    return code


def test_what_a_plain_header_says() -> None:
    found = read()
    assert (found.units, found.decay_correction, found.tracer, found.isotope) == (
        "BQML", "START", "Fluorodeoxyglucose", "F-18",
    )  # fmt: skip
    assert (found.dose, found.half_life_s, found.weight_kg, found.height_m, found.sex) == (370e6, 6586.2, 70, 1.75, "F")
    assert found.injected == datetime(2020, 1, 31, 10) and found.injected_at == time(10)
    assert found.series_at == found.slices[0].acquired == datetime(2020, 1, 31, 11)
    assert found.slices[0].duration_s == 120 and found.dated


PRIVATE: dict[str, tuple[int, dict[Any, Any]]] = {
    "with its creator": (
        0x10, {("LO", 0x7053, 0x0010): "Philips PET Private Group", ("LO", 0x0009, 0x0010): "GEMS_PETD_01"},
    ),
    "in another block": (
        0x11,
        {
            ("LO", 0x7053, 0x0010): "SOMEBODY ELSE", ("LO", 0x7053, 0x0011): "Philips PET Private Group",
            ("LO", 0x0009, 0x0010): "SOMEBODY ELSE", ("LO", 0x0009, 0x0011): "GEMS_PETD_01",
        },
    ),
    "without creator": (0x10, {}),
}  # fmt: skip


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian])
@pytest.mark.parametrize("unknown", [True, False])
@pytest.mark.parametrize("where", PRIVATE)
def test_private_tags_however_they_are_written(tmp_path: Path, syntax: Any, unknown: bool, where: str) -> None:
    block, creators = PRIVATE[where]
    values = {(0x7053, 0x00): "0.0005", (0x7053, 0x09): "0.5 ", (0x0009, 0x0D): "20200131110000.00"}
    tags = dict(creators)
    for (group, element), value in values.items():
        vr = "UN" if unknown else "DT" if group == 0x0009 else "DS"
        tags[(vr, group, block << 8 | element)] = value.encode() if unknown else value
    paths = write_series(tmp_path, GRID, "PT", tags=tags, transfer_syntax=syntax)
    found = read_pet_tags([pydicom.dcmread(path, stop_before_pixels=True) for path in paths])
    assert [part.philips_suv_factor for part in found.slices] == [0.0005, 0.0005]
    assert [part.philips_activity_factor for part in found.slices] == [0.5, 0.5]
    assert found.decayed_to == (("GE's scan time (0009,100D)", datetime(2020, 1, 31, 11)),)


def test_a_private_group_of_somebody_else_is_not_read() -> None:
    found = read({("LO", 0x7053, 0x0010): "SOMEBODY ELSE", ("DS", 0x7053, 0x1000): "0.0005"})
    assert found.slices[0].philips_suv_factor is None
    assert read({("UN", 0x7053, 0x1000): b"n/a "}).slices[0].philips_suv_factor is None


@pytest.mark.parametrize(
    ("written", "wanted"),
    [
        ("20200131101530.250000", datetime(2020, 1, 31, 10, 15, 30, 250000)),
        ("202001311015", datetime(2020, 1, 31, 10, 15)),
        ("20200131101530.00+0100", datetime(2020, 1, 31, 10, 15, 30)),
        ("20200131", None),
        ("2020", None),
        ("", None),
        ("not a time", None),
        ("20201331101530", None),
    ],
)
def test_moments(written: str, wanted: datetime | None) -> None:
    assert read(drug={"RadiopharmaceuticalStartDateTime": written}).injected == wanted


def test_a_zone_is_moved_to_the_files_own() -> None:
    utc = {"RadiopharmaceuticalStartDateTime": "20200131091530+0000"}
    assert read({"TimezoneOffsetFromUTC": "+0100"}, utc).injected == datetime(2020, 1, 31, 10, 15, 30)


@pytest.mark.parametrize(
    ("written", "wanted"),
    [
        ("101530.5", time(10, 15, 30, 500000)),
        ("1015", time(10, 15)),
        ("10:15:30", time(10, 15, 30)),
        ("10", None),
        ("", None),
        ("996000", None),
    ],
)
def test_times_of_day(written: str, wanted: time | None) -> None:
    assert read(drug={"RadiopharmaceuticalStartTime": written}).injected_at == wanted


def test_acquisition_moments() -> None:
    assert read({"AcquisitionTime": None}).slices[0].acquired is None
    whole = {"AcquisitionTime": None, "AcquisitionDateTime": "20200131110500"}
    assert read(whole).slices[0].acquired == datetime(2020, 1, 31, 11, 5)
    assert read({"AcquisitionDate": None, "SeriesDate": "2020.02.01"}).slices[0].acquired == datetime(2020, 2, 1, 11)
    dates = dict.fromkeys(("SeriesDate", "AcquisitionDate", "StudyDate"))
    assert not read(dates, {"RadiopharmaceuticalStartDateTime": None}).dated


@pytest.mark.parametrize(
    ("code", "wanted"),
    [
        (coded("C-111A1", "18F", "SNM3"), "F-18"),
        (coded("77004003", "", "SCT"), "F-18"),
        (coded("C-131A1", "^68^Gallium"), "Ga-68"),
        (coded("X", "Zr-89"), "Zr-89"),
        (coded("X", "Fluorine F^18^"), "F-18"),
        (coded("X", "something"), ""),
    ],
)
def test_radionuclides(code: Dataset, wanted: str) -> None:
    assert read(drug={"RadionuclideCodeSequence": Sequence([code])}).isotope == wanted


def test_a_tracer_that_is_only_coded() -> None:
    codes = Sequence([coded("C-B1031", "Fluorodeoxyglucose F^18^")])
    found = read(drug={"Radiopharmaceutical": None, "RadiopharmaceuticalCodeSequence": codes})
    assert found.tracer == "Fluorodeoxyglucose F^18^"


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("Blood glucose: 108 mg/dL, fasting", pytest.approx(5.995, abs=1e-3)),
        ("GLUCOSE 6,1 mmol/L", 6.1),
        ("BGL=12.4mmol/l", 12.4),
        ("Glucose at 09:15: 6.1 mmol/L", 6.1),
        ("Glucose 108", None),
        ("fluorodeoxyglucose 370 MBq", None),
        ("nothing of the kind", None),
    ],
)
def test_glucose_in_free_text(words: str, wanted: Any) -> None:
    found = read({"AdditionalPatientHistory": words})
    assert found.glucose_mmol_l == wanted
    assert bool(found.glucose_text) == (words[0] in "BG")


def test_glucose_in_the_acquisition_context() -> None:
    item = Dataset()
    item.NumericValue = "198"
    item.ConceptNameCodeSequence = Sequence([coded("14749-6", "Glucose", "LN")])
    item.MeasurementUnitsCodeSequence = Sequence([coded("mg/dL", "mg/dL", "UCUM")])
    found = read({"AcquisitionContextSequence": Sequence([item])})
    assert found.glucose_mmol_l == pytest.approx(10.99, abs=0.01)


def test_of_several_injections_only_what_they_agree_on_is_told() -> None:
    made = header()
    first = made.RadiopharmaceuticalInformationSequence[0]
    second = deepcopy(first)
    second.RadionuclideTotalDose = "100000000"
    made.RadiopharmaceuticalInformationSequence = Sequence([first, second])
    found = read_pet_tags([made])
    assert (found.injections, found.dose, found.half_life_s, found.isotope) == (2, None, 6586.2, "F-18")


def test_broken_values_count_as_absent(tmp_path: Path) -> None:
    paths = write_series(tmp_path, GRID, "PT")
    for path in paths:
        raw = path.read_bytes()
        for old, new in ((b"70", b"x0"), (b"110000", b"noon  "), (b"120000", b"12x000")):
            assert old in raw
            raw = raw.replace(old, new)
        path.write_bytes(raw)
    found = read_pet_tags([pydicom.dcmread(path, stop_before_pixels=True) for path in paths])
    assert found.weight_kg is None and found.series_at is None and found.slices[0].duration_s is None


@pytest.mark.parametrize(
    "tags",
    [
        {"Units": "GML"},
        {"PatientWeight": "71"},
        {"CorrectedImage": ["ATTN"]},
        {"SeriesInstanceUID": "1.2.3"},
    ],
)
def test_slices_that_contradict_each_other_are_refused(tags: Tags) -> None:
    with pytest.raises(InputError, match="do not agree on the"):
        read_pet_tags([header(), header(tags, z=1)])


def test_injections_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(InputError, match=r"do not agree on the dose \(0018,1074\)"):
        read_pet_tags([header(), header(drug={"RadionuclideTotalDose": "1000000"}, z=1)])


def test_other_objects_are_refused() -> None:
    with pytest.raises(InputError, match="is CT, not PT"):
        read_pet_tags([slice_header(GRID, 0, "CT")])
    with pytest.raises(InputError, match="enhanced multi-frame"):
        read({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.130"})
    with pytest.raises(InputError, match="enhanced multi-frame"):
        read({"NumberOfFrames": "20"})
    with pytest.raises(InputError, match="no slices"):
        read_pet_tags([])
