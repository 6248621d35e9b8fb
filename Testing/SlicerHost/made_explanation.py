"""An explanation as the library hands it out, made up: maps of effects in files, and their record."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

LIMIT = 0.5
FLOOR = 0.05
PLACES = ((3, 4, 5), (8, 14, 9), (12, 20, 15))
"""Voxels (k, j, i) of the strongest effects of the small case."""

EFFECTS = (0.4, -0.2, 0.1)


def make_explanation(folder: Path, matrix: np.ndarray, *, hotspots: bool = True) -> Path:
    """Write the maps over the small case's grid and `explanation.json`; returns their folder."""
    from MemorySurvivalPanels.volumes import write_image

    folder.mkdir()
    effect = np.zeros((16, 24, 20), np.float32)
    effect[1:15, 2:22, 3:18] = 0.6 * FLOOR
    for (k, j, i), strength in zip(PLACES, EFFECTS if hotspots else (), strict=False):
        effect[k - 1 : k + 2, j - 1 : j + 2, i - 1 : i + 2] = strength
    agreement = np.where(np.abs(effect) > FLOOR, 2, 0).astype(np.uint8)
    maps = {"heatmap": effect, "heatmap_PET": 0.7 * effect, "heatmap_CT": 0.3 * effect, "agreement": agreement}
    for name, voxels in maps.items():
        write_image(voxels.astype(voxels.dtype), matrix, folder).rename(folder / f"{name}.nrrd")
    record = {
        "estimate": {"patches": 120, "encoded_slices": 1040, "seconds": 75.0, "resumable": 0, "how": "measured here"},
        "result": {"heatmap": heatmap_record(matrix, hotspots), "log_risk": 0.4213, "label": "SIMULATED MODEL"},
    }
    (folder / "explanation.json").write_text(json.dumps(record), encoding="utf-8")
    return folder


def heatmap_record(matrix: np.ndarray, hotspots: bool) -> dict[str, Any]:
    """The record's part about the heatmap; positions in LPS."""
    found = []
    for number, ((k, j, i), effect) in enumerate(zip(PLACES, EFFECTS, strict=True), start=1):
        x, y, z = (matrix @ [i, j, k, 1.0])[:3]
        found.append(
            {
                "number": number,
                "position_lps_mm": [-x, -y, z],
                "site": ["vertebrae_L4", "rib_left_7", ""][number - 1],
                "effect": effect,
                "share": [0.31, 0.12, 0.004][number - 1],
                "volume_ml": [4.2, 1.9, 0.8][number - 1],
                "agreed": [True, False, None][number - 1],
            }
        )
    return {
        "limit": LIMIT,
        "noise_floor": FLOOR,
        "unit": "change of log-risk",
        "fill": "roi_median",
        "patch_mm": 40.0,
        "stride_mm": 20.0,
        "modalities": ["PET", "CT"],
        "patches": 120,
        "hotspots": found if hotspots else [],
        "whole_roi_effect": 0.62,
        "summed_effect": 0.71,
        "outside": [
            {"organ": "everything else", "effect": -0.12},
            {"organ": "urinary_bladder", "effect": 0.02},
            {"organ": "brain", "effect": -0.01},
        ],
        "organs_unknown": ["heart"],
        "fill_agreement": 0.83,
        "summary": ["3 hotspots above noise."],
    }
