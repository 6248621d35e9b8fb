"""From a cohort's table to patients who can be analysed: every check a sentence, every exclusion counted."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.training.cohort_table import (
    CohortTable,
    TableRow,
    looks_like_date,
    read_cohort_table,
    read_date,
    read_number,
)
from MemorySurvivalLib.training.exclusion import ExclusionFlow
from MemorySurvivalLib.training.intake_covariates import check_mixed_units, covariate_columns, read_covariates
from MemorySurvivalLib.training.intake_findings import Findings, Flag
from MemorySurvivalLib.training.quantities import plain_header
from MemorySurvivalLib.worklist.items import CaseFiles

DAYS_A_MONTH = 365.25 / 12
LONGEST_MONTHS = 600.0
"""A longer time is given in days or is a slip."""

SIMULATOR_NOTE = "cohort.json"
"""What `simulate cohort` leaves beside its table."""

TIME_COLUMNS = ("time_months", "months")
EVENT_WORDS = {"1": True, "yes": True, "true": True, "0": False, "no": False, "false": False}
DATE_COLUMNS = ("scan_date", "treatment_date", "progression_date", "death_date", "last_contact_date")
NUMBER_COLUMNS = {"dose_mbq": (20.0, 1500.0), "uptake_minutes": (20.0, 240.0)}
MASK_COLUMNS = ("roi", "spine_dilated", "skeleton")


@dataclass(frozen=True)
class OwnPatient:
    """One patient of the table: months from the scan to the event or the last contact, covariates in the units that
    models know (text, missing ones left out), and how the scan was made ("" and NaN where the table does not say)."""

    row: int
    patient_id: str
    files: CaseFiles
    months: float
    event: bool
    covariates: Mapping[str, str]
    site: str = ""
    scanner: str = ""
    dose_mbq: float = math.nan
    uptake_minutes: float = math.nan
    scan_date: date | None = None
    treatment_date: date | None = None
    masks: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True)
class Intake:
    """What the checks left. `covariates` are the columns that models may use, `ignored` those that nobody reads,
    `unstated` what the table does not say about any patient though a reader of the results would ask."""

    path: Path
    patients: tuple[OwnPatient, ...]
    flow: ExclusionFlow
    flags: tuple[Flag, ...]
    covariates: tuple[str, ...]
    ignored: tuple[str, ...]
    unstated: tuple[str, ...]
    simulated: bool = False
    """Whether the simulator's note lies beside the table; of images it is asked again when they are embedded."""

    @property
    def events(self) -> int:
        """Patients with progression or death."""
        return sum(patient.event for patient in self.patients)


def take_cohort(path: Path) -> Intake:
    """Read and check a cohort's table.

    Outcome: `time_months` and `event` (1 or 0), counted from the scan; or dates: `scan_date` with `progression_date` or
    `death_date` (event) or `last_contact_date` (none). Images: `study`, or `ct` and `pet`, paths relative to the table;
    a mask in `spine_dilated`, `skeleton` or `roi` where there is one. Raises InputError with the first problem;
    `details["problems"]` holds all of them.
    """
    table = read_cohort_table(path)
    found = Findings()
    outcome = _outcome_columns(table)
    columns, categories, used = covariate_columns(table, found)
    _check_ids(table, found)
    patients = []
    for row in table.rows:
        _check_dates(row, found)
        covariates = read_covariates(row, columns, categories, found)
        followed = _read_outcome(row, outcome, found)
        patient = None if followed is None else _make_patient(row, table.path.parent, covariates, followed, found)
        if patient is not None:
            patients.append(patient)
    check_mixed_units(table, columns, found)
    if found.problems:
        error = InputError(_say_problems(path, found.problems))
        error.details = {"problems": tuple(found.problems)}
        raise error
    known = {name for patient in patients for name in patient.covariates}
    names = [column.quantity.name for column in columns] + [category.name for category in categories]
    read = used | set(DATE_COLUMNS) | set(NUMBER_COLUMNS) | set(MASK_COLUMNS) | set(outcome)
    read |= {"patient_id", "event", "site", "scanner", "study", "ct", "pet"}
    return Intake(
        path,
        tuple(patients),
        ExclusionFlow(len(table.rows), tuple(found.excluded)),
        tuple(found.flags),
        tuple(name for name in dict.fromkeys(names) if name in known),
        tuple(header for header in table.headers if header and plain_header(header) not in read),
        _unstated(table),
        (path.parent / SIMULATOR_NOTE).is_file(),
    )


def _outcome_columns(table: CohortTable) -> tuple[str, ...]:
    """The time's column, or the dates' columns. Raises InputError where the table has neither, or both times."""
    there = table.plain_headers
    if "patient_id" not in there:
        raise InputError(f"The cohort {table.path} needs a column patient_id; add one with a code for each patient.")
    if not {"study"} & there and not {"ct", "pet"} <= there:
        raise InputError(f"The cohort {table.path} needs a column study (DICOM folder), or the columns ct and pet.")
    times = [name for name in TIME_COLUMNS if name in there]
    if len(times) == 2:
        raise InputError(f"The cohort {table.path} has the columns time_months and months; keep one of them.")
    if times and "event" in there:
        return (times[0],)
    if {"scan_date", "last_contact_date"} <= there and {"progression_date", "death_date"} & there:
        return ("scan_date", "progression_date", "death_date", "last_contact_date")
    raise InputError(
        f"The cohort {table.path} does not say what became of the patients; give time_months and event, or scan_date, "
        "progression_date (or death_date) and last_contact_date."
    )


def _check_ids(table: CohortTable, found: Findings) -> None:
    rows: dict[str, int] = {}
    for row in table.rows:
        name = row.cells.get("patient_id", "").casefold()
        if not name:
            found.problems.append(f"Row {row.number} has no patient_id; give every patient a code.")
        elif name in rows:
            found.problems.append(
                f"Rows {rows[name]} and {row.number} are of one patient; keep the scan before treatment alone."
            )
        else:
            rows[name] = row.number


def _check_dates(row: TableRow, found: Findings) -> None:
    for name in DATE_COLUMNS:
        if name in row.cells and read_date(row.cells[name]) is None:
            found.problems.append(f"The {name} of row {row.number} is {row.cells[name]!r}; write dates as 2021-03-24.")


def _read_outcome(row: TableRow, columns: tuple[str, ...], found: Findings) -> tuple[float, bool] | None:
    """Months and event, or None where there is a problem or no outcome (which is noted)."""
    if len(columns) == 1:
        return _read_months(row, columns[0], found)
    scan, last = read_date(row.cells.get("scan_date", "")), read_date(row.cells.get("last_contact_date", ""))
    events = [read_date(row.cells.get(name, "")) for name in ("progression_date", "death_date")]
    happened = min((one for one in events if one is not None), default=None)
    end = happened or last
    if scan is None or end is None:
        lacking = "scan date" if scan is None else "date of progression, death or last contact"
        found.exclude(row.number, "no outcome", f"has no {lacking}")
        return None
    if end < scan:
        found.problems.append(
            f"In row {row.number} the {'event' if happened else 'last contact'} ({end}) lies before the scan ({scan}); "
            "correct the dates."
        )
        return None
    if happened and last and last < happened:
        found.problems.append(
            f"In row {row.number} the last contact ({last}) lies before the event ({happened}); correct the dates."
        )
        return None
    return (end - scan).days / DAYS_A_MONTH, happened is not None


def _read_months(row: TableRow, column: str, found: Findings) -> tuple[float, bool] | None:
    text, said = row.cells.get(column, ""), row.cells.get("event", "")
    if not text and not said:
        found.exclude(row.number, "no outcome", f"has neither {column} nor event")
        return None
    if not text or not said:
        found.exclude(row.number, "no outcome", f"has no {'event' if text else column}")
        return None
    event = EVENT_WORDS.get(said.casefold())
    if event is None:
        found.problems.append(f"The event of row {row.number} is {said!r}; give 1 (progression or death) or 0 (none).")
    if looks_like_date(text):
        found.problems.append(
            f"The {column} of row {row.number} is the date {text!r}; give months from the scan, or use the columns "
            "scan_date, progression_date and last_contact_date."
        )
        return None
    months = read_number(text)
    if months is None:
        found.problems.append(f"The {column} of row {row.number} is {text!r}, which is not a number of months.")
        return None
    if months < 0:
        found.problems.append(
            f"The {column} of row {row.number} is {months:g}; a time from the scan cannot be negative, so correct it."
        )
        return None
    if months > LONGEST_MONTHS:
        found.problems.append(
            f"The {column} of row {row.number} is {months:g}, over {LONGEST_MONTHS:g} months; give months, not days."
        )
        return None
    return None if event is None else (months, event)


def _make_patient(
    row: TableRow,
    folder: Path,
    covariates: Mapping[str, str],
    followed: tuple[float, bool],
    found: Findings,
) -> OwnPatient | None:
    scan, treatment = (read_date(row.cells.get(name, "")) for name in ("scan_date", "treatment_date"))
    if followed[0] == 0:
        found.exclude(row.number, "no follow-up after the scan", "has a time of zero")
        return None
    if scan and treatment and scan > treatment:
        found.exclude(
            row.number, "scanned after treatment began", f"was scanned on {scan}, treatment began on {treatment}"
        )
        return None
    named = {name: folder / row.cells[name] for name in ("study", "ct", "pet") if name in row.cells}
    whole = set(named) in ({"study"}, {"ct", "pet"})
    if not whole:
        what = "no image" if not named else "only " + " and ".join(sorted(named))
        found.exclude(row.number, "no image", f"names {what}; a case needs a study, or a ct and a pet")
        return None
    masks = {name: folder / row.cells[name] for name in MASK_COLUMNS if name in row.cells}
    missing = [path for path in (*named.values(), *masks.values()) if not path.exists()]
    if missing:
        found.exclude(row.number, "image file missing", f"names {missing[0].name}, which is not there")
        return None
    numbers = {name: _acquisitionread_number(row, name, found) for name in NUMBER_COLUMNS}
    return OwnPatient(
        row.number,
        row.cells.get("patient_id", ""),
        CaseFiles(**named),
        followed[0],
        followed[1],
        covariates,
        row.cells.get("site", ""),
        row.cells.get("scanner", ""),
        numbers["dose_mbq"],
        numbers["uptake_minutes"],
        scan,
        treatment,
        masks,
    )


def _acquisitionread_number(row: TableRow, name: str, found: Findings) -> float:
    text = row.cells.get(name)
    if text is None:
        return math.nan
    low, high = NUMBER_COLUMNS[name]
    value = read_number(text)
    if value is None:
        found.problems.append(f"{name} of row {row.number} is {text!r}, which is not a number; correct it.")
        return math.nan
    if not low <= value <= high:
        found.flags.append(
            Flag(row.number, name, f"{name} of row {row.number} is {text}, outside {low:g} to {high:g}; check it.")
        )
    return value


def _unstated(table: CohortTable) -> tuple[str, ...]:
    wanted = ("scan_date", "treatment_date", "scanner", "site", "dose_mbq", "uptake_minutes")
    stated = {name for row in table.rows for name in row.cells}
    return tuple(name for name in wanted if name not in stated)


def _say_problems(path: Path, problems: list[str]) -> str:
    count = len(problems) - 1
    told = f"{count} more problem{'s' if count > 1 else ''} in {path.name}; `train --check` lists all"
    return f"{problems[0]} ({told})" if count else problems[0]
