"""The figures that one number sums up, each computed alike for the patients of a fold and for all pooled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.evaluation.brier import BrierScore, brier_score
from MemorySurvivalLib.evaluation.curves import Censoring
from MemorySurvivalLib.evaluation.discrimination import Pairs, auc_pairs, harrell_pairs, uno_pairs
from MemorySurvivalLib.evaluation.estimates import Estimate
from MemorySurvivalLib.evaluation.outcomes import Bools, Floats


class Predicted(Protocol):
    """Patients with outcomes and what was predicted of them: one fold's (FoldCase) or all of them (OutOfFold)."""

    @property
    def times_months(self) -> Floats:
        """Times (n,)."""
        ...

    @property
    def events(self) -> Bools:
        """Events (n,)."""
        ...

    @property
    def log_risk(self) -> Floats:
        """Log-risks that may be compared with each other (n,) or (repeats, n)."""
        ...

    @property
    def censoring(self) -> Censoring:
        """Weights from those that the models were fitted on."""
        ...

    def survival(self, grid_months: Floats) -> Floats:
        """Survival curves (n, t)."""
        ...

    def no_model(self, grid_months: Floats) -> Floats:
        """The training patients' Kaplan-Meier curve (n, t)."""
        ...


@dataclass(frozen=True)
class EvaluationPlan:
    """What is judged, chosen before results are seen.

    Uno's c counts events before `until_months`; the integrated Brier score runs over `window_months` in monthly steps;
    AUC, calibration and net benefit stand at `horizons_months`. Resampling and permutations follow from `seed`.
    """

    horizons_months: tuple[float, ...] = (24.0, 36.0)
    until_months: float = 48.0
    window_months: tuple[float, float] = (6.0, 48.0)
    thresholds: tuple[float, ...] = (0.2, 0.3, 0.4, 0.5, 0.6)
    resamples: int = 1000
    permutations: int = 9999
    seed: int = 2026

    def __post_init__(self) -> None:
        start, stop = self.window_months
        if not self.horizons_months or min(self.horizons_months) <= 0 or self.until_months <= 0 or not 0 < start < stop:
            raise InputError(
                "An evaluation needs horizons and a time to judge up to above 0, and a window with a width."
            )
        if self.resamples < 100 or self.permutations < 99 or self.seed < 0:
            raise InputError("An evaluation needs at least 100 resamples, 99 permutations and a seed of 0 or more.")

    @property
    def grid_months(self) -> Floats:
        """Monthly times of the window, its end included."""
        start, stop = self.window_months
        return np.unique(np.append(np.arange(start, stop, 1.0), stop))


@dataclass(frozen=True)
class Measure:
    """One figure: its value, that with an interval, and the paired difference of two models on the same patients."""

    name: str
    chance: float
    value: Callable[[Predicted], float]
    estimate: Callable[[Predicted], Estimate]
    difference: Callable[[Predicted, Predicted], Estimate]


def measures(plan: EvaluationPlan) -> tuple[Measure, ...]:
    """Harrell's c, Uno's c, the AUC at each horizon and the gain in integrated Brier score over no model."""
    return (
        _by_pairs("Harrell's c", plan, lambda p: harrell_pairs(p.times_months, p.events)),
        _by_pairs(
            f"Uno's c to {plan.until_months:g} months",
            plan,
            lambda p: uno_pairs(p.times_months, p.events, p.censoring, plan.until_months),
        ),
        *(_auc(plan, horizon) for horizon in plan.horizons_months),
        _brier_gain(plan),
    )


def _by_pairs(name: str, plan: EvaluationPlan, pairs_of: Callable[[Predicted], Pairs]) -> Measure:
    return Measure(
        name,
        0.5,
        lambda p: pairs_of(p).value(p.log_risk),
        lambda p: pairs_of(p).estimate(p.log_risk, plan.resamples, plan.seed),
        lambda p, other: pairs_of(p).difference(p.log_risk, other.log_risk, plan.resamples, plan.seed),
    )


def _auc(plan: EvaluationPlan, horizon: float) -> Measure:
    return _by_pairs(
        f"AUC at {horizon:g} months", plan, lambda p: auc_pairs(p.times_months, p.events, p.censoring, horizon)
    )


def _brier_gain(plan: EvaluationPlan) -> Measure:
    grid = plan.grid_months

    def score(p: Predicted, survival: Floats) -> BrierScore:
        return brier_score(p.times_months, p.events, survival, grid, p.censoring)

    def no_model(p: Predicted) -> BrierScore:
        return score(p, p.no_model(grid))

    def own(p: Predicted) -> BrierScore:
        return score(p, p.survival(grid))

    return Measure(
        f"gain in integrated Brier score, {grid[0]:g} to {grid[-1]:g} months",
        0.0,
        lambda p: 1 - own(p).integrated / no_model(p).integrated,
        lambda p: own(p).gain(no_model(p), plan.resamples, plan.seed),
        lambda p, other: own(p).gain_difference(own(other), no_model(p), plan.resamples, plan.seed),
    )
