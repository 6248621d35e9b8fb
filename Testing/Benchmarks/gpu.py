"""Embedding on a CUDA GPU against the official predictor on the same one: slices a second, memory, share of its peak.

Both run hiera-tiny at 512 px in mode `boxed` with random weights, the official predictor under bfloat16 autocast as its
own scripts do. The tolerance is against our own float32 on that GPU. Without a GPU nothing is measured.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from MemorySurvivalLib.devices import describe_device
from MemorySurvivalLib.imaging.case import make_case
from MemorySurvivalLib.imaging.volume import Volume
from MemorySurvivalLib.imaging.window import Window
from MemorySurvivalLib.memory.acceleration import Acceleration
from MemorySurvivalLib.memory.backbone import MEDSAM2, build_backbone
from MemorySurvivalLib.memory.engine import MemoryEngine
from MemorySurvivalLib.memory.propagation import PropagationConfig, propagate
from MemorySurvivalLib.memory.slices import SliceFrame
from MemorySurvivalLib.roi.boxes import SliceBox, prompt_boxes
from MemorySurvivalLib.simulation.case import simulate_case
from Testing.Benchmarks.official import build_official, official_memories

SLICES, REPEATS = 150, 3
GOAL_RATIO, TOLERANCE = 5.0, 2e-2
GFLOP_PER_SLICE = 62.8
"""Of the image encoder at 512 px; heads and memory encoder are not counted."""

PEAK_BF16_TFLOPS = {"H200": 989.0, "H100": 989.0, "A100": 312.0, "L4": 121.0, "4090": 165.0}
"""Dense bfloat16 with tensor cores, from the makers' data sheets; other devices get no share."""

GOAL = (
    f">= {GOAL_RATIO:g} times the official predictor's slices a second, memories within {TOLERANCE:g} (relative L2) of "
    "float32"
)


def run() -> dict[str, Any]:
    if not torch.cuda.is_available():
        return {"measured": "not measured: no CUDA GPU at hand", "goal": GOAL, "ok": None}
    device = torch.device("cuda")
    image, boxes = _case()
    window, config = Window(0, 10), PropagationConfig("mean", slice_step=1)
    model = build_backbone(MEDSAM2, seed=0)
    official = build_official(MEDSAM2, model.state_dict()).to(device)

    def embed(acceleration: Acceleration) -> tuple[torch.Tensor, dict[str, Any]]:
        engine = MemoryEngine(model, device, acceleration)

        def once() -> torch.Tensor:
            return propagate(engine, image, "PET", window, boxes, config).memories

        memories, row = _timed(once, len(boxes))
        return memories, {"side": f"ours, {acceleration.describe() or 'float32, single slices'}", **row}

    def reference() -> torch.Tensor:
        slices = SliceFrame.of(image, MEDSAM2.image_size)
        pictures = slices.picture(image.voxels[[box.z for box in boxes]], window, device)
        with torch.autocast("cuda", torch.bfloat16):
            return official_memories(official, pictures, torch.stack([slices.box(box) for box in boxes]))

    _memories, official_row = _timed(reference, len(boxes))
    exact, plain_row = embed(Acceleration())
    own = Acceleration.of(device, MEDSAM2.image_size)
    fast, fast_row = embed(own)
    _compiled, compiled_row = embed(Acceleration(own.bfloat16, own.together, "reduce-overhead"))
    error = float((fast.float() - exact.float()).norm() / exact.float().norm())
    ratio = fast_row["slices_per_s"] / official_row["slices_per_s"]
    name = describe_device(device)
    peak = next((value for key, value in PEAK_BF16_TFLOPS.items() if key in name), None)
    share = None if peak is None else fast_row["slices_per_s"] * GFLOP_PER_SLICE / 1000 / peak
    return {
        "device": name,
        "case": f"simulated, {len(boxes)} slices of one modality",
        "sides": [{"side": "official, bfloat16 autocast", **official_row}, plain_row, fast_row, compiled_row],
        "ratio": round(ratio, 2),
        "relative_l2_to_float32": float(f"{error:.3g}"),
        "share_of_bf16_peak": None if share is None else round(share, 4),
        "torch": torch.__version__,
        "goal": GOAL,
        "ok": ratio >= GOAL_RATIO and error <= TOLERANCE,
    }


def _case() -> tuple[Volume, tuple[SliceBox, ...]]:
    """The PET of a simulated patient with a box on 150 slices."""
    simulated = simulate_case(2)
    case = make_case(simulated.ct, simulated.pet)
    mask = simulated.skeleton.reoriented()
    boxes = prompt_boxes(mask.with_voxels(mask.voxels > 0), 1)
    chosen = np.linspace(0, len(boxes) - 1, min(SLICES, len(boxes))).round().astype(int)
    return case.pet, tuple(boxes[n] for n in chosen)


def _timed(work: Callable[[], torch.Tensor], slices: int) -> tuple[torch.Tensor, dict[str, Any]]:
    """The result, slices a second (median after a first run) and the most memory that was taken."""
    memories, seconds = work(), []
    torch.cuda.reset_peak_memory_stats()
    for _ in range(REPEATS):
        torch.cuda.synchronize()
        start = time.perf_counter()
        memories = work()
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    row = {
        "slices_per_s": round(slices / statistics.median(seconds), 1),
        "peak_gpu_mb": round(torch.cuda.max_memory_allocated() / 2**20),
    }
    return memories.cpu(), row
