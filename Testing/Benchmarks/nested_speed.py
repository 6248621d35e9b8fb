"""Nested 5x5 cross-validation with 64 trials on 227 pooled vectors: seconds for ridge Cox and an MLP."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from MemorySurvivalLib.training.data import CohortData, Floats
from MemorySurvivalLib.training.folds import FoldPlan, make_splits
from MemorySurvivalLib.training.inner_score import concordance
from MemorySurvivalLib.training.models.cox import RidgeCox
from MemorySurvivalLib.training.models.features import StateVectors, VectorFeatures
from MemorySurvivalLib.training.nested import Validation, fit_unit
from MemorySurvivalLib.training.stacked_mlp import StackedMlp
from MemorySurvivalLib.training.tuning import Alternative, Budget, FloatRange, Recipe, sobol_points

PATIENTS, CHANNELS, SEED = 227, 64, 5
LIMIT_S = 600.0
SETTINGS = Validation(FoldPlan(folds=5, repeats=5), Budget(trials=64, inner_folds=5))
FEATURES = VectorFeatures(states=StateVectors(("PET/mean", "CT/mean")))


def recipes() -> tuple[Recipe, ...]:
    penalty = FloatRange("penalty", 1e-3, 1e2, log=True)
    network = (
        FloatRange("learning_rate", 1e-4, 1e-1, log=True),
        FloatRange("weight_decay", 1e-3, 10.0, log=True),
        FloatRange("dropout", 0.0, 0.7),
    )
    return (
        Recipe("ridge Cox", (Alternative("ridge", RidgeCox("ridge Cox", FEATURES), (penalty,)),)),
        Recipe("MLP", (Alternative("32 wide", StackedMlp("MLP", FEATURES), network),)),
    )


def made_up_outcomes(rng: np.random.Generator, patients: int) -> tuple[Floats, Floats, npt.NDArray[np.bool_]]:
    """Eight latent values a patient, the first of which drives a made-up hazard; monthly times, and events."""
    latent = rng.normal(size=(patients, 8))
    times = 40 * np.exp(-0.8 / 2.2 * latent[:, 0]) * rng.weibull(2.2, patients)
    censoring = rng.uniform(20, 80, patients)
    return latent, np.ceil(np.minimum(times, censoring)), times <= censoring


def made_up_cohort() -> CohortData:
    """Vectors of 2 x 64 numbers, correlated as channels are, some of which drive a made-up hazard; monthly times."""
    rng = np.random.default_rng(SEED)
    latent, times, events = made_up_outcomes(rng, PATIENTS)
    states = {
        key: torch.from_numpy(latent @ rng.normal(size=(8, CHANNELS)) + rng.normal(size=(PATIENTS, CHANNELS)))
        for key in ("PET/mean", "CT/mean")
    }
    return CohortData(
        tuple(f"made up {i}" for i in range(PATIENTS)),
        times,
        events,
        states={key: values.half()[:, :, None, None] for key, values in states.items()},
        simulated=True,
    )


def run(measured_units: int = SETTINGS.plan.folds * SETTINGS.plan.repeats) -> dict[str, Any]:
    """Measure the outer folds of each model in one thread; with fewer than 25 the time of all is extrapolated."""
    data = made_up_cohort()
    splits = make_splits(data, SETTINGS.plan)
    plan = SETTINGS.plan
    everything = [(repeat, number) for repeat in range(plan.repeats) for number in range(plan.folds)]
    chosen = everything[:: len(everything) // measured_units][:measured_units]
    sobol_points(recipes()[0].alternatives[0].space, 2, 0)  # importing Optuna is not part of a fold
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    rows = []
    try:
        for recipe in recipes():
            start, cpu_start, scores = time.perf_counter(), time.process_time(), []
            for repeat, number in chosen:
                fold = splits.fold(data, repeat, number)
                unit = fit_unit(recipe, data, fold, SETTINGS, "benchmark")
                assert not unit.error, unit.error
                test = fold.test
                scores.append(concordance(data.times_months[test], data.events[test], np.array(unit.test_log_risk)))
            seconds = (time.perf_counter() - start) / len(chosen)
            cpu_seconds = (time.process_time() - cpu_start) / len(chosen)
            rows.append(
                {
                    "model": recipe.name,
                    "seconds_each_outer_fold": round(seconds, 2),
                    "seconds_of_25": round(seconds * len(everything), 1),
                    "cpu_seconds_of_25": round(cpu_seconds * len(everything), 1),
                    "c_mean": round(float(np.mean(scores)), 3),
                }
            )
    finally:
        torch.set_num_threads(threads)
    total = sum(float(row["seconds_of_25"]) for row in rows)
    return {
        "patients": PATIENTS,
        "values_each": 2 * CHANNELS,
        "outer_folds": len(everything),
        "outer_folds_measured": len(chosen),
        "trials": SETTINGS.budget.trials,
        "inner_folds": SETTINGS.budget.inner_folds,
        "threads": 1,
        "models": rows,
        "seconds_both": round(total, 1),
        "cohort": "made-up vectors; the c values only show that the models learned, they say nothing about patients",
        "goal": f"both models in at most {LIMIT_S:g} s, one after the other in one thread",
        "ok": total <= LIMIT_S,
    }
