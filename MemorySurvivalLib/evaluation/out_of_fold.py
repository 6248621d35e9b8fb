"""What a cross-validation left, seen as the metrics need it: fold by fold, and pooled over all patients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.evaluation.curves import (
    Censoring,
    CensoringCurve,
    breslow_survival,
    censoring_curve,
    kaplan_meier,
)
from MemorySurvivalLib.evaluation.outcomes import Bools, Floats, Index, check_outcomes, check_risks
from MemorySurvivalLib.evaluation.repeated_folds import FoldMean, fold_mean


class FoldOutput(Protocol):
    """One outer fold of one model: rows of the cohort, and what the model fitted on `train` said of both parts."""

    @property
    def repeat(self) -> int:
        """Number of the repeat, from 0."""
        ...

    @property
    def fold(self) -> int:
        """Number of the fold in its repeat, from 0."""
        ...

    @property
    def train(self) -> Index:
        """Rows that the model was fitted on."""
        ...

    @property
    def test(self) -> Index:
        """Rows that it never saw."""
        ...

    @property
    def train_log_risk(self) -> Floats:
        """Its log-risks of `train`."""
        ...

    @property
    def test_log_risk(self) -> Floats:
        """Its log-risks of `test`."""
        ...


@dataclass(frozen=True, eq=False)
class FoldCase:
    """The test patients of one fold with all that a metric may use: their outcomes, and the training patients'."""

    times_months: Floats
    events: Bools
    log_risk: Floats
    train_times_months: Floats
    train_events: Bools
    train_log_risk: Floats

    @property
    def censoring(self) -> Censoring:
        """Weights from the training patients."""
        return Censoring.from_training(self.train_times_months, self.train_events, len(self.events))

    def survival(self, grid_months: Floats) -> Floats:
        """Survival curves (test patients, t), Breslow's baseline from the training patients."""
        return breslow_survival(
            self.train_times_months, self.train_events, self.train_log_risk, self.log_risk, grid_months
        )

    def no_model(self, grid_months: Floats) -> Floats:
        """The training patients' Kaplan-Meier curve for everybody (test patients, t)."""
        curve = kaplan_meier(self.train_times_months, self.train_events).at(grid_months)
        return np.tile(curve, (len(self.events), 1))


@dataclass(frozen=True, eq=False)
class OutOfFold:
    """Out-of-fold predictions of one model for a cohort of n patients, every patient in one test fold a repeat.

    Valid or refused with InputError: a failed fold, a patient in both parts, or one left out is named.
    """

    times_months: Floats
    events: Bools
    folds: tuple[FoldOutput, ...]

    def __post_init__(self) -> None:
        check_outcomes(self.times_months, self.events)
        n = len(self.events)
        for fold in self.folds:
            where = f"Repeat {fold.repeat + 1}, fold {fold.fold + 1}"
            if np.intersect1d(fold.train, fold.test).size:
                raise InputError(f"{where} has patients in training and in test; make the splits again.")
            if len(fold.test_log_risk) != len(fold.test) or len(fold.train_log_risk) != len(fold.train):
                raise InputError(f"{where} has no log-risk for each of its patients; its fit failed.")
            check_risks(np.concatenate([fold.train_log_risk, fold.test_log_risk]), len(fold.train) + len(fold.test))
        tested = np.zeros((self.repeats, n))
        for fold in self.folds:
            np.add.at(tested[fold.repeat], fold.test, 1)
        if not self.folds or (tested != 1).any():
            raise InputError("Every patient must be tested once in every repeat; some folds are missing or overlap.")

    @property
    def repeats(self) -> int:
        """How often all patients were dealt to folds."""
        return 1 + max((fold.repeat for fold in self.folds), default=-1)

    @property
    def splits(self) -> tuple[tuple[int, int, tuple[int, ...]], ...]:
        """Repeat, fold and test rows of every fold: equal for models that may be compared."""
        return tuple(sorted((fold.repeat, fold.fold, tuple(fold.test.tolist())) for fold in self.folds))

    @cached_property
    def log_risk(self) -> Floats:
        """Out-of-fold log-risks (repeats, n) that may be pooled.

        Minus the mean, over the SD, of the same fitted model's log-risks of its own training patients; zeros for a
        model that gives all of them one log-risk.
        """
        return self._place(_standardise)

    @property
    def fold_of_row(self) -> Index:
        """The fold of each patient (n,) in the first repeat."""
        folds = np.zeros(len(self.events), dtype=np.intp)
        for fold in self.folds:
            if fold.repeat == 0:
                folds[fold.test] = fold.fold
        return folds

    @cached_property
    def censoring(self) -> Censoring:
        """Each patient weighted by the training part that they were left out of, in the first repeat."""
        curves: list[CensoringCurve] = []
        rows = np.full(len(self.events), -1, dtype=np.intp)
        for fold in self.folds:
            if fold.repeat == 0:
                rows[fold.test] = len(curves)
                curves.append(censoring_curve(self.times_months[fold.train], self.events[fold.train]))
        return Censoring.from_folds(curves, rows)

    def survival(self, grid_months: Floats) -> Floats:
        """Out-of-fold survival curves (n, t) of the first repeat, each by its own fold's Breslow baseline.

        Not the mean over repeats, which would judge an ensemble of models that nobody proposes.
        """
        return self._curves(lambda case: case.survival(grid_months), len(grid_months))

    def no_model(self, grid_months: Floats) -> Floats:
        """What no model says of each patient: their training part's Kaplan-Meier curve (n, t)."""
        return self._curves(lambda case: case.no_model(grid_months), len(grid_months))

    def case(self, fold: FoldOutput) -> FoldCase:
        """One fold with the outcomes of its patients."""
        return FoldCase(
            self.times_months[fold.test],
            self.events[fold.test],
            fold.test_log_risk,
            self.times_months[fold.train],
            self.events[fold.train],
            fold.train_log_risk,
        )

    def fold_values(self, figure: Callable[[FoldCase], float]) -> Floats:
        """`figure` of each fold, (repeats, folds); NaN where it raises InputError for that fold."""
        values = np.full((self.repeats, 1 + max(fold.fold for fold in self.folds)), np.nan)
        for fold in self.folds:
            try:
                values[fold.repeat, fold.fold] = figure(self.case(fold))
            except InputError:
                continue
        return values

    def fold_mean(self, name: str, figure: Callable[[FoldCase], float], chance: float) -> FoldMean:
        """The mean of `figure` over folds, with the corrected interval. Raises InputError where a fold has no value."""
        return fold_mean(name, self.fold_values(figure), len(self.events), int(self.events.sum()), chance)

    def _place(self, of: Callable[[FoldOutput], Floats]) -> Floats:
        placed = np.zeros((self.repeats, len(self.events)))
        for fold in self.folds:
            placed[fold.repeat, fold.test] = of(fold)
        return placed

    def _curves(self, of: Callable[[FoldCase], Floats], times: int) -> Floats:
        curves = np.zeros((len(self.events), times))
        for fold in self.folds:
            if fold.repeat == 0:
                curves[fold.test] = of(self.case(fold))
        return curves


def judged_until(folds: Sequence[FoldOutput], times_months: Floats, at_risk: int = 10) -> float:
    """The longest time at which every training part of `folds` still follows `at_risk` patients.

    A time to judge up to that needs no look at predictions. Raises InputError where a training part is smaller.
    """
    limits = []
    for fold in folds:
        times = np.sort(times_months[fold.train])
        if len(times) <= at_risk:
            raise InputError(
                f"A training part has {len(times)} patients; at least {at_risk + 1} are needed to judge by."
            )
        limits.append(times[-at_risk - 1])
    return float(min(limits))


def _standardise(fold: FoldOutput) -> Floats:
    mean, sd = float(fold.train_log_risk.mean()), float(fold.train_log_risk.std(ddof=1))
    if sd < 1e-12 * max(1.0, float(np.abs(fold.train_log_risk).max())):
        return np.zeros(len(fold.test))
    values: Floats = (fold.test_log_risk - mean) / sd
    return values
