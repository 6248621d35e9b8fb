"""How far predicted survival curves lie from what happened: Brier score, its integral, and gain over no model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.evaluation.bootstrap import BY_PATIENT, RESAMPLES, draw_counts, percentile_limits
from MemorySurvivalLib.evaluation.curves import Censoring, check_horizon
from MemorySurvivalLib.evaluation.estimates import Estimate
from MemorySurvivalLib.evaluation.outcomes import Bools, Floats, check_outcomes, check_survival

WEIGHTED = "weighted by the training patients' censoring"


@dataclass(frozen=True, eq=False)
class BrierScore:
    """Squared errors of survival curves at a grid of times, censoring weighted (Graf et al. 1999).

    `errors` (n, t) is each patient's weighted squared error at `grid_months` (t,); the Brier score is its mean over
    patients, 0 perfect, 0.25 a curve that says one half. The integrated score is the trapezoid's mean over the window
    from the grid's first to its last time.
    """

    grid_months: Floats
    errors: Floats
    events: Bools

    @property
    def by_time(self) -> Floats:
        """The Brier score at each time (t,)."""
        values: Floats = self.errors.mean(axis=0)
        return values

    @property
    def integrated(self) -> float:
        """The integrated Brier score over the window."""
        return float(self._integral().mean())

    def at(self, number: int, resamples: int = RESAMPLES, seed: int = 0) -> Estimate:
        """The Brier score at the grid's time of that number, with its interval."""
        months = self.grid_months[number]
        return self._estimate(f"Brier score at {months:g} months", self.errors[:, number], resamples, seed)

    def estimate(self, resamples: int = RESAMPLES, seed: int = 0) -> Estimate:
        """The integrated Brier score with its interval."""
        return self._estimate(f"integrated Brier score, {self._window}", self._integral(), resamples, seed)

    def difference(self, other: BrierScore, resamples: int = RESAMPLES, seed: int = 0) -> Estimate:
        """The integrated score of this model minus the other's on the same patients; below 0: this one is better."""
        self._check_same(other)
        name = f"difference of the integrated Brier score, {self._window}"
        return self._estimate(name, self._integral() - other._integral(), resamples, seed, chance=0.0)

    def gain(self, reference: BrierScore, resamples: int = RESAMPLES, seed: int = 0) -> Estimate:
        """1 - IBS / IBS of `reference`; with no model as that, the index of prediction accuracy (Kattan, Gerds 2018).

        0: no better than the reference, 1: perfect, below 0: worse.
        """
        self._check_same(reference)
        own, theirs = self._integral(), reference._integral()
        name = f"gain in integrated Brier score, {self._window}"
        counts = draw_counts(len(own), resamples, seed)
        low, high = percentile_limits(1 - (counts @ own) / (counts @ theirs), name)
        method = f"1 - score / reference's score, {WEIGHTED}; {BY_PATIENT.format(resamples=resamples)}."
        value = float(1 - own.mean() / theirs.mean())
        return Estimate(name, value, low, high, len(own), int(self.events.sum()), method, 0.0)

    def gain_difference(
        self, other: BrierScore, reference: BrierScore, resamples: int = RESAMPLES, seed: int = 0
    ) -> Estimate:
        """This model's gain over `reference` minus the other's, on the same patients."""
        self._check_same(other)
        self._check_same(reference)
        better, theirs = other._integral() - self._integral(), reference._integral()
        name = f"difference of gain in integrated Brier score, {self._window}"
        counts = draw_counts(len(better), resamples, seed)
        low, high = percentile_limits((counts @ better) / (counts @ theirs), name)
        method = f"Paired difference of two models' gains, {WEIGHTED}; {BY_PATIENT.format(resamples=resamples)}."
        value = float(better.mean() / theirs.mean())
        return Estimate(name, value, low, high, len(better), int(self.events.sum()), method, 0.0)

    @property
    def _window(self) -> str:
        return f"{self.grid_months[0]:g} to {self.grid_months[-1]:g} months"

    def _integral(self) -> Floats:
        if len(self.grid_months) < 2:
            raise InputError("An integrated Brier score needs at least two times.")
        width = self.grid_months[-1] - self.grid_months[0]
        integral: Floats = np.trapezoid(self.errors, self.grid_months, axis=1) / width
        return integral

    def _check_same(self, other: BrierScore) -> None:
        if self.errors.shape != other.errors.shape or not np.array_equal(self.grid_months, other.grid_months):
            raise InputError("Two Brier scores can be compared on the same patients and the same times only.")

    def _estimate(self, name: str, errors: Floats, resamples: int, seed: int, chance: float | None = None) -> Estimate:
        counts = draw_counts(len(errors), resamples, seed)
        low, high = percentile_limits(counts @ errors / len(errors), name)
        method = f"Mean squared error of survival, {WEIGHTED}; {BY_PATIENT.format(resamples=resamples)}."
        return Estimate(name, float(errors.mean()), low, high, len(errors), int(self.events.sum()), method, chance)


def brier_score(
    times_months: Floats, events: Bools, survival: Floats, grid_months: Floats, censoring: Censoring
) -> BrierScore:
    """Squared errors of `survival` (n, t) at `grid_months` (t,), with `censoring` from TRAINING patients.

    Who had the event by t should have survival 0 then (weight 1 / G(T-)), who was followed beyond t survival 1 (weight
    1 / G(t)), who was lost before counts through these weights. Raises InputError for a grid that leaves the follow-up.
    """
    check_outcomes(times_months, events)
    check_survival(survival, len(events), len(grid_months))
    if (np.diff(grid_months) <= 0).any():
        raise InputError("The times of a Brier score must ascend.")
    check_horizon(times_months, float(grid_months[0]))
    check_horizon(times_months, float(grid_months[-1]))
    had_event = events[:, None] & (times_months[:, None] <= grid_months)
    beyond = times_months[:, None] > grid_months
    followed = np.stack([censoring.at(float(months)) for months in grid_months], axis=1)
    own = censoring.before(times_months, had_event[:, -1])
    errors = had_event * survival**2 / own[:, None] + beyond * (1 - survival) ** 2 / followed
    return BrierScore(grid_months, errors, events)
