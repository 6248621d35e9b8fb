"""What a form needs to know of one covariate, and the one check of a written value; standard library only.

A viewer's own Python checks what is typed with this before the packages of the model are installed.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from MemorySurvivalLib.errors import InputError

MISSING_WORDS = frozenset({"", "na", "n/a", "nan", "none", "null", "unknown", "missing"})
"""What counts as no value, in any case of letters."""


@dataclass(frozen=True)
class CovariateField:
    """One value that a head takes: a number from `low` to `high` in `unit`, or one of `levels` (then not empty)."""

    name: str
    unit: str = ""
    low: float = 0.0
    high: float = 0.0
    levels: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """The name in words, without its unit: "haemoglobin_g_dl" is "Haemoglobin"."""
        words = self.name
        for suffix in _unit_suffixes(self.unit):
            if words.lower().endswith(f"_{suffix}"):
                words = words[: -len(suffix) - 1]
                break
        known = _TITLES.get(words.lower())
        return known or words.replace("_", " ")[:1].upper() + words.replace("_", " ")[1:]

    @property
    def range_text(self) -> str:
        """What can be true, such as "3 to 22 g/dL" or "male, female"."""
        return ", ".join(self.levels) if self.levels else f"{self.low:g} to {self.high:g} {self.unit}".rstrip()


_TITLES = {
    "r_iss": "R-ISS stage",
    "r2_iss": "R2-ISS stage",
    "iss": "ISS stage",
    "light_chain_ratio": "Free light chain ratio",
    "beta2_microglobulin": "Beta-2 microglobulin",
    "ldh": "LDH",
    "ldh_upper_limit": "LDH upper limit of normal",
    "ldh_level": "LDH as stated",
    "del_17p": "del(17p)",
    "t_4_14": "t(4;14)",
    "t_14_16": "t(14;16)",
    "gain_1q": "1q gain or amplification",
}


_UNITS = ("years", "mg/dL", "mg/L", "g/dL", "g/L", "U/L", "10^9/L")


def field_of(name: str) -> CovariateField:
    """What a column's name alone says: its title, and the unit that it ends with ("" where it ends with none known).

    A record keeps names and values; what a person reads is made of them with this.
    """
    fields = (CovariateField(name, unit) for unit in _UNITS)
    plain = CovariateField(name)
    return next((one for one in fields if one.title != plain.title), plain)


def list_titles(names: Iterable[str]) -> str:
    """Columns' names in words, with commas: "R-ISS stage, Calcium"."""
    return ", ".join(field_of(name).title for name in names)


def say_missing(titles: str) -> str:
    """The sentence about covariates that were not given; `titles` as `list_titles` makes them."""
    return f"Missing covariates took the training cohort's average: {titles}."


def say_with_unit(name: str, value: str) -> str:
    """A column's name in words and its value with the unit: "Calcium 9.3 mg/dL"."""
    field = field_of(name)
    return f"{field.title} {value} {field.unit}".rstrip()


def is_missing(text: str) -> bool:
    """Whether a written value means that there is none."""
    return text.strip().lower() in MISSING_WORDS


def find_problem(field: CovariateField, text: str) -> str | None:
    """Why a written value (C locale, not missing) cannot be taken, as one sentence; None when it can."""
    if field.levels:
        if find_level(field, text) is not None:
            return None
        return (
            f"The covariate {field.name} has the unknown value {text!r}; "
            f"use one of {', '.join(field.levels)} or leave it blank."
        )
    try:
        value = float(text)
    except ValueError:
        return f"The covariate {field.name} is {text!r}, which is not a number; give it in {field.unit}."
    if not math.isfinite(value) or not field.low <= value <= field.high:
        return (
            f"The covariate {field.name} is {value:g}, outside {field.low:g} to {field.high:g} "
            f"{field.unit}; check the value and its unit."
        )
    return None


def find_level(field: CovariateField, text: str) -> str | None:
    """The level that a written value means, whatever the case of its letters; None where there is none such."""
    return next((level for level in field.levels if level.lower() == text.strip().lower()), None)


def take_known(fields: Iterable[CovariateField], values: Mapping[str, str]) -> dict[str, str]:
    """Those of `values` that a form has fields for and that are not missing, under the fields' own names.

    Names are compared as `plain_name` says; the unit is part of a name and is never guessed. Raises InputError where
    two names are one and the same field.
    """
    by_name: dict[str, str] = {}
    for name, text in values.items():
        if is_missing(text):
            continue
        if by_name.setdefault(plain_name(name), text.strip()) != text.strip():
            raise InputError(f"The covariate {name} is given twice, with different values; keep one of them.")
    return {field.name: by_name[plain_name(field.name)] for field in fields if plain_name(field.name) in by_name}


def hash_patient(identifier: str) -> str:
    """A hash of a patient ID as it is compared (case and blanks around it do not count); "" for none."""
    plain = identifier.strip().casefold()
    return hashlib.sha256(plain.encode()).hexdigest() if plain else ""


def plain_name(name: str) -> str:
    """A column's name without regard to case, blanks and hyphens."""
    return name.strip().lower().replace(" ", "_").replace("-", "_")


def _unit_suffixes(unit: str) -> tuple[str, ...]:
    """How a unit is written at the end of a name: "g/dL" as "g_dl", "10^9/L" as "10e9_l"."""
    if not unit:
        return ()
    plain = unit.lower().replace("/", "_").replace(" ", "_")
    return tuple(dict.fromkeys((plain.replace("^", "e"), plain.replace("^", ""), plain)))
