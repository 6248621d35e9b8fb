"""Whether predicted risks by a stated time are right: O/E, calibration slope and intercept, and ICI."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import leastsq

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.evaluation.bootstrap import BY_PATIENT, percentile_limits, resample
from MemorySurvivalLib.evaluation.curves import check_horizon, kaplan_meier, pseudo_risks
from MemorySurvivalLib.evaluation.estimates import Estimate
from MemorySurvivalLib.evaluation.outcomes import Bools, Floats, Index, check_outcomes, check_survival

RESAMPLES = 500
_SPAN = 0.75
_KNOTS = 50
_STEEPEST = 20.0
_PSEUDO = "by pseudo-observations (jackknife of Kaplan-Meier), which take censoring to be independent of risk"


@dataclass(frozen=True, eq=False)
class Calibration:
    """Predicted against observed risk of an event by `horizon_months`.

    `observed_to_expected`: observed (1 - Kaplan-Meier) over the mean predicted risk; 1 is right, above 1 there
    are more events than predicted. `intercept`: what must be added to log(-log(1 - risk)) to make the mean right; 0 is
    right. `slope`: below 1 the predictions are too extreme; None where all predictions are equal. `ici`: mean absolute
    distance of predicted from smoothed observed risk; it is never negative, so its interval leans upwards.
    `curve_predicted`, `curve_observed` (k,): the smoothed curve to draw.
    """

    horizon_months: float
    observed_to_expected: Estimate
    intercept: Estimate
    slope: Estimate | None
    ici: Estimate
    curve_predicted: Floats
    curve_observed: Floats


def observed_to_expected(times_months: Floats, events: Bools, risk: Floats, horizon_months: float) -> float:
    """1 - Kaplan-Meier at the horizon, over the mean of predicted `risk` (n,)."""
    _check(times_months, events, risk, horizon_months)
    if risk.mean() <= 0:
        raise InputError("All predicted risks are 0, so observed over expected has no value.")
    return float(1 - kaplan_meier(times_months, events).at(horizon_months)) / float(risk.mean())


def calibration_slope(times_months: Floats, events: Bools, risk: Floats, horizon_months: float) -> tuple[float, float]:
    """Intercept and slope (a, b) of observed = 1 - exp(-exp(a + b x)), x = log(-log(1 - predicted risk)).

    Fitted to pseudo-observations by least squares (Perme and Andersen 2008); 0 and 1 are right. Raises InputError where
    all predictions are equal or the slope has no finite value (few patients).
    """
    _check(times_months, events, risk, horizon_months)
    return _fit_line(pseudo_risks(times_months, events, horizon_months), risk)


def calibration_intercept(times_months: Floats, events: Bools, risk: Floats, horizon_months: float) -> float:
    """a with the slope held at 1: calibration in the large on the log(-log) scale."""
    _check(times_months, events, risk, horizon_months)
    return _fit_intercept(pseudo_risks(times_months, events, horizon_months), risk)


def integrated_calibration_index(times_months: Floats, events: Bools, risk: Floats, horizon_months: float) -> float:
    """Mean |predicted - smoothed observed| risk (Austin, Harrell and van Klaveren 2020, with pseudo-observations)."""
    _check(times_months, events, risk, horizon_months)
    return _mean_distance(pseudo_risks(times_months, events, horizon_months), risk)


def smooth_observed(observed: Floats, risk: Floats) -> tuple[Floats, Floats]:
    """Predicted risks (k,), ascending, and the observed risk there (k,), kept within 0 to 1.

    `observed` pseudo-observations (n,) smoothed over predicted `risk` (n,) by local lines: tricube weights on the
    nearest 75 % of patients (Cleveland 1979); where neighbours have one predicted risk, their mean.
    """
    knots = np.unique(np.quantile(risk, np.linspace(0, 1, _KNOTS)))
    away = risk[None, :] - knots[:, None]
    distance = np.abs(away)
    near = max(2, int(np.ceil(_SPAN * len(risk)))) - 1
    reach = np.maximum(np.partition(distance, near, axis=1)[:, [near]], 1e-9) * (1 + 1e-9)
    closeness = np.maximum(1 - (distance / reach) ** 3, 0)
    weight = closeness * closeness * closeness
    leaning = weight * away
    total, first, second = weight.sum(axis=1), leaning.sum(axis=1), (leaning * away).sum(axis=1)
    level, up = weight @ observed, leaning @ observed
    spread = total * second - first**2
    flat = spread <= 1e-9 * total**2
    line = (second * level - first * up) / np.where(flat, 1, spread)
    return knots, np.clip(np.where(flat, level / total, line), 0, 1)


def calibration(
    times_months: Floats,
    events: Bools,
    risk: Floats,
    horizon_months: float,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Calibration:
    """All calibration figures of predicted `risk` (n,) of an event by the horizon, resampled together by patient.

    Raises InputError where the horizon leaves the follow-up or there is no event by then.
    """
    _check(times_months, events, risk, horizon_months)
    equal = np.ptp(_cloglog(risk)) < 1e-9

    def all_of(rows: Index) -> Floats:
        own = risk[rows]
        ratio = observed_to_expected(times_months[rows], events[rows], own, horizon_months)
        observed = pseudo_risks(times_months[rows], events[rows], horizon_months)
        slope = np.nan if equal else _fit_line(observed, own)[1]
        return np.array([ratio, _fit_intercept(observed, own), _mean_distance(observed, own), slope])

    values = all_of(np.arange(len(events)))
    drawn = resample(all_of, len(events), resamples, seed)
    n, with_event, drawing = len(events), int(events.sum()), BY_PATIENT.format(resamples=resamples)

    def estimate(name: str, column: int, how: str, chance: float) -> Estimate:
        whole = f"{name} at {horizon_months:g} months"
        low, high = percentile_limits(drawn[:, column], whole)
        return Estimate(whole, float(values[column]), low, high, n, with_event, f"{how}; {drawing}.", chance)

    ratio = "1 - Kaplan-Meier over the mean predicted risk"
    smoothing = (
        f"Mean distance of predicted risk from the observed, smoothed by local lines (span {_SPAN:g}), {_PSEUDO}"
    )
    return Calibration(
        horizon_months,
        estimate("observed/expected", 0, ratio, 1.0),
        estimate("calibration intercept", 1, f"Slope held at 1, log(-log) scale, {_PSEUDO}", 0.0),
        None if equal else estimate("calibration slope", 3, f"log(-log) scale, {_PSEUDO}", 1.0),
        estimate("ICI", 2, smoothing, 0.0),
        *smooth_observed(pseudo_risks(times_months, events, horizon_months), risk),
    )


def _check(times_months: Floats, events: Bools, risk: Floats, horizon_months: float) -> None:
    check_outcomes(times_months, events)
    check_survival(risk[:, None], len(events), 1)
    check_horizon(times_months, horizon_months)
    if not (events & (times_months <= horizon_months)).any():
        raise InputError(
            f"None of the {len(events)} patients has an event by {horizon_months:g} months; choose a later time."
        )


def _fit_line(observed: Floats, risk: Floats) -> tuple[float, float]:
    x = _cloglog(risk)
    if np.ptp(x) < 1e-9:
        raise InputError("All predicted risks are equal, so they have no calibration slope.")
    # An intercept at the centre of x keeps the two parameters apart; it is carried back to x = 0 at the end.
    centre = x.mean()
    at_centre, slope = _least_squares(
        observed, np.full_like(x, centre), np.stack([np.ones_like(x), x - centre], axis=1)
    )
    if not abs(slope) < _STEEPEST:
        raise InputError(
            f"The outcomes of the {len(risk)} patients are separated by their predicted risk, so the calibration slope "
            "has no finite value; it needs more patients."
        )
    return at_centre + centre - slope * centre, slope


def _fit_intercept(observed: Floats, risk: Floats) -> float:
    x = _cloglog(risk)
    return _least_squares(observed, x, np.ones((len(x), 1)))[0]


def _least_squares(observed: Floats, offset: Floats, design: Floats) -> list[float]:
    """Coefficients of observed ~ 1 - exp(-exp(offset + design @ coefficients)), from 0 for the intercept, 1 else."""

    def residuals(coefficients: Floats) -> Floats:
        return _inverse(offset + design @ coefficients) - observed

    def jacobian(coefficients: Floats) -> Floats:
        x = np.clip(offset + design @ coefficients, -30, 5)
        values: Floats = np.exp(x - np.exp(x))[:, None] * design
        return values

    start = np.array([0.0, 1.0])[: design.shape[1]]
    # Asked for everything, scipy returns what went wrong instead of warning; what diverged is told by its size.
    fitted: list[float] = leastsq(residuals, start, Dfun=jacobian, full_output=True)[0].tolist()
    if not np.isfinite(fitted).all():
        raise InputError("Calibration has no finite value: these predictions and outcomes cannot be fitted.")
    return fitted


def _mean_distance(observed: Floats, risk: Floats) -> float:
    knots, smooth = smooth_observed(observed, risk)
    return float(np.abs(np.interp(risk, knots, smooth) - risk).mean())


def _cloglog(risk: Floats) -> Floats:
    values: Floats = np.log(-np.log1p(-np.clip(risk, 1e-6, 1 - 1e-6)))
    return values


def _inverse(x: Floats) -> Floats:
    values: Floats = -np.expm1(-np.exp(np.clip(x, -30, 5)))
    return values
