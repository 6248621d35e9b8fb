"""Whether higher risks meet earlier events: Harrell's c, Uno's c and the AUC at a time, all as shares of pairs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.evaluation.bootstrap import BY_PATIENT, RESAMPLES, draw_counts, percentile_limits
from MemorySurvivalLib.evaluation.curves import Censoring, check_horizon
from MemorySurvivalLib.evaluation.estimates import Estimate
from MemorySurvivalLib.evaluation.outcomes import Bools, Floats, check_outcomes, check_risks

_ROWS_AT_ONCE = 512


@dataclass(frozen=True, eq=False)
class Pairs:
    """Which patients are compared and how much each comparison weighs.

    Patient i, with an event, is compared to every j whose time is later, or equal and censored (j outlived i then); two
    events at one time are not compared. The pair weighs `case_weight[i] * other_weight[j]`, (n,) each. Equal risks
    count one half. `name` and `says` go into results.
    """

    times_months: Floats
    events: Bools
    case_weight: Floats
    other_weight: Floats
    name: str
    says: str

    def share(self, log_risk: Floats, counts: Floats | None = None) -> Floats:
        """The weighted share of pairs in which i has the higher risk, one for each row of `counts` (resamples, n).

        `log_risk` (n,), or (repeats, n): then the mean over repeats. Without counts every patient counts once, giving
        (1,). NaN in a resample without a pair. Raises InputError where there is none at all.
        """
        risks = np.atleast_2d(log_risk)
        check_risks(risks, len(self.times_months))
        weights = np.ones((1, len(self.times_months))) if counts is None else counts
        cases = np.flatnonzero(self.case_weight > 0)
        right, total = np.zeros(len(weights)), np.zeros(len(weights))
        for start in range(0, len(cases), _ROWS_AT_ONCE):
            rows = cases[start : start + _ROWS_AT_ONCE]
            later = self.times_months[rows, None] < self.times_months
            outlived = (self.times_months[rows, None] == self.times_months) & ~self.events
            pairs = (later | outlived) * self.case_weight[rows, None] * self.other_weight
            higher = np.zeros_like(pairs)
            for risk in risks:
                higher += (risk[rows, None] > risk) + 0.5 * (risk[rows, None] == risk)
            right += ((pairs * higher / len(risks)) @ weights.T * weights[:, rows].T).sum(axis=0)
            total += (pairs @ weights.T * weights[:, rows].T).sum(axis=0)
        if counts is None and not total[0] > 0:
            raise InputError(
                f"{self.name} needs two patients of whom one is known to have had the event earlier, and there are "
                f"none among these {len(self.times_months)}; the times are tied or censored too early."
            )
        shares: Floats = np.divide(right, total, out=np.full(len(total), np.nan), where=total > 0)
        return shares

    def value(self, log_risk: Floats) -> float:
        """The share for the patients as they are."""
        return float(self.share(log_risk)[0])

    def estimate(self, log_risk: Floats, resamples: int = RESAMPLES, seed: int = 0) -> Estimate:
        """The share with its interval by patients resampled. Raises InputError where it cannot be computed."""
        value = self.value(log_risk)
        counts = draw_counts(len(self.events), resamples, seed)
        low, high = percentile_limits(self.share(log_risk, counts), self.name)
        return self._estimate(self.name, value, low, high, f"{self.says}{_repeats(log_risk)}", resamples, 0.5)

    def difference(self, first: Floats, second: Floats, resamples: int = RESAMPLES, seed: int = 0) -> Estimate:
        """The share by `first` minus that by `second`, both models on the same resampled patients."""
        value = self.value(first) - self.value(second)
        counts = draw_counts(len(self.events), resamples, seed)
        low, high = percentile_limits(self.share(first, counts) - self.share(second, counts), self.name)
        says = f"Paired difference of two models. {self.says}{_repeats(first)}"
        return self._estimate(f"difference of {self.name}", value, low, high, says, resamples, 0.0)

    def _estimate(
        self, name: str, value: float, low: float, high: float, says: str, resamples: int, chance: float
    ) -> Estimate:
        method = f"{says}; {BY_PATIENT.format(resamples=resamples)}."
        return Estimate(name, value, low, high, len(self.events), int(self.events.sum()), method, chance)


def harrell_pairs(times_months: Floats, events: Bools) -> Pairs:
    """Pairs of Harrell's c (Harrell et al. 1982): all weigh the same, so it depends on who was censored when."""
    check_outcomes(times_months, events)
    one = np.ones(len(events))
    return Pairs(times_months, events, events * one, one, "Harrell's c", "Harrell's c, equal risks count one half")


def uno_pairs(times_months: Floats, events: Bools, censoring: Censoring, until_months: float) -> Pairs:
    """Pairs of Uno's c (Uno et al. 2011): events before `until_months`, each weighing 1 / G(t-)^2.

    `censoring` comes from TRAINING patients. Raises InputError without an event before `until_months`, or where such an
    event lies after the training patients' follow-up.
    """
    check_outcomes(times_months, events)
    cases = events & (times_months < until_months)
    if not cases.any():
        raise InputError(f"None of the {len(events)} patients has an event before {until_months:g} months.")
    weight = cases / censoring.before(times_months, cases) ** 2
    says = f"Uno's c up to {until_months:g} months, weighted by the training patients' censoring"
    return Pairs(times_months, events, weight, np.ones(len(events)), f"Uno's c to {until_months:g} months", says)


def auc_pairs(times_months: Floats, events: Bools, censoring: Censoring, horizon_months: float) -> Pairs:
    """Pairs of the cumulative/dynamic AUC at a time (Uno et al. 2007, Hung and Chiang 2010).

    Cases had the event by then (weight 1 / G(t-)), controls were followed beyond it (weight 1 / G(horizon)); who was
    lost before counts through the weights. Raises InputError where either group is empty or the time leaves the
    follow-up.
    """
    check_outcomes(times_months, events)
    check_horizon(times_months, horizon_months)
    cases = events & (times_months <= horizon_months)
    controls = times_months > horizon_months
    if not cases.any():
        raise InputError(f"None of the {len(events)} patients has an event by {horizon_months:g} months.")
    weight = cases / censoring.before(times_months, cases)
    says = f"Cumulative/dynamic AUC at {horizon_months:g} months, weighted by the training patients' censoring"
    name = f"AUC at {horizon_months:g} months"
    return Pairs(times_months, events, weight, controls / censoring.at(horizon_months), name, says)


def _repeats(log_risk: Floats) -> str:
    repeats = len(np.atleast_2d(log_risk))
    return f", mean over {repeats} repeats" if repeats > 1 else ""
