"""Writing a report: pictures and report.json once, from the images; every other format from those, again and again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

from MemorySurvivalLib.clinical.record import ClinicalFindings
from MemorySurvivalLib.compare.reference import read_shipped
from MemorySurvivalLib.compare.twins import find_twins
from MemorySurvivalLib.errors import OutputError
from MemorySurvivalLib.explain.heatmap import Heatmap
from MemorySurvivalLib.imaging.case import Case
from MemorySurvivalLib.privacy.clean import case_identifiers, clean_findings, clean_record
from MemorySurvivalLib.report.compose import compose_document
from MemorySurvivalLib.report.csv_row import write_csv_row
from MemorySurvivalLib.report.drawing import FOLDER, draw_pictures, write_pictures
from MemorySurvivalLib.report.flags import find_flags
from MemorySurvivalLib.report.html import write_html
from MemorySurvivalLib.report.language import ENGLISH
from MemorySurvivalLib.report.literature import CITATIONS, NOTES
from MemorySurvivalLib.report.model import FILE_NAME, PictureEntry, Report
from MemorySurvivalLib.report.record import CaseRecord
from MemorySurvivalLib.report.subject import Subject
from MemorySurvivalLib.roi.roi import Roi

Format = Literal["html", "pdf", "json", "csv"]
FORMATS: tuple[Format, ...] = get_args(Format)
Paper = Literal["a4", "letter"]
PAPERS: tuple[Paper, ...] = get_args(Paper)


def make_report(
    record: CaseRecord,
    pictures: tuple[PictureEntry, ...],
    where: str,
    subject: Subject | None = None,
    findings: ClinicalFindings | None = None,
) -> Report:
    """The report about a record and findings, both cleaned as `subject` asks; by default nobody is named."""
    subject = subject or Subject()
    identifiers = () if subject.choice == "identified" else case_identifiers(record)
    cleaned = clean_record(record, subject, identifiers)
    return Report(
        subject=subject,
        record=cleaned,
        findings=clean_findings(findings or ClinicalFindings(), subject, identifiers),
        pictures=pictures,
        where=where,
        flags=find_flags(cleaned),
        literature=NOTES,
        citations=CITATIONS,
        twins=find_twins(cleaned, read_shipped()) if cleaned.measurements is not None else None,
    )


def write_report(
    record: CaseRecord,
    case: Case,
    roi: Roi,
    heatmap: Heatmap | None,
    folder: Path,
    subject: Subject | None = None,
    findings: ClinicalFindings | None = None,
) -> Path:
    """Write `folder`/report.html, report.json and the pictures as PNG files; return the page's path.

    Every number comes from `record`, which is cleaned as `subject` asks (default: nobody is named); the volumes only
    give the pictures. Equal input gives equal bytes. Raises OutputError when the folder cannot be written and
    ValueError when record and heatmap do not belong together.
    """
    pictures = draw_pictures(record, case, roi, heatmap)
    report = make_report(record, write_pictures(pictures, folder), pictures.where, subject, findings)
    report.write(folder / FILE_NAME)
    target = folder / "report.html"
    write_html(compose_document(report), folder / FOLDER, target)
    return target


def write_formats(
    report: Report,
    pictures: Path,
    out: Path,
    formats: Sequence[Format] = ("html",),
    paper: Paper = "a4",
    language: str = ENGLISH,
    overwrite: bool = False,
) -> dict[Format, Path]:
    """Write a report into the folder `out` in each format; return the files.

    `pictures` is the folder with the report's PNG files. Without `overwrite` nothing is written where any of the files
    exists already: raises OutputError. Raises InputError for an unknown language and for a format whose package is not
    installed.
    """
    targets: dict[Format, Path] = {form: out / f"report.{form}" for form in formats}
    taken = [path.name for path in targets.values() if path.exists()]
    if taken and not overwrite:
        raise OutputError(
            f"{out} already holds {', '.join(taken)}; choose another folder or allow overwriting with --overwrite."
        )
    document = compose_document(report, language)
    # The PDF first: its package may be missing, and then nothing should have been written.
    for form, target in sorted(targets.items(), key=lambda one: one[0] != "pdf"):
        if form == "html":
            write_html(document, pictures, target)
        elif form == "pdf":
            # ReportLab is an extra and takes time to load.
            from MemorySurvivalLib.report.pdf import write_pdf

            write_pdf(document, pictures, target, paper)
        elif form == "json":
            report.write(target)
        else:
            write_csv_row(report, target)
    return targets
