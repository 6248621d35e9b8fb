"""The command and the jobs around the clinical findings: files in, sentences and plain values out."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from reading_makers import NOW, confirm_all, make_lesion, make_record

from MemorySurvivalLib import RESEARCH_USE
from MemorySurvivalLib.cli import main
from MemorySurvivalLib.clinical.impetus import finish
from MemorySurvivalLib.clinical.prefill import prefill
from MemorySurvivalLib.clinical.reading_file import read_reading, write_reading
from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.jobs import find_job
from MemorySurvivalLib.jobs.context import JobContext, JobOutput
from MemorySurvivalLib.risk.covariate_fields import hash_patient

VALUES = "patient_id,beta2_microglobulin_mg_l,albumin_g_l,ldh_level,age_years\nP1,6.1,31,high,70\n"


def run_job(name: str, parameters: dict[str, object]) -> JobOutput:
    context = JobContext(lambda event: None, lambda text: None)
    # As the worker gets and gives it: plain JSON both ways.
    output = find_job(name)(msgspec.json.decode(msgspec.json.encode(parameters)), context)
    msgspec.json.encode(output.result)
    return output


@pytest.fixture
def scored(tmp_path: Path) -> Path:
    """A folder with as much of a result as the form is made from."""
    folder = tmp_path / "result"
    folder.mkdir()
    record = {"schema": "memory-survival-result", "measurements": make_record(make_lesion(1))}
    (folder / "result.json").write_bytes(msgspec.json.encode(record))
    return folder


def test_a_form_is_written_filled_in_and_checked(
    scored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "reading.json"
    assert main(["findings", str(scored), "--prefill", str(path)]) == 0
    assert "4 of 9 items with a suggestion" in capsys.readouterr().out
    assert main(["findings", "--check", str(path)]) == 1
    said = capsys.readouterr().out
    assert "not confirmed, suggested: 1-3" in said
    assert "9 items to confirm" in said
    write_reading(finish(confirm_all(read_reading(path)), "Dr Ada Röntgen", NOW), path)
    assert main(["findings", "--check", str(path)]) == 0
    said = capsys.readouterr().out
    assert "by Dr Ada Röntgen, 2026-03-31" in said
    assert RESEARCH_USE in said


def test_an_existing_form_is_not_overwritten_unasked(
    scored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "reading.json"
    path.write_text("mine", encoding="utf-8")
    assert main(["findings", str(scored), "--prefill", str(path)]) == 2
    assert "may hold answers" in capsys.readouterr().err
    assert path.read_text(encoding="utf-8") == "mine"
    assert main(["findings", str(scored), "--prefill", str(path), "--overwrite"]) == 0
    assert not read_reading(path).final


def test_scores_are_printed_with_their_source(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "values.csv"
    path.write_text(VALUES, encoding="utf-8")
    assert main(["findings", "--values", str(path)]) == 0
    said = capsys.readouterr().out
    assert "ISS III." in said
    assert "R-ISS is not computable: FISH missing." in said
    assert "10.1200/JCO.21.02614" in said


def test_wrong_use_is_one_sentence(scored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in ([], [str(scored)], ["--prefill", "a.json"], [str(tmp_path / "no"), "--prefill", str(tmp_path / "a")]):
        assert main(["findings", *words]) == 2
        assert capsys.readouterr().err.count("\n") == 1
    (scored / "result.json").write_text("{}", encoding="utf-8")
    assert main(["findings", str(scored), "--prefill", str(tmp_path / "a")]) == 2
    assert "not the record of a scored case" in capsys.readouterr().err


def test_the_form_for_a_panel_is_that_of_the_library() -> None:
    record = make_record(make_lesion(1), make_lesion(2, "skull"))
    plain = msgspec.to_builtins(record, str_keys=True)
    assert run_job("reading_prefill", {"measurements": plain}).result["reading"] == msgspec.to_builtins(prefill(record))
    blank = run_job("reading_prefill", {}).result["reading"]
    assert all(item["suggested"] is None for item in blank["items"])
    with pytest.raises(InputError, match="measure the case again"):
        run_job("reading_prefill", {"measurements": {"lesions": 3}})


def test_staging_takes_a_file_and_what_was_typed(tmp_path: Path) -> None:
    path = tmp_path / "values.csv"
    path.write_text(VALUES, encoding="utf-8")
    result = run_job("staging", {"file": str(path), "values": {"ldh_level": "normal"}}).result
    assert result["values"] == {"beta2_microglobulin_mg_l": "6.1", "albumin_g_l": "31", "ldh_level": "high"}
    assert result["patient"] == hash_patient("P1")
    assert [score["value"] for score in result["scores"]] == ["III", None, None]
    assert result["scores"][1]["inputs"]["LDH as stated"] == "normal"
