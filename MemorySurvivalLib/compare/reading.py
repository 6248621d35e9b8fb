"""One saved result as a comparison takes it: the record, whom its report names, and what it is called on the page."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.privacy.clean import case_identifiers, clean_record
from MemorySurvivalLib.report.model import FILE_NAME, read_report
from MemorySurvivalLib.report.record import CaseRecord, read_record
from MemorySurvivalLib.report.subject import Subject

RESULT_FILE = "result.json"


@dataclass(frozen=True)
class Side:
    """One of two results: `name` heads its column, `subject` says nothing where there is no report beside it."""

    name: str
    record: CaseRecord
    subject: Subject = field(default_factory=Subject)


def read_side(place: Path, name: str) -> Side:
    """A result folder, or a file in it, with the subject of the report.json beside it.

    The record is cleaned as that subject asks (without one nobody is named), because its notes go onto a page. Raises
    InputError with one sentence where there is no result or it cannot be read.
    """
    folder = place if place.is_dir() else place.parent
    if not place.exists():
        raise InputError(f"There is no result {place}; give the folder of a result or its {RESULT_FILE}.")
    subject = read_report(folder).subject if (folder / FILE_NAME).is_file() else Subject()
    record = read_record(place if place.is_file() and place.name != FILE_NAME else folder / RESULT_FILE)
    identifiers = () if subject.choice == "identified" else case_identifiers(record)
    return Side(name, clean_record(record, subject, identifiers), subject)
