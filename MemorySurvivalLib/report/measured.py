"""Which measurements the report has room for: the hottest lesions, and the segments in two columns."""

from __future__ import annotations

from dataclasses import dataclass

from MemorySurvivalLib.measure.reference import ReferenceSphere
from MemorySurvivalLib.measure.tables import LesionRow, MeasurementRecord, SegmentRow
from MemorySurvivalLib.report.language import later

MOST_LESIONS = 20
MOST_SEGMENTS = 44


@dataclass(frozen=True)
class MeasuredRows:
    """What stands on the page: references with their titles, lesions (hottest first), segments as two columns.

    `left_out` says whether lesions are missing here; the CSV files hold everything.
    """

    references: tuple[tuple[str, ReferenceSphere | None], ...]
    lesions: tuple[LesionRow, ...]
    left_out: bool
    segments: tuple[tuple[SegmentRow, ...], tuple[SegmentRow, ...]]


def choose_rows(record: MeasurementRecord) -> MeasuredRows:
    """The rows of one page: the region first, then the segments in their order."""
    rows = (record.roi, *record.segments)[:MOST_SEGMENTS]
    half = (len(rows) + 1) // 2
    return MeasuredRows(
        references=((later("Liver"), record.references.liver), (later("Blood pool"), record.references.blood_pool)),
        lesions=record.lesions[:MOST_LESIONS],
        left_out=len(record.lesions) > MOST_LESIONS,
        segments=(rows[:half], rows[half:]),
    )
