"""Masks of the compact backbone, trained and untrained, against the box itself: held-out phantoms and real slices."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from MemorySurvivalLib.bundle.backbone_training import TRAINING_CARD
from MemorySurvivalLib.bundle.bundle import load_bundle
from MemorySurvivalLib.bundle.registry import find_bundle
from MemorySurvivalLib.imaging.window import MODALITIES, Modality
from MemorySurvivalLib.memory.backbone import COMPACT, build_backbone, weights_sha256
from MemorySurvivalLib.simulation.tissues import BONES, Tissue
from MemorySurvivalLib.training.backbone import WEIGHTS, WINDOWS, read_weights
from MemorySurvivalLib.training.backbone_card import read_backbone_card
from MemorySurvivalLib.training.backbone_data import HELD_OUT_COHORT, SKELETON, SPINE_DILATED, StoredCase, phantom_cases
from MemorySurvivalLib.training.backbone_dice import SliceRun, measure_run, take_run
from MemorySurvivalLib.training.backbone_real import held_out_cases
from MemorySurvivalLib.training.clips import Structure
from Testing.Benchmarks.real_data import data_folder

if TYPE_CHECKING:
    from sam2.modeling.sam2_base import SAM2Base

ROOT = Path(__file__).resolve().parents[2]
CASES = ROOT / "build" / "backbone-dice"
PHANTOMS, SLICES, STEP = 3, 6, 2

PHANTOM_STRUCTURES = {
    "dilated spine": Structure(region=SPINE_DILATED),
    "skeleton ROI": Structure(region=SKELETON),
    "bones": Structure(labels=BONES),
    "vertebra L3": Structure(labels=(Tissue.L3,)),
    "liver": Structure(labels=(Tissue.LIVER,)),
}


def run() -> dict[str, Any]:
    """Judge the weights in the folder or file that MEMORYSURVIVAL_BACKBONE names; without it those that
    ship, which the study was run with."""
    start = time.process_time()
    weights, what = _weights()
    trained = read_weights(weights)
    untrained = build_backbone(COMPACT)
    rows = []
    for name, runs in _runs().items():
        rows.append(
            {**dict(zip(("images", "structure", "modality"), name, strict=True)), **_row(trained, untrained, runs)}
        )
    sets = [_mean_of(images, rows) for images in dict.fromkeys(row["images"] for row in rows)]
    ok = all(
        row["prompted"] > max(row["prompted_untrained"], row["box_filled"])
        and row["tracked"] > max(row["tracked_untrained"], row["first_box_kept"])
        for row in sets
    )
    return {
        "weights": what,
        "weights_sha256": weights_sha256(trained)[:12],
        "held_out_phantoms": f"{PHANTOMS} of each generator, cohort seed {HELD_OUT_COHORT}; nothing of the second "
        "generator was learned from",
        "means": sets,
        "structures": rows,
        "seconds": round(time.process_time() - start),
        "goal": "on held-out phantoms of both generators and on real slices the trained masks overlap the truth better "
        "than the untrained model's and than the filled box, prompted on each slice and tracked from the first",
        "ok": ok,
    }


def _weights() -> tuple[Path, str]:
    given = os.environ.get("MEMORYSURVIVAL_BACKBONE")
    if not given:
        shipped = find_bundle("demonstration")
        training = load_bundle(shipped).backbone_training
        said = f", {_course(json.loads(training[TRAINING_CARD]))}" if training else ""
        return shipped, f"the demonstration bundle's{said}"
    place = Path(given)
    if not place.is_dir():
        return place, place.name
    return place / WEIGHTS, _course(read_backbone_card(place))


def _course(card: dict[str, Any]) -> str:
    return f"a training after {card['steps']} of {card['of']} steps, {card['seconds'] // 60} minutes"


def _runs() -> dict[tuple[str, str, Modality], list[SliceRun]]:
    """What is judged, by images, structure and modality."""
    found: dict[tuple[str, str, Modality], list[SliceRun]] = {}

    def add(
        images: str,
        name: str,
        case: StoredCase,
        modality: Modality,
        structure: Structure,
        slices: int = SLICES,
        step: int = STEP,
    ) -> None:
        taken = take_run(
            case, modality, structure, WINDOWS[modality], image_size=COMPACT.image_size, slices=slices, step=step
        )
        if taken is not None:
            found.setdefault((images, name, modality), []).append(taken)

    for images, generator in (("phantoms, first generator", "first"), ("phantoms, second generator", "second")):
        for case in phantom_cases(CASES, HELD_OUT_COHORT, PHANTOMS, generator):  # type: ignore[arg-type]
            for modality in MODALITIES:
                for name, structure in PHANTOM_STRUCTURES.items():
                    add(images, name, case, modality, structure)
                # Lesions are short: every slice, and as many as show the largest one.
                add(images, "largest lesion", case, modality, Structure(lesion=_largest_lesion(case)), step=1)
    data = data_folder()
    for case in held_out_cases(data, CASES):
        for modality in case.images:
            if case.groups:
                for name in ("bones", "vertebrae"):
                    add("real", name, case, modality, Structure(labels=case.groups[name]), 4 * SLICES)
            else:
                add("real", "tumour", case, modality, Structure(lesion=1), 2 * SLICES)
    return found


def _largest_lesion(case: StoredCase) -> int:
    voxels = np.bincount(np.ravel(case.lesions), minlength=256)
    return int(np.argmax(voxels[1:])) + 1


def _row(trained: SAM2Base, untrained: SAM2Base, runs: list[SliceRun]) -> dict[str, Any]:
    own = [measure_run(trained, one) for one in runs]
    before = [measure_run(untrained, one) for one in runs]
    return {
        "cases": len(runs),
        "slices": sum(len(one.masks) for one in runs),
        "prompted": _mean([one.prompted for one in own]),
        "prompted_untrained": _mean([one.prompted for one in before]),
        "box_filled": _mean([one.box for one in own]),
        "tracked": _mean([one.tracked for one in own]),
        "tracked_untrained": _mean([one.tracked for one in before]),
        "first_box_kept": _mean([one.first_box for one in own]),
    }


def _mean_of(images: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean over structures and modalities, each counting once."""
    own = [row for row in rows if row["images"] == images]
    numbers = [key for key, value in own[0].items() if isinstance(value, float)]
    return {"images": images, **{key: _mean([row[key] for row in own]) for key in numbers}}


def _mean(values: list[float]) -> float:
    return round(float(np.mean(values)), 3)
