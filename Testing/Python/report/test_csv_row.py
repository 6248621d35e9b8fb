"""The CSV row: one header, one row, the same columns for every report, the numbers of the record."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from MemorySurvivalLib import RESEARCH_USE
from MemorySurvivalLib.clinical.record import ClinicalFindings, ClinicalScore
from MemorySurvivalLib.report.csv_row import csv_row, write_csv_row
from MemorySurvivalLib.report.subject import Subject
from MemorySurvivalLib.scoring import StatisticUsed


def test_the_row_holds_the_records_numbers(example: Any, report_of: Any, tmp_path: Path) -> None:
    scores = (ClinicalScore("ISS", "II", "ISS II", {}, (), ""), ClinicalScore("R-ISS", None, "no", {}, ("FISH",), ""))
    report = report_of(example.record, findings=ClinicalFindings(scores, reviewed_lesions=(1,)))
    write_csv_row(report, tmp_path / "report.csv")
    with (tmp_path / "report.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 1
    row = rows[0]
    assert row == csv_row(report)
    assert float(row["log_risk"]) == 0.4637 and float(row["lesions_mtv_41_ml"]) == 11.0
    assert (row["stability"], row["risk_group"], row["region_edited"]) == ("stable", "high", "yes")
    assert (row["iss"], row["r_iss"], row["r2_iss"]) == ("II", "", "")
    assert "pet-glucose" in row["flags"] and row["labels"] == "SIMULATED MODEL; SIMULATED CASE"
    assert row["notice"] == RESEARCH_USE


def test_values_that_the_model_read_of_the_region_stand_in_one_column(example: Any, report_of: Any) -> None:
    read = (StatisticUsed("suv_max_g_ml", 12.345678, "g/mL"), StatisticUsed("hu_mean", None, "HU"))
    assert csv_row(report_of(example.with_risk(statistics=read).record))["statistics_used"] == (
        "suv_max_g_ml=12.345678; hu_mean="
    )
    assert csv_row(report_of(example.record))["statistics_used"] == ""


def test_every_report_has_the_same_columns(example: Any, report_of: Any) -> None:
    bare = example.without_heatmap().with_record(measurements=None, stability=None)
    bare = bare.with_risk(survival=None, position=None, covariates=None, gate_pet=None)
    assert list(csv_row(report_of(bare.record))) == list(csv_row(report_of(example.record)))
    assert csv_row(report_of(bare.record))["position_share"] == ""


@pytest.mark.parametrize("code", ["=1+1", "@SUM(A1)", "+7", "-7"])
def test_a_name_cannot_become_a_formula(code: str, example: Any, report_of: Any) -> None:
    report = report_of(example.record, subject=Subject("pseudonym", patient_id=code))
    assert csv_row(report)["patient_id"] == f"'{code}"
