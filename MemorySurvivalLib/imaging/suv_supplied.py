"""What a user may state about a PET where its tags are missing or wrong: by options, by panel, or from JSON."""

from __future__ import annotations

import argparse
import math
from dataclasses import asdict, dataclass
from datetime import datetime, time
from typing import Literal, get_args

from MemorySurvivalLib.errors import InputError

Sex = Literal["F", "M", "O"]
Field = Literal["dose_bq", "injection_time", "scan_time", "half_life_s", "weight_kg", "height_m", "sex"]

BQ_PER_MBQ = 1e6

PLAUSIBLE = {
    "dose_bq": (1e6, 1e10),
    "half_life_s": (1.0, 1e8),
    "weight_kg": (1.0, 500.0),
    "height_m": (0.4, 2.6),
}
"""What can be true of a person and a PET tracer at all; ends belong to the range."""


@dataclass(frozen=True)
class Question:
    """How a quantity is named to users: in words, by its tag, and by the option that supplies it."""

    words: str
    tag: str
    option: str
    example: str


QUESTIONS: dict[Field, Question] = {
    "dose_bq": Question("injected dose", "(0018,1074)", "--pet-dose-mbq", "370"),
    "injection_time": Question("injection time", "(0018,1078)", "--pet-injected", '"2020-01-31 10:15"'),
    "scan_time": Question("start of the scan", "(0008,0031)", "--pet-scanned", '"2020-01-31 11:15"'),
    "half_life_s": Question("radionuclide's half-life", "(0018,1075)", "--pet-half-life-s", "6586.2"),
    "weight_kg": Question("patient's weight", "(0010,1030)", "--pet-weight-kg", "71"),
    "height_m": Question("patient's height", "(0010,1020)", "--pet-height-m", "1.75"),
    "sex": Question("patient's sex", "(0010,0040)", "--pet-sex", "F"),
}


@dataclass(frozen=True)
class Supplied:
    """Values a user states; None leaves the tag to speak. Raises InputError for a value that cannot be true.

    Times are texts in ISO form, "2020-01-31 10:15" or "2020-01-31T10:15:30", or a time of day alone ("10:15"), which
    then takes its date from the scan. `scan_time` is the time that values are decay-corrected to, as a rule the start
    of the scan. `sex` O takes the mean of the formulas for women and men.
    """

    dose_bq: float | None = None
    injection_time: str | None = None
    scan_time: str | None = None
    half_life_s: float | None = None
    weight_kg: float | None = None
    height_m: float | None = None
    sex: Sex | None = None

    def __post_init__(self) -> None:
        for name, (low, high) in PLAUSIBLE.items():
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and low <= value <= high):
                question = QUESTIONS[name]  # type: ignore[index]
                raise InputError(
                    f"The supplied {question.words} of {describe_number(name, value)} cannot be right; "
                    f"give it as in {question.option} {question.example}."
                )
        if self.sex is not None and self.sex not in get_args(Sex):
            raise InputError(f"The supplied sex {self.sex!r} is none of F, M and O.")
        for name in ("injection_time", "scan_time"):
            value = getattr(self, name)
            if value is not None:
                parse_time(value, name)

    @property
    def injected(self) -> datetime | time | None:
        """The injection, as a moment or as a time of day."""
        return None if self.injection_time is None else parse_time(self.injection_time, "injection_time")

    @property
    def scanned(self) -> datetime | time | None:
        """The scan, as a moment or as a time of day."""
        return None if self.scan_time is None else parse_time(self.scan_time, "scan_time")

    def stated(self) -> dict[str, str | float]:
        """Only what was stated, for the record."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def describe_number(name: str, value: float) -> str:
    """A quantity as users write it."""
    if name == "dose_bq":
        return f"{value / BQ_PER_MBQ:g} MBq"
    return f"{value:g} {name.rsplit('_', 1)[-1]}"


def parse_time(words: str, name: str) -> datetime | time:
    """A moment (without zone) or a time of day from ISO text. Raises InputError that shows the form."""
    question = QUESTIONS[name]  # type: ignore[index]
    for parse in (_parse_clock, datetime.fromisoformat):
        try:
            found = parse(words.strip())
        except ValueError:
            continue
        if len(words.strip()) == 10 or found.tzinfo:
            break
        return found
    raise InputError(
        f'The supplied {question.words} "{words}" is not a date and time; write it as in '
        f"{question.option} {question.example} (local time, no zone)."
    )


def _parse_clock(words: str) -> time:
    if words.count(":") not in (1, 2) or "-" in words or " " in words:
        raise ValueError
    return time.fromisoformat(words if words.index(":") == 2 else f"0{words}")


def add_pet_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that supply what a PET's tags do not tell."""
    group = parser.add_argument_group(
        "PET values where the DICOM tags are missing or wrong (they win over the tags and are recorded as supplied)"
    )
    group.add_argument("--pet-dose-mbq", type=float, metavar="MBQ", help="injected dose in MBq")
    group.add_argument("--pet-injected", metavar="TIME", help='injection, as "2020-01-31 10:15"')
    group.add_argument(
        "--pet-scanned", metavar="TIME", help='time the PET is decay-corrected to, as "2020-01-31 11:15"'
    )
    group.add_argument("--pet-half-life-s", type=float, metavar="S", help="half-life in seconds (F-18: 6586.2)")
    group.add_argument("--pet-weight-kg", type=float, metavar="KG", help="patient's weight in kg")
    group.add_argument("--pet-height-m", type=float, metavar="M", help="patient's height in m")
    group.add_argument("--pet-sex", choices=get_args(Sex), help="patient's sex; O is the mean of both formulas")


def supplied_from(options: argparse.Namespace) -> Supplied:
    """What the options of `add_pet_options` state; options that a parser lacks count as not given."""
    dose_mbq = getattr(options, "pet_dose_mbq", None)
    return Supplied(
        dose_bq=None if dose_mbq is None else dose_mbq * BQ_PER_MBQ,
        injection_time=getattr(options, "pet_injected", None),
        scan_time=getattr(options, "pet_scanned", None),
        half_life_s=getattr(options, "pet_half_life_s", None),
        weight_kg=getattr(options, "pet_weight_kg", None),
        height_m=getattr(options, "pet_height_m", None),
        sex=getattr(options, "pet_sex", None),
    )
