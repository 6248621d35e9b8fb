"""Calibration: right for the true risks, and wrong in the way in which predictions are wrong."""

from __future__ import annotations

import numpy as np
import pytest
from lifelines import KaplanMeierFitter
from outcomes_made_up import Sample, make_sample

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.evaluation.calibration import (
    calibration,
    calibration_intercept,
    calibration_slope,
    integrated_calibration_index,
    observed_to_expected,
    smooth_observed,
)
from MemorySurvivalLib.evaluation.curves import pseudo_risks
from MemorySurvivalLib.evaluation.outcomes import Floats

HORIZON = 24.0


def true_risk(sample: Sample, shift: float = 0.0, scale: float = 1.0) -> Floats:
    """The risk that make_sample draws from, with `shift` and `scale` on the log(-log) scale."""
    return 1 - np.exp(-np.exp(scale * (0.8 * sample.log_risk + 1.5 * np.log(HORIZON / 45)) + shift))


def test_true_risks_are_calibrated() -> None:
    sample = make_sample(4000, 7)
    outcome = (sample.times, sample.events, true_risk(sample), HORIZON)
    assert observed_to_expected(*outcome) == pytest.approx(1, abs=0.06)  # three standard deviations, as below
    assert calibration_slope(*outcome) == pytest.approx((0, 1), abs=0.14)
    assert calibration_intercept(*outcome) == pytest.approx(0, abs=0.09)
    assert integrated_calibration_index(*outcome) < 0.02


def test_wrong_risks_are_found_wrong_as_they_are() -> None:
    sample = make_sample(4000, 7)
    low = (sample.times, sample.events, true_risk(sample, shift=-0.5), HORIZON)
    assert calibration_intercept(*low) == pytest.approx(0.5, abs=0.09)
    assert observed_to_expected(*low) > 1.3
    extreme = (sample.times, sample.events, true_risk(sample, scale=2.0), HORIZON)
    assert calibration_slope(*extreme)[1] == pytest.approx(0.5, abs=0.07)
    both = (sample.times, sample.events, true_risk(sample, shift=-0.6, scale=2.0), HORIZON)
    assert calibration_slope(*both) == pytest.approx((0.3, 0.5), abs=0.1)
    true = true_risk(sample)
    assert integrated_calibration_index(*extreme) == pytest.approx(np.abs(true - extreme[2]).mean(), abs=0.02)


def test_observed_is_lifelines_kaplan_meier() -> None:
    sample = make_sample(80, 2, tied=True)
    theirs = KaplanMeierFitter().fit(sample.times, sample.events).predict(HORIZON)
    assert observed_to_expected(sample.times, sample.events, np.full(80, 0.4), HORIZON) == pytest.approx(
        (1 - theirs) / 0.4
    )


def test_smoothing_gives_a_line_back_and_stays_a_probability() -> None:
    risk = np.sort(np.random.default_rng(3).uniform(0.1, 0.8, 90))
    knots, smooth = smooth_observed(0.05 + 0.9 * risk, risk)
    np.testing.assert_allclose(smooth, 0.05 + 0.9 * knots, atol=1e-9)
    assert smooth_observed(3 * risk, risk)[1].max() == 1.0
    knots, smooth = smooth_observed(np.arange(6.0) / 10, np.full(6, 0.3))
    assert (knots.tolist(), smooth.tolist()) == ([0.3], pytest.approx([0.25]))


def test_all_figures_come_with_intervals_and_their_method() -> None:
    sample = make_sample(200, 4)
    figures = calibration(sample.times, sample.events, true_risk(sample), HORIZON, 200, 1)
    assert figures.slope is not None
    for estimate in (figures.observed_to_expected, figures.intercept, figures.slope):
        assert estimate.chance is not None and estimate.low < estimate.chance < estimate.high
        assert "200 resamples" in estimate.method
    assert "pseudo-observations" in figures.ici.method and figures.ici.low >= 0
    observed = pseudo_risks(sample.times, sample.events, HORIZON)
    np.testing.assert_array_equal(figures.curve_observed, smooth_observed(observed, true_risk(sample))[1])


def test_equal_predictions_have_no_slope_but_the_rest() -> None:
    sample = make_sample(60, 5)
    figures = calibration(sample.times, sample.events, np.full(60, 0.4), HORIZON, 100)
    assert figures.slope is None
    assert figures.ici.value == pytest.approx(abs(pseudo_risks(sample.times, sample.events, HORIZON).mean() - 0.4))


def test_what_cannot_be_judged_is_said() -> None:
    sample = make_sample(60, 6)
    risk = true_risk(sample)
    with pytest.raises(InputError, match="All predicted risks are equal"):
        calibration_slope(sample.times, sample.events, np.full(60, 0.4), HORIZON)
    with pytest.raises(InputError, match="no finite value"):
        separated = np.where(sample.times <= HORIZON, 0.51, 0.49)
        calibration_slope(sample.times, np.ones(60, dtype=bool), separated, HORIZON)
    with pytest.raises(InputError, match="All predicted risks are 0"):
        observed_to_expected(sample.times, sample.events, np.zeros(60), HORIZON)
    with pytest.raises(InputError, match="choose an earlier time"):
        calibration(sample.times, sample.events, risk, 300.0)
    with pytest.raises(InputError, match="choose a later time"):
        calibration(sample.times, sample.events, risk, 0.001)
    with pytest.raises(InputError, match="from 0 to 1"):
        calibration(sample.times, sample.events, sample.log_risk, HORIZON)
