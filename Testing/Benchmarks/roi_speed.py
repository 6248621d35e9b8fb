"""Seconds and peak memory on a CT of 512 x 512 x 600 voxels (simulated), against the same steps in plain scipy."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from MemorySurvivalLib.imaging.volume import Affine, Volume, resample_onto
from MemorySurvivalLib.roi.automatic import segment_case
from MemorySurvivalLib.roi.derive import DEFAULT_ROI, derive_skeleton, derive_spine_dilated
from MemorySurvivalLib.simulation.case import simulate_case
from Testing.Benchmarks.roi_plain import dilate_plainly, find_body_plainly, find_bones_plainly

ROOT = Path(__file__).resolve().parents[2]
SEED, DRAWN_MM = 2001, (2.5, 2.5, 3.0)
SPACING_MM, SIZE = (0.98, 0.98, 1.5), (512, 512, 600)
PET_SPACING_MM, PET_SIZE = (2.5, 2.5, 2.25), (200, 200, 400)
CORES = 2
MOST_SEGMENT_S, MOST_GIB, MOST_RESAMPLE_S = 60.0, 4.0, 15.0
BQ_PER_ML, WEIGHT_G, DOSE_BQ = 5000.0, 75000.0, 2.5e8


def run() -> dict[str, Any]:
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "ct.npz"
        _write_ct(path)
        own, plain, pet = (_measure(step, path) for step in STEPS)
    return {
        "segment_s": own["seconds"],
        "segment_cpu_s": own["cpu_s"],
        "segment_steps_s": own["steps_s"],
        "segment_peak_gib": own["peak_gib"],
        "plain_s": plain["seconds"],
        "plain_cpu_s": plain["cpu_s"],
        "plain_steps_s": plain["steps_s"],
        "plain_peak_gib": plain["peak_gib"],
        "plain_over_own": round(plain["seconds"] / own["seconds"], 2),
        "plain_over_own_cpu": round(plain["cpu_s"] / own["cpu_s"], 2),
        "what_plain_leaves_out": "marrow in three planes, contrast agent, canal, vertebrae, levels",
        "resample_and_suv_s": pet["seconds"],
        "resample_and_suv_cpu_s": pet["cpu_s"],
        "resample_peak_gib": pet["peak_gib"],
        "cores": CORES,
        "load_before": round(load, 1),
        "goal": f"skeleton and spine in <= {MOST_SEGMENT_S:g} s and <= {MOST_GIB:g} GiB, PET onto that grid and SUV in "
        f"<= {MOST_RESAMPLE_S:g} s, on {CORES} cores; the CT itself is counted",
        "ok": own["seconds"] <= MOST_SEGMENT_S and own["peak_gib"] <= MOST_GIB and pet["seconds"] <= MOST_RESAMPLE_S,
    }


def _write_ct(path: Path) -> None:
    """A phantom brought onto the fine grid, kept as plain arrays so that reading costs no memory of its own."""
    drawn = simulate_case(SEED, spacing_mm=DRAWN_MM).ct
    middle = drawn.affine.points_mm([(n - 1) / 2 for n in reversed(drawn.shape)])
    affine = Affine.from_parts(SPACING_MM, np.eye(3), middle - (np.array(SIZE) - 1) / 2 * SPACING_MM)
    grid = Volume(np.broadcast_to(np.int16(0), SIZE[::-1]), affine)
    fine = resample_onto(drawn, grid, linear=True, outside=-1000.0)
    np.savez(path, voxels=np.rint(fine.voxels).astype(np.int16), matrix=affine.matrix)


def _measure(step: str, path: Path) -> dict[str, Any]:
    """Run one step in a fresh process: peak memory is that of the whole process."""
    command = [sys.executable, "-m", "Testing.Benchmarks.roi_speed", step, str(path)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(CORES)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(step, result, flush=True)
    return result


def _segment(ct: Volume) -> dict[str, float]:
    watch = Stopwatch()
    found = segment_case(ct)
    watch.lap("segment")
    derive_spine_dilated(found)
    watch.lap("spine_dilated")
    derive_skeleton(found)
    watch.lap("skeleton")
    return watch.laps_s


def _segment_plainly(ct: Volume) -> dict[str, float]:
    spacing_zyx = ct.spacing_mm[2], ct.spacing_mm[1], ct.spacing_mm[0]
    watch = Stopwatch()
    body = find_body_plainly(ct.voxels, spacing_zyx)
    watch.lap("body")
    bones = find_bones_plainly(ct.voxels, body, spacing_zyx)
    watch.lap("bones")
    dilate_plainly(bones, DEFAULT_ROI.paramedullary_mm, spacing_zyx)
    watch.lap("dilation")
    return watch.laps_s


def _resample(ct: Volume) -> dict[str, float]:
    rng = np.random.default_rng(1)
    counts = rng.gamma(2.0, BQ_PER_ML / 2.0, PET_SIZE[::-1]).astype(np.float32)
    pet = Volume(counts, Affine.from_parts(PET_SPACING_MM, np.eye(3), ct.affine.origin_mm))
    watch = Stopwatch()
    suv = pet.with_voxels(pet.voxels * np.float32(WEIGHT_G / DOSE_BQ))
    resample_onto(suv, ct, linear=True)
    watch.lap("resample")
    return watch.laps_s


class Stopwatch:
    """Wall-clock seconds between laps."""

    def __init__(self) -> None:
        self.laps_s: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.laps_s[name] = round(now - self._last, 2)
        self._last = now


STEPS: dict[str, Callable[[Volume], dict[str, float]]] = {
    "segment": _segment,
    "plain": _segment_plainly,
    "resample": _resample,
}


def _child(step: str, path: Path) -> None:
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(CORES)
    with np.load(path) as stored:
        ct = Volume(stored["voxels"], Affine(stored["matrix"]))
    before = resource.getrusage(resource.RUSAGE_SELF)
    steps_s = STEPS[step](ct)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    peak_gib = usage.ru_maxrss / (1024**2 if sys.platform != "darwin" else 1024**3)
    cpu_s = usage.ru_utime + usage.ru_stime - before.ru_utime - before.ru_stime
    result = {"seconds": sum(steps_s.values()), "cpu_s": cpu_s, "peak_gib": peak_gib}
    print(json.dumps({name: round(value, 2) for name, value in result.items()} | {"steps_s": steps_s}))


if __name__ == "__main__":
    _child(sys.argv[1], Path(sys.argv[2]))
