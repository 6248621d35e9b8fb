"""Clinical covariates: reading one patient's values, checking units and ranges, and encoding them for a head."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.risk.covariate_fields import CovariateField, find_level, find_problem, plain_name, take_known

Covariates = Mapping[str, str]
"""One patient's values as written, by column name; blank means missing."""


class ContinuousCovariate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A number: its unit, the range that is taken as plausible, and the training cohort's mean and SD (as scaled)."""

    name: str
    unit: str
    low: float
    high: float
    mean: float
    sd: float
    scale: Literal["linear", "log"] = "linear"

    @property
    def field(self) -> CovariateField:
        """What a form asks."""
        return CovariateField(self.name, self.unit, self.low, self.high)

    def scaled(self, value: float) -> float:
        """The value as it is averaged and z-scored: its natural logarithm where ratios spread over decades."""
        return math.log(value) if self.scale == "log" else value


class CategoricalCovariate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A category: its levels and their shares in the training cohort."""

    name: str
    levels: tuple[str, ...]
    shares: tuple[float, ...]

    @property
    def field(self) -> CovariateField:
        """What a form asks."""
        return CovariateField(self.name, levels=self.levels)


class CovariateSchema(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a head expects, with the preprocessing state that was fitted on its training cohort.

    Continuous values are z-scored, categories one-hot; missing values take the training mean (0 after scaling) or
    the training shares (paper section 2.4.2). `indicators` names those for which one value more at the end says
    whether they were missing (1) or not (0).
    """

    continuous: tuple[ContinuousCovariate, ...]
    categorical: tuple[CategoricalCovariate, ...]
    indicators: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Column names in the order of encoding."""
        return (*(c.name for c in self.continuous), *(c.name for c in self.categorical))

    @property
    def fields(self) -> tuple[CovariateField, ...]:
        """What a form asks, in the order of encoding."""
        return (*(c.field for c in self.continuous), *(c.field for c in self.categorical))

    @property
    def width(self) -> int:
        """Length of the encoded vector."""
        return len(self.continuous) + sum(len(c.levels) for c in self.categorical) + len(self.indicators)

    def find_problem(self) -> str | None:
        """What makes this schema unusable for encoding, as a clause; None when it is fitted and consistent."""
        if not self.names or len(set(self.names)) != len(self.names):
            return "it needs one or more covariates, each named once"
        for number in self.continuous:
            if not number.low < number.high or not number.sd > 0:
                return f"{number.name} needs low < high and an SD above 0"
            if number.scale == "log" and not number.low > 0:
                return f"{number.name} is on a logarithmic scale and needs low > 0"
        for category in self.categorical:
            if len(category.shares) != len(category.levels) or min(category.shares, default=-1) < 0:
                return f"{category.name} needs a share of at least 0 for each level"
            if len({level.lower() for level in category.levels}) != len(category.levels):
                return f"{category.name} names a level twice"
        if len(set(self.indicators)) != len(self.indicators) or not set(self.indicators) <= set(self.names):
            return "its indicators of missing values need to name its covariates, each once"
        return None


@dataclass(frozen=True)
class EncodedCovariates:
    """The vector for the head, the values it was made from, and what was missing and therefore imputed."""

    vector: tuple[float, ...]
    used: Mapping[str, str]
    missing: tuple[str, ...]
    ignored: tuple[str, ...]


def read_covariates(path: Path) -> dict[str, str]:
    """Read one patient's covariates from a CSV file (a header row and one row of values) or a JSON object.

    Raises InputError for a missing or unreadable file and for a table that does not hold exactly one patient.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"The covariates file {path} does not exist; check the path.") from None
    except UnicodeDecodeError as error:
        raise InputError(f"The covariates file {path} cannot be read as UTF-8 text; save it as CSV or JSON.") from error
    except OSError as error:
        raise InputError(
            f"The covariates file {path} cannot be opened ({error.strerror}); check the path and its permissions."
        ) from error
    if path.suffix.lower() == ".json":
        try:
            decoded = msgspec.json.decode(text, type=dict[str, str | float | int | None])
        except msgspec.DecodeError as error:
            raise InputError(
                f"The covariates file {path} is not a JSON object of names and values ({error}); correct it."
            ) from error
        return {name: "" if value is None else str(value) for name, value in decoded.items()}
    # Spreadsheets in countries with a decimal comma separate columns by semicolons.
    european = ";" in text and "," not in text.partition("\n")[0]
    delimiter = ";" if european else ","
    try:
        rows = [row for row in csv.reader(io.StringIO(text), delimiter=delimiter) if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise InputError(f"The covariates file {path} is not a CSV table ({error}); save it as CSV or JSON.") from error
    if len(rows) != 2:
        raise InputError(
            f"The covariates file {path} must hold one patient (a header row and one row of values); "
            f"it has {len(rows)} rows."
        )
    if len(rows[0]) != len(rows[1]):
        raise InputError(
            f"The covariates file {path} has {len(rows[0])} column names and {len(rows[1])} values; make them match."
        )
    values = {name.strip(): cell.strip() for name, cell in zip(*rows, strict=True)}
    if european:
        values = {name: cell.replace(",", ".") for name, cell in values.items()}
    if len(values) != len(rows[0]):
        raise InputError(f"The covariates file {path} names a column twice; keep one of them.")
    return values


PATIENT_ID_COLUMNS = ("patient_id", "patientid", "patient id")


def find_patient_id(values: Covariates) -> str | None:
    """Whom the values belong to, where a column says so; compared with the images, never an input of a model."""
    return next((text for name, text in values.items() if name.strip().lower() in PATIENT_ID_COLUMNS and text), None)


def encode_covariates(schema: CovariateSchema, values: Covariates) -> EncodedCovariates:
    """Turn one patient's values into the head's input vector.

    Names are matched without regard to case, blanks and hyphens. Raises InputError for text where a number belongs,
    values outside the plausible range (the usual cause is another unit), unknown categories, and two different values
    of one covariate.
    """
    vector: list[float] = []
    used: dict[str, str] = {}
    missing: list[str] = []
    known = take_known(schema.fields, values)
    for number in schema.continuous:
        text = known.get(number.name, "")
        if not text:
            missing.append(number.name)
            vector.append(0.0)
            continue
        _insist(number.field, text)
        vector.append((number.scaled(float(text)) - number.mean) / number.sd)
        used[number.name] = text
    for category in schema.categorical:
        text = known.get(category.name, "")
        if not text:
            missing.append(category.name)
            vector.extend(category.shares)
            continue
        _insist(category.field, text)
        meant = find_level(category.field, text)
        vector.extend(float(level == meant) for level in category.levels)
        used[category.name] = text
    vector.extend(float(name in missing) for name in schema.indicators)
    names = {plain_name(name) for name in schema.names}
    ignored = tuple(name for name in values if plain_name(name) not in names)
    return EncodedCovariates(tuple(vector), used, tuple(missing), ignored)


def _insist(field: CovariateField, text: str) -> None:
    problem = find_problem(field, text)
    if problem is not None:
        raise InputError(problem)
