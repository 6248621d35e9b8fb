"""A measured result as the worker hands it out, made from the library's own record types so that it cannot drift."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from scenes import CT_IJK_TO_RAS

from MemorySurvivalLib.imaging.acquisition import Acquisition, AlignmentRecord
from MemorySurvivalLib.imaging.quality_flag import QualityFlag
from MemorySurvivalLib.imaging.reading import write_volume
from MemorySurvivalLib.imaging.volume import Affine, Volume
from MemorySurvivalLib.measure.lesion import Lesion, LesionConfig, LesionTotals
from MemorySurvivalLib.measure.reference import FOUND, References, ReferenceSphere
from MemorySurvivalLib.measure.segments import SegmentMeasure
from MemorySurvivalLib.measure.tables import MeasurementRecord, lesion_row, segment_row
from MemorySurvivalLib.measure.uptake import RegionMeasure
from MemorySurvivalLib.report.record import RoiRecord
from MemorySurvivalLib.roi.edits import BoxesChanged, EditSummary
from MemorySurvivalLib.roi.stray import StrayPiece

SHAPE = (16, 24, 20)
VOXELS = {1: (9, 12, 6), 2: (5, 20, 15)}
"""Lesion number to a voxel (k, j, i) on the small case's CT."""

AFFINE = Affine(np.diag([-1.0, -1.0, 1.0, 1.0]) @ CT_IJK_TO_RAS)


def ras_of(number: int) -> tuple[float, ...]:
    """Where a lesion's maximum is for Slicer."""
    k, j, i = VOXELS[number]
    return tuple((CT_IJK_TO_RAS @ [i, j, k, 1.0])[:3])


def _lesion(number: int, kind: str, site: str, **changes: Any) -> Lesion:
    k, j, i = VOXELS[number]
    place = tuple(float(each) for each in AFFINE.points_mm((i, j, k)).ravel())
    values: dict[str, Any] = {
        "number": number,
        "kind": kind,
        "spill_in": None,
        "site": site,
        "site_distance_mm": 0.0,
        "suv_max": 8.04,
        "suv_peak": 6.0,
        "suv_mean": 5.0,
        "mtv_ml": 2.25,
        "tlg_g": 11.3,
        "diameter_mm": 18.0,
        "volume_above_threshold_ml": 2.0,
        "centre_lps_mm": place,
        "suv_max_lps_mm": place,
        "hu_mean": 180.0,
        "hu_median": 170.0,
        "low_density": False,
        "in_region": 1.0,
    }
    return Lesion(**{**values, **changes})


def make_measurements(*, liver: bool = True, lesions: bool = True) -> MeasurementRecord:
    """Two lesions (one spill-in without volume), or none; a liver, or none; no blood pool."""
    sphere = ReferenceSphere("liver", (40.0, 0.0, 0.0), 30.0, 2.0, 0.21, 2.9, 55.0, 12.0, FOUND)
    missing = ("The mediastinal blood pool was not found.",)
    references = References(sphere if liver else None, None, missing)
    found = [
        _lesion(1, "focal", "L4"),
        _lesion(
            2,
            "spill-in",
            "sacrum",
            site_distance_mm=3.0,
            spill_in="bladder",
            suv_mean=None,
            mtv_ml=None,
            tlg_g=None,
            diameter_mm=None,
        ),
    ]
    whole = RegionMeasure(100, 1.6, 200.0, 50.0, 190.0, 1.9, 1.8, 8.04, 6.0, (0.0, 0.0, 0.0), (0.0, 0.0, 0.0))
    rows = found if lesions else []
    return MeasurementRecord(
        roi=segment_row(SegmentMeasure("region", 0, "region", whole), references),
        segments=(),
        references=references,
        lesion_config=LesionConfig(),
        threshold_suv=4.0,
        marrow_suv=1.5,
        lesions=tuple(lesion_row(lesion, references) for lesion in rows),
        totals=LesionTotals(len(rows) // 2, 0, 0, len(rows) // 2, 2.25 if rows else 0.0, 11.3 if rows else 0.0, None),
        roi_made_by="made up",
        segmentation_made_by="made up",
        notes=missing,
        seconds={},
        simulated=True,
    )


def make_result(*, troubled: bool = False, measurements: MeasurementRecord | None = None) -> dict[str, Any]:
    """The `result` of a score job; `troubled` with everything that a person should be warned of."""
    flag = QualityFlag("uptake_time", "warning", "The uptake time of 95 minutes is outside 50 to 75 minutes.", 95.0)
    hint = QualityFlag("dose", "note", "The dose of 20 MBq is unusual.", 20.0)
    alignment = AlignmentRecord((7.0, 0.0, 0.0), 7.0, True, "The PET lies 7.0 mm beside the CT.", (), {})
    acquisition, roi = Acquisition(), RoiRecord("skeleton", "made up", "", 1.6, 4, 4)
    if troubled:
        acquisition = Acquisition(flags=(flag, hint), alignment=alignment, identity=("Nothing was compared.",))
        roi = RoiRecord(
            "skeleton",
            "made up",
            "",
            1.6,
            4,
            4,
            edited=True,
            edit=EditSummary(10, 2, 0.1, 0.02, 3, resampled=False),
            boxes=BoxesChanged(4, 5, (3, 4), (9,), (), 6.0, 1),
            stray=(StrayPiece((0.0, 0.0, 0.0), 1, 0.01, 40.0, (9,), None),),
        )
    return {
        "log_risk": 0.4213,
        "label": "SIMULATED MODEL",
        "notes": [flag.sentence, hint.sentence, alignment.warning, "Covariates are missing."] if troubled else [],
        "acquisition": msgspec.to_builtins(acquisition),
        "roi": msgspec.to_builtins(roi),
        "measurements": msgspec.to_builtins(measurements, str_keys=True) if measurements else None,
        "heatmap": None,
    }


def write_files(folder: Path) -> dict[str, str | None]:
    """The report and the label maps of `make_measurements`, stored along other axes than the CT's."""
    (folder / "report.html").write_text("<p>report</p>", encoding="utf-8")
    lesions, references = np.zeros(SHAPE, np.uint16), np.zeros(SHAPE, np.uint8)
    for number, (k, j, i) in VOXELS.items():
        lesions[k - 1 : k + 2, j - 1 : j + 2, i - 1 : i + 2] = number
    references[3:6, 4:7, 4:7] = 1
    for name, voxels in (("lesions", lesions), ("references", references)):
        write_volume(Volume(voxels, AFFINE).reoriented("RAI"), folder / f"{name}.nrrd")
    return {
        "report": str(folder / "report.html"),
        "heatmap": None,
        "lesion_labels": str(folder / "lesions.nrrd"),
        "references": str(folder / "references.nrrd"),
    }
