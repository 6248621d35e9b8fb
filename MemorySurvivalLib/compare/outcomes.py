"""Reading what became of a cohort's patients: a CSV table with a row for each case."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping
from pathlib import Path

from MemorySurvivalLib.compare.survival import Outcome
from MemorySurvivalLib.errors import InputError

COLUMNS = ("case", "months", "event")
_EVENT = {"1": True, "yes": True, "true": True, "0": False, "no": False, "false": False}


def read_outcomes(path: Path) -> dict[str, Outcome]:
    """Outcomes by the name of the case's result folder, from the columns case, months, and event (1 or 0); others are
    ignored. A row without months and event says nothing.

    Raises InputError with one sentence for what cannot be read, and for a case that is named twice.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"The outcomes {path} cannot be read ({error}); give a CSV file in UTF-8.") from error
    head = text.partition("\n")[0]
    # Spreadsheets in countries with a decimal comma separate columns by semicolons.
    european = ";" in head and "," not in head
    try:
        rows = list(csv.DictReader(io.StringIO(text), delimiter=";" if european else ","))
    except csv.Error as error:
        raise InputError(f"The outcomes {path} are not a CSV table ({error}); save them as CSV.") from error
    names = [name.strip().lower() for name in (rows[0] if rows else {}) if name]
    lacking = [name for name in COLUMNS if name not in names]
    if lacking:
        raise InputError(f"The outcomes {path} need the columns {', '.join(COLUMNS)}; missing: {', '.join(lacking)}.")
    found: dict[str, Outcome] = {}
    for number, row in enumerate(rows, start=2):
        cells = {(name or "").strip().lower(): str(cell or "").strip() for name, cell in row.items()}
        case = cells["case"].strip("/")
        if not case or not (cells["months"] or cells["event"]):
            continue
        if case in found:
            raise InputError(f"The outcomes {path} name the case {case} twice (row {number}); keep one of them.")
        found[case] = _parse(cells, european, f"row {number} of {path}")
    return found


def match_outcomes(
    names: tuple[str, ...], outcomes: Mapping[str, Outcome]
) -> tuple[dict[str, Outcome], tuple[str, ...]]:
    """Outcomes by result folder, and the outcomes whose case is not there.

    A folder is meant by its path below the cohort's, or by its own name where only one has it.
    """
    last: dict[str, list[str]] = {}
    for name in names:
        last.setdefault(name.rpartition("/")[2], []).append(name)
    matched, unknown = {}, []
    for case, outcome in outcomes.items():
        candidates = [case] if case in names else last.get(case, [])
        if len(candidates) == 1:
            matched[candidates[0]] = outcome
        else:
            unknown.append(case)
    return matched, tuple(unknown)


def _parse(cells: Mapping[str, str], european: bool, where: str) -> Outcome:
    text = cells["months"].replace(",", ".") if european else cells["months"]
    try:
        months = float(text)
    except ValueError:
        months = math.nan
    if not (math.isfinite(months) and months >= 0):
        raise InputError(f"The months in {where} are {cells['months']!r}; give a number of zero or more.")
    event = _EVENT.get(cells["event"].lower())
    if event is None:
        raise InputError(f"The event in {where} is {cells['event']!r}; give 1 (progression or death) or 0 (none).")
    return Outcome(months, event)
