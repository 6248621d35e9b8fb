"""An unattended run: it goes on after a failure, resumes, and keeps where each case stands."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from made_up import make_patient

from MemorySurvivalLib.cli import main
from MemorySurvivalLib.errors import InputError, OutputError
from MemorySurvivalLib.jobs import find_job
from MemorySurvivalLib.jobs.context import JobContext
from MemorySurvivalLib.memory.cache import MemoryCache
from MemorySurvivalLib.models import Models
from MemorySurvivalLib.pipeline import score_case
from MemorySurvivalLib.progress import ignore_progress
from MemorySurvivalLib.worklist.batch import BatchOptions, run_batch
from MemorySurvivalLib.worklist.items import read_worklist
from MemorySurvivalLib.worklist.prepare import PrepareRequest, prepare_ahead
from MemorySurvivalLib.worklist.status import STATUS_FILE, CaseStatus, WorklistStatus, read_status, write_status


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three cases: two patients and, between them, one without a PET."""
    cases = tmp_path / "cases"
    for seed, name in enumerate(("a", "c")):
        (cases / name).mkdir(parents=True)
        patient = make_patient(cases / name, seed=seed).written()
        patient.spine_path.rename(cases / name / "spine_dilated.nrrd")
    (cases / "b").mkdir()
    (cases / "b" / "ct.nrrd").touch()
    return cases


def rows(table: Path) -> list[dict[str, str]]:
    with table.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_scores_all_and_says_what_failed(folder: Path, tmp_path: Path, small_bundle: Path, capsys: Any) -> None:
    out = tmp_path / "out"
    command = ["batch", str(folder), "--out", str(out), "--bundle", str(small_bundle), "--device", "cpu"]
    assert main(command) == 1
    said = capsys.readouterr()
    assert said.out.startswith(f"scored 2, failed 1, already there 0: {out / 'results.csv'}\n")
    assert "b: " in said.err
    a, b, c = rows(out / "results.csv")
    assert [each["state"] for each in (a, b, c)] == ["scored", "failed", "scored"]
    assert b["sentence"].endswith("it has 1 that says CT and 0 that says PET.")
    for row in (a, c):
        risk = json.loads((out / row["folder"] / "result.json").read_text())["risk"]
        assert float(row["log_risk"]) == risk["log_risk"]
    assert a["log_risk"] != c["log_risk"]
    assert main(command) == 1
    assert capsys.readouterr().out.startswith("scored 0, failed 1, already there 2:")


def test_goes_on_where_it_stopped(folder: Path, tmp_path: Path, small_bundle: Path) -> None:
    items = read_worklist(folder, "spine_dilated")
    options = BatchOptions(bundle=str(small_bundle), device="cpu", use_cache=False)
    models, out = Models(), tmp_path / "out"
    scored: list[str] = []

    def score(request: Any, *given: Any) -> Any:
        scored.append(request.out.name)
        if len(scored) == 2:
            raise KeyboardInterrupt
        return score_case(request, *given)

    with pytest.raises(KeyboardInterrupt):
        run_batch(items, out, options, models, score=score)
    assert scored == ["a", "c"]
    assert read_status(out).of("a").state == "scored"
    assert read_status(out).of("c").state == "to do"
    output = run_batch(items, out, options, models, score=score)
    assert scored == ["a", "c", "c"]
    assert (output.done, output.failed, output.skipped) == (1, 1, 1)
    (folder / "a" / "ct.nrrd").touch()
    assert run_batch(items, out, options, models, score=score).status.of("a").state == "scored"
    assert scored == ["a", "c", "c", "a"]


def test_a_mask_that_a_person_kept_goes_first(folder: Path, tmp_path: Path, small_bundle: Path) -> None:
    items, out = read_worklist(folder, "spine_dilated"), tmp_path / "out"
    kept = out / "masks" / "a.seg.nrrd"
    kept.parent.mkdir(parents=True)
    asked: dict[str, Path | None] = {}

    def score(request: Any, *given: Any) -> None:
        asked[request.out.name] = request.roi

    options = BatchOptions(bundle=str(small_bundle), device="cpu")
    run_batch(items, out, options, score=score)
    listed = asked["a"]
    assert listed is not None and listed.parent.name == "a"
    shutil.copyfile(listed, kept)
    run_batch(items, out, options, score=score)
    assert asked["a"] == kept
    assert asked["c"] != kept


@pytest.mark.parametrize("state", ["reviewed", "scored"])
def test_what_a_person_did_is_left_alone(folder: Path, tmp_path: Path, small_bundle: Path, state: Any) -> None:
    """A case scored in the panel may have a corrected mask that the list's files do not have."""
    items, out = read_worklist(folder, "spine_dilated"), tmp_path / "out"
    (out / "a").mkdir(parents=True)
    (out / "a" / "result.json").write_text('{"risk": {"log_risk": 1.5}}')
    write_status(out, WorklistStatus().with_case("a", CaseStatus(state, "Dr X", log_risk=1.5)))
    options = BatchOptions(bundle=str(small_bundle), device="cpu", use_cache=False)
    output = run_batch(items, out, options)
    assert (output.done, output.failed, output.skipped) == (1, 1, 1)
    assert output.status.of("a").reviewer == "Dr X"
    assert rows(output.table)[0]["log_risk"] == "1.5"


def test_a_case_that_cannot_be_scored_is_left_behind(folder: Path, tmp_path: Path, small_bundle: Path) -> None:
    (folder / "a" / "ct.nrrd").write_bytes(b"no image")
    said: list[str] = []
    options = BatchOptions(bundle=str(small_bundle), device="cpu")
    output = run_batch(read_worklist(folder, "spine_dilated"), tmp_path / "out", options, tell=said.append)
    assert (output.done, output.failed) == (1, 2)
    assert output.status.of("a").sentence in said[0]
    assert said[0].startswith("a failed: ")
    assert not (tmp_path / "out" / "a").exists()


def test_the_state_file_is_whole_or_said_to_be_damaged(tmp_path: Path) -> None:
    assert read_status(tmp_path) == WorklistStatus()
    status = WorklistStatus().with_case("ä", CaseStatus("reviewed", reviewer="Dr Y"))
    write_status(tmp_path, status)
    assert read_status(tmp_path) == status
    assert read_status(tmp_path).of("ä").changed
    (tmp_path / STATUS_FILE).write_text("{")
    with pytest.raises(InputError, match=r"worklist\.json cannot be read .* move it away"):
        read_status(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="is a file, not a folder"):
        write_status(tmp_path / "file", status)


def test_working_ahead_spares_the_encoding(
    folder: Path, tmp_path: Path, small_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEMORYSURVIVAL_CACHE_GB", "1")
    monkeypatch.setenv("MEMORYSURVIVAL_CACHE", str(tmp_path / "cache"))
    made: list[MemoryCache] = []
    original = MemoryCache.__init__

    def watch(self: MemoryCache, *given: Any) -> None:
        original(self, *given)
        made.append(self)

    monkeypatch.setattr(MemoryCache, "__init__", watch)
    (item, *_) = read_worklist(folder, "spine_dilated")
    models = Models()
    files = item.files
    request = PrepareRequest(
        tmp_path / "masks", ct=files.ct, pet=files.pet, roi=files.roi, bundle=str(small_bundle), device="cpu"
    )
    prepared = prepare_ahead(request, models)
    assert prepared.slices == 7
    assert made[0].made_slices > 0
    score_case(BatchOptions(bundle=str(small_bundle), device="cpu").request(item, tmp_path / "result"), models)
    assert made[1].made_slices == 0
    assert made[1].reused_slices == made[0].made_slices


def test_the_jobs_of_a_panel(folder: Path, tmp_path: Path, small_bundle: Path) -> None:
    context = JobContext(ignore_progress, lambda text: None)
    place = {"worklist": str(folder), "out": str(tmp_path / "out")}
    listed = find_job("worklist")({**place, "bundle": str(small_bundle)}, context).result["cases"]
    assert [(each["case"], each["state"], bool(each["problem"])) for each in listed] == [
        ("a", "to do", False),
        ("b", "to do", True),
        ("c", "to do", False),
    ]
    assert listed[0]["files"]["roi"] == str(folder / "a" / "spine_dilated.nrrd")
    find_job("mark_case")({**place, "case": "a", "state": "reviewed", "reviewer": "Dr Z", "log_risk": 0.5}, context)
    listed = find_job("worklist")({**place, "bundle": str(small_bundle)}, context).result["cases"]
    assert (listed[0]["state"], listed[0]["reviewer"], listed[0]["log_risk"]) == ("reviewed", "Dr Z", 0.5)
    options = {"bundle": str(small_bundle), "device": "cpu"}
    output = find_job("batch")({**place, "options": options}, context)
    assert output.result == {"done": 2, "failed": 1, "skipped": 0}
    assert Path(output.files["table"] or "").is_file()
