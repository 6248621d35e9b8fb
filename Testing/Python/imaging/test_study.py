"""Which CT and PET of a folder are chosen, and what is said where the choice is not clear."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from dicom_made_up import write_series

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.dicom_scan import scan
from MemorySurvivalLib.imaging.study import StudyChoice, choose_study
from MemorySurvivalLib.imaging.study_candidates import Candidate
from MemorySurvivalLib.imaging.study_identity import IdentityMismatch
from MemorySurvivalLib.imaging.volume import Affine, Volume


def make_volume(slices: int = 8, spacing_z_mm: float = 3.0, start_mm: float = 0.0) -> Volume:
    voxels = np.random.default_rng(1).integers(-1000, 2000, (slices, 4, 3)).astype(np.int16)
    return Volume(voxels, Affine.from_parts((2.0, 2.0, spacing_z_mm), np.eye(3), (0, 0, start_mm + spacing_z_mm / 2)))


def add(
    folder: Path, name: str, modality: str = "CT", volume: Volume | None = None, study: str = "study", **tags: object
) -> None:
    """One more series in a folder, described by its name unless the tags say otherwise."""
    patient = str(tags.pop("patient", "P1"))
    everything: Mapping[str, object] = {"SeriesDescription": name, **tags}
    write_series(
        folder / name, volume or make_volume(), modality, series=name, study=study, patient=patient, tags=everything
    )


def choose(folder: Path, **options: object) -> StudyChoice:
    return choose_study(scan(folder), **options)  # type: ignore[arg-type]


def judged(choice: StudyChoice, name: str) -> Candidate:
    (candidate,) = [one for one in choice.candidates if one.series.description == name]
    return candidate


def key(folder: Path, name: str) -> str:
    (series,) = [one for one in scan(folder).series if one.description == name]
    return series.key


def refusal(folder: Path, **options: object) -> str:
    with pytest.raises(InputError) as error:
        choose(folder, **options)
    return str(error.value)


def test_a_whole_folder_as_scanners_send_it(tmp_path: Path) -> None:
    add(tmp_path, "Topogram", volume=make_volume(2), ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    add(tmp_path, "CT WB 3.0")
    add(tmp_path, "CT Lung", ConvolutionKernel="B80f")
    add(tmp_path, "CT MPR cor", ImageType=["DERIVED", "SECONDARY", "REFORMATTED"])
    add(tmp_path, "PET WB", "PT")
    add(tmp_path, "PET WB NAC", "PT", CorrectedImage=["NORM", "DTIM", "DECY"])
    add(tmp_path, "PET MIP", "PT", ImageType=["DERIVED", "SECONDARY", "MIP"])
    add(tmp_path, "T1", "MR")
    choice = choose(tmp_path)
    assert choice.ct.description == "CT WB 3.0"
    assert choice.pet.description == "PET WB"
    assert choice.notes == ()
    assert [one.series.description for one in choice.candidates if one.chosen] == ["CT WB 3.0", "PET WB"]
    assert "the PET's frame of reference" in judged(choice, "CT WB 3.0").reasons_for
    assert "covers 100% of the PET's length" in judged(choice, "CT WB 3.0").reasons_for
    assert "localiser" in judged(choice, "Topogram").doubt
    assert "lung or bone reconstruction (sharp and noisy)" in judged(choice, "CT Lung").reasons_against
    assert "derived images (Image Type DERIVED)" in judged(choice, "CT MPR cor").reasons_against
    assert "ATTN" in judged(choice, "PET WB NAC").unusable
    assert "projection" in judged(choice, "PET MIP").doubt
    assert judged(choice, "T1").reasons_against == ("MR is neither CT nor PET",)


@pytest.mark.parametrize(
    "tags",
    [
        {"CorrectedImage": ["NORM", "DECY"]},
        {"CorrectedImage": "DECY"},
        {"CorrectedImage": None, "AttenuationCorrectionMethod": "NONE"},
        {"CorrectedImage": None, "AttenuationCorrectionMethod": None, "SeriesDescription": "WB no-AC"},
    ],
)
def test_only_an_uncorrected_pet(tmp_path: Path, tags: dict[str, object]) -> None:
    add(tmp_path, "CT")
    add(tmp_path, "PET", "PT", **tags)
    sentence = refusal(tmp_path)
    assert "No PET series in" in sentence
    assert "not attenuation-corrected" in sentence
    assert "not attenuation-corrected" in refusal(tmp_path, pet_series=scan(tmp_path / "PET").series[0].key)


@pytest.mark.parametrize(
    "description",
    ["PET NAC", "WB_NAC_2", "no AC", "non-AC", "NoAC", "uncorrected", "un-corr", "Ganzkörper ohne AC", "WB w/o AC"],
)
def test_a_description_that_contradicts_the_tags(tmp_path: Path, description: str) -> None:
    add(tmp_path, "CT")
    add(tmp_path, "PET", "PT", SeriesDescription=description)
    assert "its description says that it is not attenuation-corrected" in refusal(tmp_path).replace("Its", "its")
    choice = choose(tmp_path, pet_series=scan(tmp_path / "PET").series[0].key)
    assert "asked for" in judged(choice, description).reasons_for


@pytest.mark.parametrize("description", ["PET AC", "WB CTAC", "Nacken", "Snack", "PET corr", "Kopf (nach i.v.)", ""])
def test_harmless_descriptions(tmp_path: Path, description: str) -> None:
    add(tmp_path, "CT")
    add(tmp_path, "PET", "PT", SeriesDescription=description)
    assert choose(tmp_path).pet.description == description


def test_a_corrected_pet_wins_over_one_that_does_not_say(tmp_path: Path) -> None:
    add(tmp_path, "CT")
    add(tmp_path, "a", "PT", CorrectedImage=None, AttenuationCorrectionMethod=None)
    add(tmp_path, "b", "PT")
    assert choose(tmp_path).pet.description == "b"


@pytest.mark.parametrize(
    "tags",
    [
        {"SeriesType": ["GATED", "IMAGE"]},
        {"SeriesType": ["DYNAMIC", "IMAGE"]},
        {"Units": "PROPCPS"},
        {"ImageType": ["DERIVED", "SECONDARY"]},
    ],
)
def test_the_lesser_pet(tmp_path: Path, tags: dict[str, object]) -> None:
    add(tmp_path, "CT")
    add(tmp_path, "a", "PT", **tags)
    add(tmp_path, "b", "PT")
    choice = choose(tmp_path)
    assert choice.pet.description == "b"
    assert judged(choice, "a").reasons_against


def test_the_whole_body_pet_wins_over_the_extra_bed(tmp_path: Path) -> None:
    add(tmp_path, "CT", volume=make_volume(20))
    add(tmp_path, "brain", "PT", make_volume(8))
    add(tmp_path, "body", "PT", make_volume(20))
    choice = choose(tmp_path)
    assert choice.pet.description == "body"
    assert judged(choice, "brain").reasons_against == ("covers only 24 of 60 mm of the body",)


def test_the_ct_with_the_pets_frame_of_reference(tmp_path: Path) -> None:
    add(tmp_path, "diagnostic", FrameOfReferenceUID="1.2.3")
    add(tmp_path, "attenuation")
    add(tmp_path, "PET", "PT")
    assert choose(tmp_path).ct.description == "attenuation"


def test_the_only_ct_has_another_frame_of_reference(tmp_path: Path) -> None:
    add(tmp_path, "CT", FrameOfReferenceUID="1.2.3")
    add(tmp_path, "PET", "PT")
    assert "do not share a frame of reference" in choose(tmp_path).notes[0]


def test_the_ct_that_covers_the_pet(tmp_path: Path) -> None:
    add(tmp_path, "thorax", volume=make_volume(5, start_mm=30))
    add(tmp_path, "body", volume=make_volume(16, 4.0))
    add(tmp_path, "PET", "PT", make_volume(20))
    choice = choose(tmp_path)
    assert choice.ct.description == "body"
    assert "covers 25% of the PET's length" in judged(choice, "thorax").reasons_against


def test_the_ct_that_covers_more_where_none_covers_all(tmp_path: Path) -> None:
    add(tmp_path, "a", volume=make_volume(8, 2.0))
    add(tmp_path, "b", volume=make_volume(8, 4.0))
    add(tmp_path, "PET", "PT", make_volume(20))
    assert choose(tmp_path).ct.description == "b"


def test_thinner_slices_decide_last(tmp_path: Path) -> None:
    add(tmp_path, "a", volume=make_volume(8, 5.0))
    add(tmp_path, "b", volume=make_volume(20, 2.0))
    add(tmp_path, "PET", "PT", make_volume(13))
    assert choose(tmp_path).ct.description == "b"


def test_equal_candidates_are_listed(tmp_path: Path) -> None:
    add(tmp_path, "a")
    add(tmp_path, "b")
    add(tmp_path, "PET", "PT")
    sentence = refusal(tmp_path)
    assert sentence.startswith('2 CT series fit equally well ("a" (8 images, ')
    assert sentence.endswith("choose one with --ct-series KEY.")
    assert choose(tmp_path, ct_series=key(tmp_path, "b")).ct.description == "b"
    add(tmp_path, "PET 2", "PT")
    assert "2 PET series fit equally well" in refusal(tmp_path)
    named = {"ct_series": key(tmp_path, "a"), "pet_series": key(tmp_path, "PET 2")}
    assert choose(tmp_path, **named).pet.description == "PET 2"


def test_a_key_that_is_not_there(tmp_path: Path) -> None:
    add(tmp_path, "CT")
    add(tmp_path, "PET", "PT")
    sentence = refusal(tmp_path, ct_series="1.2.3")
    assert sentence.startswith('There is no CT series 1.2.3 here; --ct-series takes one of: "CT" (8 images, ')
    assert "There is no PET series" in refusal(tmp_path, pet_series=key(tmp_path, "CT"))


def test_a_series_with_problems_is_never_used(tmp_path: Path) -> None:
    write_series(tmp_path / "CT", make_volume(), skip=(3,))
    add(tmp_path, "PET", "PT")
    assert "1 slice of 3.00 mm is missing" in refusal(tmp_path)
    assert "1 slice of 3.00 mm is missing" in refusal(tmp_path, ct_series=scan(tmp_path / "CT").series[0].key)


def test_notes_of_the_chosen_series_are_kept(tmp_path: Path) -> None:
    add(tmp_path, "CT")
    add(tmp_path, "PET", "PT", NumberOfSlices=200)
    assert choose(tmp_path).notes == (
        "PT PET: The headers announce 200 images, 8 are here; check that the series is whole.",
    )


@pytest.mark.parametrize(("modality", "other"), [("CT", "PET"), ("PT", "CT")])
def test_half_a_study(tmp_path: Path, modality: str, other: str) -> None:
    add(tmp_path, "x", modality)
    assert refusal(tmp_path) == (
        f"No {other} series was found in {tmp_path}; give the folder that holds CT and PET of a study."
    )


def test_no_dicom_at_all(tmp_path: Path) -> None:
    (tmp_path / "ct.nii").write_bytes(b"no")
    assert refusal(tmp_path) == (f"No DICOM images were found in {tmp_path}; give the folder of a PET/CT study.")


def test_several_studies(tmp_path: Path) -> None:
    for study in ("first", "second"):
        add(tmp_path, f"CT {study}", study=study)
        add(tmp_path, f"PET {study}", "PT", study=study)
    assert refusal(tmp_path).startswith('There are 2 studies with a CT and a PET (20200131 with "PET first"')
    choice = choose(tmp_path, pet_series=key(tmp_path, "PET second"))
    assert choice.ct.description == "CT second"
    choice = choose(tmp_path, ct_series=key(tmp_path, "CT first"))
    assert choice.pet.description == "PET first"


def test_a_study_without_pet_beside_a_whole_one(tmp_path: Path) -> None:
    add(tmp_path, "CT old", study="old", FrameOfReferenceUID="1.2.3")
    add(tmp_path, "CT")
    add(tmp_path, "PET", "PT")
    assert choose(tmp_path).ct.description == "CT"


def test_ct_and_pet_of_different_studies(tmp_path: Path) -> None:
    add(tmp_path, "CT", study="old", StudyDate="20200101")
    add(tmp_path, "PET", "PT")
    with pytest.raises(IdentityMismatch) as mismatch:
        choose(tmp_path)
    assert mismatch.value.differences == ("The CT and the PET are of different studies, 30 days apart.",)
    choice = choose(tmp_path, confirmed=True)
    assert choice.notes[0] == (
        "Confirmed by the user although: The CT and the PET are of different studies, 30 days apart."
    )


def test_ct_and_pet_of_different_patients(tmp_path: Path) -> None:
    add(tmp_path, "CT", patient="Secret1")
    add(tmp_path, "PET", "PT", patient="Secret2")
    with pytest.raises(IdentityMismatch) as mismatch:
        choose(tmp_path)
    assert "the patient ID and patient name of the two differ" in str(mismatch.value)
    assert "Secret" not in str(mismatch.value)
    assert len(choose(tmp_path, confirmed=True).notes) == 3
