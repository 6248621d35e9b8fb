"""How far the demonstration model's log-risk moves, on simulated cases, when choices change that should not matter.

Each case is read once as the model reads it and once under every change; the moves are in standard deviations (SD) of
the log-risk among the model's held-out simulated cases, and in percentile points among them. Cases run in as many
processes as there are cores, one thread each.
"""

from __future__ import annotations

import multiprocessing
import os
import statistics
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from MemorySurvivalLib.bundle.bundle import ModelBundle
from MemorySurvivalLib.imaging.case import Case, make_case
from MemorySurvivalLib.imaging.volume import Volume, resample_onto
from MemorySurvivalLib.imaging.window import Modality, Window
from MemorySurvivalLib.measure.statistics import measure_statistics
from MemorySurvivalLib.memory.engine import MemoryEngine
from MemorySurvivalLib.models import Models
from MemorySurvivalLib.risk.covariates import Covariates
from MemorySurvivalLib.roi.roi import Roi
from MemorySurvivalLib.scoring import needed_statistics, score_states
from MemorySurvivalLib.simulation.case import STUDY_SPACING_MM, simulate_case
from MemorySurvivalLib.stability.arrangement import arrange
from MemorySurvivalLib.stability.changes import BADGE, OTHER_SLICES, UNCHANGED, Change, grow, jitter, pad
from MemorySurvivalLib.stability.measuring import (
    Readings,
    judge_readings,
    measure_arrangements,
    measure_stability,
    reference_sd,
)
from MemorySurvivalLib.stability.record import RULE, StabilityRecord
from MemorySurvivalLib.stability.trying import States, read_arrangements

SEEDS = tuple(range(700_000, 700_010))
"""Drawn neither in training nor for the reference."""

MODE_SEEDS = SEEDS[:2]
"""Cases that are read in the other modes too, which take a whole pass each."""

SHIFTS_MM = (2.0, 4.0, 8.0)
AXES = {"left": 0, "back": 1, "head": 2}

CHANGES: tuple[Change, ...] = (
    *(one for share in (0.01, 0.02, 0.05, 0.1) for one in jitter(share, 2)),
    *(pad(by_mm) for by_mm in (5.0, 10.0, 20.0)),
    *(grow(by_mm) for by_mm in (-8.0, -4.0, 4.0, 8.0)),
    OTHER_SLICES,
    Change("every slice", slice_step=1),
    Change("every fourth slice", slice_step=4),
    Change("feet to head", direction="feet_to_head"),
    Change("coarse boxes (one for all slices)", boxes="coarse"),
    *(Change("random boxes", boxes="random", seed=seed) for seed in (1, 2, 3)),
    *(Change("boxes beside the region, on the body", boxes="beside", seed=seed) for seed in (1, 2, 3)),
    Change("mask prompts", prompt={"kind": "mask"}),
    Change("1 point a slice", prompt={"kind": "points"}),
    *(Change("5 points a slice", prompt={"kind": "points", "points": 5, "seed": seed}) for seed in (1, 2)),
)

MODES: tuple[Change, ...] = (
    Change("streamed, head to feet", mode="streamed"),
    Change("streamed, feet to head", mode="streamed", direction="feet_to_head"),
    Change("streamed, both directions", mode="streamed", direction="both"),
    Change("tracked, head to feet", mode="tracked"),
    Change("tracked, feet to head", mode="tracked", direction="feet_to_head"),
)

HEADS = ("image+clinical", "image")


@dataclass(frozen=True)
class Move:
    """What one change did to one case: in SD and percentile points, for the head with and without covariates."""

    seed: int
    family: str
    sd: float
    points: float
    image_sd: float
    another_group: bool


@dataclass(frozen=True)
class CaseResult:
    """All moves of one case, and its badge as a user gets it."""

    moves: tuple[Move, ...]
    log_risk: float
    verdict: str
    badge_moves: tuple[tuple[str, float], ...]
    badge_alone: StabilityRecord | None
    slices: int


@dataclass(frozen=True, eq=False)
class Reading:
    """What a head gets of a case: memory states, and the region's statistics where it takes any."""

    states: States
    statistics: Mapping[str, float] | None


class Reader:
    """Reads one simulated case in the way the demonstration bundle does, but for one change."""

    def __init__(self, seed: int, bundle: ModelBundle, engine: MemoryEngine) -> None:
        simulated = simulate_case(seed, spacing_mm=STUDY_SPACING_MM)
        self.seed, self.bundle, self.engine, self.pet = seed, bundle, engine, simulated.pet.reoriented()
        self.case = make_case(simulated.ct, simulated.pet)
        mask = simulated.spine_dilated.reoriented()
        self.roi = Roi(mask.with_voxels(mask.voxels > 0), "spine_dilated", "the phantom's truth")
        self.values: Covariates = simulated.covariates.row()
        self.names = needed_statistics(bundle)
        windows = bundle.manifest.windows
        self.windows: dict[Modality, Window] = {"PET": windows.PET, "CT": windows.CT}

    def read(self, changes: Sequence[Change]) -> list[Reading]:
        config = self.bundle.manifest.propagation
        arrangements = [arrange(change, self.case, self.roi.mask, config) for change in changes]
        states = read_arrangements(self.engine, self.case, arrangements, self.windows)
        measured = measure_arrangements(self.case, arrangements, self.names)
        pairs = zip(states, measured or (None,) * len(states), strict=True)
        return [Reading(one, statistics) for one, statistics in pairs]

    def shifted_pets(self, own: Reading) -> dict[str, Reading]:
        """The case when the PET's own grid lies elsewhere: interpolated once, as every PET is."""
        plain = arrange(UNCHANGED, self.case, self.roi.mask, self.bundle.manifest.propagation)
        found = {}
        for by_mm in SHIFTS_MM:
            for name, axis in AXES.items():
                matrix = self.pet.affine.matrix.copy()
                matrix[axis, 3] += by_mm
                moved = Volume(self.pet.voxels, replace(self.pet.affine, matrix=matrix))
                pet = resample_onto(moved, self.case.ct, linear=True)
                case: Case = replace(self.case, pet=pet)
                only_pet: dict[Modality, Window] = {"PET": self.windows["PET"]}
                states = {**own.states, **read_arrangements(self.engine, case, [plain], only_pet)[0]}
                measured = measure_statistics(case, self.roi.mask.voxels, self.names) if self.names else None
                found[f"PET {by_mm:g} mm to the {name}"] = Reading(states, measured)
        return found

    def move(self, family: str, other: Reading, own: Reading) -> Move:
        results = {
            (head, name): score_states(
                self.bundle,
                one.states,
                values,
                simulated_case=self.case.simulated,
                other_roi=False,
                statistics=one.statistics,
            )
            for head, values in zip(HEADS, (self.values, None), strict=True)
            for name, one in (("own", own), ("other", other))
        }
        sds = {}
        for head in HEADS:
            before, after = results[head, "own"], results[head, "other"]
            sds[head] = (after.log_risk - before.log_risk) / (reference_sd(before) or np.nan)
        before, after = results[HEADS[0], "own"], results[HEADS[0], "other"]
        points = 100 * ((after.position or 0.0) - (before.position or 0.0))
        group = before.risk_group != after.risk_group
        return Move(self.seed, family, sds[HEADS[0]], points, sds[HEADS[1]], group)


def study(seed: int) -> CaseResult:
    """Everything that is tried on one case."""
    torch.set_num_threads(1)
    models = Models()
    bundle = models.bundle("demonstration")
    engine = models.engine(bundle, torch.device("cpu"))
    reader = Reader(seed, bundle, engine)
    changes = CHANGES + (MODES if seed in MODE_SEEDS else ())
    own, *others = reader.read((UNCHANGED, *changes, *BADGE))
    moves = [reader.move(change.family, other, own) for change, other in zip(changes, others, strict=False)]
    moves += [reader.move(name, shifted, own) for name, shifted in reader.shifted_pets(own).items()]
    config = bundle.manifest.propagation
    names = tuple(arrange(one, reader.case, reader.roi.mask, config).done for one in BADGE)
    tried = others[len(changes) :]
    statistics = tuple(one.statistics for one in (own, *tried) if one.statistics is not None)
    readings = Readings(own.states, names, tuple(one.states for one in tried), (), 0, 0.0, statistics)
    badge = judge_readings(bundle, reader.case, reader.roi, readings, reader.values)
    # What a user waits for is timed on one case; there the badge must be the one found among all the changes.
    alone = None
    if seed == SEEDS[0]:
        alone = measure_stability(engine, bundle, reader.case, reader.roi, reader.values)
    return CaseResult(
        moves=tuple(moves),
        log_risk=badge.log_risk,
        verdict=badge.verdict,
        badge_moves=tuple((trial.change, trial.moved_sd or 0.0) for trial in badge.trials),
        badge_alone=alone,
        slices=len(arrange(UNCHANGED, reader.case, reader.roi.mask, config).boxes),
    )


def run() -> dict[str, Any]:
    start = time.monotonic()
    processes = min(os.cpu_count() or 1, len(SEEDS))
    os.environ["OMP_NUM_THREADS"] = "1"
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        results = []
        for result in pool.map(study, SEEDS):
            results.append(result)
            print(len(results), "of", len(SEEDS), result.verdict, round(time.monotonic() - start), "s", flush=True)
    return summary(results, describe_model()) | {"processes": processes, "seconds": round(time.monotonic() - start)}


def describe_model() -> str:
    """How the demonstration bundle reads."""
    manifest = Models().bundle("demonstration").manifest
    read = manifest.propagation
    words = {"False": "", "True": ", inside the region", "peak": ", peaks inside it", "lesions": ", lesions inside it"}
    how = words[str(read.inside)] + (", close up" if read.close_up_mm is not None else "")
    return f"demonstration bundle {manifest.version}: {read.mode}, {read.readout}{how}, slice step {read.slice_step}"


def summary(results: Sequence[CaseResult], model: str) -> dict[str, Any]:
    """The table and what it is judged by."""
    moves = [move for result in results for move in result.moves]
    rows = [
        row(family, [move for move in moves if move.family == family])
        for family in dict.fromkeys(m.family for m in moves)
    ]
    by_family = {one["change"]: one for one in rows}
    direction = by_family["feet to head"]["worst_sd"]
    jittered = by_family["boxes jittered by up to 5%"]["worst_sd"]
    sensitive = [result for result in results if result.verdict != "stable"]
    alone = results[0].badge_alone
    assert alone is not None
    pairs = zip(alone.trials, results[0].badge_moves, strict=True)
    apart = max(abs((trial.moved_sd or 0.0) - by) for trial, (_, by) in pairs)
    causes: dict[str, int] = {}
    for result in results:
        largest = max(result.badge_moves, key=lambda one: abs(one[1]))[0]
        causes[largest] = causes.get(largest, 0) + 1
    return {
        "goal": "a study: the numbers are reported; direction must change nothing in `boxed` with `mean` (1e-6 SD), "
        "boxes jittered by up to 5 % must move no case by 0.25 SD, and a badge alone must say the same (1e-3 SD)",
        "ok": direction <= 1e-6 and jittered < 0.25 and apart <= 1e-3,
        "cases": f"{len(results)} simulated, from seed {SEEDS[0]} on, {STUDY_SPACING_MM} mm; other modes on "
        f"{len(MODE_SEEDS)} of them",
        "model": model,
        "slices_a_modality": [result.slices for result in results],
        "sd_of_log_risk_among_these_cases": round(statistics.stdev(result.log_risk for result in results), 3),
        "badge_rule": RULE,
        "badge_changes": len(BADGE),
        "badge_stable": len(results) - len(sensitive),
        "badge_largest_by": causes,
        "badge_largest_sd": [round(max(abs(by) for _, by in result.badge_moves), 3) for result in results],
        "badge_one_case": {
            "seed": SEEDS[0],
            "seconds": round(alone.seconds, 1),
            "encoded_slices": alone.encoded_slices,
            "of_a_score": 2 * results[0].slices,
            "largest_difference_sd": _round(apart),
        },
        "rows": rows,
    }


def row(family: str, moves: Sequence[Move]) -> dict[str, Any]:
    """One kind of change over all cases and seeds: sizes of the moves, and how often the risk group was another."""
    sds = [abs(move.sd) for move in moves]
    return {
        "change": family,
        "tries": len(moves),
        "median_sd": _round(statistics.median(sds)),
        "worst_sd": _round(max(sds)),
        "mean_signed_sd": _round(statistics.fmean(move.sd for move in moves)),
        "median_points": round(statistics.median(abs(move.points) for move in moves), 1),
        "worst_points": round(max(abs(move.points) for move in moves), 1),
        "median_sd_image_only": _round(statistics.median(abs(move.image_sd) for move in moves)),
        "worst_sd_image_only": _round(max(abs(move.image_sd) for move in moves)),
        "another_group": f"{sum(move.another_group for move in moves)} of {len(moves)}",
    }


def _round(value: float) -> float:
    return float(f"{value:.3g}")
