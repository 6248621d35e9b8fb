"""The whole line on a made-up patient: results, geometry, refusals, and what is left behind when it stops."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from made_up import BundleMaker, Patient, make_patient

from MemorySurvivalLib import RESEARCH_USE, files
from MemorySurvivalLib.devices import OUT_OF_MEMORY_NOTE, choose_device
from MemorySurvivalLib.errors import BundleError, DeviceError, InputError, OutputError
from MemorySurvivalLib.imaging.case import SIMULATED_ATTRIBUTE
from MemorySurvivalLib.imaging.reading import read_volume, write_volume
from MemorySurvivalLib.imaging.volume import Volume
from MemorySurvivalLib.memory.engine import MemoryEngine
from MemorySurvivalLib.models import Models
from MemorySurvivalLib.pipeline import ScoreOutput, ScoreRequest, score_case
from MemorySurvivalLib.preparing import PreparedCase, Run, given_covariates
from MemorySurvivalLib.progress import ProgressEvent
from MemorySurvivalLib.report.model import read_report
from MemorySurvivalLib.report.record import read_record
from MemorySurvivalLib.risk.covariate_sources import GivenCovariate
from MemorySurvivalLib.risk.covariates import Covariates
from MemorySurvivalLib.stability.record import StabilityRecord


@pytest.fixture(scope="module")
def models() -> Models:
    return Models()


def request(patient: Patient, bundle: Path, name: str = "out", **changes: object) -> ScoreRequest:
    fields: dict[str, object] = {
        "ct": patient.ct_path,
        "pet": patient.pet_path,
        "roi": patient.spine_path,
        "out": patient.folder / name,
        "bundle": str(bundle),
        "device": "cpu",
    }
    return ScoreRequest(**{**fields, **changes})  # type: ignore[arg-type]


def score(patient: Patient, bundle: Path, models: Models, name: str = "out", **changes: object) -> ScoreOutput:
    return score_case(request(patient, bundle, name, **changes), models)


def test_writes_report_result_mask_and_heatmap(patient: Patient, small_bundle: Path, models: Models) -> None:
    output = score(patient, small_bundle, models, explain=True, patch_mm=24.0, stride_mm=24.0)
    assert sorted(output.files) == ["heatmap", "report", "report_data", "result", "roi"]
    assert all(path.is_file() for path in output.files.values())
    report = read_report(patient.folder / "out")
    assert report.record.risk == output.record.risk
    assert all((patient.folder / "out" / picture.file).is_file() for picture in report.pictures)
    stored = json.loads(output.files["result"].read_text())
    assert stored["risk"]["log_risk"] == output.record.risk.log_risk
    assert stored["research_use"] == RESEARCH_USE
    assert stored["software"]["sam2"] == "1.1.0"
    assert set(stored["inputs"]) == {"CT", "PET"}
    assert stored["heatmap"]["encoded_slices"] > 0
    assert not [path for path in patient.folder.iterdir() if "partial" in path.name]
    heatmap = read_volume(output.files["heatmap"], "heatmap")
    mask = read_volume(output.files["roi"], "mask")
    assert heatmap.spacing_mm == pytest.approx(patient.ct.spacing_mm)
    assert np.allclose(heatmap.affine.direction, patient.ct.affine.direction)
    start = np.round(patient.ct.affine.indices(heatmap.affine.origin_mm)).astype(int)
    inside = np.argwhere(mask.voxels > 0)
    assert start[::-1].tolist() == inside.min(axis=0).tolist()
    assert heatmap.shape == tuple((inside.max(axis=0) - inside.min(axis=0) + 1).tolist())
    assert heatmap.voxels.any()


def test_the_badge_and_the_values_as_given_stand_in_the_record(
    patient: Patient, small_bundle: Path, models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    badge = StabilityRecord("not judged", "Nothing.", 0.0, 0.0, 0.0, (), (), None, None, (), (), (), 0, 0.0)
    asked = []

    def measure(run: Run, prepared: PreparedCase, values: Covariates | None) -> StabilityRecord:
        asked.append((prepared.case.sources["CT"].path, values))
        return badge

    monkeypatch.setattr("MemorySurvivalLib.pipeline.measure_prepared", measure)
    given = {"albumin_g_dl": GivenCovariate("3.9", "typed"), "beta2_microglobulin_mg_l": GivenCovariate(" ", "typed")}
    output = score(patient, small_bundle, models, stability=True, covariate_values=given)
    assert len(asked) == 1 and asked[0][0] == str(patient.ct_path)
    assert (asked[0][1] or {})["albumin_g_dl"] == "3.9", "the badge is scored with the same values"
    stored = read_record(output.files["result"])
    assert stored.stability == output.record.stability == badge
    assert stored.given == {"albumin_g_dl": GivenCovariate("3.9", "typed")}
    scores = read_report(patient.folder / "out").findings.scores
    assert [one.name for one in scores] == ["ISS", "R-ISS", "R2-ISS"] and not any(one.value for one in scores)


def test_whose_values_they_are_is_not_recorded(tmp_path: Path) -> None:
    file = tmp_path / "values.csv"
    file.write_text("patient_id,age,shoe size\n4711,63,\n")
    typed = {"Age": GivenCovariate("64", "typed")}
    found = given_covariates(ScoreRequest(tmp_path, covariates=file, covariate_values=typed))
    assert found == {"age": GivenCovariate("64", "typed")}


def test_a_staging_value_that_cannot_be_true_is_told_before_the_work(
    patient: Patient, small_bundle: Path, models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Run, "score", lambda *_: pytest.fail("the case was scored"))
    with pytest.raises(InputError, match=r"(?i)albumin"):
        score(patient, small_bundle, models, covariate_values={"albumin_g_dl": GivenCovariate("390", "typed")})


def test_same_input_gives_the_same_numbers(patient: Patient, small_bundle: Path, models: Models) -> None:
    first = score(patient, small_bundle, models, "one", explain=True, patch_mm=30.0, stride_mm=30.0)
    second = score(patient, small_bundle, Models(), "two", explain=True, patch_mm=30.0, stride_mm=30.0)
    assert first.record.risk == second.record.risk
    assert first.record.memory == second.record.memory
    assert first.record.heatmap == second.record.heatmap


FLIPS = {
    "feet first": "LPI",
    "right to left": "RPS",
    "all flipped": "RAI",
    "sagittal": "PSL",
    "coronal flipped": "RIA",
}


@pytest.mark.parametrize("orientation", FLIPS.values(), ids=FLIPS.keys())
def test_flips_and_permutations_change_nothing(
    patient: Patient, small_bundle: Path, models: Models, orientation: str
) -> None:
    straight = score(patient, small_bundle, models, "straight", explain=True, patch_mm=30.0, stride_mm=30.0)
    turned = Patient(
        patient.ct.reoriented(orientation),
        patient.pet.reoriented("LAS"),
        patient.spine.reoriented("SPL"),
        patient.folder / "turned",
    )
    turned.folder.mkdir()
    output = score(turned.written(), small_bundle, models, explain=True, patch_mm=30.0, stride_mm=30.0)
    assert output.record.risk.log_risk == pytest.approx(straight.record.risk.log_risk, abs=1e-6)
    map_turned = read_volume(output.files["heatmap"], "heatmap")
    assert map_turned.affine.orientation == orientation, "the heatmap runs along the CT's own axes"
    back, expected = map_turned.reoriented(), read_volume(straight.files["heatmap"], "heatmap")
    assert back.same_grid(expected)
    assert np.abs(back.voxels - expected.voxels).max() <= 1e-6


def rotated(volume: Volume, degrees: float) -> Volume:
    """The same voxels in a patient that lies turned about an oblique axis."""
    turn = sitk.VersorTransform((0.3, 0.5, 0.8), np.deg2rad(degrees))
    rotation = np.eye(4)
    rotation[:3, :3] = np.asarray(turn.GetMatrix()).reshape(3, 3)
    return Volume(volume.voxels, type(volume.affine)(rotation @ volume.affine.matrix), volume.attributes)


def test_an_oblique_patient_gives_the_same_risk_and_the_map_lies_on_the_patient(
    patient: Patient, small_bundle: Path, models: Models
) -> None:
    straight = score(patient, small_bundle, models, "straight", explain=True, patch_mm=30.0, stride_mm=30.0)
    oblique = Patient(*(rotated(v, 20) for v in (patient.ct, patient.pet, patient.spine)), patient.folder / "oblique")
    oblique.folder.mkdir()
    output = score(oblique.written(), small_bundle, models, explain=True, patch_mm=30.0, stride_mm=30.0)
    # Resampling the PET meets the same grid points up to rounding of the rotated coordinates.
    assert output.record.risk.log_risk == pytest.approx(straight.record.risk.log_risk, abs=1e-4)
    there = read_volume(output.files["heatmap"], "heatmap")
    expected = rotated(read_volume(straight.files["heatmap"], "heatmap"), 20)
    assert there.same_grid(expected, tolerance_mm=1e-2)
    assert np.abs(there.voxels - expected.voxels).max() <= 1e-4


def test_anisotropic_spacing_moves_the_risk_little_and_the_map_not(
    patient: Patient, small_bundle: Path, models: Models
) -> None:
    """The same patient sampled at 3 x 5 x 6 mm: interpolation moves the numbers, within a tenth of the map's range."""
    straight = score(patient, small_bundle, models, "straight", explain=True, patch_mm=30.0, stride_mm=30.0)
    size = [64, 32, 18]
    image = patient.ct.to_sitk()
    origin = (-95.0 - 0.5, -80.0 + 0.5, -300.0)
    grid = (size, sitk.Transform(), sitk.sitkLinear, origin, (3.0, 5.0, 6.0), image.GetDirection(), -1000.0)
    ct = Volume.from_sitk(sitk.Resample(image, *grid))
    other = Patient(ct, patient.pet, patient.spine, patient.folder / "anisotropic")
    other.folder.mkdir()
    output = score(other.written(), small_bundle, models, explain=True, patch_mm=30.0, stride_mm=30.0)
    assert any("resampled" in note for note in output.record.notes)
    assert output.record.risk.log_risk == pytest.approx(straight.record.risk.log_risk, abs=0.05)
    ours, theirs = (read_volume(o.files["heatmap"], "heatmap") for o in (output, straight))
    assert ours.spacing_mm == pytest.approx((3.0, 5.0, 6.0))
    middle = [v.affine.points_mm((np.array(v.shape[::-1]) - 1) / 2) for v in (ours, theirs)]
    assert np.abs(middle[0] - middle[1]).max() <= 5.0


def test_demonstration_shows_everything_only_on_simulated_cases(
    tmp_path: Path, small_bundle: Path, models: Models
) -> None:
    real = make_patient(tmp_path).written()
    (tmp_path / "sim").mkdir()
    simulated = make_patient(tmp_path / "sim", attributes={SIMULATED_ATTRIBUTE: "test"}).written()
    shown = score(simulated, small_bundle, models).record.risk
    assert (shown.position is not None, shown.risk_group is not None, shown.survival is not None) == (True,) * 3
    assert shown.labels == ("SIMULATED MODEL", "SIMULATED CASE")
    held_back = score(real, small_bundle, models).record.risk
    assert held_back.position is not None
    assert held_back.risk_group is None
    assert held_back.survival is None
    assert held_back.labels == ("SIMULATED MODEL",)
    assert held_back.log_risk == shown.log_risk


def test_another_roi_is_refused_or_shows_the_log_risk_only(
    patient: Patient, small_bundle: Path, models: Models
) -> None:
    blob = np.zeros(patient.ct.shape, dtype=np.uint8)
    blob[4:10, 8:18, 15:30] = 1
    path = patient.folder / "tumour.nrrd"
    write_volume(patient.ct.with_voxels(blob), path)
    with pytest.raises(InputError) as caught:
        score(patient, small_bundle, models, roi=path)
    assert str(caught.value) == (
        f"The mask {path} does not look like a spine: 0.0% of it is bone on the CT (at least 8% expected); this model "
        "bundle needs a dilated spine (vertebrae, canal, paramedullary tissue) mask. Give one, or allow another ROI "
        "for engineering use (--allow-other-roi)."
    )
    assert not (patient.folder / "out").exists()
    risk = score(patient, small_bundle, models, roi=path, allow_other_roi=True).record.risk
    assert (risk.position, risk.risk_group, risk.survival, risk.gate_pet) == (None, None, None, None)
    assert "ENGINEERING USE: ROI NOT OF THE MODEL'S KIND" in risk.labels


def test_gpu_out_of_memory_falls_back_to_the_cpu_and_says_so(
    patient: Patient, small_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = score(patient, small_bundle, Models(), "cpu").record.risk.log_risk

    class CrowdedGpu(MemoryEngine):
        def __init__(self, model: torch.nn.Module, device: torch.device, **named: object) -> None:
            self.crowded = device.type == "cuda"
            super().__init__(model, torch.device("cpu"), **named)  # type: ignore[arg-type]

        def memories(self, pictures: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
            if self.crowded:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
            return super().memories(pictures, boxes)

    monkeypatch.setattr("MemorySurvivalLib.models.MemoryEngine", CrowdedGpu)
    monkeypatch.setattr("MemorySurvivalLib.pipeline.choose_device", lambda name: torch.device("cuda"))
    told: list[str] = []
    output = score_case(request(patient, small_bundle, "gpu"), Models(), tell=told.append)
    assert OUT_OF_MEMORY_NOTE in told
    assert OUT_OF_MEMORY_NOTE in output.record.notes
    assert output.record.device.startswith("cpu")
    assert output.record.risk.log_risk == expected


@pytest.mark.skipif(torch.cuda.is_available(), reason="this computer has the device")
def test_a_missing_device_is_named() -> None:
    with pytest.raises(DeviceError) as caught:
        choose_device("cuda")
    assert str(caught.value) == ("No cuda device is available on this computer; use --device auto or --device cpu.")


def test_interrupting_leaves_nothing(patient: Patient, small_bundle: Path, models: Models) -> None:
    def stop(event: ProgressEvent) -> None:
        if event.stage == "memory CT" and event.done == 3:
            raise KeyboardInterrupt

    before = sorted(patient.folder.iterdir())
    with pytest.raises(KeyboardInterrupt):
        score_case(request(patient, small_bundle), models, progress=stop)
    assert sorted(patient.folder.iterdir()) == before


def test_a_full_disk_is_one_sentence_and_leaves_nothing(
    patient: Patient, small_bundle: Path, models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_space(self: object, path: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("MemorySurvivalLib.report.record.CaseRecord.write", no_space)
    before = sorted(patient.folder.iterdir())
    with pytest.raises(OutputError) as caught:
        score(patient, small_bundle, models)
    assert str(caught.value) == (
        f"No space is left to write {patient.folder / 'out'}; free some disk space or choose another folder."
    )
    assert sorted(patient.folder.iterdir()) == before


def test_results_are_never_overwritten_unasked(patient: Patient, small_bundle: Path, models: Models) -> None:
    first = score(patient, small_bundle, models).files["result"].read_bytes()
    with pytest.raises(OutputError) as caught:
        score(patient, small_bundle, models)
    assert str(caught.value) == (
        f"{patient.folder / 'out'} already holds something; choose another folder or allow overwriting with "
        "--overwrite."
    )
    assert (patient.folder / "out" / "result.json").read_bytes() == first
    score(patient, small_bundle, models, overwrite=True)


def test_overwriting_replaces_results_only(patient: Patient, small_bundle: Path, models: Models) -> None:
    documents = patient.folder / "documents"
    documents.mkdir()
    (documents / "thesis.txt").write_text("ten years")
    with pytest.raises(OutputError) as caught:
        score(patient, small_bundle, models, "documents", overwrite=True)
    assert str(caught.value) == (
        f"{documents} holds something other than an earlier result (no result.json in it), so nothing there was "
        "touched; choose another folder."
    )
    assert (documents / "thesis.txt").read_text() == "ten years"


def test_inputs_are_untouched(patient: Patient, small_bundle: Path, models: Models) -> None:
    before = {path: path.read_bytes() for path in patient.folder.iterdir() if path.is_file()}
    score(patient, small_bundle, models, explain=True, patch_mm=40.0, stride_mm=40.0)
    assert {path: path.read_bytes() for path in before} == before


def test_a_bundle_made_for_another_backbone_is_refused(
    patient: Patient, make_bundle: BundleMaker, models: Models
) -> None:
    from MemorySurvivalLib.bundle.manifest import BackboneEntry

    with pytest.raises(BundleError, match="was made for another backbone"):
        bundle = make_bundle("other", backbone=BackboneEntry("sam2.1-compact", 64, "bundled", "0" * 64, "another"))
        score(patient, bundle, models)


def test_temporary_names_never_collide_with_the_target(tmp_path: Path) -> None:
    target = tmp_path / "image.nii.gz"
    with files.atomic_file(target) as temporary:
        assert temporary.name.endswith(".nii.gz"), "image writers choose the format by the ending"
        temporary.write_bytes(b"x")
        assert not target.exists()
    assert target.read_bytes() == b"x"
    shutil.rmtree(tmp_path)
