"""From a saved result to its report in any format, again and again, without the images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from MemorySurvivalLib.clinical.findings import convert_findings, make_findings
from MemorySurvivalLib.clinical.reading_file import read_reading
from MemorySurvivalLib.clinical.record import ClinicalFindings
from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.privacy.subject import keep_subject, read_subject
from MemorySurvivalLib.report.drawing import FOLDER
from MemorySurvivalLib.report.language import ENGLISH
from MemorySurvivalLib.report.model import FILE_NAME, Report, read_report
from MemorySurvivalLib.report.record import CaseRecord, read_record
from MemorySurvivalLib.report.subject import IdentityChoice, Subject
from MemorySurvivalLib.report.writing import Format, Paper, make_report, write_formats


@dataclass(frozen=True)
class ReportRequest:
    """Which result, and what to make of it.

    `folder` is the result's; `out` None writes there too. `pseudonym` is the user's own code (None: made from the
    patient's ID with this user's key). `identity` None is whom the folder names already where it is an export under a
    pseudonym, and nobody else. `findings` as plain values win over those that the report holds already;
    `reading` (a file) and `reviewed` (numbers of lesions) win over both.
    """

    folder: Path
    out: Path | None = None
    formats: tuple[Format, ...] = ("html",)
    paper: Paper = "a4"
    identity: IdentityChoice | None = "none"
    pseudonym: str | None = None
    language: str = ENGLISH
    overwrite: bool = False
    findings: dict[str, Any] | None = None
    reading: Path | None = None
    reviewed: tuple[int, ...] | None = None


def write_saved(request: ReportRequest) -> Mapping[Format, Path]:
    """Write the report of a saved result in each format asked for.

    Raises InputError for a folder that holds no result with a report, and OutputError for a place that cannot be
    written or that holds one of the files already (without `overwrite`).
    """
    report = load_report(request)
    return write_formats(
        report,
        request.folder / FOLDER,
        request.out or request.folder,
        request.formats,
        request.paper,
        request.language,
        request.overwrite,
    )


def load_report(request: ReportRequest) -> Report:
    """The report of a saved result, with whom it names and the findings as asked.

    A folder without result.json, such as one that was handed on, can only be drawn as it is: raises InputError where
    somebody else is to be named.
    """
    result = request.folder / "result.json"
    if result.is_file() and not (request.folder / FILE_NAME).is_file():
        raise InputError(f"{request.folder} was scored before there was a {FILE_NAME}; score the case again.")
    saved = read_report(request.folder)
    choice = request.identity or ("pseudonym" if saved.subject.choice == "pseudonym" else "none")
    if not result.is_file():
        if choice != saved.subject.choice:
            raise InputError(
                f"{request.folder} holds no result.json, so its report can only name what it names already "
                f"({saved.subject.choice}); give the folder in which the case was scored."
            )
        subject, record = saved.subject, saved.record
    else:
        record = read_record(result)
        kept = keep_subject(choice, saved.subject, request.pseudonym)
        subject = _subject(choice, request, record) if kept is None else kept
    findings = _findings(request, record, saved.findings)
    return make_report(record, saved.pictures, saved.where, subject, findings)


def _subject(choice: IdentityChoice, request: ReportRequest, record: CaseRecord) -> Subject:
    # An exported record says "CT" in the place of a path, and a folder of that name may be anybody's.
    sources = [Path(source.path) for modality, source in record.inputs.items() if source.path != modality]
    confirmed = record.request.get("confirm_identity") is True
    return read_subject(choice, sources, request.pseudonym, confirmed=confirmed)


def _findings(request: ReportRequest, record: CaseRecord, saved: ClinicalFindings) -> ClinicalFindings:
    findings = saved if request.findings is None else convert_findings(request.findings)
    reading = read_reading(request.reading) if request.reading is not None else findings.reading
    reviewed = findings.reviewed_lesions if request.reviewed is None else request.reviewed
    known = {row.lesion.number for row in record.measurements.lesions} if record.measurements else set()
    strange = sorted(set(reviewed) - known)
    if strange:
        raise InputError(f"There is no lesion {strange[0]} in this result, which cannot have been reviewed.")
    scores = findings.scores
    if not scores and record.given:
        scores = make_findings({name: one.value for name, one in record.given.items()}).scores
    return ClinicalFindings(scores, reading, tuple(sorted(set(reviewed))))
