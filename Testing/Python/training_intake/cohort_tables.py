"""Small cohort tables on disk for tests of the intake."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from MemorySurvivalLib.training.intake import Intake, take_cohort

ROW = {
    "patient_id": "P1",
    "ct": "ct.nrrd",
    "pet": "pet.nrrd",
    "time_months": "24.5",
    "event": "1",
    "age_years": "61",
    "sex": "male",
    "haemoglobin_g_dl": "11.2",
}


def write_table(folder: Path, *changes: dict[str, str], drop: Sequence[str] = (), delimiter: str = ",") -> Path:
    """A table with a row for each dictionary of changes; the images' files are there (and empty)."""
    rows = [{"patient_id": f"P{number}"} | change for number, change in enumerate(changes, start=1)]
    rows = [{k: v for k, v in (ROW | row).items() if k not in drop} for row in rows]
    names = list(dict.fromkeys(name for row in rows for name in row))
    for name in ("ct.nrrd", "pet.nrrd"):
        (folder / name).touch()
    path = folder / "cohort.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names, restval="", delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
    return path


def take(folder: Path, *changes: dict[str, str], drop: Sequence[str] = ()) -> Intake:
    """The intake of such a table."""
    return take_cohort(write_table(folder, *changes, drop=drop))
