"""What identifies a person in a DICOM header or a path, and the forms in which it may turn up elsewhere."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

Kind = Literal["name", "ID", "date", "UID", "text"]

SHORTEST = 3
"""Shorter words turn up anywhere, so nothing can be said about them."""

SHORTEST_NUMBER = 5
"""Likewise numbers, which a result is full of."""

SHORT = 6
"""Words below this length count only as words of their own, not inside others."""

IDS = (
    "PatientID",
    "OtherPatientIDs",
    "IssuerOfPatientID",
    "AccessionNumber",
    "StudyID",
    "AdmissionID",
    "RequestedProcedureID",
    "ScheduledProcedureStepID",
    "PerformedProcedureStepID",
    "ClinicalTrialSubjectID",
    "MedicalRecordLocator",
    "MilitaryRank",
    "PatientInsurancePlanCodeSequence",
    "DeviceSerialNumber",
    "FillerOrderNumberImagingServiceRequest",
    "PlacerOrderNumberImagingServiceRequest",
)
TEXTS = (
    "PatientAddress",
    "PatientTelephoneNumbers",
    "PatientComments",
    "AdditionalPatientHistory",
    "Occupation",
    "CountryOfResidence",
    "RegionOfResidence",
    "MedicalAlerts",
    "Allergies",
    "StudyDescription",
    "StudyComments",
    "SeriesDescription",
    "ImageComments",
    "ProtocolName",
    "ReasonForStudy",
    "RequestedProcedureDescription",
    "PerformedProcedureStepDescription",
    "CurrentPatientLocation",
    "PatientInstitutionResidence",
    "InstitutionName",
    "InstitutionAddress",
    "InstitutionalDepartmentName",
    "StationName",
    "ReferringPhysicianAddress",
    "ReferringPhysicianTelephoneNumbers",
)
_STANDARD_ROOT = "1.2.840.10008."
_MONTHS = (
    "january february march april may june july august september october november december",
    "januar februar marz april mai juni juli august september oktober november dezember",
)
_COMMON_WORDS = (
    "home users user data tmp temp documents downloads desktop mnt media volumes case cases study studies patient "
    "patients image images series scan scans dicom nii nrrd nifti mask masks spine skeleton dilated roi pet suv "
    "dcm petct wholebody body report reports result results covariates csv json seg gz export work scratch demo "
    "example test"
)
"""Words of paths that name no patient."""

_LETTERS = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "æ": "ae", "œ": "oe", "þ": "th", "ð": "d", "ı": "i"})
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "å": "aa", "ø": "oe"})
_COMBINING = re.compile("[\u0300-\u036f]")
_PLACES = re.compile(r"[^\W_]+")


@dataclass(frozen=True)
class Identifier:
    """One thing that tells who someone is, as it stands in the input; its text never shows up in messages."""

    kind: Kind
    text: str = field(repr=False)


@dataclass(frozen=True)
class Needle:
    """One form of an identifier to look for: normalised text, and whether it counts only as a word of its own.

    `written` is the form before it was normalised, for bytes in which accents cannot be told from other values.
    """

    kind: Kind
    text: str = field(repr=False)
    alone: bool
    written: str = field(default="", repr=False)


def identifiers_of(header: Dataset) -> tuple[Identifier, ...]:
    """Everything in a DICOM header (nested items and private elements too) that can tell who the patient is.

    Names of persons, IDs, dates, UIDs (but those of the standard itself) and texts that people type.
    """
    from MemorySurvivalLib.imaging.dicom_header import reading_quietly

    with reading_quietly():
        return tuple(dict.fromkeys(_walk(header)))


def _walk(header: Dataset) -> Iterator[Identifier]:
    from MemorySurvivalLib.imaging.dicom_header import BROKEN_VALUE

    for tag in list(header.keys()):
        try:
            element = header[tag]
        except BROKEN_VALUE:
            continue
        if element.VR == "SQ":
            for item in element.value or ():
                yield from _walk(item)
            continue
        kind = _kind(element.VR, element.keyword, element.tag.is_private)
        if kind is None or element.value is None:
            continue
        values = element.value if isinstance(element.value, list | tuple) or element.VM > 1 else [element.value]
        for value in values:
            text = str(value).strip()
            if not text or (kind == "UID" and text.startswith(_STANDARD_ROOT)):
                continue
            yield Identifier(kind, text[:8] if element.VR == "DT" else text)


def _kind(vr: str, keyword: str, private: bool) -> Kind | None:
    plain: dict[str, Kind] = {"PN": "name", "DA": "date", "DT": "date", "UI": "UID"}
    if vr in plain:
        return plain[vr]
    if keyword in IDS:
        return "ID"
    if keyword in TEXTS or (private and vr in ("LO", "SH", "ST", "LT", "UT")):
        return "text"
    return None


def identifiers_in_path(path: Path, known: Iterable[str] = ()) -> tuple[Identifier, ...]:
    """The words of a file's or folder's name that may name a patient, without those in `known` (any case)."""
    common = {word.casefold() for word in (*_COMMON_WORDS.split(), *known)}
    words = (word for part in path.parts[-3:] for word in _PLACES.findall(part))
    return tuple(Identifier("text", word) for word in dict.fromkeys(words) if _telling(word, common))


def _telling(word: str, common: set[str]) -> bool:
    return len(word) >= SHORTEST and word.casefold() not in common


def normalise(text: str) -> str:
    """Lower case without accents and with ligatures spelt out, so that José and JOSE are one word."""
    if text.isascii():
        return text.lower()
    return _COMBINING.sub("", unicodedata.normalize("NFKD", text)).casefold().translate(_LETTERS)


def needles(identifiers: Iterable[Identifier]) -> tuple[Needle, ...]:
    """Every form of the identifiers that is worth looking for, normalised; too short ones are left out."""
    return tuple(dict.fromkeys(needle for one in identifiers for needle in _forms(one)))


def too_short(identifiers: Iterable[Identifier]) -> tuple[Identifier, ...]:
    """Identifiers of which no form can be looked for."""
    return tuple(one for one in identifiers if not any(_forms(one)))


def _forms(one: Identifier) -> Iterator[Needle]:
    if one.kind == "date":
        yield from (Needle("date", text, alone=True) for text in date_forms(one.text))
    elif one.kind == "UID":
        yield Needle("UID", one.text.strip("\0 "), alone=True)
    elif one.kind == "name":
        yield from _words(one, name_words(one.text))
    else:
        yield from _words(one, [one.text])


def name_words(text: str) -> tuple[str, ...]:
    """The words of a DICOM person name; a double name counts as a whole and by its parts."""
    whole = re.split(r"[\^=,\s]+", text)
    return tuple(dict.fromkeys(filter(None, (*whole, *(part for word in whole for part in re.split("[-'’]", word))))))


def _words(one: Identifier, words: Iterable[str]) -> Iterator[Needle]:
    for word in words:
        for form in {word, word.casefold().translate(_UMLAUTS)}:
            text = normalise(form).strip(" .-'\0")
            if len(text) >= (SHORTEST_NUMBER if text.isdecimal() else 2 if _ideographic(text) else SHORTEST):
                yield Needle(one.kind, text, alone=len(text) < SHORT and text.isascii(), written=form)


def _ideographic(text: str) -> bool:
    """Whether a text is written in an East Asian script, where one sign is a whole syllable or word."""
    return any(ord(character) > 0x2E7F for character in text)


def date_forms(text: str) -> tuple[str, ...]:
    """A DICOM or ISO date as people write it; none for what is no date."""
    digits = text.replace("-", "").replace(".", "")[:8]
    try:
        day = datetime.strptime(digits, "%Y%m%d").date()
    except ValueError:
        return ()
    return tuple(dict.fromkeys(_date_forms(day)))


def _date_forms(day: date) -> Iterator[str]:
    y, m, d = f"{day.year:04}", f"{day.month:02}", f"{day.day:02}"
    yield y + m + d
    for mark in "-/._ ":
        yield f"{y}{mark}{m}{mark}{d}"
        yield f"{d}{mark}{m}{mark}{y}"
        yield f"{m}{mark}{d}{mark}{y}"
    for mark in "./-":
        yield f"{day.day}{mark}{day.month}{mark}{y}"
        yield f"{day.month}{mark}{day.day}{mark}{y}"
    for names in _MONTHS:
        month = names.split()[day.month - 1]
        for name in (month, month[:3]):
            yield from (f"{day.day} {name} {y}", f"{d} {name} {y}", f"{day.day}. {name} {y}")
            yield from (f"{name} {day.day}, {y}", f"{name} {d}, {y}", f"{d}-{name}-{y}")
