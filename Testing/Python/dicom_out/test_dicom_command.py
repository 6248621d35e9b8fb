"""The command `dicom`: what it writes and says, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from MemorySurvivalLib.cli import main
from MemorySurvivalLib.dicom_out.manifest import read_manifest


def test_it_writes_what_was_asked_for_and_says_what_may_leave(
    finished, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    words = ["dicom", str(finished.result), "--out", str(out), "--objects", "seg,sr", "--identity", "identified"]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "seg-region.dcm" in said and "In the study of the images" in said and "never sent" in said
    assert [one.kind for one in read_manifest(out).objects] == ["region", "lesions", "measurements", "risk"]
    assert main(words) == 2
    assert "already holds something" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--objects", "seg,png"], "are chosen from"),
        (["--pseudonym", "MM-1"], "needs --identity pseudonym"),
        (["--study", "a", "--ct", "b"], "either --study or --ct"),
    ],
)
def test_mistakes_are_said(
    finished, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    assert main(["dicom", str(finished.result), "--out", str(tmp_path / "out"), *words]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
