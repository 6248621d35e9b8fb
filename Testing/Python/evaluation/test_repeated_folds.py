"""Nadeau and Bengio's test keeps its promise under no difference, the naive one does not."""

from __future__ import annotations

import numpy as np
import pytest
from outcomes_made_up import make_sample
from scipy import stats

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.evaluation.discrimination import harrell_pairs
from MemorySurvivalLib.evaluation.outcomes import Floats
from MemorySurvivalLib.evaluation.repeated_folds import fold_difference, fold_mean

VALUES = np.array([[0.60, 0.70, 0.65, 0.55, 0.62], [0.58, 0.71, 0.66, 0.60, 0.63]])


def test_the_figures_by_hand() -> None:
    mean = fold_mean("c", VALUES, 227, 160)
    s, values = VALUES.std(ddof=1), VALUES.ravel()
    error = s * np.sqrt(1 / 10 + 1 / 4)
    assert mean.value == pytest.approx(0.63)
    assert mean.p_value == pytest.approx(2 * stats.t.sf((0.63 - 0.5) / error, 9))
    assert (mean.low, mean.high) == pytest.approx(stats.t.interval(0.95, 9, 0.63, error))
    naive = stats.ttest_1samp(values, 0.5)
    assert mean.naive_p_value == pytest.approx(naive.pvalue)
    assert (mean.naive_low, mean.naive_high) == pytest.approx(naive.confidence_interval(0.95))
    one_sided = stats.ttest_1samp(values, 0.5, alternative="greater").pvalue
    assert mean.naive_p_value_one_sided == pytest.approx(one_sided)
    assert (mean.repeats, mean.folds, mean.n, mean.events) == (2, 5, 227, 160)
    assert "Nadeau" in mean.method and mean.naive_method.startswith("Naive")
    below = fold_mean("c", 1 - VALUES, 227, 160)
    assert below.naive_p_value_one_sided == pytest.approx(1 - one_sided)


def test_a_difference_is_paired() -> None:
    difference = fold_difference("c", VALUES + 0.02, VALUES, 227, 160)
    assert difference.value == pytest.approx(0.02) and difference.chance == 0.0
    assert difference.sd == pytest.approx(0, abs=1e-12)


def test_folds_without_a_value_or_a_partner_are_refused() -> None:
    with pytest.raises(InputError, match=r"no value in 1 of 10 folds"):
        fold_mean("c", np.where(VALUES == 0.71, np.nan, VALUES), 227, 160)
    with pytest.raises(InputError, match="at least two"):
        fold_mean("c", VALUES[:, :1], 227, 160)
    with pytest.raises(InputError, match="same splits"):
        fold_difference("c", VALUES, VALUES[:1], 227, 160)


def test_no_spread_is_no_evidence_for_chance() -> None:
    assert fold_mean("c", np.full((2, 5), 0.5), 40, 20).p_value == 1.0


def fold_differences(seed: int, n: int = 75, repeats: int = 5, folds: int = 5) -> Floats:
    """c of one model minus another's on folds of pure noise, (repeats, folds).

    Both models are fitted in each fold, to features of their own: weights from one step of Cox's score.
    """
    rng = np.random.default_rng(seed)
    sample = make_sample(n, seed, strength=0.0)
    features = rng.normal(size=(2, n, 6))
    values = np.empty((repeats, folds))
    for repeat in range(repeats):
        for number, test in enumerate(np.array_split(rng.permutation(n), folds)):
            train = np.setdiff1d(np.arange(n), test)
            order = train[np.argsort(sample.times[train])]
            events = sample.events[order]
            hazard = np.cumsum(events / np.arange(len(order), 0, -1))
            pairs = harrell_pairs(sample.times[test], sample.events[test])
            first, second = (pairs.value(x[test] @ ((events - hazard) @ x[order])) for x in features)
            values[repeat, number] = first - second
    return values


def test_type_one_error_of_the_corrected_test_and_of_the_naive_one() -> None:
    """200 times no difference, 5 x 5 folds. 1500 such cohorts gave 7.2 % and 49.7 % at a nominal 5 %."""
    tests = [fold_mean("difference of c", fold_differences(seed), 75, 50, chance=0.0) for seed in range(200)]
    corrected = np.mean([test.p_value < 0.05 for test in tests])
    naive = np.mean([test.naive_p_value < 0.05 for test in tests])
    assert corrected < 0.127, corrected  # three standard deviations above 0.072
    assert naive > 0.30, naive
