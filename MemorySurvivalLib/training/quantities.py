"""Clinical quantities that a cohort's table may hold: their units, plausible ranges, and how other units convert."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.risk.covariates import CategoricalCovariate, ContinuousCovariate, CovariateSchema


@dataclass(frozen=True)
class Quantity:
    """A number: `stem` is its name without a unit, `name` the column that models know, `units` other units by the
    factor that takes them to `unit`. `unitless` says that a bare column needs no declaration."""

    stem: str
    name: str
    unit: str
    low: float
    high: float
    scale: Literal["linear", "log"] = "linear"
    units: Mapping[str, float] | None = None
    unitless: bool = False

    def factor(self, unit: str) -> float:
        """What a value in `unit` is multiplied by. Raises InputError for a unit that is not known."""
        known = {_plain(self.unit): 1.0, **{_plain(name): value for name, value in (self.units or {}).items()}}
        if _plain(unit) not in known:
            choices = ", ".join((self.unit, *(self.units or {})))
            raise InputError(f"The unit {unit!r} of {self.stem} is not known; use one of {choices}.")
        return known[_plain(unit)]

    def is_plausible(self, value: float) -> bool:
        """Whether a value in the own unit can be true."""
        return math.isfinite(value) and self.low <= value <= self.high

    def units_that_fit(self, written: float, declared: str) -> tuple[str, ...]:
        """Other units in which a written value would be plausible."""
        return tuple(
            unit
            for unit in (self.unit, *(self.units or {}))
            if _plain(unit) != _plain(declared) and self.is_plausible(written * self.factor(unit))
        )


_ALBUMIN = {"g/L": 0.1}
QUANTITIES = (
    Quantity("age", "age_years", "years", 18, 110, unitless=True),
    Quantity("creatinine", "creatinine_mg_dl", "mg/dL", 0.1, 20, "log", {"umol/L": 1 / 88.4}),
    Quantity("haemoglobin", "haemoglobin_g_dl", "g/dL", 3, 22, units={"g/L": 0.1, "mmol/L": 1.611}),
    Quantity("platelets", "platelets_10e9_l", "10^9/L", 5, 1500, units={"10^3/uL": 1.0}),
    Quantity("light_chain_ratio", "light_chain_ratio", "involved/uninvolved", 0.001, 100000, "log", unitless=True),
    Quantity("calcium", "calcium_mg_dl", "mg/dL", 4, 20, units={"mmol/L": 4.008}),
    Quantity("beta2_microglobulin", "beta2_microglobulin_mg_l", "mg/L", 0.3, 100, "log"),
    Quantity("albumin", "albumin_g_dl", "g/dL", 0.8, 7, units=_ALBUMIN),
    Quantity("ldh", "ldh_u_l", "U/L", 20, 20000, "log", {"ukat/L": 60.0}),
    Quantity("ldh_upper_limit", "ldh_upper_limit_u_l", "U/L", 80, 1000, units={"ukat/L": 60.0}),
)
"""Factors follow from molar masses (creatinine 113.12, calcium 40.08) and the haemoglobin monomer (16,114 g/mol).
Ranges are what a person can have, wide enough for extreme disease; a value outside them is a slip of the pen."""


@dataclass(frozen=True)
class Category:
    """A category, its levels, and other words for them."""

    name: str
    levels: tuple[str, ...]
    words: Mapping[str, str]

    def find_level(self, text: str) -> str | None:
        """The level that a written value means, None for an unknown one."""
        plain = text.strip().casefold()
        by_word = {level.casefold(): level for level in self.levels} | dict(self.words)
        return by_word.get(plain)


_STAGE_WORDS = {"1": "I", "2": "II", "3": "III"}
CATEGORIES = (
    Category("sex", ("male", "female"), {"m": "male", "f": "female"}),
    Category(
        "isotype", ("IgG", "IgA", "light_chain", "other"), {"light chain": "light_chain", "bence jones": "light_chain"}
    ),
    Category("r_iss", ("I", "II", "III"), _STAGE_WORDS),
    Category("iss", ("I", "II", "III"), _STAGE_WORDS),
    Category("r2_iss", ("low", "low-intermediate", "intermediate-high", "high"), {}),
    *(
        Category(name, ("no", "yes"), {"1": "yes", "present": "yes", "0": "no", "absent": "no"})
        for name in ("del_17p", "t_4_14", "t_14_16", "gain_1q")
    ),
)


@dataclass(frozen=True)
class Column:
    """How a table's column is to be read: which quantity, in which unit ("" where each row says its own)."""

    header: str
    quantity: Quantity
    unit: str
    unit_column: str = ""


def find_column(header: str, headers: frozenset[str]) -> Column | None:
    """The quantity that a header means, None for none.

    The unit is declared in brackets ("haemoglobin [g/L]"), in the name ("haemoglobin_g_dl"), or for each row in a
    column of its own ("haemoglobin" beside "haemoglobin_unit"). Raises InputError for a quantity without a unit.
    """
    bracketed = re.fullmatch(r"(.+?)\s*[\[(](.+)[\])]\s*", header)
    plain = plain_header(bracketed.group(1) if bracketed else header)
    for quantity in QUANTITIES:
        if bracketed and plain in (quantity.stem, quantity.name):
            quantity.factor(bracketed.group(2))
            return Column(header, quantity, bracketed.group(2).strip())
        if plain == quantity.name:
            return Column(header, quantity, quantity.unit)
        for unit in quantity.units or {}:
            if plain == f"{quantity.stem}_{_in_name(unit)}":
                return Column(header, quantity, unit)
        if plain == quantity.stem:
            if f"{plain}_unit" in headers:
                return Column(header, quantity, "", f"{plain}_unit")
            if quantity.unitless:
                return Column(header, quantity, quantity.unit)
            choices = " or ".join(f"[{unit}]" for unit in (quantity.unit, *(quantity.units or {})))
            raise InputError(
                f"The column {header} does not say its unit; call it {header} {choices}, or add a column "
                f"{plain}_unit that says it for each row."
            )
    return None


def find_category(header: str) -> Category | None:
    """The category that a header means, None for none."""
    plain = plain_header(header)
    return next((category for category in CATEGORIES if category.name == plain), None)


def make_schema(names: tuple[str, ...]) -> CovariateSchema:
    """A schema to be fitted, of those quantities and categories that are among `names`, in this module's order."""
    return CovariateSchema(
        tuple(ContinuousCovariate(q.name, q.unit, q.low, q.high, 0, 1, q.scale) for q in QUANTITIES if q.name in names),
        tuple(CategoricalCovariate(c.name, c.levels, ()) for c in CATEGORIES if c.name in names),
    )


def plain_header(header: str) -> str:
    """A header without regard to case, blanks and hyphens."""
    return header.strip().lower().replace(" ", "_").replace("-", "_")


def _plain(unit: str) -> str:
    return unit.strip().lower().replace("µ", "u").replace("μ", "u").replace(" ", "")


def _in_name(unit: str) -> str:
    return _plain(unit).replace("^", "e").replace("/", "_")
