"""The language that a report speaks: gettext catalogues in Resources/Locale, with the number and date formats in them.

A catalogue is `Resources/Locale/<language>/LC_MESSAGES/memory-survival.mo`, made with gettext's own tools from the
template beside it. English needs none. JSON, CSV and DICOM never pass through here.
"""

from __future__ import annotations

import gettext
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from pathlib import Path

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.resources import locate_resource

DOMAIN = "memory-survival"
ENGLISH = "en"

_SPOKEN: ContextVar[gettext.NullTranslations] = ContextVar("language of the report")
_SILENT = gettext.NullTranslations()


def tr(text: str) -> str:
    """The sentence in the language that is spoken; itself where the catalogue lacks it."""
    return _SPOKEN.get(_SILENT).gettext(text) if text else ""


def later(text: str) -> str:
    """Marks a constant for the translators; whoever uses it says `tr` then."""
    return text


@contextmanager
def speaking(language: str, folder: Path | None = None) -> Iterator[None]:
    """Speak a language (a BCP 47 tag such as "de" or "pt-BR") within the block.

    Raises InputError where there is no catalogue of it.
    """
    token = _SPOKEN.set(_load(language, folder))
    try:
        yield
    finally:
        _SPOKEN.reset(token)


def list_languages(folder: Path | None = None) -> tuple[str, ...]:
    """English and every language with a catalogue."""
    files = sorted((folder or locate_resource("Locale")).glob(f"*/LC_MESSAGES/{DOMAIN}.mo"))
    return (ENGLISH, *(file.parent.parent.name.replace("_", "-") for file in files))


def say_local(number: str) -> str:
    """A number written with a point, with the language's decimal sign."""
    return number.replace(".", _SPOKEN.get(_SILENT).pgettext("decimal sign", "."))


def say_date(iso: str) -> str:
    """An ISO 8601 date, or date and time, in the language's order; a text that is none of these as it stands."""
    try:
        moment = datetime.fromisoformat(iso)
    except ValueError:
        return iso
    date = moment.strftime(_SPOKEN.get(_SILENT).pgettext("date format (strftime)", "%Y-%m-%d"))
    if "T" not in iso and " " not in iso:
        return date
    zone = moment.strftime("%Z")
    return f"{date} {moment:%H:%M}{f' {zone}' if zone else ''}"


def _load(language: str, folder: Path | None) -> gettext.NullTranslations:
    if language == ENGLISH:
        return _SILENT
    place = folder or locate_resource("Locale")
    try:
        return gettext.translation(DOMAIN, place, languages=[language.replace("-", "_")])
    except FileNotFoundError:
        known = ", ".join(list_languages(folder))
        raise InputError(f"There is no translation into {language!r}; choose one of {known}.") from None
