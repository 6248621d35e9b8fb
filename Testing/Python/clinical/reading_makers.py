"""Measurements made up for the tests of the visual reading: as few numbers as the suggestions look at."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from MemorySurvivalLib.clinical.impetus import NONE, confirm
from MemorySurvivalLib.clinical.record import ReadingValue, VisualReading
from MemorySurvivalLib.measure.lesion import Lesion, LesionConfig, LesionTotals
from MemorySurvivalLib.measure.reference import FOUND, References, ReferenceSphere
from MemorySurvivalLib.measure.segments import SegmentMeasure
from MemorySurvivalLib.measure.tables import MeasurementRecord, lesion_row, segment_row
from MemorySurvivalLib.measure.uptake import RegionMeasure

LIVER = ReferenceSphere("liver", (40.0, 0.0, 0.0), 30.0, 2.0, 0.2, 2.6, 55.0, 12.0, FOUND)
POOL = ReferenceSphere("blood_pool", (0.0, 0.0, 0.0), 12.4, 1.5, 0.1, 1.8, 40.0, 10.0, FOUND)

BONES = {
    "L1": "vertebra",
    "L2": "vertebra",
    "L3": "vertebra",
    "sacrum": "sacrum",
    "skull": "bone",
    "femur_left": "bone",
}

NOW = datetime(2026, 3, 31, 9, 30, tzinfo=UTC)
_ORIGIN = (0.0, 0.0, 0.0)


def make_lesion(number: int, site: str = "L1", kind: str = "focal", peak: float = 6.0, **changes: Any) -> Lesion:
    """A lesion with a peak; its other numbers do not matter here."""
    own = 5.0 if kind == "focal" else None
    values: dict[str, Any] = {"spill_in": None, "site_distance_mm": 0.0, "low_density": False, **changes}
    return Lesion(
        number=number,
        kind=kind,  # type: ignore[arg-type]
        site=site,
        suv_max=peak + 1.0,
        suv_peak=peak,
        suv_mean=own,
        mtv_ml=own,
        tlg_g=own,
        diameter_mm=own,
        volume_above_threshold_ml=1.0,
        centre_lps_mm=_ORIGIN,
        suv_max_lps_mm=_ORIGIN,
        hu_mean=200.0,
        hu_median=180.0,
        in_region=1.0,
        **values,
    )


def make_record(
    *lesions: Lesion,
    marrow: float = 1.0,
    liver: ReferenceSphere | None = LIVER,
    pool: ReferenceSphere | None = POOL,
    region: str = "skeleton",
    vertebrae: int = 3,
) -> MeasurementRecord:
    """A measured case; every vertebra has the marrow's mean SUV but the last one, which is far hotter."""
    references = References(liver, pool, ())
    whole = RegionMeasure(100, 1.6, 200.0, 50.0, 190.0, marrow, marrow, 9.0, 8.0, _ORIGIN, _ORIGIN)
    segments = []
    for label, (name, group) in enumerate(BONES.items(), start=1):
        if group == "vertebra" and label > vertebrae:
            continue
        hot = replace(whole, suv_mean=99.0) if label == vertebrae else whole
        segments.append(segment_row(SegmentMeasure(name, label, group, hot), references))
    counts = {kind: sum(lesion.kind == kind for lesion in lesions) for kind in ("focal", "diffuse", "spill-in")}
    return MeasurementRecord(
        roi=segment_row(SegmentMeasure(region, 0, "roi", whole), references),
        segments=tuple(segments),
        references=references,
        lesion_config=LesionConfig(),
        threshold_suv=4.0,
        marrow_suv=1.5,
        lesions=tuple(lesion_row(lesion, references) for lesion in lesions),
        totals=LesionTotals(counts["focal"], 0, counts["diffuse"], counts["spill-in"], 5.0, 5.0, None),
        roi_made_by="made up",
        segmentation_made_by="made up",
        notes=(),
        seconds={},
        simulated=True,
    )


ANSWERS: dict[str, ReadingValue] = {
    "marrow_deauville": "3",
    "focal_group": "1-3",
    "focal_sites": ("spine",),
    "focal_deauville": "5",
    "lytic_group": "0",
    "fractures": (NONE,),
    "paramedullary": (NONE,),
    "extramedullary": (NONE,),
    "extramedullary_deauville": NONE,
}
"""Answers to the whole form that go together."""


def confirm_all(form: VisualReading, **changes: Any) -> VisualReading:
    """The form with every item confirmed."""
    for key, answer in {**ANSWERS, **changes}.items():
        form = confirm(form, key, answer)
    return form
