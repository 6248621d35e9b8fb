"""Decision curves against dcurves, and what they say of a model that knows and one that does not."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from outcomes_made_up import make_sample

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.evaluation.net_benefit import net_benefit, net_benefit_gain

THRESHOLDS = np.array([0.1, 0.3, 0.5, 0.7])
HORIZON = 24.0


def risk_of(log_risk: np.ndarray) -> np.ndarray:
    return 1 - np.exp(-np.exp(0.8 * log_risk) * (HORIZON / 45) ** 1.5)


@pytest.mark.parametrize("tied", [False, True], ids=["random", "tied"])
def test_the_curve_is_dcurves(tied: bool) -> None:
    import pandas as pd

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from dcurves import dca

    sample = make_sample(120, 1, tied=tied)
    frame = pd.DataFrame({"t": sample.times, "e": sample.events, "model": risk_of(sample.log_risk)})
    theirs = dca(
        frame, "e", ["model"], thresholds=THRESHOLDS.tolist(), time=HORIZON, time_to_outcome_col="t"
    ).set_index(["model", "threshold"])["net_benefit"]
    ours = net_benefit(sample.times, sample.events, risk_of(sample.log_risk), HORIZON, THRESHOLDS, 100)
    np.testing.assert_allclose(ours.model, theirs["model"].to_numpy(), atol=1e-9)
    np.testing.assert_allclose(ours.treat_all, theirs["all"].to_numpy(), atol=1e-9)


def test_a_model_that_knows_gains_and_one_that_guesses_does_not() -> None:
    sample = make_sample(400, 2, strength=1.2)
    knows = net_benefit(sample.times, sample.events, risk_of(1.5 * sample.log_risk), HORIZON, THRESHOLDS, 100)
    assert knows.low[1:3].min() > 0
    guess = risk_of(np.random.default_rng(3).normal(0, 1.5, 400))
    guesses = net_benefit(sample.times, sample.events, guess, HORIZON, THRESHOLDS, 100)
    assert guesses.gain.max() < 0.02
    for k, threshold in enumerate(THRESHOLDS):
        own = net_benefit_gain(sample.times, sample.events, guess, HORIZON, threshold)
        assert own == pytest.approx(guesses.gain[k])
    estimate = knows.estimate(1)
    assert (estimate.value, estimate.low) == (pytest.approx(knows.gain[1]), knows.low[1])


def test_nobody_above_a_threshold_is_acting_on_nobody() -> None:
    sample = make_sample(50, 4)
    curve = net_benefit(sample.times, sample.events, np.full(50, 0.2), HORIZON, np.array([0.5]), 100)
    assert curve.model.tolist() == [0.0]


def test_what_cannot_be_judged_is_said() -> None:
    sample = make_sample(50, 5)
    risk = risk_of(sample.log_risk)
    with pytest.raises(InputError, match="above 0 and below 1"):
        net_benefit(sample.times, sample.events, risk, HORIZON, np.array([0.0, 0.5]))
    with pytest.raises(InputError, match="choose an earlier time"):
        net_benefit(sample.times, sample.events, risk, 300.0, THRESHOLDS)
    # One patient above the threshold, lost before the horizon.
    early = np.where(np.arange(50) == 0, 0.9, 0.1)
    times, events = np.where(np.arange(50) == 0, 5.0, sample.times), sample.events & (np.arange(50) > 0)
    assert np.isnan(net_benefit(times, events, early, HORIZON, np.array([0.5]), 100).model[0])
    with pytest.raises(InputError, match="not followed to 24 months"):
        net_benefit_gain(times, events, early, HORIZON, 0.5)
    with pytest.raises(InputError, match="too few patients above the threshold"):
        net_benefit(times, events, early, HORIZON, np.array([0.5]), 100).estimate(0)
