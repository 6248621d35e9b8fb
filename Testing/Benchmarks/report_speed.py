"""Seconds and sizes of every format of a whole-body report and of its DICOM objects (simulated, 512 x 512 CT)."""

from __future__ import annotations

import math
import resource
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from MemorySurvivalLib.dicom_out.export import export_dicom
from MemorySurvivalLib.explain.heatmap import Heatmap
from MemorySurvivalLib.explain.plan import ExplainConfig
from MemorySurvivalLib.imaging.case import Case, make_case
from MemorySurvivalLib.imaging.reading import read_volume, write_volume
from MemorySurvivalLib.imaging.volume import Affine, Volume, resample_onto
from MemorySurvivalLib.pipeline import ScoreRequest, score_case
from MemorySurvivalLib.report.drawing import draw_pictures, write_pictures
from MemorySurvivalLib.report.model import FILE_NAME, read_report
from MemorySurvivalLib.report.record import CaseRecord, HotspotRecord
from MemorySurvivalLib.report.subject import Subject
from MemorySurvivalLib.report.writing import FORMATS, make_report, write_formats
from MemorySurvivalLib.roi.roi import Roi
from MemorySurvivalLib.simulation.case import simulate_case

ROOT = Path(__file__).resolve().parents[2]
SEED = 2
COLUMNS, SLICE_MM = 512, 3.0
PATCH_MM = 90.0
"""A coarse heatmap: how it was made does not change how long it takes to write."""
PER_BQML = 70_000 / (370e6 * math.exp(-math.log(2) * 3600 / 6586.2))
"""SUV of one Bq/mL with the made-up series' dose and weight."""
REPORT_GOAL_S, DICOM_GOAL_S = 5.0, 30.0
RUNS = 3
HOTSPOTS = 300


def run() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        request, ct, pet = _write_study(folder)
        record = score_case(request).record
        result = request.out
        case = make_case(ct, pet)
        cpu = time.process_time()
        record, draw_s = _draw_many_hotspots(record, case, result)
        runs = [_time_formats(result)]
        report_cpu_s = time.process_time() - cpu
        runs += [_time_formats(result) for _ in range(RUNS - 1)]
        report_s = draw_s + sum(runs[0].values())
        start, cpu = time.perf_counter(), time.process_time()
        exported = export_dicom(result, folder / "dicom", Subject())
        dicom_s, dicom_cpu_s = time.perf_counter() - start, time.process_time() - cpu
        objects = [{"object": each.file, "mb": round(each.size_bytes / 1e6, 2)} for each in exported.objects]
        assert record.heatmap is not None
        assert record.measurements is not None
        return {
            "ct_shape_zyx": ct.shape,
            "pictures": len(read_report(result).pictures),
            "hotspots_in_table": len(record.heatmap.hotspots),
            "lesions": len(record.measurements.lesions),
            "draw_pictures_s": round(draw_s, 2),
            "formats": [
                {
                    "format": key,
                    "first_s": round(runs[0][key], 2),
                    "again_s": round(min(each[key] for each in runs[1:]), 2),
                    "kb": round((result / f"report.{key}").stat().st_size / 1e3, 1),
                }
                for key in FORMATS
            ],
            "report_s": round(report_s, 2),
            "report_processor_s": round(report_cpu_s, 2),
            "dicom_objects": objects,
            "dicom_left_out": list(exported.left_out),
            "dicom_s": round(dicom_s, 2),
            "dicom_processor_s": round(dicom_cpu_s, 2),
            "dicom_mb": round(sum(each.size_bytes for each in exported.objects) / 1e6, 2),
            "peak_memory_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2),
            "goal": f"pictures, HTML, PDF, JSON and CSV together in {REPORT_GOAL_S:g} s at most, imports included; all "
            f"DICOM objects in {DICOM_GOAL_S:g} s at most",
            "ok": report_s <= REPORT_GOAL_S and dicom_s <= DICOM_GOAL_S and not exported.left_out,
        }


def _draw_many_hotspots(record: CaseRecord, case: Case, result: Path) -> tuple[CaseRecord, float]:
    """Give the result as many hotspots as a report must bear, draw its pictures; the record and the seconds of it."""
    assert record.heatmap is not None
    mask = read_volume(result / "roi.nrrd", "mask")
    roi = Roi(mask.with_voxels(mask.voxels.astype(np.bool_)), "spine_dilated", "simulated")
    effect = read_volume(result / "heatmap.nrrd", "heatmap")
    limit = float(np.abs(effect.voxels).max())
    inside = np.argwhere(roi.mask.voxels)[:: np.count_nonzero(roi.mask.voxels) // HOTSPOTS][:HOTSPOTS]
    spots = []
    for number, (x, y, z) in enumerate(roi.mask.affine.points_mm(inside[:, ::-1].astype(float)), start=1):
        place = (float(x), float(y), float(z))
        spots.append(
            HotspotRecord(place, (-place[0], -place[1], place[2]), limit / number, number, "vertebrae_T7", 0.1)
        )
    hotspots = tuple(spots)
    record = replace(record, heatmap=replace(record.heatmap, hotspots=hotspots, noise_floor=0.0, limit=limit))
    record.write(result / "result.json")
    config = ExplainConfig(PATCH_MM, PATCH_MM)
    heatmap = Heatmap(effect, config, record.heatmap.fill_values, 1, 1.0, (), limit)
    start = time.perf_counter()
    pictures = draw_pictures(record, case, roi, heatmap)
    report = make_report(record, write_pictures(pictures, result), pictures.where)
    seconds = time.perf_counter() - start
    report.write(result / FILE_NAME)
    return record, seconds


def _time_formats(result: Path) -> dict[str, float]:
    """Seconds of each format, written into the result's folder; reading the report and composing it is in the first."""
    seconds: dict[str, float] = {}
    for key in FORMATS:
        start = time.perf_counter()
        report = read_report(result)
        write_formats(report, result / "pictures", result, (key,), overwrite=True)
        seconds[key] = time.perf_counter() - start
    return seconds


def _write_study(folder: Path) -> tuple[ScoreRequest, Volume, Volume]:
    """A simulated patient as DICOM on a scanner's grid; the request that scores it, its CT and PET."""
    sys.path.insert(0, str(ROOT / "Testing" / "Python"))
    from dicom_made_up import write_series

    case = simulate_case(SEED)
    spacing_mm = np.asarray(case.ct.spacing_mm)
    extent_mm = spacing_mm * np.asarray(case.ct.shape[::-1])
    pixel_mm = max(extent_mm[:2]) / COLUMNS
    slices = int(extent_mm[2] // SLICE_MM)
    wide = np.array((COLUMNS * pixel_mm, COLUMNS * pixel_mm, slices * SLICE_MM))
    centre = case.ct.affine.points_mm((np.asarray(case.ct.shape[::-1]) - 1) / 2)
    spacing = (float(pixel_mm), float(pixel_mm), SLICE_MM)
    origin = centre - case.ct.affine.direction @ (wide - np.asarray(spacing)) / 2
    grid = Volume(
        np.zeros((slices, COLUMNS, COLUMNS), dtype=np.uint8),
        Affine.from_parts(spacing, case.ct.affine.direction, tuple(origin)),
    )
    ct = resample_onto(case.ct, grid, linear=True, outside=-1000.0)
    write_series(folder / "study" / "ct", ct.with_voxels(np.round(ct.voxels).astype(np.int16)), "CT")
    bqml = case.pet.with_voxels(case.pet.voxels.astype(np.float64) / PER_BQML)
    write_series(folder / "study" / "pet", bqml, "PT", slopes=float(bqml.voxels.max()) / 32000)
    roi = folder / "spine_dilated.nrrd"
    write_volume(resample_onto(case.spine_dilated, grid, linear=False), roi)
    request = ScoreRequest(
        out=folder / "result",
        study=folder / "study",
        roi=roi,
        explain=True,
        measure=True,
        patch_mm=PATCH_MM,
        stride_mm=PATCH_MM,
        device="cpu",
        use_cache=False,
    )
    return request, ct, case.pet
