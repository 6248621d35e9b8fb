"""A report as an export may show it: its words cleaned, and without the pictures that may show the head."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from MemorySurvivalLib.privacy.clean import clean_findings
from MemorySurvivalLib.privacy.head import Head
from MemorySurvivalLib.privacy.identifiers import Identifier
from MemorySurvivalLib.privacy.wording import Wording
from MemorySurvivalLib.report.flags import find_flags
from MemorySurvivalLib.report.model import PictureEntry, Report
from MemorySurvivalLib.report.record import CaseRecord
from MemorySurvivalLib.report.subject import Subject

_NEAR_MM = 80.0
"""A close-up shows this much around its hotspot."""


def clean_report(
    report: Report,
    shown: CaseRecord,
    subject: Subject,
    identifiers: Iterable[Identifier] = (),
    wording: Wording | None = None,
) -> Report:
    """The report about a cleaned record, for a subject: findings, flags, the pictures' words and places cleaned too.

    `wording` None (an identified export) keeps the words of pictures and places.
    """
    pictures, where = report.pictures, report.where
    if wording is not None:
        where = wording.clean(where)
        pictures = tuple(
            replace(entry, title=wording.clean(entry.title), alt=wording.clean(entry.alt)) for entry in pictures
        )
    return replace(
        report,
        subject=subject,
        record=shown,
        findings=clean_findings(report.findings, subject, identifiers),
        pictures=pictures,
        where=where,
        flags=find_flags(shown),
    )


def shows_body(picture: PictureEntry) -> bool:
    """Whether a picture is made from the images: no chart."""
    return picture.role in ("overview", "hotspot")


def may_show_head(picture: PictureEntry, record: CaseRecord, head: Head) -> bool:
    """Whether a picture may show the head: the whole body, or what lies around a hotspot near it."""
    if head.from_z_mm is None or not shows_body(picture):
        return False
    spots = record.heatmap.hotspots if record.heatmap is not None else ()
    if picture.hotspot is None or not 1 <= picture.hotspot <= len(spots):
        return True
    return spots[picture.hotspot - 1].position_lps_mm[2] > head.from_z_mm - _NEAR_MM
