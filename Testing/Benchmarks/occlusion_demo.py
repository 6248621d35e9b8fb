"""Maps of the demo case (a simulated patient): seconds of a fine, a usual and a coarse one, and how alike they are.

Correlations are over the region's voxels with the map of the demonstration bundle's own settings. The hotspots above
noise are compared with the lesions that the simulator put there.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from MemorySurvivalLib.explain.coarse import find_coarse_to_fine
from MemorySurvivalLib.explain.explanation import Explanation, explain_subject
from MemorySurvivalLib.explain.fills import make_fills
from MemorySurvivalLib.explain.heatmap import correlate_maps, spread_effects
from MemorySurvivalLib.explain.occlusion import occluded_log_risks
from MemorySurvivalLib.explain.plan import ExplainConfig, plan_patches
from MemorySurvivalLib.explain.subject import Subject
from MemorySurvivalLib.imaging.case import make_case
from MemorySurvivalLib.imaging.volume import Volume
from MemorySurvivalLib.models import Models
from MemorySurvivalLib.roi.automatic import segment_case
from MemorySurvivalLib.roi.roi import Roi
from Testing.Benchmarks.demo_patient import SCENARIO, SEED, simulate_demo_patient
from Testing.Benchmarks.drawings import draw_maps
from Testing.Benchmarks.subjects import embed_subject

SPACING_MM = (2.5, 2.5, 2.5)
FINE = ExplainConfig(20.0, 10.0)
GOAL_FINE_S, GOAL_COARSE_S = 300.0, 30.0
NEAR_MM = 40.0


SHOWN = ("bundle's settings", "the same, coarse", "fine")


def run(
    spacing_mm: tuple[float, float, float] = SPACING_MM, fine: ExplainConfig = FINE, picture: Path | None = None
) -> dict[str, Any]:
    simulated = simulate_demo_patient(spacing_mm)
    case = make_case(simulated.ct, simulated.pet)
    mask = simulated.spine_dilated.reoriented()
    roi = Roi(mask.with_voxels(mask.voxels > 0), "spine_dilated", "simulated")
    models = Models()
    bundle = models.bundle("demonstration")
    engine = models.engine(bundle, torch.device("cpu"))
    subject = embed_subject(engine, bundle, case, roi)
    defaults = bundle.manifest.explain
    usual = ExplainConfig(defaults.patch_mm, defaults.stride_mm, defaults.fill)
    rows: list[dict[str, Any]] = []
    maps: dict[str, Volume] = {}
    plans = {
        "bundle's settings": usual,
        "the same, coarse": replace(usual, coarse=True),
        "no overlap": replace(usual, stride_mm=usual.patch_mm),
        "fill volume_mean": replace(usual, fill="volume_mean"),
        "fill blur": replace(usual, fill="blur"),
        "fine": fine,
    }
    for name, config in plans.items():
        before, start = engine.encoded_slices, time.perf_counter()
        maps[name], patches = make_map(subject, roi, config)
        rows.append(
            {
                "map": name,
                "patch_mm": config.patch_mm,
                "stride_mm": config.stride_mm,
                "fill": config.fill,
                "patches": patches,
                "encoded": engine.encoded_slices - before,
                "seconds": round(time.perf_counter() - start, 1),
                "correlation": round(correlate_maps(maps[name], maps["bundle's settings"], roi), 3),
            }
        )
        print(rows[-1], flush=True)
    segmentation = segment_case(case.ct)
    before, start = engine.encoded_slices, time.perf_counter()
    whole = explain_subject(subject, roi, usual, defaults.display_limit, lambda: segmentation, thorough=True)
    seconds = {row["map"]: row["seconds"] for row in rows}
    fine_s, coarse_s = seconds["fine"], seconds["the same, coarse"]
    if picture is not None:
        words = (f"patches of {usual.patch_mm:g} mm", "coarse, a fifth of it", f"{fine.patch_mm:g} mm")
        titles = dict(zip(SHOWN, words, strict=True))
        shown = {f"{titles[name]} ({seconds[name]:g} s)": maps[name] for name in SHOWN}
        draw_maps(case.ct, case.pet, roi.mask, simulated.lesions.reoriented(), shown, defaults.display_limit, picture)
    return {
        "case": f"simulated, scenario {SCENARIO}, seed {SEED}, voxels of {spacing_mm} mm, occluded in "
        f"{' and '.join(subject.modalities)}, demonstration backbone",
        "maps": rows,
        "explanation_s": round(time.perf_counter() - start, 1),
        "explanation_encoded": engine.encoded_slices - before,
        "noise_floor": round(whole.noise.value, 5),
        "noise_of_boxes": round(whole.noise.jitter, 5),
        "noise_of_fill": round(whole.noise.fill, 5),
        "whole_region": round(whole.whole_roi_effect or 0.0, 4),
        "sum_of_parts": round(whole.summed_effect or 0.0, 4),
        "outside": {one.organ: round(one.effect, 4) for one in whole.outside},
        "hotspots": describe_hotspots(whole, simulated.lesions.reoriented()),
        "threads": torch.get_num_threads(),
        "goal": f"the fine map in <= {GOAL_FINE_S:g} s, the coarse one in <= {GOAL_COARSE_S:g} s",
        "ok": fine_s <= GOAL_FINE_S and coarse_s <= GOAL_COARSE_S,
    }


def make_map(subject: Subject, roi: Roi, config: ExplainConfig) -> tuple[Volume, int]:
    """The map alone, without noise floor, and its number of patches."""
    fills = make_fills(subject.case, roi, config.fill, config.patch_mm)
    if config.coarse:
        both = find_coarse_to_fine(subject, roi, config, fills)
        return spread_effects(roi, both.patches, both.effects[:, 0])[0], len(both.patches)
    patches = plan_patches(roi, config)
    risks = occluded_log_risks(subject, patches, fills).risks[:, 0]
    return spread_effects(roi, patches, subject.baseline() - risks)[0], len(patches)


def describe_hotspots(whole: Explanation, lesions: Volume) -> list[dict[str, Any]]:
    """The hotspots above noise, and how far the nearest simulated lesion is."""
    places = lesions.affine.points_mm(np.argwhere(lesions.voxels > 0)[:, ::-1])
    rows = []
    for number, spot in enumerate(whole.heatmap.hotspots, start=1):
        away = np.linalg.norm(places - np.asarray(spot.position_lps_mm), axis=1).min() if len(places) else np.inf
        rows.append(
            {
                "hotspot": number,
                "site": spot.site,
                "effect": round(spot.effect, 4),
                "share": round(spot.share, 3),
                "fills_agree": spot.agreed,
                "lesion_within_patch": bool(away <= NEAR_MM),
                "nearest_lesion_mm": round(float(away), 1),
            }
        )
    return rows
