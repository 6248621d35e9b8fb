"""The whole line from other sources: DICOM in, a corrected mask, a segmentation; and what the record tells of them."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from dicom_made_up import write_series
from made_up import Patient, make_patient

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.reading import read_volume, write_volume
from MemorySurvivalLib.models import Models
from MemorySurvivalLib.pipeline import ScoreOutput, ScoreRequest, score_case
from MemorySurvivalLib.roi.mask_files import write_roi
from MemorySurvivalLib.roi.provenance import ROI_ATTRIBUTE, RoiPart
from MemorySurvivalLib.roi.segments import Maker

MAKER = Maker("a segmenter", "1.2")


@pytest.fixture(scope="module")
def models() -> Models:
    return Models()


def score(patient: Patient, bundle: Path, models: Models, name: str, **changes: object) -> ScoreOutput:
    fields: dict[str, object] = {
        "ct": patient.ct_path,
        "pet": patient.pet_path,
        "roi": patient.spine_path,
        "out": patient.folder / name,
        "bundle": str(bundle),
        "device": "cpu",
    }
    return score_case(ScoreRequest(**{**fields, **changes}), models)  # type: ignore[arg-type]


def test_a_dicom_study_scores_like_the_same_images_in_files(
    patient: Patient, small_bundle: Path, models: Models
) -> None:
    per_bqml = 70_000 / (370e6 * math.exp(-math.log(2) * 3600 / 6586.2))
    study = patient.folder / "study"
    write_series(study / "a", patient.ct, "CT", shuffle=1)
    write_series(
        study / "b", patient.pet.with_voxels(patient.pet.voxels.astype(np.float64) / per_bqml), "PT", shuffle=2
    )
    files = score(patient, small_bundle, models, "files").record
    dicom = score(patient, small_bundle, models, "dicom", ct=None, pet=None, study=study).record
    assert dicom.risk.log_risk == pytest.approx(files.risk.log_risk, abs=1e-3)
    assert dicom.acquisition.suv is not None and files.acquisition.suv is None
    stored = json.loads((patient.folder / "dicom" / "result.json").read_text(encoding="utf-8"))
    assert stored["acquisition"]["suv"]["uptake_min"] == 60
    assert stored["acquisition"]["alignment"]["reliable"] is False, "the made-up patient is too small to tell"
    assert "P1" not in json.dumps(stored), "identifiers stay out unless they are asked for"


def test_a_corrected_mask_is_used_as_it_stands_and_the_record_counts_the_correction(
    patient: Patient, small_bundle: Path, models: Models
) -> None:
    generated = patient.folder / "generated.nrrd"
    write_roi(generated, patient.spine, "spine_dilated", (RoiPart("spine_dilated", MAKER),))
    original = score(patient, small_bundle, models, "original", roi=generated).record
    assert original.roi.edited is False
    assert original.roi.parts[0].maker == MAKER
    stamped = read_volume(generated, "mask")
    voxels = stamped.voxels.copy()
    voxels[9, 28, 32:36] = 1  # four voxels beside the column: the box of one slice grows to the left
    edited = patient.folder / "edited.nrrd"
    write_volume(stamped.with_voxels(voxels), edited)
    before = edited.read_bytes()
    record = score(patient, small_bundle, models, "edited", roi=edited, roi_generated=generated).record
    assert edited.read_bytes() == before
    assert record.roi.edited is True
    assert record.roi.parts[0].voxels_changed == 4
    assert record.roi.boxes is not None and record.roi.boxes.total == 1
    assert "The mask was edited after a segmenter 1.2 made it." in record.notes
    assert record.risk.log_risk != original.risk.log_risk, "one prompt moved"
    kept = read_volume(patient.folder / "edited" / "roi.nrrd", "mask")
    np.testing.assert_array_equal(kept.voxels, voxels)
    assert ROI_ATTRIBUTE in kept.attributes
    again = score(patient, small_bundle, models, "again", roi=patient.folder / "edited" / "roi.nrrd").record
    assert again.roi.edited is True, "the written mask still tells that a person changed it"
    assert again.risk.log_risk == record.risk.log_risk


def test_a_stray_voxel_is_told_before_it_does_harm(patient: Patient, small_bundle: Path, models: Models) -> None:
    voxels = patient.spine.voxels.copy()
    voxels[8, 4, 4] = 1
    path = patient.folder / "stray.nrrd"
    write_volume(patient.spine.with_voxels(voxels), path)
    record = score(
        patient, small_bundle, models, "stray", roi=path, notes=("The PET was taken as it is shown.",)
    ).record
    assert record.notes[0] == "The PET was taken as it is shown.", "what a caller knows goes into the record"
    assert len(record.roi.stray) == 1 and record.roi.stray[0].slices == (8,)
    assert any("stray voxel" in note for note in record.notes)


def test_labels_without_names_are_refused_and_with_names_derived(
    patient: Patient, small_bundle: Path, models: Models
) -> None:
    voxels = patient.spine.voxels.copy()
    voxels[:9][voxels[:9] > 0] = 2
    path = patient.folder / "labels.nrrd"
    write_volume(patient.spine.with_voxels(voxels), path)
    with pytest.raises(InputError, match="holds 2 labels without names"):
        score(patient, small_bundle, models, "refused", roi=path)
    table = patient.folder / "names.csv"
    table.write_text("label,name\n1,L1\n2,L2\n", encoding="utf-8")
    record = score(patient, small_bundle, models, "named", roi=path, roi_labels=str(table)).record
    assert record.roi.volume_ml > patient.spine.voxels.sum() * 96 / 1000, "vertebrae are dilated to the region"


def test_a_segmenter_that_is_not_there_says_so(patient: Patient, small_bundle: Path, models: Models) -> None:
    with pytest.raises(InputError, match=r'^There is no segmenter "magic"; choose one of built-in, totalsegmentator'):
        score(patient, small_bundle, models, "none", roi=None, segmenter="magic")


def test_a_short_pet_shortens_the_case_and_everything_stays_in_place(
    patient: Patient, small_bundle: Path, models: Models
) -> None:
    short = patient.folder / "short.nrrd"
    write_volume(patient.pet.cropped((0, 0, 0), (12, 20, 24)), short)
    output = score(patient, small_bundle, models, "short", pet=short)
    mask = read_volume(output.files["roi"], "mask")
    assert mask.shape[0] < patient.ct.shape[0]
    points = [volume.affine.points_mm(np.argwhere(volume.voxels)[:, ::-1]) for volume in (mask, patient.spine)]
    assert {tuple(p) for p in np.round(points[0], 3)} <= {tuple(p) for p in np.round(points[1], 3)}
    assert any("of the CT was left out" in note for note in output.record.notes)
    assert output.record.acquisition.cropped_mm["head"] > 30


def test_a_correction_that_cannot_be_trusted_is_refused(small_bundle: Path, models: Models, tmp_path: Path) -> None:
    patient = make_patient(tmp_path).written()
    with pytest.raises(InputError, match="The PET was not moved"):
        score(patient, small_bundle, models, "moved", alignment="correct")
    assert not (tmp_path / "moved").exists()


@pytest.mark.real_data
def test_contours_of_another_patient_stop_until_confirmed(
    real_data: Path, small_bundle: Path, models: Models, tmp_path: Path
) -> None:
    """A real study with its own RTSTRUCT is scored; with that of another patient it is not."""
    dicom = real_data / "petct_sts_dicom"
    fields: dict[str, object] = {"study": dicom / "STS_041", "bundle": str(small_bundle), "device": "cpu"}
    own = ScoreRequest(
        out=tmp_path / "own",
        roi=dicom / "STS_041" / "CT" / "mask",
        allow_other_roi=True,
        **fields,  # type: ignore[arg-type]
    )
    record = score_case(own, models).record
    assert 0 < record.roi.slices_with_roi < 53
    other = ScoreRequest(
        out=tmp_path / "other",
        roi=dicom / "STS_002" / "CT" / "mask",
        allow_other_roi=True,
        **fields,  # type: ignore[arg-type]
    )
    with pytest.raises(InputError, match=r"different patient IDs|does not overlap"):
        score_case(other, models)


def test_measurements_go_into_the_folder_the_record_and_the_report(
    patient: Patient, small_bundle: Path, models: Models
) -> None:
    output = score(patient, small_bundle, models, "measured", measure=True)
    assert {"measurements", "segments", "lesions", "lesion_labels", "references"} <= set(output.files)
    assert all(path.is_file() for path in output.files.values())
    measured = output.record.measurements
    assert measured is not None
    lesions = [row.lesion for row in measured.lesions]
    hottest = max(lesions, key=lambda lesion: lesion.suv_max)
    assert np.linalg.norm(np.subtract(hottest.suv_max_lps_mm, (0, 32, -270))) < 10, (
        "the hotter of the two made-up spots"
    )
    page = output.files["report"].read_text(encoding="utf-8")
    assert "Measurements" in page and f'value="{hottest.suv_max}"' in page
    with output.files["lesions"].open(encoding="utf-8") as file:
        assert len(file.read().splitlines()) == 1 + len(lesions)


def test_a_score_again_encodes_nothing_and_gives_the_same_numbers(
    patient: Patient, small_bundle: Path, models: Models, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("MEMORYSURVIVAL_CACHE_GB")
    monkeypatch.setenv("MEMORYSURVIVAL_CACHE", str(tmp_path / "cache"))
    plain = score(patient, small_bundle, models, "plain", use_cache=False).record
    assert not (tmp_path / "cache").exists()
    first = score(patient, small_bundle, models, "first").record
    bundle = models.bundle(str(small_bundle))
    engine = models.engine(bundle, torch.device("cpu"))
    before = engine.encoded_slices
    covariates = tmp_path / "covariates.csv"
    covariates.write_text("age_years,sex\n70,male\n", encoding="utf-8")
    again = score(patient, small_bundle, models, "again", covariates=covariates).record
    assert engine.encoded_slices == before
    assert again.memory == first.memory == plain.memory
    assert plain.risk == first.risk
