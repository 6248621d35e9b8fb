"""The built-in segmenter's two regions on simulated patients with seeds that were never used in development."""

from __future__ import annotations

from typing import Any

import numpy as np

from MemorySurvivalLib.roi.automatic import segment_case
from MemorySurvivalLib.roi.derive import RoiConfig, derive_skeleton, derive_spine_dilated
from MemorySurvivalLib.simulation.case import simulate_case
from MemorySurvivalLib.simulation.tissues import VERTEBRAE, Tissue
from Testing.Benchmarks.roi_dice import dice

COARSE_MM, FINE_MM = (4.0, 4.0, 5.0), (2.5, 2.5, 3.0)
FIRST_SEED, COARSE, FINE = 2001, 20, 4
FLOOR = 0.85


def run() -> dict[str, Any]:
    patients = [_measure(FIRST_SEED + n, COARSE_MM) for n in range(COARSE)]
    patients += [_measure(FIRST_SEED + n, FINE_MM) for n in range(FINE)]
    summary = [_summarise(patients, name) for name in (_grid_name(COARSE_MM), _grid_name(FINE_MM))]
    worst = min(min(row["spine_dilated"], row["skeleton"]) for row in patients)
    return {
        "worst_of_all": worst,
        "summary": summary,
        "patients": patients,
        "goal": f"simulated patients, both regions, every grid: worst Dice >= {FLOOR}",
        "ok": worst >= FLOOR,
    }


def _grid_name(spacing_mm: tuple[float, float, float]) -> str:
    return " x ".join(f"{step:g}" for step in spacing_mm) + " mm"


def _measure(seed: int, spacing_mm: tuple[float, float, float]) -> dict[str, Any]:
    case = simulate_case(seed, spacing_mm=spacing_mm)
    found = segment_case(case.ct)
    spine = derive_spine_dilated(found).voxels != 0
    truth = case.spine_dilated.voxels != 0
    row = {
        "seed": seed,
        "grid": _grid_name(spacing_mm),
        "spine_dilated": dice(spine, truth),
        "skeleton": dice(derive_skeleton(found).voxels != 0, case.skeleton.voxels != 0),
        "spine_dilated_without_s1": dice(derive_spine_dilated(found, RoiConfig(include_s1=False)).voxels != 0, truth),
        "spine_covered": round(
            float(spine[np.isin(case.phantom.labels.voxels, [*VERTEBRAE, Tissue.SPINAL_CANAL])].mean()), 4
        ),
    }
    print("  ".join(f"{key} {value}" for key, value in row.items()), flush=True)
    return row


def _summarise(patients: list[dict[str, Any]], grid: str) -> dict[str, Any]:
    rows = [row for row in patients if row["grid"] == grid]
    result: dict[str, Any] = {"grid": grid, "patients": len(rows)}
    for name in ("spine_dilated", "skeleton", "spine_dilated_without_s1", "spine_covered"):
        values = [row[name] for row in rows]
        result[f"{name}_median"] = round(float(np.median(values)), 4)
        result[f"{name}_worst"] = min(values)
    return result
