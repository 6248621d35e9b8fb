"""The cohort's tables: counts that add up, small groups covered, nobody named."""

from __future__ import annotations

import csv
from pathlib import Path

from cohort_tables import take

from MemorySurvivalLib.report.document import Document, Table
from MemorySurvivalLib.report.html import render_document
from MemorySurvivalLib.simulation.cohort import COHORT_FILE, IMAGES, write_cohort
from MemorySurvivalLib.simulation.scenario import load_scenario
from MemorySurvivalLib.training.intake import SIMULATOR_NOTE, Intake, take_cohort
from MemorySurvivalLib.training.tables import cohort_document


def cells(document: Document) -> dict[str, tuple[str, ...]]:
    """Rows of all tables by their first cell."""
    tables = [b for page in document.pages for s in page.sections for b in s.blocks if isinstance(b, Table)]
    return {row[0].text.strip(): tuple(cell.text for cell in row[1:]) for table in tables for row in table.rows}


def made(folder: Path) -> Intake:
    rows = [
        {
            "patient_id": f"SECRET{i}",
            "event": str(int(i < 6)),
            "time_months": str(10 + i),
            "sex": "female" if i < 2 else "male",
            "age_years": "" if i == 3 else str(50 + i),
            "scanner": "A",
            "note": "x",
        }
        for i in range(10)
    ]
    return take(folder, *rows)


def test_the_tables(tmp_path: Path) -> None:
    found = cells(cohort_document(made(tmp_path)))
    assert found["Patients"] == ("10", "6", "4")
    assert found["age, years, mean (SD)"][0] == "54.7 (3.16)"
    assert found["Progression or death"] == ("6 (60%)",)
    assert found["observed months, with event, median (quartiles)"] == ("12.5 (11.2 to 13.8)",)
    assert found["scanner: A"] == ("10 (100%)",)
    assert found["injected dose, MBq, median (quartiles)"] == ("–",)


def test_a_small_group_is_covered(tmp_path: Path) -> None:
    found = cells(cohort_document(made(tmp_path)))
    assert found["sex: female"][0] == "< 5" and found["sex: male"][0] == "8 (80%)"


def test_the_page_is_drawn_and_names_nobody(tmp_path: Path) -> None:
    page = render_document(cohort_document(made(tmp_path)), tmp_path)
    assert "Exclusion flow" in page and "Research use only" in page
    assert "Columns that nobody reads: note." in page and "The table does not say: scan_date, treatment_date" in page
    assert "SECRET" not in page


def test_the_simulators_table_is_taken_whole_and_called_simulated(tmp_path: Path) -> None:
    folder = tmp_path / "cohort"
    write_cohort(load_scenario("main"), 1, 30, folder, truth_only=True)
    with (folder / "cohort.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            for name in IMAGES:
                (folder / row[name]).parent.mkdir(parents=True, exist_ok=True)
                (folder / row[name]).touch()
    intake = take_cohort(folder / "cohort.csv")
    assert (len(intake.patients), intake.ignored, intake.flags) == (30, (), ())
    assert intake.simulated and cohort_document(intake).labels == ("SIMULATED PATIENTS",)
    assert SIMULATOR_NOTE == COHORT_FILE
