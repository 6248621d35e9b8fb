"""From DICOM or files to CT in HU and PET in SUVbw: the same numbers either way, and whose images they are."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_made_up import write_series
from made_up import Patient, make_patient

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.case import make_case, prepare_case
from MemorySurvivalLib.imaging.intake import ImageRequest, Intake, take_in
from MemorySurvivalLib.imaging.pet_quality import PetLimits
from MemorySurvivalLib.imaging.reading import read_volume
from MemorySurvivalLib.imaging.study_identity import IdentityMismatch
from MemorySurvivalLib.imaging.suv_supplied import Supplied
from MemorySurvivalLib.imaging.suv_values import MissingPetTags

HOUR_S, HALF_LIFE_S, DOSE_BQ, WEIGHT_G = 3600, 6586.2, 370e6, 70_000
SUV_PER_BQML = WEIGHT_G / (DOSE_BQ * math.exp(-math.log(2) * HOUR_S / HALF_LIFE_S))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Patient:
    return make_patient(tmp_path_factory.mktemp("patient")).written()


def write_study(folder: Path, made: Patient, *, pet_tags: dict[str, Any] | None = None, **words: str) -> Path:
    """The patient as DICOM: CT in HU, PET in Bq/mL with another slope in every slice."""
    write_series(folder / "ct", made.ct, "CT", shuffle=1, **words)
    activity = made.pet.with_voxels(made.pet.voxels.astype(np.float64) / SUV_PER_BQML)
    slopes = np.linspace(1.0, 3.0, activity.shape[0]).tolist()
    write_series(folder / "pet", activity, "PT", slopes=slopes, shuffle=2, tags=pet_tags, **words)
    return folder


@pytest.fixture(scope="module")
def study(made: Patient, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_study(tmp_path_factory.mktemp("dicom") / "study", made)


def assert_same(taken: Intake, patient: Patient) -> None:
    np.testing.assert_array_equal(taken.ct.voxels, patient.ct.voxels)
    np.testing.assert_allclose(taken.pet.voxels, patient.pet.voxels, atol=2 * SUV_PER_BQML)  # half of the largest slope
    for one, other in ((taken.ct, patient.ct), (taken.pet, patient.pet)):
        np.testing.assert_allclose(one.affine.matrix, other.affine.matrix, atol=1e-9)


def test_a_study_folder(study: Path, made: Patient) -> None:
    taken = take_in(ImageRequest(study=study))
    assert_same(taken, made)
    assert taken.names == {"CT": str(study / "ct"), "PET": str(study / "pet")}
    assert taken.acquisition.origin["PET"] == 'DICOM series "WB PET AC" of 18 images'
    assert taken.acquisition.suv is not None
    assert taken.acquisition.suv.uptake_min == 60
    assert taken.acquisition.suv.supplied == {}
    assert taken.acquisition.flags == () and taken.notes == ()


def test_every_mixture_of_files_and_dicom_gives_the_same_case(study: Path, made: Patient) -> None:
    whole = prepare_case(take_in(ImageRequest(study=study)))
    folders = (study / "ct", study / "pet")
    one_file = next((study / "pet").iterdir())
    for ct, pet in (folders, (made.ct_path, folders[1]), (folders[0], one_file), (study, study)):
        case = prepare_case(take_in(ImageRequest(ct, pet)))
        np.testing.assert_array_equal(case.ct.voxels, whole.ct.voxels)
        np.testing.assert_array_equal(case.pet.voxels, whole.pet.voxels)
    mixed = take_in(ImageRequest(folders[0], made.pet_path))
    assert dict(mixed.acquisition.origin) == {"CT": 'DICOM series "WB CT" of 18 images', "PET": "image file"}
    np.testing.assert_array_equal(mixed.pet.voxels, made.pet.voxels)


@pytest.mark.parametrize("order", ["LPS", "RAS", "SLP", "AIR"])
def test_the_way_the_scanner_stacked_its_slices_changes_nothing(
    made: Patient, study: Path, tmp_path: Path, order: str
) -> None:
    turned = Patient(made.ct.reoriented(order), made.pet.reoriented("PSL"), made.spine, tmp_path)
    folder = write_study(tmp_path / "turned", turned)
    case, plain = (prepare_case(take_in(ImageRequest(study=one))) for one in (folder, study))
    np.testing.assert_array_equal(case.ct.voxels, plain.ct.voxels)
    np.testing.assert_allclose(case.pet.voxels, plain.pet.voxels, atol=4 * SUV_PER_BQML)  # rounding in other slopes
    assert case.ct.same_grid(plain.ct)


def test_different_patients_stop_until_confirmed(made: Patient, study: Path, tmp_path: Path) -> None:
    other = write_study(tmp_path / "other", made, patient="P2")
    request = ImageRequest(study / "ct", other / "pet")
    with pytest.raises(IdentityMismatch, match=r"seem to be of different patients: the patient ID and patient name"):
        take_in(request)
    taken = take_in(ImageRequest(study / "ct", other / "pet", confirm_identity=True))
    assert len(taken.acquisition.identity) >= 2
    assert taken.acquisition.identity[0].startswith("Confirmed by the user although: The CT and the PET seem to be")
    assert "P2" not in "".join(taken.notes), "identifiers are not printed"


def test_covariates_of_another_patient_stop_until_confirmed(study: Path, made: Patient) -> None:
    assert take_in(ImageRequest(study=study, covariates_patient_id=" p1 ")).acquisition.identity == ()
    with pytest.raises(IdentityMismatch, match="covariates and the CT and the PET have different patient IDs"):
        take_in(ImageRequest(study=study, covariates_patient_id="P7"))
    taken = take_in(ImageRequest(study=study, covariates_patient_id="P7", confirm_identity=True))
    assert taken.acquisition.identity[0].startswith("Confirmed by the user although: The covariates")
    files = take_in(ImageRequest(made.ct_path, made.pet_path, covariates_patient_id="P7"))
    assert files.notes == ("The images carry no patient ID, so the covariates' patient ID could not be compared.",), (
        "unknown is said as unknown"
    )


def test_missing_tags_are_named_and_may_be_supplied(made: Patient, tmp_path: Path) -> None:
    folder = write_study(tmp_path / "bare", made, pet_tags={"PatientWeight": None})
    with pytest.raises(MissingPetTags, match=r"weight \(0010,1030\).*--pet-weight-kg") as caught:
        take_in(ImageRequest(study=folder))
    assert caught.value.missing == ("weight_kg",)
    taken = take_in(ImageRequest(study=folder, supplied=Supplied(weight_kg=70)))
    assert_same(taken, made)
    assert taken.acquisition.suv is not None and taken.acquisition.suv.supplied == {"weight_kg": 70}


def test_supplied_values_with_an_image_file_are_a_misunderstanding(made: Patient) -> None:
    with pytest.raises(InputError, match="only make sense with a DICOM PET"):
        take_in(ImageRequest(made.ct_path, made.pet_path, supplied=Supplied(weight_kg=70)))


def test_the_bundle_decides_which_uptake_time_is_flagged(study: Path) -> None:
    taken = take_in(ImageRequest(study=study), PetLimits(uptake_min=(65, 80)))
    assert [flag.name for flag in taken.acquisition.flags] == ["uptake_time"]
    assert taken.notes == (taken.acquisition.flags[0].sentence,)


def test_a_pet_without_attenuation_correction_is_refused(made: Patient, tmp_path: Path) -> None:
    tags = {"CorrectedImage": ["NORM", "DECY"], "SeriesDescription": "WB PET NAC", "AttenuationCorrectionMethod": None}
    folder = write_study(tmp_path / "nac", made, pet_tags=tags)
    with pytest.raises(InputError, match="not attenuation-corrected"):
        take_in(ImageRequest(study=folder))
    with pytest.raises(InputError, match="attenuation"):
        take_in(ImageRequest(made.ct_path, folder / "pet"))


def test_an_unsigned_ct_without_rescale_is_refused(made: Patient, tmp_path: Path) -> None:
    folder = write_study(tmp_path / "raw", made)
    raw = made.ct.with_voxels(made.ct.voxels.astype(np.int32) + 1100)
    for path in (folder / "ct").iterdir():
        path.unlink()
    write_series(folder / "ct", raw, "CT", slopes=None, signed=False)
    with pytest.raises(InputError, match=r"rescale|Hounsfield"):
        prepare_case(take_in(ImageRequest(study=folder)))


def test_far_away_places_with_strange_names(made: Patient, tmp_path: Path) -> None:
    """Non-ASCII names, a path beyond 260 characters, and a folder that cannot be written to."""
    folder = tmp_path / "Пациент Müller 患者"
    for _ in range(4):
        folder = folder / ("sehr langer Ordnername " * 3).strip()
    assert len(str(folder)) > 260
    write_study(folder, made)
    for one in (folder / "ct", folder / "pet", folder):
        one.chmod(0o555)
    try:
        assert_same(take_in(ImageRequest(study=folder)), made)
    finally:
        for one in (folder, folder / "ct", folder / "pet"):
            one.chmod(0o755)


def test_one_way_to_name_the_images(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^Give the images: --ct and --pet, or --study"):
        ImageRequest(ct=tmp_path)
    with pytest.raises(InputError, match=r"^Give either --study or --ct and --pet, not both\.$"):
        ImageRequest(ct=tmp_path, study=tmp_path)


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["STS_002", "STS_041"])
def test_real_studies_equal_their_nifti_counterparts(real_data: Path, name: str) -> None:
    taken = take_in(ImageRequest(study=real_data / "petct_sts_dicom" / name))
    folder = real_data / "petct_sts10" / name
    ct, pet = (read_volume(folder / f"{kind}_image.nii.gz", kind) for kind in ("CT", "PET"))
    from_files = make_case(ct, pet)
    from_dicom = prepare_case(taken)
    np.testing.assert_allclose(from_dicom.ct.voxels, from_files.ct.voxels, atol=0.5)
    np.testing.assert_allclose(from_dicom.pet.voxels, from_files.pet.voxels, atol=2e-3)
    assert from_dicom.ct.same_grid(from_files.ct, tolerance_mm=1e-2)


@pytest.mark.real_data
def test_a_folder_of_two_real_patients_is_told(real_data: Path) -> None:
    with pytest.raises(InputError, match="2 studies with a CT and a PET"):
        take_in(ImageRequest(study=real_data / "petct_sts_dicom"))
