"""Net benefit of acting on predicted risks by a stated time, beside acting on everybody and on nobody."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.evaluation.bootstrap import BY_PATIENT, percentile_limits, resample
from MemorySurvivalLib.evaluation.curves import check_horizon, kaplan_meier
from MemorySurvivalLib.evaluation.estimates import Estimate
from MemorySurvivalLib.evaluation.outcomes import Bools, Floats, Index, check_outcomes, check_survival

RESAMPLES = 500


@dataclass(frozen=True, eq=False)
class NetBenefit:
    """A decision curve (Vickers and Elkin 2006; survival form of Vickers et al. 2008).

    At each of `thresholds` (k,): net benefit (k,) of acting on patients with that risk or more (`model`), on all
    (`treat_all`); acting on nobody has 0. NaN where the patients above a threshold are not followed to the horizon.
    `low`, `high` (k,): interval of `model` minus the better of acting on all and on nobody, at each threshold alone.
    """

    horizon_months: float
    thresholds: Floats
    model: Floats
    treat_all: Floats
    low: Floats
    high: Floats
    n: int
    events: int
    method: str

    def estimate(self, number: int) -> Estimate:
        """The gain at one threshold with its interval. Raises InputError where there is none."""
        name = f"net benefit gained at {self.horizon_months:g} months, threshold {self.thresholds[number]:g}"
        if not np.isfinite([self.gain[number], self.low[number], self.high[number]]).all():
            raise InputError(f"There is no {name}: too few patients above the threshold are followed so long.")
        limits = float(self.low[number]), float(self.high[number])
        return Estimate(name, float(self.gain[number]), *limits, self.n, self.events, self.method, 0.0)

    @property
    def gain(self) -> Floats:
        """Net benefit of the model minus the better of acting on all and on nobody (k,)."""
        values: Floats = self.model - np.maximum(self.treat_all, 0)
        return values


def net_benefit(
    times_months: Floats,
    events: Bools,
    risk: Floats,
    horizon_months: float,
    thresholds: Floats,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> NetBenefit:
    """The decision curve of predicted `risk` (n,) of an event by the horizon, at `thresholds` (k,) inside 0 to 1.

    True positives are the share at or above the threshold times 1 - Kaplan-Meier among them, as dcurves computes.
    Raises InputError where the horizon leaves the follow-up.
    """
    check_outcomes(times_months, events)
    check_survival(risk[:, None], len(events), 1)
    check_horizon(times_months, horizon_months)
    if not len(thresholds) or thresholds.min() <= 0 or thresholds.max() >= 1:
        raise InputError("Thresholds of a decision curve are risks above 0 and below 1.")

    def curves(rows: Index) -> Floats:
        outcome = (times_months[rows], events[rows])
        model = _curve(*outcome, risk[rows], horizon_months, thresholds)
        return np.stack([model, _everybody(*outcome, horizon_months, thresholds)])

    model, everybody = curves(np.arange(len(events)))
    drawn = resample(curves, len(events), resamples, seed)
    gains = drawn[:, 0] - np.maximum(drawn[:, 1], 0)
    limits = []
    for k, threshold in enumerate(thresholds):
        try:
            limits.append(percentile_limits(gains[:, k], f"Net benefit at a threshold of {threshold:g}"))
        except InputError:  # too few stand above this threshold: the curve goes on without an interval there
            limits.append((np.nan, np.nan))
    low, high = np.array(limits).T
    method = (
        f"Net benefit at {horizon_months:g} months by Kaplan-Meier among patients at or above each threshold; gain "
        f"over the better of all and nobody at each threshold alone, {BY_PATIENT.format(resamples=resamples)}."
    )
    n, with_event = len(events), int(events.sum())
    return NetBenefit(horizon_months, thresholds, model, everybody, low, high, n, with_event, method)


def net_benefit_gain(
    times_months: Floats, events: Bools, risk: Floats, horizon_months: float, threshold: float
) -> float:
    """Net benefit at one threshold minus the better of acting on all and on nobody.

    Raises InputError where the patients above the threshold are not followed to the horizon.
    """
    check_outcomes(times_months, events)
    check_survival(risk[:, None], len(events), 1)
    check_horizon(times_months, horizon_months)
    at = np.array([threshold])
    model = float(_curve(times_months, events, risk, horizon_months, at)[0])
    everybody = float(_everybody(times_months, events, horizon_months, at)[0])
    if not np.isfinite(model):
        raise InputError(
            f"Patients with a risk of {threshold:g} or more are not followed to {horizon_months:g} months; choose an "
            "earlier time or a lower threshold."
        )
    return model - max(everybody, 0.0)


def _curve(times_months: Floats, events: Bools, risk: Floats, horizon_months: float, thresholds: Floats) -> Floats:
    values = np.zeros(len(thresholds))
    for k, threshold in enumerate(thresholds):
        acted = risk >= threshold
        if acted.any():
            share, odds = acted.mean(), threshold / (1 - threshold)
            had_event = _risk_among(times_months[acted], events[acted], horizon_months)
            values[k] = share * (had_event - odds * (1 - had_event))
    return values


def _everybody(times_months: Floats, events: Bools, horizon_months: float, thresholds: Floats) -> Floats:
    had_event = _risk_among(times_months, events, horizon_months)
    values: Floats = had_event - thresholds / (1 - thresholds) * (1 - had_event)
    return values


def _risk_among(times_months: Floats, events: Bools, horizon_months: float) -> float:
    """1 - Kaplan-Meier at the horizon, NaN where follow-up ends before it and some have not had the event."""
    curve = kaplan_meier(times_months, events)
    survival = float(curve.at(horizon_months))
    known = curve.times_months[-1] >= horizon_months or survival == 0
    return 1 - survival if known else float("nan")
