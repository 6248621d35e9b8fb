"""A researcher's COHORT.csv as rows of text: delimiter, decimal comma, headers; nothing is judged here."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.risk.covariate_fields import is_missing
from MemorySurvivalLib.training.quantities import plain_header

_DATES = (
    (re.compile(r"\d{4}-\d{1,2}-\d{1,2}"), "%Y-%m-%d"),
    (re.compile(r"\d{8}"), "%Y%m%d"),
)
_LOOKS_LIKE_DATE = re.compile(r"\s*(\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}|(19|20)\d{6})\b.*")


@dataclass(frozen=True)
class TableRow:
    """One row: its number in the file (the header is row 1) and its cells by plain header; blank and "NA" are gone."""

    number: int
    cells: Mapping[str, str]


@dataclass(frozen=True)
class CohortTable:
    """The table: where it lies (paths in it are relative to its folder), headers as written, rows."""

    path: Path
    headers: tuple[str, ...]
    rows: tuple[TableRow, ...]

    @property
    def plain_headers(self) -> frozenset[str]:
        """Headers without regard to case, blanks and hyphens."""
        return frozenset(map(plain_header, self.headers))


def read_cohort_table(path: Path) -> CohortTable:
    """Read a CSV file in UTF-8; semicolons with decimal commas, as spreadsheets of some countries write, are read too.

    Raises InputError with one sentence for what cannot be read, a header that is there twice, and no row at all.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"The cohort {path} cannot be read ({error}); give a CSV file in UTF-8.") from error
    head = text.partition("\n")[0]
    european = ";" in head and "," not in head
    try:
        rows = list(csv.reader(io.StringIO(text), delimiter=";" if european else ",", strict=True))
    except csv.Error as error:
        raise InputError(f"The cohort {path} is not a CSV table ({error}); save it as CSV.") from error
    headers = tuple(cell.strip() for cell in rows[0]) if rows else ()
    plain = [plain_header(header) for header in headers]
    twice = sorted({name for name in plain if name and plain.count(name) > 1})
    if twice:
        raise InputError(f"The cohort {path} has the column {twice[0]} twice; keep one of them.")
    found = []
    for number, row in enumerate(rows[1:], start=2):
        if not any(cell.strip() for cell in row):
            continue
        if len(row) != len(headers):
            raise InputError(
                f"Row {number} of {path} has {len(row)} cells, the header has {len(headers)}; make them match."
            )
        cells = {name: cell.strip() for name, cell in zip(plain, row, strict=True) if name and not is_missing(cell)}
        if european:
            cells = {name: re.sub(r"^(-?\d+),(\d+)$", r"\1.\2", cell) for name, cell in cells.items()}
        found.append(TableRow(number, cells))
    if not found:
        raise InputError(f"The cohort {path} has no patient in it; give a header and a row for each patient.")
    return CohortTable(path, headers, tuple(found))


def read_date(text: str) -> date | None:
    """An ISO or DICOM date ("2021-03-04", "20210304"), None for anything else: 03/04/2021 is not guessed."""
    for pattern, form in _DATES:
        if pattern.fullmatch(text.strip()):
            try:
                return datetime.strptime(text.strip(), form).date()
            except ValueError:
                return None
    return None


def looks_like_date(text: str) -> bool:
    """Whether a text that should be a number seems to be a date."""
    return _LOOKS_LIKE_DATE.fullmatch(text) is not None


def read_number(text: str) -> float | None:
    """A finite number, None for anything else."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
