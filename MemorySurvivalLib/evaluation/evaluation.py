"""Every figure of one validated model, or of two on the same splits, fold mean and pooled side by side, in one call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.evaluation.brier import brier_score
from MemorySurvivalLib.evaluation.calibration import (
    Calibration,
    calibration,
    calibration_intercept,
    calibration_slope,
    integrated_calibration_index,
    observed_to_expected,
)
from MemorySurvivalLib.evaluation.estimates import Estimate
from MemorySurvivalLib.evaluation.measures import EvaluationPlan, Measure, Predicted, measures
from MemorySurvivalLib.evaluation.net_benefit import NetBenefit, net_benefit, net_benefit_gain
from MemorySurvivalLib.evaluation.out_of_fold import OutOfFold
from MemorySurvivalLib.evaluation.outcomes import Bools, Floats
from MemorySurvivalLib.evaluation.repeated_folds import FoldMean, fold_difference
from MemorySurvivalLib.evaluation.risk_groups import RiskQuartiles, risk_quartiles

_T = TypeVar("_T")


@dataclass(frozen=True)
class Figure:
    """One figure as a mean over folds and pooled out of fold; None where that cannot be had (the notes say why).

    The two differ, and both are reported: a fold's figure ranks patients by one model, pooling ranks across models.
    Fold means use all repeats, and so do pooled c and AUC (their mean over repeats); whatever needs predicted risks or
    groups of patients is pooled over the first repeat, because a mean of predictions would be another model.
    """

    name: str
    folds: FoldMean | None
    pooled: Estimate | None


@dataclass(frozen=True, eq=False)
class Evaluation:
    """All figures of one model on one cohort. `notes` are sentences on what could not be judged, and why."""

    n: int
    events: int
    figures: tuple[Figure, ...]
    brier: Estimate | None
    calibrations: tuple[Calibration, ...]
    net_benefits: tuple[NetBenefit, ...]
    quartiles: RiskQuartiles | None
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Comparison:
    """Paired differences, first model minus second, on the same splits."""

    n: int
    events: int
    figures: tuple[Figure, ...]
    notes: tuple[str, ...]


def evaluate(model: OutOfFold, plan: EvaluationPlan) -> Evaluation:
    """Every figure of one model. What cannot be judged becomes a note, so that one figure does not hide the others."""
    work = _Work(model, plan)
    figures = [work.summarise(measure) for measure in measures(plan)]
    calibrations, net_benefits = [], []
    for horizon in plan.horizons_months:
        calibrated = work.calibrate(horizon)
        curve = work.decide(horizon)
        calibrations += [calibrated] if calibrated else []
        net_benefits += [curve] if curve else []
        figures += work.calibration_figures(calibrated, horizon) + work.decision_figures(curve, horizon)
    n, events = len(model.events), int(model.events.sum())
    brier, quartiles = work.brier(), work.quartiles()
    return Evaluation(
        n, events, tuple(figures), brier, tuple(calibrations), tuple(net_benefits), quartiles, tuple(work.notes)
    )


def compare(first: OutOfFold, second: OutOfFold, plan: EvaluationPlan) -> Comparison:
    """`first` minus `second`, both validated on the same patients and splits.

    Raises InputError where patients or splits differ; a figure that cannot be judged becomes a note.
    """
    same = np.array_equal(first.times_months, second.times_months) and np.array_equal(first.events, second.events)
    if not same or first.splits != second.splits:
        raise InputError("Two models can be compared only where both were validated on the same patients and splits.")
    work = _Work(first, plan)
    figures = tuple(work.contrast(measure, second) for measure in measures(plan))
    return Comparison(len(first.events), int(first.events.sum()), figures, tuple(work.notes))


@dataclass(frozen=True, eq=False)
class _Work:
    """One model under one plan; keeps the reason of each figure that cannot be had."""

    model: OutOfFold
    plan: EvaluationPlan
    notes: list[str] = field(default_factory=list)

    def attempt(self, what: str, make: Callable[[], _T]) -> _T | None:
        try:
            return make()
        except InputError as error:
            self.notes.append(f"{what}: {error}")
            return None

    def folds(self, name: str, value: Callable[[Predicted], float], chance: float) -> FoldMean | None:
        return self.attempt(f"{name}, mean over folds", lambda: self.model.fold_mean(name, value, chance))

    def summarise(self, measure: Measure) -> Figure:
        pooled = self.attempt(f"{measure.name}, pooled", lambda: measure.estimate(self.model))
        return Figure(measure.name, self.folds(measure.name, measure.value, measure.chance), pooled)

    def contrast(self, measure: Measure, other: OutOfFold) -> Figure:
        first, second = self.model.fold_values(measure.value), other.fold_values(measure.value)
        n, events = len(self.model.events), int(self.model.events.sum())
        name = f"difference of {measure.name}"
        return Figure(
            name,
            self.attempt(f"{name}, mean over folds", lambda: fold_difference(measure.name, first, second, n, events)),
            self.attempt(f"{name}, pooled", lambda: measure.difference(self.model, other)),
        )

    def calibrate(self, horizon: float) -> Calibration | None:
        m, plan = self.model, self.plan
        return self.attempt(
            f"Calibration at {horizon:g} months",
            lambda: calibration(m.times_months, m.events, _risk(m, horizon), horizon, plan.resamples, plan.seed),
        )

    def calibration_figures(self, pooled: Calibration | None, horizon: float) -> list[Figure]:
        def folds(name: str, of: Callable[[Floats, Bools, Floats, float], float], chance: float) -> FoldMean | None:
            return self.folds(
                f"{name} at {horizon:g} months",
                lambda p: of(p.times_months, p.events, _risk(p, horizon), horizon),
                chance,
            )

        at = f"at {horizon:g} months"
        return [
            Figure(
                f"observed/expected {at}",
                folds("observed/expected", observed_to_expected, 1.0),
                pooled.observed_to_expected if pooled else None,
            ),
            Figure(
                f"calibration intercept {at}",
                folds("calibration intercept", calibration_intercept, 0.0),
                pooled.intercept if pooled else None,
            ),
            Figure(
                f"calibration slope {at}",
                folds("calibration slope", lambda *outcome: calibration_slope(*outcome)[1], 1.0),
                pooled.slope if pooled else None,
            ),
            Figure(f"ICI {at}", folds("ICI", integrated_calibration_index, 0.0), pooled.ici if pooled else None),
        ]

    def decide(self, horizon: float) -> NetBenefit | None:
        m, plan, at = self.model, self.plan, np.array(self.plan.thresholds)
        return self.attempt(
            f"Net benefit at {horizon:g} months",
            lambda: net_benefit(m.times_months, m.events, _risk(m, horizon), horizon, at, plan.resamples, plan.seed),
        )

    def decision_figures(self, curve: NetBenefit | None, horizon: float) -> list[Figure]:
        return [self._decision_figure(curve, number, horizon) for number in range(len(self.plan.thresholds))]

    def _decision_figure(self, curve: NetBenefit | None, number: int, horizon: float) -> Figure:
        threshold = self.plan.thresholds[number]
        name = f"net benefit gained at {horizon:g} months, threshold {threshold:g}"
        folds = self.folds(
            name, lambda p: net_benefit_gain(p.times_months, p.events, _risk(p, horizon), horizon, threshold), 0.0
        )
        return Figure(name, folds, self.attempt(f"{name}, pooled", lambda: curve.estimate(number)) if curve else None)

    def quartiles(self) -> RiskQuartiles | None:
        m, plan = self.model, self.plan
        return self.attempt(
            "Quartiles of risk",
            lambda: risk_quartiles(
                m.times_months, m.events, m.log_risk[0], plan.permutations, plan.seed, m.fold_of_row
            ),
        )

    def brier(self) -> Estimate | None:
        m, plan, grid = self.model, self.plan, self.plan.grid_months
        return self.attempt(
            "Integrated Brier score",
            lambda: brier_score(m.times_months, m.events, m.survival(grid), grid, m.censoring).estimate(
                plan.resamples, plan.seed
            ),
        )


def _risk(predicted: Predicted, horizon: float) -> Floats:
    """Predicted risks (n,) of an event by the horizon."""
    risks: Floats = 1 - predicted.survival(np.array([horizon]))[:, 0]
    return risks
