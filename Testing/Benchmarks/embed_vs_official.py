"""Embedding one case against the official sam2 video predictor on the same slices and boxes: time and peak memory.

Each measurement is a process of its own; the two sides run in turn, five pairs. The ratio is official / ours.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import time
from typing import Any

import torch

from MemorySurvivalLib.imaging.case import make_case
from MemorySurvivalLib.imaging.window import Window
from MemorySurvivalLib.memory.backbone import MEDSAM2, BackboneSpec, build_backbone
from MemorySurvivalLib.memory.engine import MemoryEngine
from MemorySurvivalLib.memory.slices import SliceFrame
from MemorySurvivalLib.roi.boxes import prompt_boxes
from MemorySurvivalLib.simulation.case import simulate_case
from Testing.Benchmarks.official import build_official, official_memories

PAIRS = 5
GOAL_RATIO = 1.75
SLICES = 12
SPEC: BackboneSpec = MEDSAM2


def measure(side: str) -> dict[str, Any]:
    """One side in this process: seconds of the embedding alone, peak memory before and after, hash of the result."""
    simulated = simulate_case(2)
    case = make_case(simulated.ct, simulated.pet)
    mask = simulated.spine_dilated
    boxes = prompt_boxes(mask.with_voxels(mask.voxels > 0), slice_step=2)[:SLICES]
    frame = SliceFrame.of(case.pet, SPEC.image_size)
    window = Window(0, 10)
    model = build_backbone(SPEC, seed=0)
    if side == "official":
        predictor = build_official(SPEC, model.state_dict())
        del model
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start, start_cpu = time.perf_counter(), time.process_time()
    if side == "official":
        pictures = frame.picture(case.pet.voxels[[box.z for box in boxes]], window)
        memories = official_memories(predictor, pictures, torch.stack([frame.box(box) for box in boxes]))
    else:
        engine = MemoryEngine(model, torch.device("cpu"))
        kept = []
        for box in boxes:
            picture = frame.picture(case.pet.voxels[[box.z]], window)
            kept.append(engine.memories(picture, frame.box(box)[None]))
        memories = torch.cat(kept)
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - start_cpu
    return {
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "rise_mb": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024,
        "checksum": float(memories.double().sum()),
        "slices": len(boxes),
    }


def run() -> dict[str, Any]:
    pairs = []
    for _ in range(PAIRS):
        pair = {side: _in_own_process(side) for side in ("official", "ours")}
        print({side: round(result["seconds"], 2) for side, result in pair.items()}, flush=True)
        pairs.append(pair)
    ratios = sorted(pair["official"]["seconds"] / pair["ours"]["seconds"] for pair in pairs)
    identical = len({result["checksum"] for pair in pairs for result in pair.values()}) == 1

    def median(side: str, key: str) -> float:
        return round(statistics.median(pair[side][key] for pair in pairs), 2)

    ratio = statistics.median(ratios)
    return {
        "backbone": f"{SPEC.architecture}, {SPEC.image_size} px, random weights",
        "slices": pairs[0]["ours"]["slices"],
        "pairs": PAIRS,
        "ratio_median": round(ratio, 3),
        "ratio_min": round(ratios[0], 3),
        "ratio_max": round(ratios[-1], 3),
        # CPU time does not count what other programs took meanwhile.
        "cpu_ratio_median": round(
            statistics.median(pair["official"]["cpu_seconds"] / pair["ours"]["cpu_seconds"] for pair in pairs), 3
        ),
        "official_s": median("official", "seconds"),
        "ours_s": median("ours", "seconds"),
        "official_peak_mb": median("official", "peak_mb"),
        "ours_peak_mb": median("ours", "peak_mb"),
        "official_rise_mb": median("official", "rise_mb"),
        "ours_rise_mb": median("ours", "rise_mb"),
        "identical": identical,
        "threads": torch.get_num_threads(),
        "goal": f"identical memories, median ratio official / ours >= {GOAL_RATIO}",
        "ok": identical and ratio >= GOAL_RATIO,
    }


def _in_own_process(side: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "Testing.Benchmarks.embed_vs_official", side]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    result: dict[str, Any] = json.loads(printed.splitlines()[-1])
    return result


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1])))
