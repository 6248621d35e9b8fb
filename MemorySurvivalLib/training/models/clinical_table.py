"""Clinical columns fitted on training patients: means, SDs, shares of categories, and indicators of missing values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.risk.covariate_fields import CovariateField, find_level, find_problem, take_known
from MemorySurvivalLib.risk.covariates import CategoricalCovariate, CovariateSchema, encode_covariates
from MemorySurvivalLib.training.data import CohortData

SMALLEST_SD = 1e-9


@dataclass(frozen=True)
class FittedClinical:
    """The schema with its fitted numbers, and a sentence for each column that could not be used."""

    schema: CovariateSchema
    notes: tuple[str, ...]

    def encode(self, data: CohortData) -> npt.NDArray[np.float64]:
        """Encoded covariates (n, width). Raises InputError, naming the row, for a value that cannot be taken."""
        rows = [_encode_row(self.schema, row, number) for number, row in enumerate(_rows(data), 1)]
        return np.asarray(rows, dtype=np.float64).reshape(len(data), self.schema.width)


def fit_clinical(template: CovariateSchema, data: CohortData, *, indicators: bool) -> FittedClinical:
    """`template` (names, units, plausible ranges, levels) with what these patients' recorded values say.

    A column that is empty or the same in all of them is left out with a note. With `indicators` each column that some
    of them miss gets one value more that says whether it was missing: values may be missing for a reason.
    Raises InputError where no column is left, or a value cannot be taken.
    """
    rows = [_known(template, row, number) for number, row in enumerate(_rows(data), 1)]
    continuous, categorical, notes = [], [], []
    for number in template.continuous:
        values = np.array([number.scaled(float(row[number.name])) for row in rows if row.get(number.name)])
        if len(values) < 2 or values.std(ddof=1) <= SMALLEST_SD:
            notes.append(_say_unused(number.name, len(values)))
            continue
        continuous.append(msgspec.structs.replace(number, mean=float(values.mean()), sd=float(values.std(ddof=1))))
    for category in template.categorical:
        levels = [find_level(category.field, row[category.name]) for row in rows if row.get(category.name)]
        if len(set(levels)) < 2:
            notes.append(_say_unused(category.name, len(levels)))
            continue
        shares = tuple(levels.count(level) / len(levels) for level in category.levels)
        categorical.append(CategoricalCovariate(category.name, category.levels, shares))
    if not continuous and not categorical:
        raise InputError(
            "No clinical covariate differs between the patients to learn from "
            f"({', '.join(template.names)}); check the columns' names and values."
        )
    names = [*(c.name for c in continuous), *(c.name for c in categorical)]
    marked = tuple(name for name in names if indicators and any(not row.get(name) for row in rows))
    return FittedClinical(CovariateSchema(tuple(continuous), tuple(categorical), marked), tuple(notes))


def _rows(data: CohortData) -> tuple[Mapping[str, str], ...]:
    if not data.covariates:
        raise InputError("The cohort has no clinical covariates; give them, or choose a model without them.")
    return data.covariates


def _known(template: CovariateSchema, row: Mapping[str, str], number: int) -> dict[str, str]:
    try:
        known = take_known(template.fields, row)
    except InputError as error:
        raise InputError(f"Row {number} of the cohort: {error}") from error
    fields: dict[str, CovariateField] = {field.name: field for field in template.fields}
    problem = next((p for name, text in known.items() if (p := find_problem(fields[name], text))), None)
    if problem is not None:
        raise InputError(f"Row {number} of the cohort: {problem}")
    return known


def _encode_row(schema: CovariateSchema, row: Mapping[str, str], number: int) -> tuple[float, ...]:
    try:
        return encode_covariates(schema, row).vector
    except InputError as error:
        raise InputError(f"Row {number} of the cohort: {error}") from error


def _say_unused(name: str, known: int) -> str:
    why = "the same in all" if known else "missing in all"
    return f"The covariate {name} is {why} patients to learn from; it is not used."
