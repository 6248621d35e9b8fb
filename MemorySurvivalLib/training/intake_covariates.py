"""The covariates of a cohort's table: declared units, levels, what is implausible, and mixtures of units."""

from __future__ import annotations

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.training.cohort_table import CohortTable, TableRow, looks_like_date, read_number
from MemorySurvivalLib.training.intake_findings import Findings, Flag
from MemorySurvivalLib.training.quantities import Category, Column, find_category, find_column, plain_header


def covariate_columns(
    table: CohortTable, found: Findings
) -> tuple[tuple[Column, ...], tuple[Category, ...], frozenset[str]]:
    """Quantities, categories, and the plain headers that they use; what cannot be read becomes a problem."""
    columns, categories = [], []
    used: set[str] = set()
    for header in table.headers:
        try:
            column = find_column(header, table.plain_headers)
        except InputError as error:
            found.problems.append(str(error))
            used.add(plain_header(header))
            continue
        category = find_category(header)
        if column is not None:
            columns.append(column)
            used |= {plain_header(header), column.unit_column}
        elif category is not None:
            categories.append(category)
            used.add(plain_header(header))
    names = [column.quantity.name for column in columns]
    for name in sorted({name for name in names if names.count(name) > 1}):
        headers = " and ".join(column.header for column in columns if column.quantity.name == name)
        found.problems.append(f"The columns {headers} hold the same quantity; keep one of them.")
    return tuple(columns), tuple(categories), frozenset(used)


def read_covariates(
    row: TableRow, columns: tuple[Column, ...], categories: tuple[Category, ...], found: Findings
) -> dict[str, str]:
    """A patient's values by the names and in the units that models know; implausible ones are flagged and left out."""
    values = {}
    for column in columns:
        text = row.cells.get(plain_header(column.header))
        if text is None:
            continue
        if looks_like_date(text) or read_number(text) is None:
            found.problems.append(
                f"{column.header} of row {row.number} is {text!r}, which is not a number; correct it."
            )
            continue
        value = _value(row, column, text, found)
        if value is None:
            continue
        if column.quantity.is_plausible(value):
            values[column.quantity.name] = f"{value:.6g}"
            continue
        quantity = column.quantity
        found.flags.append(
            Flag(
                row.number,
                column.header,
                f"{column.header} of row {row.number} is {text}, outside {quantity.low:g} to {quantity.high:g} "
                f"{quantity.unit}; it counts as missing.",
            )
        )
    for category in categories:
        text = row.cells.get(category.name)
        if text is None:
            continue
        level = category.find_level(text)
        if level is None:
            found.problems.append(
                f"{category.name} of row {row.number} is {text!r}; use one of {', '.join(category.levels)} or leave it "
                "blank."
            )
        else:
            values[category.name] = level
    return values


def _value(row: TableRow, column: Column, text: str, found: Findings) -> float | None:
    """The value in the quantity's own unit, None where the row does not say a known unit."""
    unit = column.unit or row.cells.get(column.unit_column, "")
    if not unit:
        found.problems.append(
            f"{column.header} of row {row.number} has no unit in {column.unit_column}; say which it is in."
        )
        return None
    try:
        return float(text) * column.quantity.factor(unit)
    except InputError as error:
        found.problems.append(f"Row {row.number}: {error}")
        return None


def check_mixed_units(table: CohortTable, columns: tuple[Column, ...], found: Findings) -> None:
    """Values that one unit cannot explain and another would: undeclared mixtures are refused, not repaired."""
    for column in columns:
        if not column.unit:
            continue
        odd = {}
        for row in table.rows:
            written = read_number(row.cells.get(plain_header(column.header), ""))
            quantity = column.quantity
            if written is None or quantity.is_plausible(written * quantity.factor(column.unit)):
                continue
            fitting = quantity.units_that_fit(written, column.unit)
            if fitting:
                odd[row.number] = fitting
        if odd:
            rows = ", ".join(map(str, list(odd)[:8]))
            units = " or ".join(dict.fromkeys(unit for fitting in odd.values() for unit in fitting))
            found.problems.append(
                f"{column.header} is declared in {column.unit}, but row{'s' if len(odd) > 1 else ''} {rows} "
                f"would be plausible in {units} only; declare the unit of each row in a column "
                f"{column.quantity.stem}_unit, or convert the values."
            )
