"""Where one patient's clinical values come from: a file, DICOM tags, and what a person gave in a form; who wins."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from MemorySurvivalLib.risk.covariate_fields import (
    CovariateField,
    field_of,
    find_level,
    is_missing,
    plain_name,
    say_with_unit,
)
from MemorySurvivalLib.risk.covariates import PATIENT_ID_COLUMNS, read_covariates

if TYPE_CHECKING:
    from pydicom.dataset import Dataset


@dataclass(frozen=True)
class GivenCovariate:
    """A value that a form holds (C locale), and where it says it is from, such as "typed" or "DICOM"."""

    value: str
    source: str


def gather_covariates(
    file: Path | None, given: Mapping[str, GivenCovariate]
) -> tuple[dict[str, str] | None, tuple[str, ...]]:
    """One patient's values, and sentences on where they are from. None where nothing was given at all.

    A value of a form wins over the file's; where the two differ a sentence says so. A value given as blank or missing
    takes the file's away. Raises InputError for a file that cannot be read.
    """
    if file is None and not given:
        return None, ()
    values = read_covariates(file) if file is not None else {}
    names = {plain_name(name): name for name in values}
    notes = []
    for name, one in given.items():
        known = names.get(plain_name(name), name)
        before = values.get(known, "")
        if not is_missing(before) and before != one.value.strip():
            now = "no value" if is_missing(one.value) else one.value
            title = field_of(name).title
            notes.append(
                f"The covariate {title} was {one.source} as {now}, which is used instead of the file's {before}."
            )
        values[known] = one.value.strip()
    sources: dict[str, list[str]] = {}
    for name, one in given.items():
        if not is_missing(one.value):
            sources.setdefault(one.source, []).append(say_with_unit(name, one.value))
    notes += [f"Covariates {source}: {', '.join(texts)}." for source, texts in sources.items()]
    if not any(not is_missing(text) for name, text in values.items() if name.lower() not in PATIENT_ID_COLUMNS):
        return (values if file is not None else None), tuple(notes)
    return values, tuple(notes)


def read_dicom_covariates(header: Dataset, fields: tuple[CovariateField, ...]) -> dict[str, str]:
    """What a DICOM header says of the fields that DICOM has tags for: age, sex, weight and height, in the field's unit.

    The age is the stated one, else whole years from the birth date to the study date. A unit that is not known here is
    left out, never guessed.
    """
    found = {}
    for field in fields:
        reader = _READERS.get(field.title.lower())
        text = reader(header, field) if reader is not None else None
        if text is not None:
            found[field.name] = text
    return found


def _age(header: Dataset, field: CovariateField) -> str | None:
    from MemorySurvivalLib.imaging.dicom_header import text

    if field.unit not in ("years", "year", "a"):
        return None
    stated = text(header, "PatientAge")
    if len(stated) == 4 and stated[:3].isdigit() and stated[3] == "Y" and int(stated[:3]) > 0:
        return str(int(stated[:3]))
    try:
        born = datetime.strptime(text(header, "PatientBirthDate"), "%Y%m%d")
        studied = datetime.strptime(text(header, "StudyDate"), "%Y%m%d")
    except ValueError:
        return None
    years = studied.year - born.year - ((studied.month, studied.day) < (born.month, born.day))
    return str(years) if years > 0 else None


def _sex(header: Dataset, field: CovariateField) -> str | None:
    from MemorySurvivalLib.imaging.dicom_header import text

    words = {"M": ("male", "m"), "F": ("female", "f")}.get(text(header, "PatientSex").upper(), ())
    return next((level for word in words if (level := find_level(field, word)) is not None), None)


def _weight(header: Dataset, field: CovariateField) -> str | None:
    return _scaled(header, "PatientWeight", {"kg": 1.0, "g": 1000.0}.get(field.unit))


def _height(header: Dataset, field: CovariateField) -> str | None:
    return _scaled(header, "PatientSize", {"m": 1.0, "cm": 100.0}.get(field.unit))


def _scaled(header: Dataset, keyword: str, factor: float | None) -> str | None:
    from MemorySurvivalLib.imaging.dicom_header import number

    value = number(header, keyword)
    return f"{value * factor:g}" if value and value > 0 and factor is not None else None


_READERS: Mapping[str, Callable[[Dataset, CovariateField], str | None]] = {
    "age": _age,
    "sex": _sex,
    "weight": _weight,
    "body weight": _weight,
    "height": _height,
    "body height": _height,
    "size": _height,
}
