"""The one call that measures a case: segments, references, lesions; and the folder it can be written to."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from MemorySurvivalLib import RESEARCH_USE
from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.files import atomic_file
from MemorySurvivalLib.imaging.case import SIMULATED_ATTRIBUTE, Case
from MemorySurvivalLib.imaging.reading import write_volume
from MemorySurvivalLib.imaging.volume import Volume
from MemorySurvivalLib.measure.frame import BodyFrame, make_frame
from MemorySurvivalLib.measure.lesion import LesionConfig
from MemorySurvivalLib.measure.lesions import find_lesions
from MemorySurvivalLib.measure.reference import (
    BLOOD_POOL_DIAMETER_MM,
    LIVER_DIAMETER_MM,
    References,
    find_references,
    sphere_at,
    sphere_voxels,
)
from MemorySurvivalLib.measure.segments import measure_roi, measure_segments, on_grid
from MemorySurvivalLib.measure.tables import (
    MeasurementRecord,
    lesion_row,
    segment_row,
    write_lesions,
    write_segments,
)
from MemorySurvivalLib.measure.uptake import Point
from MemorySurvivalLib.progress import ProgressCallback, ignore_progress
from MemorySurvivalLib.roi.roi import Roi
from MemorySurvivalLib.roi.segments import Segmentation

LIVER_LABEL, BLOOD_POOL_LABEL = 1, 2
"""Values of the reference spheres' label map."""


@dataclass(frozen=True)
class MeasureConfig:
    """How to measure. A point (LPS, mm) places that reference sphere by hand instead of looking for it."""

    lesions: LesionConfig = field(default_factory=LesionConfig)
    liver_at: Point | None = None
    blood_pool_at: Point | None = None


DEFAULT_MEASURE = MeasureConfig()


@dataclass(frozen=True, eq=False)
class Measurements:
    """The plain record, and on the case's grid: each lesion's number (uint16), the reference spheres (uint8, 1 liver,
    2 blood pool)."""

    record: MeasurementRecord
    lesion_labels: Volume
    reference_labels: Volume


def measure_case(
    case: Case,
    segmentation: Segmentation,
    roi: Roi,
    config: MeasureConfig = DEFAULT_MEASURE,
    progress: ProgressCallback = ignore_progress,
) -> Measurements:
    """Measure every segment, find or take the references, and list the lesions inside the ROI.

    `segmentation` may lie on another grid (nearest neighbour brings it over); `roi` lies on the case's. Raises
    InputError for a ROI elsewhere, a reference point outside the image, or a liver-relative threshold without a liver.
    """
    if not roi.mask.same_grid(case.ct):
        raise InputError("The region to measure lies on another grid than the CT; bring it onto the CT's grid first.")
    start = time.monotonic()
    segmentation = on_grid(segmentation, case.ct)
    frame = make_frame(case, segmentation)
    references = _references(case, segmentation, frame, config)
    referenced = time.monotonic()
    segments = measure_segments(case, segmentation, progress)
    whole = measure_roi(case, roi)
    measured = time.monotonic()
    found = find_lesions(case, segmentation, roi, frame, references, config.lesions, progress)
    done = time.monotonic()
    record = MeasurementRecord(
        roi=segment_row(whole, references),
        segments=tuple(segment_row(segment, references) for segment in segments),
        references=references,
        lesion_config=config.lesions,
        threshold_suv=found.threshold_suv,
        marrow_suv=found.marrow_suv,
        lesions=tuple(lesion_row(lesion, references) for lesion in found.lesions),
        totals=found.totals,
        roi_made_by=roi.made_by,
        segmentation_made_by=str(segmentation.maker),
        notes=(*references.notes, *found.notes),
        seconds={
            "references": round(referenced - start, 3),
            "segments": round(measured - referenced, 3),
            "lesions": round(done - measured, 3),
        },
        simulated=case.simulated,
    )
    return Measurements(record, found.labels, _draw_references(case, references))


def _references(case: Case, segmentation: Segmentation, frame: BodyFrame, config: MeasureConfig) -> References:
    """Spheres placed by hand where points are given, found for the rest."""
    liver = pool = None
    if config.liver_at is not None:
        liver = sphere_at(case, config.liver_at, LIVER_DIAMETER_MM, "liver")
    if config.blood_pool_at is not None:
        pool = sphere_at(case, config.blood_pool_at, BLOOD_POOL_DIAMETER_MM, "blood_pool")
    return find_references(case, segmentation, frame, liver, pool)


def _draw_references(case: Case, references: References) -> Volume:
    """The spheres as labels; a voxel belongs to one when at least half of it lies inside."""
    labels = np.zeros(case.ct.shape, dtype=np.uint8)
    for sphere, label in ((references.liver, LIVER_LABEL), (references.blood_pool, BLOOD_POOL_LABEL)):
        if sphere is not None:
            places, weights = sphere_voxels(case, sphere.centre_lps_mm, sphere.diameter_mm)
            labels[tuple(places[weights >= 0.5].T)] = label
    return Volume(labels, case.ct.affine)


def write_measurements(measurements: Measurements, case: Case, folder: Path) -> dict[str, str]:
    """Write measurements.json, segments.csv, lesions.csv, lesions.nrrd and references.nrrd into an existing folder.

    The images run along the CT's own axes. Returns file names by what they hold. Raises OutputError.
    """
    record = measurements.record
    with atomic_file(folder / "measurements.json") as path:
        path.write_bytes(record.as_json())
    write_segments((record.roi, *record.segments), folder / "segments.csv")
    write_lesions(record.lesions, folder / "lesions.csv")
    attributes = {"research_use": RESEARCH_USE}
    attributes |= {key: text for key, text in case.ct.attributes.items() if key == SIMULATED_ATTRIBUTE}
    for name, volume in (("lesions", measurements.lesion_labels), ("references", measurements.reference_labels)):
        turned = volume.reoriented(case.orientation)
        write_volume(Volume(turned.voxels, turned.affine, attributes), folder / f"{name}.nrrd")
    return {
        "measurements": "measurements.json",
        "segments": "segments.csv",
        "lesions": "lesions.csv",
        "lesion_labels": "lesions.nrrd",
        "references": "references.nrrd",
    }
