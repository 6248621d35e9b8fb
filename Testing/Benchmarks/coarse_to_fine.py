"""Coarse-to-fine against the whole map on 20 simulated patients: the same hotspots above noise, at which cost.

A hotspot of the whole map (the five strongest above its noise floor) counts as found when the coarse map has one of the
same sign within a patch's edge; one of the coarse map counts as real when the whole map has one there. The bundle's own
patches, stride and occluded images; readout, backbone and head of the demonstration.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from MemorySurvivalLib.explain.coarse import find_coarse_to_fine
from MemorySurvivalLib.explain.fills import make_fills
from MemorySurvivalLib.explain.heatmap import correlate_maps, spread_effects
from MemorySurvivalLib.explain.hotspots import Hotspot, find_hotspots
from MemorySurvivalLib.explain.noise import find_noise_floor
from MemorySurvivalLib.explain.occlusion import occluded_log_risks
from MemorySurvivalLib.explain.plan import ExplainConfig, plan_patches
from MemorySurvivalLib.imaging.case import make_case
from MemorySurvivalLib.models import Models
from MemorySurvivalLib.roi.roi import Roi
from MemorySurvivalLib.simulation.case import simulate_case
from Testing.Benchmarks.subjects import embed_subject

FIRST_SEED, PATIENTS, SPACING_MM = 3001, 20, (4.0, 4.0, 5.0)
TOP = 5
GOAL_SHARE, GOAL_COST = 0.95, 0.2


def run(patients: int = PATIENTS, patch_mm: float | None = None, stride_mm: float | None = None) -> dict[str, Any]:
    rows = [compare(FIRST_SEED + n, patch_mm, stride_mm) for n in range(patients)]
    same = sum(row["found"] == row["hotspots"] for row in rows)
    strongest = [row["strongest_found"] for row in rows if row["hotspots"]]
    cost = float(np.mean([row["cost"] for row in rows]))
    total, shown = (sum(row[name] for row in rows) for name in ("hotspots", "coarse_hotspots"))
    return {
        "patients": rows,
        "share_of_patients_with_all": round(same / len(rows), 3),
        "share_of_hotspots": round(sum(row["found"] for row in rows) / total, 3) if total else None,
        "share_of_coarse_real": round(sum(row["real"] for row in rows) / shown, 3) if shown else None,
        "share_of_strongest": round(float(np.mean(strongest)), 3) if strongest else None,
        "cost_mean": round(cost, 3),
        "correlation_median": round(float(np.median([row["correlation"] for row in rows])), 3),
        "threads": torch.get_num_threads(),
        "goal": f"all of the {TOP} strongest hotspots above noise in >= {GOAL_SHARE:.0%} of {patients} simulated "
        f"patients, at <= {GOAL_COST:g} of the encoder passes",
        "ok": same / len(rows) >= GOAL_SHARE and cost <= GOAL_COST * 1.02,
    }


def compare(seed: int, patch_mm: float | None, stride_mm: float | None) -> dict[str, Any]:
    """Both maps of one patient."""
    simulated = simulate_case(seed, spacing_mm=SPACING_MM)
    case = make_case(simulated.ct, simulated.pet)
    mask = simulated.spine_dilated.reoriented()
    roi = Roi(mask.with_voxels(mask.voxels > 0), "spine_dilated", "the phantom's truth")
    models = Models()
    bundle = models.bundle("demonstration")
    engine = models.engine(bundle, torch.device("cpu"))
    subject = embed_subject(engine, bundle, case, roi)
    defaults = bundle.manifest.explain
    config = ExplainConfig(patch_mm or defaults.patch_mm, stride_mm or defaults.stride_mm, defaults.fill)
    fills = make_fills(case, roi, config.fill, config.patch_mm)
    patches = plan_patches(roi, config)
    effects = subject.baseline() - occluded_log_risks(subject, patches, fills).risks[:, 0]
    other = make_fills(case, roi, "volume_mean", config.patch_mm)
    floor = find_noise_floor(subject, patches, effects, {"volume_mean": other}).value
    whole, _ = spread_effects(roi, patches, effects)
    before = engine.encoded_slices
    both = find_coarse_to_fine(subject, roi, config, fills)
    spent = engine.encoded_slices - before
    coarse, _ = spread_effects(roi, both.patches, both.effects[:, 0])
    every = find_hotspots(whole, floor, config.stride_mm)
    wanted = every[:TOP]
    found = find_hotspots(coarse, floor, config.stride_mm)
    hits = [any(_same(one, other, config.patch_mm) for other in found) for one in wanted]
    row = {
        "seed": seed,
        "patches": len(patches),
        "cost": round(spent / both.full_encodings, 3),
        "noise_floor": round(floor, 5),
        "hotspots": len(wanted),
        "found": sum(hits),
        "coarse_hotspots": len(found),
        "real": sum(any(_same(one, other, config.patch_mm) for other in every) for one in found),
        "strongest_found": bool(hits[0]) if hits else True,
        "correlation": round(correlate_maps(coarse, whole, roi), 3),
    }
    print(row, flush=True)
    return row


def _same(one: Hotspot, other: Hotspot, within_mm: float) -> bool:
    away = np.linalg.norm(np.subtract(one.position_lps_mm, other.position_lps_mm))
    return bool(away <= within_mm and one.effect * other.effect > 0)
