"""A stability that was measured later becomes part of a saved result, of its record and of its report."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from MemorySurvivalLib.amending import add_stability
from MemorySurvivalLib.clinical.findings import make_findings
from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.jobs.context import JobContext
from MemorySurvivalLib.jobs.score import score
from MemorySurvivalLib.jobs.stability import measure
from MemorySurvivalLib.progress import ignore_progress
from MemorySurvivalLib.report.model import read_report
from MemorySurvivalLib.report.record import read_record
from MemorySurvivalLib.report.subject import Subject


@pytest.fixture
def plain(example: Any, report_of: Any, tmp_path: Path) -> Path:
    """The folder of a result without a stability; the pictures are empty files."""
    folder = tmp_path / "result"
    (folder / "pictures").mkdir(parents=True)
    record = replace(example.record, stability=None)
    record.write(folder / "result.json")
    findings = make_findings({name: one.value for name, one in record.given.items()})
    report = report_of(record, Subject("pseudonym", patient_id="P 1"), findings=findings)
    report.write(folder / "report.json")
    for picture in report.pictures:
        (folder / picture.file).write_bytes(b"")
    return folder


def test_record_and_report_say_it_and_everything_else_stays(plain: Path, example: Any) -> None:
    before, report = read_record(plain / "result.json"), read_report(plain)
    amended = add_stability(plain, example.record.stability)
    assert amended == read_record(plain / "result.json") == replace(before, stability=example.record.stability)
    after = read_report(plain)
    assert after.record.stability == example.record.stability
    assert (after.subject, after.findings, after.pictures) == (report.subject, report.findings, report.pictures)
    page = (plain / "report.html").read_text(encoding="utf-8")
    assert "to +0.52 under" in page and "not measured for this case" not in page


def test_a_sensitive_score_is_flagged(plain: Path, example: Any) -> None:
    assert "sensitive" not in {flag.key for flag in read_report(plain).flags}
    add_stability(plain, replace(example.record.stability, verdict="sensitive"))
    assert "sensitive" in {flag.key for flag in read_report(plain).flags}


def test_the_stability_of_another_score_is_refused(plain: Path, example: Any) -> None:
    before = {path: path.read_bytes() for path in plain.rglob("*") if path.is_file()}
    other = replace(example.record.stability, log_risk=example.record.risk.log_risk + 0.01)
    with pytest.raises(InputError, match=r"\+0\.474 instead of \+0\.464, .*; score the case again"):
        add_stability(plain, other)
    assert {path: path.read_bytes() for path in plain.rglob("*") if path.is_file()} == before


def test_the_job_measures_it_and_adds_it(patient: Any, small_bundle: Path, tmp_path: Path) -> None:
    """Scored with it, then taken out and measured again by the panel's job."""
    case = {"ct": str(patient.ct_path), "pet": str(patient.pet_path), "roi": str(patient.spine_path)}
    job = {**case, "bundle": str(small_bundle), "device": "cpu", "allow_other_roi": True, "use_cache": False}
    context, out = JobContext(ignore_progress, lambda text: None), tmp_path / "result"
    score({**job, "out": str(out), "stability": True}, context)
    at_once = read_record(out / "result.json")
    replace(at_once, stability=None).write(out / "result.json")
    told = measure({**job, "result": str(out)}, context).result
    assert at_once.stability is not None and at_once.stability.trials
    assert read_record(out / "result.json") == at_once
    assert told["lowest"] == at_once.stability.lowest
