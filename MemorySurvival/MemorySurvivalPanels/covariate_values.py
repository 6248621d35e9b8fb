"""The clinical values of one patient: typed, from a table or DICOM (saved with the scene), or from a file; who wins."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import qt
from slicer.i18n import tr as _

from MemorySurvivalPanels.bundle_catalog import covariate_fields, has_image_head
from MemorySurvivalPanels.parameters import ScoreParameters

if TYPE_CHECKING:
    from MemorySurvivalLib.risk.covariate_fields import CovariateField

_DOUBT = "?"
"""Ends a number that could mean two, so that it cannot be taken."""

TYPED, DICOM, FILE = "typed", "from DICOM", "from the file"
"""The sources of a value as they stand in the scene and in the result's record."""


@dataclass(frozen=True)
class FormValue:
    """A value in C locale as it is handed over, or as it was typed where that cannot be read; and where it is from."""

    text: str
    source: str


@dataclass(frozen=True)
class FileValues:
    """What the library read from a CSV or JSON file; `patient` is a hash of the ID in it, `problem` why it failed."""

    values: Mapping[str, str]
    unknown: tuple[str, ...] = ()
    patient: str = ""
    problem: str = ""


_FILES: dict[tuple[str, int, str], FileValues] = {}


def file_key(parameters: ScoreParameters) -> tuple[str, int, str] | None:
    """The chosen file as it is now and the bundle whose fields it is read for; None where none is chosen."""
    if not parameters.covariates:
        return None
    path = Path(parameters.covariates)
    try:
        changed = path.stat().st_mtime_ns
    except OSError:
        changed = 0
    return str(path), changed, parameters.bundle


def remember_file(key: tuple[str, int, str], found: FileValues) -> None:
    """Keep what was read, for every part of the panel."""
    _FILES[key] = found


def file_values(parameters: ScoreParameters) -> FileValues | None:
    """What the chosen file says; None while none is chosen or it was not read yet."""
    key = file_key(parameters)
    return _FILES.get(key) if key is not None else None


def read_form(parameters: ScoreParameters) -> dict[str, FormValue]:
    """The values that are saved with the scene; empty for what another version wrote."""
    try:
        stored = json.loads(parameters.covariate_values or "{}")
        return {str(name): FormValue(str(one["text"]), str(one["source"])) for name, one in stored["values"].items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


def form_patient(parameters: ScoreParameters) -> str:
    """The hash of the patient ID that came with a table's values; "" for none."""
    try:
        return str(json.loads(parameters.covariate_values or "{}").get("patient", ""))
    except (ValueError, AttributeError):
        return ""


def write_form(parameters: ScoreParameters, values: Mapping[str, FormValue], patient: str = "") -> None:
    """Save values with the scene."""
    stored = {name: {"text": one.text, "source": one.source} for name, one in sorted(values.items())}
    said = {"values": stored, **({"patient": patient} if patient else {})}
    text = json.dumps(said) if stored else ""
    if parameters.covariate_values != text:
        parameters.covariate_values = text


def given_values(parameters: ScoreParameters) -> dict[str, FormValue]:
    """Every value that would be used for the chosen bundle, by its field; what the form holds wins over the file."""
    fields = covariate_fields(parameters.bundle)
    file, form = file_values(parameters), read_form(parameters)
    found = {name: FormValue(text, FILE) for name, text in file.values.items()} if file else {}
    found.update(form)
    names = {field.name for field in fields}
    return {name: one for name, one in found.items() if name in names and one.text.strip()}


def covariate_job(parameters: ScoreParameters) -> dict[str, dict[str, str]]:
    """What goes to the worker beside the file: the form's values for the chosen bundle's fields, with their sources."""
    names = {field.name for field in covariate_fields(parameters.bundle)}
    return {
        name: {"value": one.text, "source": one.source}
        for name, one in read_form(parameters).items()
        if not names or name in names
    }


def covariates_problem(parameters: ScoreParameters) -> str | None:
    """Why the clinical values stand in the way of a score, as a sentence; None where they do not."""
    fields = covariate_fields(parameters.bundle)
    given = given_values(parameters)
    for field in fields:
        problem = field_problem(field, given[field.name].text) if field.name in given else None
        if problem:
            return problem
    file = file_values(parameters)
    if file is not None and file.problem:
        return file.problem
    if fields and not given and not parameters.covariates and not has_image_head(parameters.bundle):
        return _("The model bundle scores no images alone; give clinical values: {names}.").format(
            names=", ".join(field.title for field in fields)
        )
    return None


def field_problem(field: "CovariateField", text: str) -> str | None:
    """Why a value cannot be taken, by the library's own check, with the field's title in the place of its name."""
    from MemorySurvivalLib.risk.covariate_fields import find_problem, is_missing

    problem = None if is_missing(text) else find_problem(field, text)
    return problem.replace(field.name, field.title, 1) if problem else None


def describe_use(parameters: ScoreParameters) -> str:
    """Which head will score the case and what will be imputed, before anything runs."""
    fields = covariate_fields(parameters.bundle)
    if not fields:
        return ""
    given = given_values(parameters)
    missing = [field.title for field in fields if field.name not in given]
    if len(missing) == len(fields):
        if parameters.covariates and file_values(parameters) is None:
            return ""
        if not has_image_head(parameters.bundle):
            return ""
        return _("No clinical values: the images alone are scored.")
    if not missing:
        return _("All {n} clinical values are given and are scored with the images.").format(n=len(fields))
    return _(
        "{n} of {all} clinical values are scored with the images. "
        "The training cohort's average stands in for: {missing}."
    ).format(n=len(fields) - len(missing), all=len(fields), missing=", ".join(missing))


def read_number(text: str) -> str:
    """A typed number in C locale; a text that is no number where it is none or could mean two.

    A comma or a point may be the decimal sign. Three digits after the sign that is not the user's own may also mean
    thousands ("1,071" in English), which is not guessed at.
    """
    plain = text.strip()
    other = "." if decimal_sign() == "," else ","
    if re.fullmatch(rf"[-+]?[1-9]\d{{0,2}}(\{other}\d{{3}})+", plain):
        return f"{plain}{_DOUBT}"
    turned = plain.replace(",", ".")
    try:
        float(turned)
    except ValueError:
        return plain
    return turned


def show_number(text: str) -> str:
    """A number in C locale as the user writes it; any other text as it is."""
    try:
        float(text)
    except ValueError:
        return text.rstrip(_DOUBT)
    return text.replace(".", decimal_sign())


def decimal_sign() -> str:
    """The user's decimal sign."""
    return "," if str(qt.QLocale().decimalPoint()) in (",", "44") else "."


def forget_files(_ignored: Any = None) -> None:
    """Read every file anew."""
    _FILES.clear()
