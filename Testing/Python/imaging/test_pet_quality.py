"""Quality flags: what is told about a PET, and what is not told of crops and of scans that are fine."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
from dicom_made_up import Tags, apply_tags, slice_header

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.pet_quality import PetLimits, check_pet, check_uptake, is_fdg, measure_body_mean
from MemorySurvivalLib.imaging.quality_flag import QualityFlag
from MemorySurvivalLib.imaging.reading import read_volume
from MemorySurvivalLib.imaging.suv import convert_to_suv
from MemorySurvivalLib.imaging.volume import Affine, Volume
from MemorySurvivalLib.simulation.case import SimulatedCase, simulate_case

GRID = Volume(np.zeros((2, 4, 5), np.float32), Affine(np.diag([4.0, 4.0, 3.0, 1.0])))


@pytest.fixture(scope="module")
def patient() -> SimulatedCase:
    return simulate_case(11, spacing_mm=(6, 6, 7))


def flags(tags: Tags | None = None, drug: Tags | None = None, limits: PetLimits | None = None) -> list[QualityFlag]:
    header = slice_header(GRID, 0, "PT")
    apply_tags(header, tags or {})
    apply_tags(header.RadiopharmaceuticalInformationSequence[0], drug or {})
    return list(check_pet(convert_to_suv([header]), limits))


def test_a_good_scan_has_no_flags() -> None:
    assert flags() == []


@pytest.mark.parametrize("name", ["FDG -- fluorodeoxyglucose", "Fluorodeoxyglucose", "18F-FDG", "F18 FDG", "[18F]FDG"])
def test_spellings_of_fdg(name: str) -> None:
    assert is_fdg(name) and flags(drug={"Radiopharmaceutical": name}) == []


@pytest.mark.parametrize("name", ["Ga68-PSMA", "FDOPA", "FLT", "FET", "Sodium fluoride F^18^", "Solution"])
def test_other_tracers_are_told(name: str) -> None:
    (flag,) = flags(drug={"Radiopharmaceutical": name})
    assert (flag.name, flag.severity) == ("tracer", "warning") and name.split("^")[0] in flag.sentence


def test_a_tracer_that_is_not_told_and_a_radionuclide_that_does_not_fit() -> None:
    (unknown,) = flags(drug={"Radiopharmaceutical": None})
    assert "does not say which tracer" in unknown.sentence
    gallium = {"RadionuclideCodeSequence": None, "RadionuclideHalfLife": "4057.7"}
    assert flags(drug=gallium) == []
    header = slice_header(GRID, 0, "PT")
    drug = header.RadiopharmaceuticalInformationSequence[0]
    drug.RadionuclideCodeSequence[0].CodeMeaning, drug.RadionuclideHalfLife = "^68^Gallium", "4057.7"
    (wrong,) = check_pet(convert_to_suv([header]))
    assert wrong.name == "tracer" and "Ga-68" in wrong.sentence


@pytest.mark.parametrize(("minutes", "told"), [(49, True), (50, False), (75, False), (76, True)])
def test_uptake_time(minutes: int, told: bool) -> None:
    at = f"{10 + minutes // 60}{minutes % 60:02d}00"
    found = flags({"SeriesTime": at, "AcquisitionTime": at})
    assert [(flag.name, flag.value) for flag in found] == ([("uptake_time", minutes)] if told else [])
    assert flags({"SeriesTime": at, "AcquisitionTime": at}, limits=PetLimits(uptake_min=(10, 300))) == []


def test_an_uptake_time_that_cannot_be_told_is_told() -> None:
    tags = {"Units": "GML", "SUVType": "BW", "SeriesTime": None, "AcquisitionTime": None}
    assert "uptake_time" in {flag.name for flag in flags(tags)}


@pytest.mark.parametrize(
    ("words", "severity"),
    [
        ("glucose 11.0 mmol/L", None),
        ("glucose 11.1 mmol/L", "warning"),
        ("glucose 198 mg/dL", None),
        ("glucose 200 mg/dL", "warning"),
        ("glucose 200", "note"),
    ],
)
def test_glucose(words: str, severity: str | None) -> None:
    found = flags({"AdditionalPatientHistory": words})
    assert [(flag.name, flag.severity) for flag in found] == ([("glucose", severity)] if severity else [])


@pytest.mark.parametrize(("mean", "told"), [(0.9, True), (1.0, False), (4.5, False), (4.6, True)])
def test_liver(mean: float, told: bool) -> None:
    found = check_uptake(GRID, None, mean)
    assert [(flag.name, flag.value) for flag in found] == ([("liver_mean", mean)] if told else [])


@pytest.mark.parametrize(("times", "told"), [(1.0, False), (0.2, True), (2.5, True), (1000.0, True)])
def test_a_whole_body_in_wrong_units_is_told(patient: SimulatedCase, times: float, told: bool) -> None:
    pet = patient.pet.with_voxels(patient.pet.voxels * np.float32(times))
    assert [flag.name for flag in check_uptake(pet, patient.ct)] == (["body_mean"] if told else [])


def test_the_body_mean_is_that_of_the_truth(patient: SimulatedCase) -> None:
    found = measure_body_mean(patient.pet, patient.ct)
    assert found is not None and 0.6 < found < 1.2
    even = patient.pet.with_voxels(np.full(patient.pet.shape, 1.5, np.float32))
    assert measure_body_mean(even, patient.ct) == pytest.approx(1.5)


@pytest.mark.parametrize("orientation", ["LPS", "RAI", "SPL", "PIR"])
def test_the_body_mean_does_not_depend_on_how_voxels_are_stored(patient: SimulatedCase, orientation: str) -> None:
    wanted = measure_body_mean(patient.pet, patient.ct)
    found = measure_body_mean(patient.pet.reoriented(orientation), patient.ct.reoriented(orientation))
    assert found == pytest.approx(wanted, rel=0.01)


def test_the_body_mean_does_not_depend_on_how_fine_the_ct_is(patient: SimulatedCase) -> None:
    ct, pet = patient.ct, patient.pet
    voxels = ct.voxels.repeat(4, axis=1).repeat(4, axis=2)
    matrix = ct.affine.matrix @ np.diag([0.25, 0.25, 1, 1])
    matrix[:3, 3] = ct.affine.points_mm((-0.375, -0.375, 0))
    x_mm = pet.affine.points_mm(np.stack(np.indices(pet.shape)[::-1], axis=-1))[..., 0]
    ramp = pet.with_voxels(x_mm.astype(np.float32))
    wanted = measure_body_mean(ramp, ct)
    assert measure_body_mean(ramp, Volume(voxels, Affine(matrix))) == pytest.approx(wanted, abs=0.3)


def test_the_body_mean_of_a_tilted_patient(patient: SimulatedCase) -> None:
    angle = np.radians(12)
    turn = np.eye(4)
    turn[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    ct, pet = (Volume(one.voxels, Affine(turn @ one.affine.matrix)) for one in (patient.ct, patient.pet))
    assert measure_body_mean(pet, ct) == pytest.approx(measure_body_mean(patient.pet, patient.ct), rel=1e-3)


def test_crops_have_no_body_mean(patient: SimulatedCase) -> None:
    ct = patient.ct
    z, y, x = ct.shape
    thirds = ct.cropped((z // 3, 0, 0), (2 * z // 3, y, x))
    middle = ct.cropped((0, y // 3, x // 3), (z, 2 * y // 3, 2 * x // 3))
    short_pet = patient.pet.cropped((0, 0, 0), (patient.pet.shape[0] // 3, *patient.pet.shape[1:]))
    assert measure_body_mean(patient.pet, thirds) is None
    assert measure_body_mean(patient.pet, middle) is None
    assert measure_body_mean(short_pet, ct) is None
    assert measure_body_mean(GRID, GRID) is None
    assert check_uptake(patient.pet) == ()


@pytest.mark.real_data
def test_real_limb_crops_are_not_judged(real_data: Path) -> None:
    for folder in sorted((real_data / "petct_sts10").glob("STS_*")):
        pet, ct = (read_volume(folder / f"{what}_image.nii.gz", what) for what in ("PET", "CT"))
        assert check_uptake(pet, ct) == ()


def test_limits_are_stored_and_checked() -> None:
    limits = PetLimits(uptake_min=(55, 75))
    assert msgspec.json.decode(msgspec.json.encode(limits), type=PetLimits) == limits
    assert msgspec.json.decode(b"{}", type=PetLimits) == PetLimits()
    with pytest.raises(InputError, match="uptake_min"):
        PetLimits(uptake_min=(75, 50))
    with pytest.raises(InputError, match="glucose"):
        PetLimits(glucose_mmol_l=0)
