"""The command `export`: what it writes and says, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from MemorySurvivalLib import exporting
from MemorySurvivalLib.cli import main
from MemorySurvivalLib.dicom_out.sources import SourcePaths
from MemorySurvivalLib.exporting import Exported, ExportRequest
from MemorySurvivalLib.report.subject import Subject


def test_what_is_asked_for_is_exported_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[ExportRequest] = []

    def export(request: ExportRequest, progress: object) -> Exported:
        asked.append(request)
        return Exported(request.out, ("report.html",), ("A picture.",), ("A note.",), Subject("pseudonym", "", "MM-1"))

    monkeypatch.setattr(exporting, "export_result", export)
    words = ["--formats", "html, csv", "--objects", "seg,pdf", "--identity", "pseudonym", "--pseudonym", "MM-1"]
    flags = ["--volumes", "--tables", "--record", "--without-head", "--overwrite", "--ct", "ct", "--paper", "letter"]
    assert main(["export", "result", "--out", str(tmp_path / "out"), *words, *flags]) == 0
    (request,) = asked
    assert (request.folder, request.out) == (Path("result"), tmp_path / "out")
    assert (request.formats, request.objects, request.paper) == (("html", "csv"), ("seg", "pdf"), "letter")
    assert (request.identity, request.pseudonym) == ("pseudonym", "MM-1")
    assert request.volumes and request.tables and request.record and request.leave_head_out and request.overwrite
    assert (request.ct, request.sources) == (Path("ct"), SourcePaths(ct=Path("ct")))
    said = capsys.readouterr().out
    for text in ("report.html", "MM-1", "left out       A picture.", "note           A note.", "Research use only"):
        assert text in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--formats", "html,docx"], "Formats of the report are chosen from html, pdf, json, csv; got 'html,docx'"),
        (["--objects", "png"], "DICOM objects are chosen from"),
        (["--formats", ""], "Nothing is to be exported"),
        (["--pseudonym", "MM-1"], "needs --identity pseudonym"),
        (["--study", "a", "--ct", "b"], "either --study or --ct"),
        ([], "no result.json"),
    ],
)
def test_mistakes_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str) -> None:
    assert main(["export", str(tmp_path), "--out", str(tmp_path / "out"), *words]) == 2
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
