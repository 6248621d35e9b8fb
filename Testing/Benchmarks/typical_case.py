"""Seconds to score a typical case and to map it: 150 slices of PET and CT, compact and MedSAM2's size, on this machine.

The seconds of one slice are measured (encoder, prompt and memory; median of three) and multiplied by how many slices
the case and its maps encode, counted on a simulated patient; reading, masks and the report come on top. MedSAM2's size
has random weights, which cost the same.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import torch

from MemorySurvivalLib.devices import choose_device
from MemorySurvivalLib.explain.coarse import SHARE
from MemorySurvivalLib.explain.occlusion import count_encodings
from MemorySurvivalLib.explain.plan import ExplainConfig, plan_patches
from MemorySurvivalLib.explain.subject import Subject
from MemorySurvivalLib.memory.backbone import COMPACT, MEDSAM2, BackboneSpec, build_backbone
from MemorySurvivalLib.memory.engine import MemoryEngine
from MemorySurvivalLib.memory.speed import measure_slice
from MemorySurvivalLib.models import Models
from MemorySurvivalLib.roi.boxes import prompt_boxes
from MemorySurvivalLib.roi.roi import Roi
from MemorySurvivalLib.simulation.case import simulate_case

SEED, SPACING_MM = 2, (4.0, 4.0, 1.94)
MODALITIES = ("PET", "CT")
GOAL = "none: the numbers are for planning"


def run() -> dict[str, Any]:
    defaults = Models().bundle("demonstration").manifest.explain
    config = ExplainConfig(defaults.patch_mm, defaults.stride_mm, defaults.fill)
    used, mapped = count_slices(config)
    coarse = round(SHARE * mapped)
    rows = []
    for name, spec in (("compact", COMPACT), ("MedSAM2's size", MEDSAM2)):
        for device in ("cpu", "cuda"):
            rows.append(_row(name, spec, device, used, mapped, coarse))
            print(rows[-1], flush=True)
    return {
        "case": f"simulated, seed {SEED}, voxels of {SPACING_MM} mm, dilated spine, both modalities, slice step 2",
        "map": f"patches of {config.patch_mm:g} mm, {config.stride_mm:g} mm apart; the coarse one a fifth of it",
        "encoded_for_the_score": used,
        "encoded_for_a_whole_map": mapped,
        "encoded_for_a_coarse_map": coarse,
        "rows": rows,
        "threads": torch.get_num_threads(),
        "goal": GOAL,
        "ok": True,
    }


def count_slices(config: ExplainConfig) -> tuple[int, int]:
    """How many slices of both modalities the score and a whole map encode."""
    mask = simulate_case(SEED, spacing_mm=SPACING_MM).spine_dilated.reoriented()
    roi = Roi(mask.with_voxels(mask.voxels > 0), "spine_dilated", "the phantom's truth")
    boxes = prompt_boxes(roi.mask, 2)
    # Counting looks at the boxes alone; nothing is embedded for it, and `mean` sees every slice.
    passes = SimpleNamespace(boxes=boxes)
    seen = SimpleNamespace(any_pass=passes, modalities=MODALITIES, positions=lambda positions: positions)
    return len(boxes) * len(MODALITIES), count_encodings(cast(Subject, seen), plan_patches(roi, config))


def _row(name: str, spec: BackboneSpec, device: str, used: int, mapped: int, coarse: int) -> dict[str, Any]:
    row: dict[str, Any] = {"backbone": f"{name}, {spec.image_size} px", "device": device}
    if device == "cuda" and not torch.cuda.is_available():
        none = "not measured"
        return {**row, "slice_s": none, "score_s": none, "coarse_map_s": none, "whole_map_s": none}
    slice_s = measure_slice(MemoryEngine(build_backbone(spec, seed=0), choose_device(device)))  # type: ignore[arg-type]
    return {
        **row,
        "slice_s": round(slice_s, 4),
        "score_s": round(used * slice_s, 1),
        "coarse_map_s": round(coarse * slice_s, 1),
        "whole_map_s": round(mapped * slice_s, 1),
    }
