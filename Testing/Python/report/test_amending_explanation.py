"""An explanation that was made after the score becomes part of the saved result: record, pictures, report, exports."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_made_up import write_series
from made_up import make_patient

from MemorySurvivalLib import amending
from MemorySurvivalLib.amending import add_explanation
from MemorySurvivalLib.cli import main
from MemorySurvivalLib.clinical.findings import make_findings
from MemorySurvivalLib.errors import InputError, OutputError
from MemorySurvivalLib.explain import explanation
from MemorySurvivalLib.explain.noise import NoiseFloor
from MemorySurvivalLib.explain.plan import ExplainChoice
from MemorySurvivalLib.explain.subject import Subject
from MemorySurvivalLib.explaining import MAPS, ExplainOutput, explain_to_folder
from MemorySurvivalLib.exporting import ExportRequest, export_result
from MemorySurvivalLib.jobs.context import JobContext, Warm
from MemorySurvivalLib.jobs.explain import explain
from MemorySurvivalLib.models import Models
from MemorySurvivalLib.pipeline import score_case
from MemorySurvivalLib.preparing import Run, ScoreRequest
from MemorySurvivalLib.progress import ignore_progress
from MemorySurvivalLib.recent import RecentCase
from MemorySurvivalLib.replay.rebuild import ReplayRequest
from MemorySurvivalLib.replay.replaying import replay_result
from MemorySurvivalLib.report.model import read_report
from MemorySurvivalLib.report.record import read_record
from MemorySurvivalLib.report.subject import Subject as Named
from MemorySurvivalLib.report.writing import make_report

CHOICE = ExplainChoice(patch_mm=60.0, stride_mm=60.0)


def find_half(subject: Subject, patches: object, effects: Any, others: object, **settings: object) -> NoiseFloor:
    """Half of the strongest effect as the noise floor."""
    return NoiseFloor(float(np.abs(effects).max()) / 2, 0.0, 0.0, 1, 1)


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    """Segmenting and the noise floor take longer than all the rest; below this floor there is a hotspot or two."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "structures_or_none", lambda run, prepared: None)
        patch.setattr(explanation, "find_noise_floor", find_half)
        yield


@pytest.fixture(scope="module")
def warm() -> Warm:
    kept = Warm()
    kept.__dict__.update(models=Models(), recent=RecentCase())
    return kept


@pytest.fixture(scope="module")
def request_of_case(tmp_path_factory: pytest.TempPathFactory, small_bundle: Path, warm: Warm) -> ScoreRequest:
    """A DICOM study that was scored into `result`, without an explanation; the report names a pseudonym."""
    folder = tmp_path_factory.mktemp("explained later")
    patient = make_patient(folder).written()
    per_bqml = 70_000 / (370e6 * math.exp(-math.log(2) * 3600 / 6586.2))
    write_series(folder / "study" / "ct", patient.ct, "CT")
    write_series(
        folder / "study" / "pet", patient.pet.with_voxels(patient.pet.voxels.astype(np.float64) / per_bqml), "PT"
    )
    request = ScoreRequest(
        folder / "result",
        study=folder / "study",
        roi=patient.spine_path,
        bundle=str(small_bundle),
        device="cpu",
        alignment="off",
    )
    record = score_case(request, warm.models, recent=warm.recent).record
    saved = read_report(folder / "result")
    subject, findings = Named("pseudonym", patient_id="P 7"), make_findings({"iss_stage": "II"})
    make_report(record, saved.pictures, saved.where, subject, findings).write(folder / "result" / "report.json")
    return request


@pytest.fixture(scope="module")
def explained(request_of_case: ScoreRequest, warm: Warm) -> ExplainOutput:
    """A thorough map, which lies beside the result."""
    asked = replace(request_of_case, out=request_of_case.out.parent / "maps", use_cache=False)
    return explain_to_folder(asked, CHOICE, warm.models, recent=warm.recent)


@pytest.fixture
def result(request_of_case: ScoreRequest, tmp_path: Path) -> Path:
    """A copy of the result that a test may change."""
    return Path(shutil.copytree(request_of_case.out, tmp_path / "result"))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def roles(folder: Path) -> list[str]:
    return [picture.role for picture in read_report(folder).pictures]


def parameters_of(request: ScoreRequest, **more: Any) -> dict[str, Any]:
    """What the panel sends."""
    return {
        "study": str(request.study),
        "roi": str(request.roi),
        "bundle": request.bundle,
        "device": "cpu",
        "alignment": "off",
        "use_cache": False,
        "explanation": {"patch_mm": 60.0, "stride_mm": 60.0},
        **more,
    }


def test_everything_says_it_and_what_was_there_stays(result: Path, explained: ExplainOutput) -> None:
    before, report = read_record(result / "result.json"), read_report(result)
    (result / "notes of mine.txt").write_text("kept", encoding="utf-8")
    assert "hotspot" not in roles(result) and not (result / "heatmap.nrrd").exists()
    there = replace(explained, record=replace(explained.record, device="cuda: a card"), noted=("No bone was named.",))
    amended = add_explanation(result, there)
    assert amended == read_record(result / "result.json")
    assert amended.heatmap == explained.record.heatmap and amended.heatmap.hotspots
    assert replace(amended, heatmap=None, seconds=before.seconds, notes=before.notes) == before
    made_there = "The heatmap was made after the score, on cuda: a card instead of cpu."
    assert amended.notes == (*before.notes, "No bone was named.", made_there)
    after = read_report(result)
    assert after.record.heatmap == amended.heatmap
    assert (after.subject, after.findings) == (report.subject, report.findings)
    assert roles(result).count("hotspot") == min(len(amended.heatmap.hotspots), 10)
    for picture in after.pictures:
        assert (result / picture.file).read_bytes().startswith(b"\x89PNG")
    page = (result / "report.html").read_text(encoding="utf-8")
    assert "P 7" in page and "hotspot-1" not in page and page.count("data:image/png") == len(after.pictures)
    for name in ("heatmap", "heatmap_PET", "heatmap_CT", "agreement", "gradient"):
        assert (result / f"{name}.nrrd").read_bytes() == explained.files[name].read_bytes()
    assert (result / "notes of mine.txt").is_file()


def test_it_says_what_scoring_with_it_would_have_said(
    result: Path, explained: ExplainOutput, request_of_case: ScoreRequest, warm: Warm, tmp_path: Path
) -> None:
    """The map and the pictures are those of `score --explain`, byte for byte."""
    asked = replace(request_of_case, out=tmp_path / "at once", explain=True, patch_mm=60.0, stride_mm=60.0)
    at_once = score_case(asked, warm.models, recent=warm.recent).record.heatmap
    later = add_explanation(result, explained).heatmap
    ours, theirs = contents(result), contents(tmp_path / "at once")
    pictures = {name for name in theirs if name.startswith("pictures/")}
    assert pictures == {name for name in ours if name.startswith("pictures/")}
    assert all(ours[name] == theirs[name] for name in (*pictures, "heatmap.nrrd"))
    assert at_once is not None and later is not None
    same = ("minimum", "maximum", "patches", "covered", "noise_floor", "fill_values", "limit")
    assert all(getattr(at_once, name) == getattr(later, name) for name in same)


def test_the_panels_job_adds_it_and_every_export_has_it(
    result: Path,
    request_of_case: ScoreRequest,
    warm: Warm,
    explained: ExplainOutput,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("MemorySurvivalLib.jobs.explain.explain_to_folder", lambda *args: explained)
    context = JobContext(ignore_progress, lambda text: None, warm)
    asked = parameters_of(request_of_case, out=str(tmp_path / "maps"), result=str(result))
    told = explain(asked, context).result
    record = read_record(result / "result.json")
    assert told["not_kept"] == "" and record.heatmap is not None
    assert told["amended"]["heatmap"] == told["heatmap"] == record.as_builtins()["heatmap"]
    assert told["amended"]["seconds"] == record.seconds and "explain" in record.seconds
    assert told["amended"]["maps"] == {name: f"{name}.nrrd" for name in MAPS}
    json.dumps(dict(told))
    made = export_result(
        ExportRequest(result, tmp_path / "export", ("html", "json", "csv"), ("pm",), record=True, volumes=True)
    )
    files = set(made.files)
    assert {"heatmap.nrrd", "agreement.nrrd", "report.json", "dicom/pm-heatmap.dcm"} <= files, files
    assert not any("heatmap" in each for each in made.left_out)
    row = (tmp_path / "export" / "report.csv").read_text(encoding="utf-8-sig").splitlines()
    values = dict(zip(row[0].split(","), row[1].split(","), strict=False))
    assert values["hotspots"] == str(len(record.heatmap.hotspots))
    assert "pictures/hotspot-1.png" in files


def test_the_command_puts_another_in_the_place_of_the_first_and_it_can_be_replayed(
    result: Path, explained: ExplainOutput, warm: Warm, capsys: pytest.CaptureFixture[str]
) -> None:
    elsewhere = replace(explained, record=replace(explained.record, device="cuda: a card"))
    assert "cuda" in add_explanation(result, elsewhere).notes[-1]
    (result / "pictures" / "hotspot-99.png").write_bytes(b"of the first")
    settings = ["--patch-mm", "60", "--stride-mm", "60", "--occlude", "PET", "--fill", "blur", "--coarse"]
    assert main(["explain", "--result", str(result), *settings]) == 0
    assert str(result / "report.html") in capsys.readouterr().out
    record = read_record(result / "result.json")
    heatmap = record.heatmap
    assert heatmap is not None and heatmap.whole_roi_effect is not None
    assert not any("cuda" in note for note in record.notes), "that was of the first"
    assert (heatmap.fill, heatmap.coarse, heatmap.modalities) == ("blur", True, ("PET",))
    assert not (result / "heatmap_CT.nrrd").exists() and not (result / "pictures" / "hotspot-99.png").exists()
    assert "coarse-heatmap" in {flag.key for flag in read_report(result).flags}
    again = replay_result(ReplayRequest(result / "result.json"), warm.models)
    assert again.verdict == "identical" and again.differences == ()


@pytest.mark.parametrize("broken", ["write_heatmaps", "write_formats"])
def test_a_failure_in_the_middle_leaves_the_old_result(
    result: Path, explained: ExplainOutput, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    before = contents(result)

    def full(*_args: object, **_settings: object) -> None:
        raise OutputError("No space is left.")

    monkeypatch.setattr(amending, broken, full)
    with pytest.raises(OutputError, match="No space"):
        add_explanation(result, explained)
    assert contents(result) == before
    assert [path.name for path in result.parent.iterdir()] == ["result"]


def test_a_result_that_cannot_be_changed_costs_no_explanation(
    result: Path, request_of_case: ScoreRequest, warm: Warm, explained: ExplainOutput, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job hands the map out all the same and says why the result is as it was."""
    monkeypatch.setattr("MemorySurvivalLib.jobs.explain.explain_to_folder", lambda *args: explained)
    (result / "report.json").unlink()
    context = JobContext(ignore_progress, lambda text: None, warm)
    output = explain(parameters_of(request_of_case, out="maps", result=str(result)), context)
    assert output.result["amended"] is None and "result with a report" in output.result["not_kept"]
    assert output.files["heatmap"] == str(explained.files["heatmap"])
    told = explain(parameters_of(request_of_case, out="maps"), context).result
    assert (told["amended"], told["not_kept"]) == (None, "")


def test_an_explanation_of_something_else_is_refused(result: Path, explained: ExplainOutput) -> None:
    before = contents(result)
    record = explained.record
    region = explained.scored.prepared.region
    voxels = region.roi.mask.voxels.copy()
    voxels[tuple(np.argwhere(voxels)[0])] = 0
    roi = replace(region.roi, mask=region.roi.mask.with_voxels(voxels))
    prepared = replace(explained.scored.prepared, region=replace(region, roi=roi))
    risk = replace(explained.scored.risk, log_risk=record.log_risk + 1)
    others = {
        "another model bundle": replace(explained, record=replace(record, bundle_sha256="0" * 64)),
        "its region": replace(explained, scored=replace(explained.scored, prepared=prepared)),
        "so this explanation does not belong": replace(explained, scored=replace(explained.scored, risk=risk)),
    }
    for sentence, other in others.items():
        with pytest.raises(InputError, match=sentence):
            add_explanation(result, other)
    assert contents(result) == before


def test_options_that_do_not_go_together_are_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    for given, sentence in {
        ("--result", "x", "--ct", "ct.nrrd"): "--ct does not go with --result",
        ("--ct", "ct.nrrd", "--pet", "pet.nrrd"): "--out",
        ("--ct", "ct.nrrd", "--out", "x", "--images", "y"): "--images goes with --result",
    }.items():
        assert main(["explain", *given]) == 2
        assert sentence in capsys.readouterr().err


def test_the_command_refuses_another_case_before_the_work(
    result: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The result was made from another mask than the one that lies at its place now."""

    def explain_all(*_args: object, **_settings: object) -> None:
        raise AssertionError("an hour of work for nothing")

    monkeypatch.setattr("MemorySurvivalLib.explaining.explain_scored", explain_all)
    stored = json.loads((result / "result.json").read_text(encoding="utf-8"))
    stored["roi"]["sha256"] = "0" * 64
    (result / "result.json").write_text(json.dumps(stored), encoding="utf-8")
    assert main(["explain", "--result", str(result)]) == 2
    assert "its region is another one; score the case again" in capsys.readouterr().err
