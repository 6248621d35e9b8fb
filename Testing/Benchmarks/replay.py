"""Results of simulated patients run again: identical numbers, other threads, and every change named."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import torch

from MemorySurvivalLib.bundle.bundle import load_bundle, save_bundle
from MemorySurvivalLib.bundle.registry import find_bundle
from MemorySurvivalLib.imaging.reading import read_volume, write_volume
from MemorySurvivalLib.models import Models
from MemorySurvivalLib.pipeline import ScoreRequest, score_case
from MemorySurvivalLib.replay.rebuild import ReplayRequest
from MemorySurvivalLib.replay.record import ReplayRecord
from MemorySurvivalLib.replay.replaying import replay_result
from MemorySurvivalLib.simulation.case import simulate_case, write_case

SEEDS, SPACING_MM = (1, 2, 3), (6.0, 6.0, 6.0)
PATCH_MM = 150.0
"""Large cubes: whether the map comes out the same does not depend on how fine it is, the time does."""


def run() -> dict[str, Any]:
    models = Models()
    rows = []
    with tempfile.TemporaryDirectory() as name:
        for seed in SEEDS:
            folder = Path(name) / str(seed)
            write_case(simulate_case(seed, spacing_mm=SPACING_MM), folder)
            request = ScoreRequest(
                ct=folder / "ct.nrrd",
                pet=folder / "pet.nrrd",
                # One region is generated anew, the others are files.
                roi=None if seed == SEEDS[0] else folder / "spine_dilated.nrrd",
                covariates=folder / "covariates.csv",
                out=folder / "result",
                explain=True,
                measure=True,
                patch_mm=PATCH_MM,
                stride_mm=PATCH_MM,
                device="cpu",
                use_cache=False,
            )
            score_case(request, models)
            result = folder / "result" / "result.json"
            start = time.perf_counter()
            same = replay_result(ReplayRequest(result), models)
            seconds = time.perf_counter() - start
            _edit(result, lambda stored: stored.update(heatmap=None, measurements=None))
            threads = replay_result(ReplayRequest(result, threads=torch.get_num_threads() + 1), models)
            rows.append(
                {
                    "seed": seed,
                    "verdict": same.verdict,
                    "bit_for_bit": same.bit_for_bit,
                    "values": same.compared,
                    "replay_s": round(seconds, 1),
                    "other_threads": threads.verdict,
                    "values_moved_by_threads": len(threads.differences),
                    "log_risk_moved_by_threads": abs(threads.log_risk_now - threads.log_risk_was),
                }
            )
            print(rows[-1], flush=True)
        named = [_changed(Path(name), kind, change, models) for kind, change in CHANGES.items()]
    return {
        "results": rows,
        "identical_share": sum(row["verdict"] == "identical" for row in rows) / len(rows),
        "changes": named,
        "goal": "every result replays identical bit for bit with the recorded threads; every change is named first",
        "ok": all(row["bit_for_bit"] for row in rows) and all(row["named"] for row in named),
    }


Change = Callable[[Path, ReplayRequest], ReplayRequest]


def _changed(name: Path, kind: str, change: Change, models: Models) -> dict[str, Any]:
    folder = name / kind
    shutil.copytree(name / str(SEEDS[1]), folder)
    file = folder / "result" / "result.json"
    file.write_text(file.read_text().replace(str(name / str(SEEDS[1])), str(folder)))
    record = replay_result(change(folder, ReplayRequest(file)), models)
    first = record.causes[0].what if record.causes else "nothing"
    return {
        "changed": kind,
        "named": first == kind,
        "first_cause": first,
        "verdict": record.verdict,
        "log_risk_moved": _moved(record),
    }


def _moved(record: ReplayRecord) -> float:
    return abs(record.log_risk_now - record.log_risk_was)


def _edit(file: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    stored = json.loads(file.read_text())
    edit(stored)
    file.write_text(json.dumps(stored))


def _change_voxels(file: str, factor: float) -> Change:
    def change(folder: Path, replay: ReplayRequest) -> ReplayRequest:
        volume = read_volume(folder / file, file)
        voxels = volume.voxels.copy()
        middle = voxels.shape[0] // 2
        voxels[middle : middle + 6] = (voxels[middle : middle + 6] * factor).astype(voxels.dtype)
        write_volume(volume.with_voxels(voxels), folder / file)
        return replay

    return change


def _change_bundle(folder: Path, replay: ReplayRequest) -> ReplayRequest:
    bundle = load_bundle(find_bundle("demonstration"))
    manifest = msgspec.structs.replace(bundle.manifest, version="another", members={})
    training = bundle.backbone_training
    save_bundle(
        folder / "other.msbundle", manifest, bundle.heads, bundle.card, bundle.backbone(), training, bundle.reader
    )
    return replace(replay, bundle=str(folder / "other.msbundle"))


def _change_threads(folder: Path, replay: ReplayRequest) -> ReplayRequest:
    return replace(replay, threads=torch.get_num_threads() + 1)


def _change_software(folder: Path, replay: ReplayRequest) -> ReplayRequest:
    _edit(replay.result, lambda stored: stored["software"].update(torch="1.0.0"))
    return replay


def _change_covariates(folder: Path, replay: ReplayRequest) -> ReplayRequest:
    _edit(replay.result, lambda stored: stored["given"].clear())
    return replay


CHANGES: dict[str, Change] = {
    "PET image": _change_voxels("pet.nrrd", 1.3),
    "CT image": _change_voxels("ct.nrrd", 0.9),
    "mask": _change_voxels("spine_dilated.nrrd", 0),
    "bundle": _change_bundle,
    "covariates": _change_covariates,
    "threads": _change_threads,
    "torch": _change_software,
}
