"""A saved result gives its report in every format again, without images, and never over one that is there."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from dicom_made_up import write_series
from made_up import make_patient

from MemorySurvivalLib.cli import main
from MemorySurvivalLib.clinical.findings import make_findings
from MemorySurvivalLib.clinical.prefill import prefill
from MemorySurvivalLib.clinical.reading_file import write_reading
from MemorySurvivalLib.errors import InputError, OutputError
from MemorySurvivalLib.jobs.context import JobContext
from MemorySurvivalLib.jobs.report import render
from MemorySurvivalLib.privacy.clean import clean_record
from MemorySurvivalLib.progress import ignore_progress
from MemorySurvivalLib.report.model import read_report
from MemorySurvivalLib.report.record import read_record
from MemorySurvivalLib.report.subject import Subject
from MemorySurvivalLib.reporting import ReportRequest, load_report, write_saved


@pytest.fixture
def saved(example: Any, report_of: Any, tmp_path: Path) -> Path:
    """The folder of a result with a report; the pictures are empty files."""
    folder = tmp_path / "result"
    (folder / "pictures").mkdir(parents=True)
    example.record.write(folder / "result.json")
    given = {name: one.value for name, one in example.record.given.items()}
    report = report_of(example.record, Subject(), findings=make_findings(given))
    report.write(folder / "report.json")
    for picture in report.pictures:
        (folder / picture.file).write_bytes(b"")
    return folder


def test_every_plain_format_is_written_again(saved: Path, tmp_path: Path) -> None:
    files = write_saved(ReportRequest(saved, tmp_path / "out", ("html", "json", "csv")))
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"report.html", "report.json", "report.csv"}
    assert read_report(tmp_path / "out") == read_report(saved)
    with files["csv"].open(newline="", encoding="utf-8") as file:
        assert next(csv.DictReader(file))["log_risk"] == "0.4637"
    assert "+0.46" in files["html"].read_text(encoding="utf-8")


def test_nothing_is_written_over_a_report_unless_told(saved: Path) -> None:
    before = (saved / "report.json").read_bytes()
    with pytest.raises(OutputError, match=r"already holds report\.json; .*--overwrite"):
        write_saved(ReportRequest(saved, formats=("html", "json")))
    assert (saved / "report.json").read_bytes() == before and not (saved / "report.html").exists()
    write_saved(ReportRequest(saved, formats=("json",), overwrite=True))


def test_where_the_pdf_cannot_be_made_nothing_is_written(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise InputError("There is no ReportLab.")

    monkeypatch.setattr("MemorySurvivalLib.report.pdf.write_pdf", refuse)
    with pytest.raises(InputError, match="no ReportLab"):
        write_saved(ReportRequest(saved, tmp_path / "out", ("html", "json", "pdf")))
    assert not (tmp_path / "out").exists()


def test_names_of_files_come_back_only_when_asked_for(saved: Path) -> None:
    assert "ct.nii.gz" not in load_report(ReportRequest(saved)).as_json().decode()
    assert load_report(ReportRequest(saved, identity="identified")).record.inputs["CT"].path == "ct.nii.gz"
    named = load_report(ReportRequest(saved, identity="pseudonym", pseudonym="MM-17"))
    assert named.subject.patient_id == "MM-17" and named.record.inputs["CT"].path == "CT"


def test_an_export_under_a_pseudonym_keeps_it(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its record says "CT" in the place of a path, and a folder of that name beside it may be anybody's."""
    code, copy = "MS-7K2M-9QXT-4BHD", tmp_path / "copy"
    wanted = Subject("pseudonym", patient_id=code, sex="F", age_years=63)
    record = clean_record(read_record(saved / "result.json"), wanted)
    shutil.copytree(saved, copy)
    record.write(copy / "result.json")
    replace(read_report(saved), subject=wanted, record=record).write(copy / "report.json")
    write_series(tmp_path / "CT", make_patient(tmp_path).ct, "CT", tags={"PatientID": "4711"})
    monkeypatch.chdir(tmp_path)
    assert load_report(ReportRequest(copy, identity=None)).subject == wanted
    assert load_report(ReportRequest(copy, identity="pseudonym")).subject == wanted
    assert load_report(ReportRequest(copy)).subject == Subject()
    own = load_report(ReportRequest(copy, identity="pseudonym", pseudonym="MM-17")).subject
    assert own == replace(wanted, patient_id="MM-17")
    assert load_report(ReportRequest(copy, identity="identified")).subject == Subject("identified"), "not that of CT"
    assert load_report(ReportRequest(saved, identity=None)).subject == Subject()
    assert main(["report", str(copy), "--out", str(tmp_path / "out"), "--format", "html"]) == 0
    assert code in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    asked = {"folder": str(copy), "out": str(tmp_path / "job"), "identity": None}
    assert render(asked, JobContext(ignore_progress, lambda text: None)).result["identity"] == "pseudonym"


def test_a_report_that_was_handed_on_cannot_name_more(saved: Path) -> None:
    (saved / "result.json").unlink()
    assert load_report(ReportRequest(saved)) == read_report(saved)
    with pytest.raises(InputError, match=r"can only name what it names already \(none\)"):
        load_report(ReportRequest(saved, identity="identified"))


def test_a_reading_and_reviewed_lesions_are_added(saved: Path, example: Any, tmp_path: Path) -> None:
    write_reading(prefill(example.record.measurements), tmp_path / "reading.json")
    report = load_report(ReportRequest(saved, reading=tmp_path / "reading.json", reviewed=(2, 1, 2)))
    assert report.findings.reading is not None and not report.findings.reading.final
    assert report.findings.reviewed_lesions == (1, 2)
    assert [score.name for score in report.findings.scores] == ["ISS", "R-ISS", "R2-ISS"], "as scored"
    with pytest.raises(InputError, match="no lesion 9"):
        load_report(ReportRequest(saved, reviewed=(9,)))


def test_a_missing_picture_is_named(saved: Path, tmp_path: Path) -> None:
    (saved / "pictures" / "hotspot-1.png").unlink()
    with pytest.raises(InputError, match=r"hotspot-1\.png cannot be read .* score the case again"):
        write_saved(ReportRequest(saved, tmp_path / "out"))
    assert not (tmp_path / "out" / "report.html").exists()


def test_a_place_that_is_a_file_is_named(saved: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(OutputError, match="taken"):
        write_saved(ReportRequest(saved, tmp_path / "taken"))


def test_the_command_names_what_it_wrote(saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert main(["report", str(saved), "--out", str(out), "--format", "html,csv", "--reviewed", "1"]) == 0
    said = capsys.readouterr().out
    assert str(out / "report.html") in said and str(out / "report.csv") in said and "Research use only" in said


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--format", "docx"], "'docx' is unknown"),
        (["--reviewed", "one"], "not numbers"),
        (["--language", "tlh"], "no translation into 'tlh'"),
        (["--reading", "nowhere.json"], "does not exist"),
    ],
)
def test_mistyped_options_are_told_in_a_sentence(
    more: list[str], said: str, saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(saved), "--out", str(tmp_path / "out"), *more]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_job_takes_the_same_request(saved: Path, tmp_path: Path) -> None:
    parameters = {
        "folder": str(saved),
        "out": str(tmp_path / "out"),
        "formats": ["json"],
        "findings": {"reviewed_lesions": [2]},
    }
    output = render(parameters, JobContext(ignore_progress, print))
    assert output.files == {"json": str(tmp_path / "out" / "report.json")}
    plain = json.loads((tmp_path / "out" / "report.json").read_bytes())
    assert plain["findings"]["reviewed_lesions"] == [2]


def test_a_result_without_a_report_says_what_to_do(saved: Path) -> None:
    (saved / "report.json").unlink()
    with pytest.raises(InputError, match=r"before there was a report\.json; score the case again"):
        load_report(ReportRequest(saved))
    (saved / "result.json").unlink()
    with pytest.raises(InputError, match=r"no report\.json .* give the folder of a result with a report"):
        load_report(ReportRequest(saved))


def test_a_subject_of_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="names the patient"):
        replace(Subject(), name="Doe")
