"""Explaining from files to a folder, as the worker and the command line do it: files, resuming, estimates, refusals."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_up import Patient, make_patient

from MemorySurvivalLib import RESEARCH_USE
from MemorySurvivalLib.cli import main
from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.explain import finished
from MemorySurvivalLib.explain.plan import ExplainChoice
from MemorySurvivalLib.explaining import MAPS, ExplainOutput, explain_to_folder
from MemorySurvivalLib.imaging.reading import read_volume, write_volume
from MemorySurvivalLib.imaging.volume import Volume
from MemorySurvivalLib.jobs import find_job
from MemorySurvivalLib.jobs.context import JobContext, Warm
from MemorySurvivalLib.models import Models
from MemorySurvivalLib.pipeline import score_case
from MemorySurvivalLib.preparing import Run, ScoreRequest
from MemorySurvivalLib.progress import ProgressEvent
from MemorySurvivalLib.recent import RecentCase, fingerprint


class Cancelled(BaseException):
    """What the worker raises through progress when a job is cancelled."""


@pytest.fixture(scope="module")
def models() -> Models:
    return Models()


@pytest.fixture
def cached(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Tests run without a cache elsewhere; resuming needs one."""
    monkeypatch.setenv("MEMORYSURVIVAL_CACHE_GB", "1")
    monkeypatch.setenv("MEMORYSURVIVAL_CACHE", str(tmp_path / "cache"))


@pytest.fixture(autouse=True)
def no_names(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Segmenting takes longer than all the rest; the jobs' test does it."""
    if request.node.name != "test_the_jobs_keep_their_contract":
        monkeypatch.setattr(Run, "structures_or_none", lambda run, prepared: None)


def request(patient: Patient, bundle: Path, **changes: object) -> ScoreRequest:
    fields: dict[str, object] = {
        "ct": patient.ct_path,
        "pet": patient.pet_path,
        "roi": patient.spine_path,
        "out": patient.folder / "explained",
        "bundle": str(bundle),
        "device": "cpu",
    }
    return ScoreRequest(**{**fields, **changes})  # type: ignore[arg-type]


def explain(patient: Patient, bundle: Path, models: Models, choice: ExplainChoice, **changes: Any) -> ExplainOutput:
    return explain_to_folder(request(patient, bundle, **changes), choice, models)


def job_parameters(patient: Patient, bundle: Path, **explanation: object) -> dict[str, Any]:
    return {
        "ct": str(patient.ct_path),
        "pet": str(patient.pet_path),
        "roi": str(patient.spine_path),
        "out": str(patient.folder / "out"),
        "bundle": str(bundle),
        "device": "cpu",
        "explain": True,
        "measure": False,
        "explanation": {
            "patch_mm": None,
            "stride_mm": None,
            "fill": None,
            "modalities": ["PET", "CT"],
            "coarse": False,
            **explanation,
        },
    }


def test_the_jobs_keep_their_contract(patient: Patient, small_bundle: Path, cached: None) -> None:
    stages: list[ProgressEvent] = []
    notes: list[str] = []
    context = JobContext(stages.append, notes.append, Warm())
    parameters = job_parameters(patient, small_bundle)
    asked = {name: value for name, value in parameters.items() if name != "out"}
    estimate = find_job("explain_estimate")(asked, context).result
    assert set(estimate) >= {"patches", "encoded_slices", "seconds", "resumable"}
    assert estimate["resumable"] == 0
    assert estimate["seconds"] > 0
    assert "measured on this device" in estimate["how"]
    stages.clear()
    output = find_job("explain")(parameters, context)
    names = {event.stage for event in stages}
    assert {"occlusion", "noise floor", "outside the region"} <= names
    assert not {stage for stage in names if stage.startswith("memory")}, "the estimate left the case prepared"
    heatmap = output.result["heatmap"]
    assert heatmap["patches"] == estimate["patches"]
    assert heatmap["patch_mm"] == 40
    assert heatmap["modalities"] == ["PET", "CT"] or heatmap["modalities"] == ("PET", "CT")
    assert {"limit", "unit", "meaning", "noise_floor", "fill", "whole_roi_effect", "fill_agreement"} <= set(heatmap)
    assert all(isinstance(sentence, str) for sentence in heatmap["summary"])
    for spot in heatmap["hotspots"]:
        assert {"number", "position_lps_mm", "site", "effect", "share", "volume_ml"} <= set(spot)
    assert {one["organ"] for one in heatmap["outside"]} >= {"everything outside the region"}
    assert output.result["label"] == "SIMULATED MODEL"
    assert isinstance(output.result["log_risk"], float)
    assert set(MAPS) <= set(output.files)
    for name in MAPS:
        volume = read_volume(Path(str(output.files[name])), name)
        assert volume.attributes["research_use"] == RESEARCH_USE
        assert volume.spacing_mm == pytest.approx(patient.ct.spacing_mm)
    json.dumps(dict(output.result))
    again = find_job("explain_estimate")(asked, context).result
    assert again["resumable"] == again["patches"], "nothing is left to do"


@pytest.mark.parametrize(("coarse", "passes"), [(False, 2), (True, 1)])
def test_the_estimate_times_slices_as_the_map_reads_them(
    patient: Patient, small_bundle: Path, cached: None, monkeypatch: pytest.MonkeyPatch, coarse: bool, passes: int
) -> None:
    """A whole map reads PET and CT side by side, a coarse one looks at one slice of one image at a time."""
    asked: list[int] = []

    def measure(_engine: object, _sha256: str, *, passes: int) -> float:
        asked.append(passes)
        return 1.0

    monkeypatch.setattr("MemorySurvivalLib.explaining.seconds_per_slice", measure)
    parameters = job_parameters(patient, small_bundle, coarse=coarse)
    parameters.pop("out")
    find_job("explain_estimate")(parameters, JobContext(lambda _event: None, lambda _note: None, Warm()))
    assert asked == [passes]


@pytest.mark.parametrize(("only", "absent"), [("PET", "CT"), ("CT", "PET")])
def test_one_modality(patient: Patient, small_bundle: Path, models: Models, only: Any, absent: str) -> None:
    output = explain(patient, small_bundle, models, ExplainChoice(modalities=(only,)))
    assert output.record.heatmap.modalities == (only,)
    assert f"heatmap_{absent}" not in output.files
    assert set(output.record.heatmap.fill_values) == {only}


def test_a_cancelled_explanation_goes_on_where_it_was_and_leaves_no_folder(
    patient: Patient, small_bundle: Path, models: Models, cached: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finished, "WRITE_EVERY_S", 3600.0)  # only the end writes

    def stop(event: ProgressEvent) -> None:
        if event.stage == "occlusion" and event.done == 10:
            raise Cancelled

    choice = ExplainChoice(patch_mm=36, stride_mm=36, modalities=("PET",))
    with pytest.raises(Cancelled):
        explain_to_folder(request(patient, small_bundle), choice, models, stop)
    assert not (patient.folder / "explained").exists()
    assert not [path for path in patient.folder.iterdir() if "partial" in path.name]
    output = explain_to_folder(request(patient, small_bundle), choice, models)
    assert 0 < output.record.heatmap.resumed < output.record.heatmap.patches
    whole = explain(patient, small_bundle, models, choice, out=patient.folder / "whole", use_cache=False)
    assert whole.record.heatmap.resumed == 0
    ours, theirs = (read_volume(one.files["heatmap"], "map") for one in (output, whole))
    assert np.array_equal(ours.voxels, theirs.voxels)


def test_a_case_that_was_scored_is_not_prepared_again(
    patient: Patient, small_bundle: Path, models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    recent = RecentCase()
    scored = score_case(request(patient, small_bundle), models, recent=recent)
    copied = Path(str(patient.ct_path).replace("ct.nrrd", "handed.nrrd"))
    copied.write_bytes(patient.ct_path.read_bytes())

    def again(*args: object, **settings: object) -> None:
        raise AssertionError("the case was prepared a second time")

    monkeypatch.setattr("MemorySurvivalLib.preparing.take_in", again)
    monkeypatch.setattr("MemorySurvivalLib.preparing.propagate", again)
    asked = request(patient, small_bundle, ct=copied, out=patient.folder / "other")
    output = explain_to_folder(asked, ExplainChoice(), models, recent=recent)
    assert output.record.log_risk == scored.record.risk.log_risk
    voxels = patient.spine.voxels.copy()
    voxels[4, 20, 20] = 1
    write_volume(patient.spine.with_voxels(voxels), patient.spine_path)
    with pytest.raises(AssertionError, match="a second time"):
        explain_to_folder(replace(asked, out=patient.folder / "third"), ExplainChoice(), models, recent=recent)


def test_fingerprints_follow_content(tmp_path: Path) -> None:
    one, same, other = (tmp_path / name for name in ("a", "b", "c"))
    one.write_bytes(b"voxels")
    same.write_bytes(b"voxels")
    other.write_bytes(b"others")
    assert fingerprint({}, [one]) == fingerprint({}, [same]) != fingerprint({}, [other])
    assert fingerprint({"a": 1}, [one]) != fingerprint({"a": 2}, [one])
    assert fingerprint({}, [one, None]) != fingerprint({}, [None, one])
    before = fingerprint({}, [tmp_path])
    other.write_bytes(b"longer than it was")
    assert fingerprint({}, [tmp_path]) != before


@pytest.mark.parametrize("orientation", ["PIR"])
def test_flips_and_permutations_change_nothing(
    tmp_path: Path, small_bundle: Path, models: Models, orientation: str
) -> None:
    patient = make_patient(tmp_path).written()
    turned = replace(
        patient,
        ct=patient.ct.reoriented(orientation),
        pet=patient.pet.reoriented(orientation),
        spine=patient.spine.reoriented(orientation),
        folder=tmp_path / "turned",
    ).written()
    choice = ExplainChoice(patch_mm=60, stride_mm=60, fill="blur")
    straight, other = (explain(one, small_bundle, models, choice) for one in (patient, turned))
    for name in MAPS:
        ours, theirs = (read_volume(one.files[name], name) for one in (other, straight))
        assert ours.affine.orientation == orientation
        back = ours.reoriented()
        assert back.same_grid(theirs)
        assert np.allclose(back.voxels, theirs.voxels, atol=1e-6)
    first, second = (one.record.heatmap for one in (straight, other))
    assert second.whole_roi_effect == pytest.approx(first.whole_roi_effect, abs=1e-6)


def odd_masks(patient: Patient) -> dict[str, np.ndarray]:
    """Regions that are hard to explain: bool arrays like the spine's."""
    spine = patient.spine.voxels > 0
    one_slice, one_voxel, pieces = (np.zeros_like(spine) for _ in range(3))
    one_slice[8] = spine[8]
    one_voxel[8, 28, 24] = True
    pieces[3:5], pieces[12:14] = spine[3:5], spine[12:14]  # slices without ROI in between
    return {"one slice": one_slice, "one voxel": one_voxel, "two pieces": pieces}


@pytest.mark.parametrize("name", ["one slice", "one voxel", "two pieces"])
def test_odd_regions_are_explained(patient: Patient, small_bundle: Path, models: Models, name: str) -> None:
    mask = odd_masks(patient)[name]
    write_volume(Volume(mask.astype(np.uint8), patient.spine.affine), patient.spine_path)
    choice = ExplainChoice(patch_mm=40, stride_mm=40)
    found = explain(patient, small_bundle, models, choice, allow_other_roi=True, roi_kind="other").record.heatmap
    assert found.patches >= 1
    assert found.summary
    assert np.isfinite([found.minimum, found.maximum, found.noise_floor]).all()


@pytest.mark.parametrize(
    ("explanation", "sentence"),
    [
        ({"patch_mm": -3}, "0 < stride <= patch <= 500 mm"),
        ({"patch_mm": 20, "stride_mm": 30}, "got patch 20 mm and stride 30 mm"),
        ({"fill": "paint"}, "parameters are not valid.*fill"),
        ({"modalities": []}, "got none; choose among these"),
        ({"modalities": ["MR"]}, "parameters are not valid.*modalities"),
        ({"coarse": "perhaps"}, "parameters are not valid.*coarse"),
    ],
)
def test_wrong_parameters_are_one_sentence(
    patient: Patient, small_bundle: Path, explanation: dict[str, object], sentence: str
) -> None:
    context = JobContext(lambda event: None, lambda text: None, Warm())
    with pytest.raises(InputError, match=sentence):
        find_job("explain")(job_parameters(patient, small_bundle, **explanation), context)
    assert not (patient.folder / "out").exists()


def test_a_coarse_map_costs_less_and_says_so(patient: Patient, small_bundle: Path, models: Models) -> None:
    fine, coarse = (
        explain(
            patient,
            small_bundle,
            models,
            ExplainChoice(patch_mm=30, stride_mm=15, modalities=("PET",), coarse=coarse),
            out=patient.folder / f"coarse {coarse}",
        ).record.heatmap
        for coarse in (False, True)
    )
    assert coarse.coarse
    assert coarse.encoded_slices < 0.8 * fine.encoded_slices
    assert any("This map is coarse" in sentence for sentence in coarse.summary)
    assert coarse.covered == pytest.approx(fine.covered), "what was not looked at is estimated"


def test_the_command(patient: Patient, small_bundle: Path, capsys: pytest.CaptureFixture[str], cached: None) -> None:
    arguments = ["explain", "--ct", str(patient.ct_path), "--pet", str(patient.pet_path), "--device", "cpu"]
    arguments += ["--roi", str(patient.spine_path), "--bundle", str(small_bundle), "--occlude", "PET"]
    out = ["--out", str(patient.folder / "map")]
    assert main([*arguments, *out, "--estimate"]) == 0
    assert "0 of them finished" in capsys.readouterr().out
    assert not (patient.folder / "map").exists()
    assert main([*arguments, *out]) == 0
    printed = capsys.readouterr().out
    assert "SIMULATED MODEL" in printed
    assert RESEARCH_USE in printed
    assert "noise" in printed
    stored = json.loads((patient.folder / "map" / "explanation.json").read_text())
    assert stored["schema"] == "memory-survival-explanation"
    assert stored["research_use"] == RESEARCH_USE
    assert main([*arguments, "--out", str(patient.folder / "map"), "--overwrite", "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["heatmap"]["resumed"] == again["heatmap"]["patches"]
    assert main([*arguments, *out, "--overwrite", "--patch-mm", "0"]) == 2
    assert "0 < stride" in capsys.readouterr().err
