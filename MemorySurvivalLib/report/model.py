"""The report model: everything that a report of any format says, in one typed and versioned record (report.json)."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

from MemorySurvivalLib import RESEARCH_USE
from MemorySurvivalLib.clinical.record import ClinicalFindings
from MemorySurvivalLib.compare.twins import Twins
from MemorySurvivalLib.files import atomic_file
from MemorySurvivalLib.report.record import CaseRecord
from MemorySurvivalLib.report.stored import read_stored
from MemorySurvivalLib.report.subject import Subject

SCHEMA = "memory-survival-report"
SCHEMA_VERSION = 1
FILE_NAME = "report.json"

PictureRole = Literal["reference", "survival", "overview", "hotspot"]
"""The place among the reference cases, the survival curve, the whole body, the neighbourhood of one hotspot."""


@dataclass(frozen=True)
class PictureEntry:
    """A picture of the report: a PNG beside report.json, its size on paper, its title, and what it shows in words.

    `hotspot` is the number, from 1, of the hotspot that it shows. A copy of a report may lack pictures.
    """

    name: str
    file: str
    width_mm: float
    height_mm: float
    title: str
    alt: str
    role: PictureRole
    hotspot: int | None = None


@dataclass(frozen=True)
class Flag:
    """Something that a reader must know before trusting the score. `key` is stable (such as "out-of-range")."""

    key: str
    sentence: str
    severity: Literal["warning", "note"] = "warning"


@dataclass(frozen=True)
class Citation:
    """A publication, as the report's literature names it."""

    key: str
    text: str
    doi: str = ""


@dataclass(frozen=True)
class LiteratureNote:
    """One published number beside the score, and where it stands."""

    sentence: str
    citation: str


@dataclass(frozen=True)
class Report:
    """Everything that a report says. Every format is made from this, and none computes anything of its own.

    `record` is cleaned of identifiers as `subject.choice` asks. `where` says in words which place the overview's slices
    go through. `twins` are the reference cases nearest by measured burden; None where nothing was measured.
    """

    subject: Subject
    record: CaseRecord
    findings: ClinicalFindings
    pictures: tuple[PictureEntry, ...]
    where: str = ""
    flags: tuple[Flag, ...] = ()
    literature: tuple[LiteratureNote, ...] = ()
    citations: tuple[Citation, ...] = ()
    twins: Twins | None = None
    research_use: str = RESEARCH_USE
    schema: str = SCHEMA
    schema_version: int = SCHEMA_VERSION

    def pictures_as(self, role: PictureRole) -> tuple[PictureEntry, ...]:
        """The pictures of one role, in order."""
        return tuple(picture for picture in self.pictures if picture.role == role)

    def as_json(self) -> bytes:
        """The report as indented UTF-8 JSON."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1)

    def write(self, path: Path) -> None:
        """Write report.json whole or not at all. Raises OutputError where it cannot be written."""
        with atomic_file(path) as temporary:
            temporary.write_bytes(self.as_json())


def read_report(folder: Path) -> Report:
    """The report of a result folder.

    Raises InputError with one sentence where there is none, it is broken, or it is of an unknown version.
    """
    return read_stored(folder / FILE_NAME, Report, SCHEMA, (SCHEMA_VERSION,), "a result with a report")


def report_schema() -> Mapping[str, Any]:
    """The JSON Schema of report.json, and with it of result.json."""
    schema: dict[str, Any] = msgspec.json.schema(Report)
    return schema


if __name__ == "__main__":
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(report_schema()), indent=1).decode() + "\n")
