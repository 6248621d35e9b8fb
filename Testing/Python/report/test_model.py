"""The report model: written and read back, of a known version, and described by the schema that ships."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from MemorySurvivalLib import RESEARCH_USE
from MemorySurvivalLib.clinical.record import ClinicalFindings, ClinicalScore, ReadingItem, VisualReading
from MemorySurvivalLib.errors import InputError, OutputError
from MemorySurvivalLib.report.model import read_report, report_schema
from MemorySurvivalLib.report.record import read_record
from MemorySurvivalLib.report.subject import Subject

SCHEMA_FILE = Path(__file__).parents[3] / "docs" / "report.schema.json"

FINDINGS = ClinicalFindings(
    scores=(ClinicalScore("ISS", "II", "ISS II", {"albumin": "41 g/L"}, (), "Greipp 2005"),),
    reading=VisualReading((ReadingItem("marrow", "Marrow", ("1", "2"), "2", "mean 1.4"),), reader="Ōsaka"),
    reviewed_lesions=(2,),
)


def test_a_report_is_read_back_as_it_was_written(example: Any, report_of: Any, tmp_path: Path) -> None:
    subject = Subject("identified", name="Łukasiewicz, Zoë", patient_id="7", study_date="2026-03-31")
    report = report_of(example.record, findings=FINDINGS, subject=subject)
    report.write(tmp_path / "report.json")
    assert read_report(tmp_path) == report
    plain = json.loads((tmp_path / "report.json").read_bytes())
    assert (plain["schema"], plain["schema_version"], plain["research_use"]) == (
        "memory-survival-report",
        1,
        RESEARCH_USE,
    )


def test_a_record_of_the_version_before_is_read_as_it_was_written(example: Any, tmp_path: Path) -> None:
    plain = example.record.as_builtins() | {"schema_version": 2}
    for name in ("stability", "given"):
        del plain[name]
    del plain["bundle"]["metrics"]
    (tmp_path / "result.json").write_bytes(msgspec.json.encode(plain))
    record = read_record(tmp_path / "result.json")
    bundle = replace(example.record.bundle, metrics={})
    assert record == replace(example.record, stability=None, given={}, schema_version=2, bundle=bundle)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"schema_version": 9}, "newer MemorySurvival"),
        ({"schema_version": 1}, "older MemorySurvival"),
        ({"schema": "something-else"}, "is not a result"),
        ({"risk": 3}, "is damaged"),
        ({"roi": {}}, "is damaged"),
    ],
)
def test_another_file_is_refused_in_a_sentence(change: dict[str, Any], said: str, example: Any, tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    path.write_bytes(msgspec.json.encode(example.record.as_builtins() | change))
    with pytest.raises(InputError, match=said) as caught:
        read_record(path)
    assert str(path) in str(caught.value) and str(caught.value).endswith(".")


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"schema": "\xff"}', b"null"])
def test_a_broken_file_is_refused_in_a_sentence(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "report.json").write_bytes(data)
    with pytest.raises(InputError, match=r"damaged|is not"):
        read_report(tmp_path)


def test_a_folder_without_a_report_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"There is no report\.json in .*; give the folder of a result"):
        read_report(tmp_path)


def test_a_report_that_names_nobody_cannot_hold_a_name(example: Any, report_of: Any, tmp_path: Path) -> None:
    plain = msgspec.to_builtins(report_of(example.record, Subject()))
    plain["subject"]["name"] = "Doe"
    (tmp_path / "report.json").write_bytes(msgspec.json.encode(plain))
    with pytest.raises(InputError, match="Only an identified report names the patient"):
        read_report(tmp_path)


def test_a_place_that_cannot_be_written_to_is_named(example: Any, report_of: Any, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(OutputError, match="taken"):
        report_of(example.record).write(tmp_path / "taken" / "report.json")


def test_the_schema_that_ships_is_the_one_of_the_code() -> None:
    """To renew it: python -m MemorySurvivalLib.report.model > docs/report.schema.json"""
    assert json.loads(SCHEMA_FILE.read_text(encoding="utf-8")) == json.loads(json.dumps(report_schema()))
