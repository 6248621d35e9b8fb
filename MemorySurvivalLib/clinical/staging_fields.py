"""The laboratory and FISH values that staging needs, with units and plausible ranges; standard library only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.risk.covariate_fields import CovariateField, find_level, find_problem, plain_name, take_known

YES_NO = ("yes", "no")

FISH = {"del_17p": "del(17p)", "t_4_14": "t(4;14)", "t_14_16": "t(14;16)", "gain_1q": "1q gain or amplification"}
"""Names of fields to the aberrations as they are written; each is found ("yes"), excluded ("no"), or not known."""

STAGING_FIELDS = (
    CovariateField("beta2_microglobulin_mg_l", "mg/L", 0.3, 100.0),
    CovariateField("albumin_g_dl", "g/dL", 0.8, 7.0),
    CovariateField("albumin_g_l", "g/L", 8.0, 70.0),
    CovariateField("ldh_u_l", "U/L", 20.0, 20000.0),
    CovariateField("ldh_upper_limit_u_l", "U/L", 80.0, 1000.0),
    CovariateField("ldh_level", levels=("normal", "high")),
    *(CovariateField(name, levels=YES_NO) for name in FISH),
)
"""What a form asks. The ranges of the two units of albumin do not overlap, so that one is never taken for the other."""

_NAMES = frozenset(plain_name(field.name) for field in STAGING_FIELDS)

_SAME_ALBUMIN_G_DL = 0.051
"""Two statements of one albumin may differ by their rounding."""


def is_for_staging(column: str) -> bool:
    """Whether a staging score reads a column of this name."""
    return plain_name(column) in _NAMES


@dataclass(frozen=True)
class StagingValues:
    """One patient's values as they are computed with; None is not known.

    `albumin_g_dl` is in g/dL whatever it was given in; `ldh_high` says whether LDH is above its laboratory's upper
    limit of normal. `written` holds every value as it was given, with its unit, by the input's name.
    """

    beta2_microglobulin_mg_l: float | None
    albumin_g_dl: float | None
    ldh_high: bool | None
    ldh_without_limit: bool
    fish: Mapping[str, bool | None]
    written: Mapping[str, str]


def read_staging_values(values: Mapping[str, str]) -> StagingValues:
    """One patient's values by column name, as text in C locale; blank and "unknown" are not known, others are ignored.

    Raises InputError, one sentence, for a value that cannot be true, a word that is not in the list, and two statements
    that contradict each other.
    """
    known = take_known(STAGING_FIELDS, values)
    fields = {field.name: field for field in STAGING_FIELDS}
    for name, text in known.items():
        problem = find_problem(fields[name], text)
        if problem is not None:
            raise InputError(problem)
    numbers = {name: float(text) for name, text in known.items() if not fields[name].levels}
    albumin = _read_albumin(numbers)
    ldh_high, without_limit = _read_ldh(numbers, known)
    words = {name: find_level(fields[name], text) for name, text in known.items() if fields[name].levels}
    fish = {name: words[name] == "yes" if name in words else None for name in FISH}
    written = {_title(name): f"{words.get(name) or text} {fields[name].unit}".rstrip() for name, text in known.items()}
    return StagingValues(numbers.get("beta2_microglobulin_mg_l"), albumin, ldh_high, without_limit, fish, written)


def _read_albumin(numbers: Mapping[str, float]) -> float | None:
    grams_dl = numbers.get("albumin_g_dl")
    if "albumin_g_l" not in numbers:
        return grams_dl
    converted = numbers["albumin_g_l"] / 10.0
    if grams_dl is not None and abs(grams_dl - converted) > _SAME_ALBUMIN_G_DL:
        raise InputError(
            f"Albumin is given as {grams_dl:g} g/dL and as {numbers['albumin_g_l']:g} g/L, which differ; "
            "keep one of them."
        )
    return converted if grams_dl is None else grams_dl


def _read_ldh(numbers: Mapping[str, float], known: Mapping[str, str]) -> tuple[bool | None, bool]:
    """Whether LDH is high, and whether it was given without the limit that would say so."""
    stated = None if "ldh_level" not in known else known["ldh_level"].strip().lower() == "high"
    value, limit = numbers.get("ldh_u_l"), numbers.get("ldh_upper_limit_u_l")
    if value is None or limit is None:
        return stated, stated is None and value is not None
    high = value > limit
    if stated is not None and stated != high:
        raise InputError(
            f"LDH is stated as {known['ldh_level']}, but {value:g} U/L is {'above' if high else 'not above'} the upper "
            f"limit of {limit:g} U/L; correct one of them."
        )
    return high, False


def _title(name: str) -> str:
    return next(field.title for field in STAGING_FIELDS if field.name == name)
