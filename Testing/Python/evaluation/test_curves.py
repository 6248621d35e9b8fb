"""Kaplan-Meier, censoring, Breslow and pseudo-observations against others and against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
from lifelines import CoxPHFitter, KaplanMeierFitter
from outcomes_made_up import make_sample
from sksurv.nonparametric import CensoringDistributionEstimator
from sksurv.util import Surv

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.evaluation.curves import (
    Censoring,
    breslow_survival,
    censoring_curve,
    kaplan_meier,
    pseudo_risks,
)

TIED = pytest.mark.parametrize("tied", [False, True], ids=["random", "tied"])


@TIED
def test_kaplan_meier_is_lifelines(tied: bool) -> None:
    sample = make_sample(90, 1, tied=tied)
    theirs = KaplanMeierFitter().fit(sample.times, sample.events)
    ours = kaplan_meier(sample.times, sample.events)
    grid = np.array([0.0, 6.0, 17.3, 30.0, 48.0])
    np.testing.assert_allclose(ours.at(grid), theirs.survival_function_at_times(grid).to_numpy(), atol=1e-12)
    assert ours.median_months == pytest.approx(theirs.median_survival_time_)
    limits = theirs.confidence_interval_survival_function_.loc[ours.times_months[:30]].to_numpy().T
    low, high = ours.interval()
    inside = ours.survival[:30] < 1
    np.testing.assert_allclose(low[:30][inside], limits[0][inside], atol=1e-9)
    np.testing.assert_allclose(high[:30][inside], limits[1][inside], atol=1e-9)


def test_a_median_that_is_not_reached_is_none() -> None:
    assert kaplan_meier(np.array([1.0, 2.0, 3.0]), np.array([True, False, False])).median_months is None


@TIED
def test_censoring_is_scikit_survivals(tied: bool) -> None:
    sample = make_sample(90, 2, tied=tied)
    theirs = CensoringDistributionEstimator().fit(Surv.from_arrays(sample.events, sample.times))
    ours = censoring_curve(sample.times, sample.events)
    for months in (6.0, 18.0, 29.7, 42.0):
        assert ours.at(months) == pytest.approx(theirs.predict_proba(np.array([months]))[0], abs=1e-12)


def test_without_censoring_everybody_weighs_one() -> None:
    sample = make_sample(30, 3)
    curve = censoring_curve(sample.times, np.ones(30, dtype=bool))
    assert (curve.before(sample.times) == 1).all()


def test_each_patient_is_weighted_by_their_own_fold() -> None:
    one, two = make_sample(60, 4), make_sample(60, 5)
    curves = (censoring_curve(one.times, one.events), censoring_curve(two.times, two.events))
    pooled = Censoring.from_folds(curves, np.array([0, 1, 1]))
    assert pooled.at(30.0).tolist() == [curves[0].at(30.0), curves[1].at(30.0), curves[1].at(30.0)]
    rows = np.array([True, True, False])
    assert pooled.before(np.array([20.0, 25.0, 999.0]), rows).tolist() == [
        curves[0].before(np.array([20.0]))[0],
        curves[1].before(np.array([25.0]))[0],
        1.0,
    ]
    with pytest.raises(InputError, match="belongs to no fold"):
        Censoring.from_folds(curves, np.array([0, -1]))


@TIED
def test_breslow_is_lifelines(tied: bool) -> None:
    """At observed times; lifelines interpolates between them."""
    import pandas as pd

    sample = make_sample(120, 6, tied=tied)
    frame = pd.DataFrame({"t": sample.times, "e": sample.events, "x": sample.log_risk})
    cox = CoxPHFitter().fit(frame, "t", "e")
    grid = np.unique(sample.times)[[3, 10, 11]]
    log_risk = sample.log_risk * cox.params_["x"]
    ours = breslow_survival(sample.times, sample.events, log_risk, log_risk[:7], grid)
    np.testing.assert_allclose(ours, cox.predict_survival_function(frame[:7], grid).to_numpy().T, atol=1e-9)


def test_breslow_survives_large_log_risks_and_refuses_to_look_ahead() -> None:
    sample = make_sample(50, 7)
    far = breslow_survival(sample.times, sample.events, 400 * sample.log_risk, np.array([-1e4, 1e4]), np.array([10.0]))
    assert far.tolist() == [[1.0], [0.0]]
    with pytest.raises(InputError, match="leaves the training patients' follow-up"):
        breslow_survival(sample.times, sample.events, sample.log_risk, sample.log_risk, np.array([500.0]))


@TIED
@pytest.mark.parametrize("horizon", [12.0, 33.3, 60.0])
def test_pseudo_observations_are_the_jackknife(tied: bool, horizon: float) -> None:
    sample = make_sample(40, 8, tied=tied)
    n = len(sample.times)
    whole = float(kaplan_meier(sample.times, sample.events).at(horizon))
    expected = []
    for i in range(n):
        rest = np.delete(np.arange(n), i)
        without = float(kaplan_meier(sample.times[rest], sample.events[rest]).at(horizon))
        expected.append(1 - (n * whole - (n - 1) * without))
    np.testing.assert_allclose(pseudo_risks(sample.times, sample.events, horizon), expected, atol=1e-9)


def test_pseudo_observations_without_censoring_are_the_outcomes() -> None:
    sample = make_sample(25, 9)
    everyone = np.ones(25, dtype=bool)
    np.testing.assert_allclose(pseudo_risks(sample.times, everyone, 20.0), sample.times <= 20.0, atol=1e-9)
    # Before the first event nobody has had one.
    np.testing.assert_allclose(pseudo_risks(sample.times, everyone, sample.times.min() / 2), 0, atol=1e-9)
