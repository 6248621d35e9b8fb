"""Curves over time: Kaplan-Meier, censoring weights, Breslow's survival curves, and pseudo-observations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.evaluation.outcomes import Bools, Floats, Index, check_outcomes, check_risks


@dataclass(frozen=True, eq=False)
class KaplanMeier:
    """The product-limit estimate at each distinct time (t,): patients at risk, events there, survival after it."""

    times_months: Floats
    at_risk: Floats
    events: Floats
    survival: Floats

    def at(self, months: float | Floats) -> Floats:
        """P(T > months); flat after the last time."""
        steps = np.concatenate([[1.0], self.survival])
        values: Floats = steps[np.searchsorted(self.times_months, months, side="right")]
        return values

    def count_at_risk(self, months: Floats) -> Index:
        """How many patients (n,) are still followed without an event just before `months` (n,)."""
        counts = np.concatenate([self.at_risk, [0.0]])
        found: Index = counts[np.searchsorted(self.times_months, months, side="left")].astype(np.intp)
        return found

    @property
    def median_months(self) -> float | None:
        """The first time at which survival is one half or less, None where it is never reached."""
        reached = np.flatnonzero(self.survival <= 0.5 + 1e-12)
        return float(self.times_months[reached[0]]) if len(reached) else None

    def interval(self) -> tuple[Floats, Floats]:
        """95 % limits (t,), Greenwood's variance on the log(-log) scale (Kalbfleisch and Prentice)."""
        with np.errstate(divide="ignore", invalid="ignore"):
            greenwood = np.cumsum(self.events / (self.at_risk * (self.at_risk - self.events)))
            spread = np.exp(1.959963984540054 * np.sqrt(greenwood) / np.abs(np.log(self.survival)))
            low, high = self.survival**spread, self.survival ** (1 / spread)
        certain = (self.survival <= 0) | (self.survival >= 1)
        return np.where(certain, self.survival, low), np.where(certain, self.survival, high)


def kaplan_meier(times_months: Floats, events: Bools) -> KaplanMeier:
    """Survival of (n,) patients; events come before censorings of the same time."""
    times, row = np.unique(times_months, return_inverse=True)
    leaving = np.bincount(row, minlength=len(times))
    at_risk = len(row) - np.concatenate([[0.0], np.cumsum(leaving)[:-1]])
    died = np.bincount(row, weights=events, minlength=len(times)).astype(np.float64)
    survival = np.cumprod(1 - died / at_risk)
    return KaplanMeier(times, at_risk, died, survival)


@dataclass(frozen=True, eq=False)
class CensoringCurve:
    """G(t), the probability of still being followed, by Kaplan-Meier with the roles turned, in training patients.

    Somebody with an event at t was at risk of being lost only before t, so events leave the risk set first; the weight
    of an event at t is 1 / G(t-).
    """

    times_months: Floats
    followed: Floats

    @property
    def last_months(self) -> float:
        """The longest follow-up; nothing is known about G after it."""
        return float(self.times_months[-1])

    def before(self, months: Floats) -> Floats:
        """G(t-) at times (n,). Raises InputError for a time after the longest follow-up."""
        if months.size and months.max() > self.last_months:
            raise InputError(
                f"An event at {months.max():g} months lies after the longest follow-up of the training patients "
                f"({self.last_months:g} months), so it has no weight; judge up to a time before that."
            )
        steps = np.concatenate([[1.0], self.followed])
        values: Floats = steps[np.searchsorted(self.times_months, months, side="left")]
        return values

    def at(self, months: float) -> float:
        """G(t). Raises InputError where no training patient is followed beyond that time."""
        if months >= self.last_months:
            raise InputError(
                f"{months:g} months cannot be judged, because no training patient is followed beyond "
                f"{self.last_months:g} months; choose an earlier time."
            )
        steps = np.concatenate([[1.0], self.followed])
        return float(steps[np.searchsorted(self.times_months, months, side="right")])


def censoring_curve(times_months: Floats, events: Bools) -> CensoringCurve:
    """G from training patients (n,). Without a censored patient it is 1 throughout."""
    check_outcomes(times_months, events, "training patients")
    deaths = kaplan_meier(times_months, events)
    leaving = -np.diff(np.concatenate([deaths.at_risk, [0.0]]))
    lost, could_be_lost = leaving - deaths.events, deaths.at_risk - deaths.events
    factors = 1 - np.divide(lost, could_be_lost, out=np.zeros_like(lost), where=could_be_lost > 0)
    return CensoringCurve(deaths.times_months, np.cumprod(factors))


@dataclass(frozen=True, eq=False)
class Censoring:
    """The censoring curve that each test patient is weighted by.

    One curve for all, or, out of fold, the curve of each patient's own training part: `curve_of_row` (n,) says which.
    """

    curves: tuple[CensoringCurve, ...]
    curve_of_row: Index

    @staticmethod
    def from_training(times_months: Floats, events: Bools, test_patients: int) -> Censoring:
        """One training part for all test patients."""
        return Censoring((censoring_curve(times_months, events),), np.zeros(test_patients, dtype=np.intp))

    @staticmethod
    def from_folds(curves: Sequence[CensoringCurve], curve_of_row: Index) -> Censoring:
        """Each patient with the curve of the training part that they were left out of."""
        if len(curve_of_row) and not 0 <= curve_of_row.min() <= curve_of_row.max() < len(curves):
            raise InputError("A patient belongs to no fold, so there is no censoring curve for them.")
        return Censoring(tuple(curves), curve_of_row)

    @property
    def last_months(self) -> float:
        """The shortest of the training parts' longest follow-ups."""
        return min(curve.last_months for curve in self.curves)

    def before(self, months: Floats, rows: Bools) -> Floats:
        """G(t-) at each row's own time (n,) by its own curve, 1 where `rows` (n,) is false."""
        values = np.ones(len(months))
        for number, curve in enumerate(self.curves):
            here = rows & (self.curve_of_row == number)
            values[here] = curve.before(months[here])
        return values

    def at(self, months: float) -> Floats:
        """G at one time (n,), each row by its own curve."""
        values: Floats = np.array([curve.at(months) for curve in self.curves])[self.curve_of_row]
        return values


def breslow_survival(
    train_times_months: Floats, train_events: Bools, train_log_risk: Floats, log_risk: Floats, grid_months: Floats
) -> Floats:
    """Survival curves (n, t) of patients with `log_risk` (n,), the baseline hazard by Breslow on training patients.

    Raises InputError for a grid that leaves the training patients' follow-up.
    """
    check_outcomes(train_times_months, train_events, "training patients")
    check_risks(train_log_risk, len(train_times_months))
    check_risks(log_risk, len(log_risk))
    if grid_months.max() > train_times_months.max():
        raise InputError(
            f"A survival curve up to {grid_months.max():g} months leaves the training patients' follow-up of "
            f"{train_times_months.max():g} months; end it earlier."
        )
    order = np.argsort(-train_times_months, kind="stable")
    log_still = np.logaddexp.accumulate(train_log_risk[order])
    times = np.unique(train_times_months[train_events])
    log_at_risk = log_still[np.searchsorted(-train_times_months[order], -times, side="right") - 1]
    died = np.bincount(np.searchsorted(times, train_times_months[train_events]))
    log_hazard = np.concatenate([[-np.inf], np.logaddexp.accumulate(np.log(died) - log_at_risk)])
    at_grid = log_hazard[np.searchsorted(times, grid_months, side="right")]
    survival: Floats = np.exp(-np.exp(np.minimum(log_risk[:, None] + at_grid, 700)))
    return survival


def pseudo_risks(times_months: Floats, events: Bools, horizon_months: float) -> Floats:
    """Jackknife pseudo-observations (n,) of having had the event by `horizon_months` (Andersen, Klein, Rosthoj 2003).

    They stand for an outcome that censoring hides: their mean is about 1 - Kaplan-Meier, and single ones may lie
    outside 0 to 1. They assume that censoring does not depend on risk. Raises InputError where nobody is followed so
    long.
    """
    n = len(times_months)
    check_horizon(times_months, horizon_months)
    curve = kaplan_meier(times_months, events)
    early = curve.times_months <= horizon_months
    risk_set, died = curve.at_risk[early], curve.events[early]
    fewer = np.maximum(risk_set - 1, 1)
    # Without patient i: one fewer at risk up to i's own time, i's own event gone there, all as before after it.
    before = np.concatenate([[1.0], np.cumprod(np.clip(1 - died / fewer, 0, 1))])
    after = np.concatenate([np.cumprod((1 - died / risk_set)[::-1])[::-1], [1.0]])
    place = np.searchsorted(curve.times_months[early], times_months, side="left")
    inside = times_months <= horizon_months
    own = np.where(inside, np.minimum(place, early.sum() - 1), 0)
    at_own = np.where(inside, 1 - (died[own] - events) / fewer[own], 1.0) if early.any() else np.ones(n)
    without = before[place] * at_own * after[np.minimum(place + inside, early.sum())]
    whole = float(np.prod(1 - died / risk_set))
    survival = n * whole - (n - 1) * without
    risks: Floats = 1 - survival
    return risks


def check_horizon(times_months: Floats, horizon_months: float) -> None:
    """Raises InputError unless some patient is followed beyond the horizon."""
    if not 0 < horizon_months < times_months.max():
        raise InputError(
            f"{horizon_months:g} months cannot be judged, because the patients are followed up to "
            f"{times_months.max():g} months; choose an earlier time."
        )
