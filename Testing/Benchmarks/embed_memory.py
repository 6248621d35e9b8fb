"""Memory of the engine fed from a memory-mapped CT: 600 slices against 100, each in a process of its own.

Whole-process memory is `peak_mb` (VmHWM, Linux); what importing torch and sam2 and building the model takes before the
first slice is reported apart as `start_mb`. Every slice of the volume is used.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from MemorySurvivalLib.imaging.volume import Affine, Volume
from MemorySurvivalLib.imaging.window import Window
from MemorySurvivalLib.memory.backbone import COMPACT, MEDSAM2, BackboneSpec, build_backbone
from MemorySurvivalLib.memory.cache import MemoryCache
from MemorySurvivalLib.memory.engine import MemoryEngine
from MemorySurvivalLib.memory.propagation import PropagationConfig, propagate
from MemorySurvivalLib.progress import ProgressEvent
from MemorySurvivalLib.roi.boxes import SliceBox

FEW, MANY = 100, 600
SIDE = 512
LIMIT_MB, LIMIT_RATIO = 2000.0, 1.1
BACKBONES: dict[str, tuple[BackboneSpec, tuple[int, ...]]] = {
    "compact 256 px": (COMPACT, (FEW, MANY)),
    "hiera-tiny 512 px": (MEDSAM2, (10, 40)),
}


def measure(backbone: str, slices: int, file: str, root: str) -> dict[str, Any]:
    """One pass in this process, with the cache (empty before), in MB of 10^6 bytes."""
    model = build_backbone(BACKBONES[backbone][0], seed=0)
    engine = MemoryEngine(model, torch.device("cpu"))
    voxels = np.memmap(file, dtype=np.int16, mode="r", shape=(slices, SIDE, SIDE))
    image = Volume(voxels, Affine(np.diag([1.0, 1.0, 1.5, 1.0])))
    boxes = tuple(SliceBox(z, 180, 200, 330, 340) for z in reversed(range(slices)))
    start_mb = _status_mb("VmHWM")
    own: list[float] = []

    def watch(event: ProgressEvent) -> None:
        own.append(_status_mb("RssAnon"))

    start = time.perf_counter()
    config = PropagationConfig("mean", 1)
    one_pass = propagate(engine, image, "CT", Window(-200, 1000), boxes, config, watch, cache=MemoryCache(Path(root)))
    seconds = time.perf_counter() - start
    return {
        "backbone": backbone,
        "slices": slices,
        "start_mb": round(start_mb, 1),
        "peak_mb": round(_status_mb("VmHWM"), 1),
        "peak_own_mb": round(max(own), 1),
        "memories_mb": round(one_pass.memories.nbytes / 1e6, 1),
        "mapped_file_mb": round(Path(file).stat().st_size / 1e6, 1),
        "seconds": round(seconds, 1),
    }


def run() -> dict[str, Any]:
    rows = []
    with tempfile.TemporaryDirectory() as name:
        for backbone, (_, counts) in BACKBONES.items():
            for slices in counts:
                rows.append(_in_own_process(backbone, slices, Path(name)))
                print(rows[-1], flush=True)
    few, many = (row for row in rows if row["backbone"].startswith("compact"))
    ratio = many["peak_mb"] / few["peak_mb"]
    peak_mb = max(row["peak_mb"] for row in rows)
    return {
        "passes": rows,
        "volume": f"{SIDE} x {SIDE} int16 slices in a memory-mapped file, every slice used, cache on, random weights",
        "peak_mb_max": peak_mb,
        "peak_ratio_many_to_few": round(ratio, 3),
        "threads": torch.get_num_threads(),
        "goal": f"whole process, compact model: peak <= {LIMIT_MB:g} MB at {MANY} slices and <= {LIMIT_RATIO:g} times "
        f"that at {FEW}",
        "ok": peak_mb <= LIMIT_MB and ratio <= LIMIT_RATIO,
    }


def _in_own_process(backbone: str, slices: int, folder: Path) -> dict[str, Any]:
    file, root = folder / "ct.raw", folder / f"cache-{slices}"
    rng = np.random.default_rng(3)
    with file.open("wb") as stream:
        for _ in range(slices):
            stream.write(rng.integers(-1000, 1500, (SIDE, SIDE), dtype=np.int16).tobytes())
    command = [sys.executable, "-m", "Testing.Benchmarks.embed_memory", backbone, str(slices), str(file), str(root)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    result: dict[str, Any] = json.loads(printed.splitlines()[-1])
    return result


def _status_mb(field: str) -> float:
    """A line of /proc/self/status, such as VmHWM, the largest resident size so far, in MB of 10^6 bytes."""
    for line in Path(f"/proc/{os.getpid()}/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise RuntimeError(f"/proc/self/status has no {field}; this figure needs Linux")


if __name__ == "__main__":
    backbone, slices, file, root = sys.argv[1:]
    print(json.dumps(measure(backbone, int(slices), file, root)))
