"""Quartiles of risk and their log-rank test."""

from __future__ import annotations

import numpy as np
import pytest
from lifelines.statistics import logrank_test
from outcomes_made_up import make_sample
from scipy import stats

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.evaluation.risk_groups import permuted_log_rank, risk_quartiles


@pytest.mark.parametrize("tied", [False, True], ids=["random", "tied"])
def test_the_statistic_is_lifelines(tied: bool) -> None:
    sample = make_sample(90, 1, tied=tied)
    second = np.arange(90) < 40
    theirs = logrank_test(*(sample.times[g] for g in (second, ~second)), *(sample.events[g] for g in (second, ~second)))
    statistic, _ = permuted_log_rank(sample.times, sample.events, second, 99)
    assert statistic == pytest.approx(theirs.test_statistic, abs=1e-9)


def test_permutation_agrees_with_chi_square_where_both_hold() -> None:
    sample = make_sample(160, 2)
    second = sample.log_risk + np.random.default_rng(1).normal(0, 4, 160) > 0
    statistic, p_value = permuted_log_rank(sample.times, sample.events, second, 3999)
    assert p_value == pytest.approx(stats.chi2.sf(statistic, 1), abs=0.03)


def test_p_values_of_noise_are_uniform_also_within_folds() -> None:
    p_values = []
    for seed in range(120):
        sample = make_sample(40, seed, strength=0.0)
        folds = np.arange(40) % 4
        p_values.append(
            permuted_log_rank(sample.times, sample.events, sample.log_risk > 0, 99, seed, folds if seed % 2 else None)[
                1
            ]
        )
    assert stats.kstest(p_values, "uniform").pvalue > 0.01


def test_labels_stay_in_their_fold() -> None:
    """Where each fold holds one group only, permuting within folds changes nothing."""
    sample = make_sample(80, 3)
    second = sample.log_risk > 0
    assert permuted_log_rank(sample.times, sample.events, second, 99, 0, second.astype(np.intp))[1] == 1.0
    assert permuted_log_rank(sample.times, sample.events, second, 99, 0)[1] < 0.1


def test_quartiles_hold_all_patients_in_order_of_risk() -> None:
    sample = make_sample(101, 4)
    quartiles = risk_quartiles(sample.times, sample.events, sample.log_risk, 999)
    assert sum(group.n for group in quartiles.groups) == 101
    assert sum(group.events for group in quartiles.groups) == quartiles.events == sample.events.sum()
    medians = [group.curve.median_months or np.inf for group in quartiles.groups]
    assert medians[0] > medians[3]
    assert quartiles.p_value == 0.001 and quartiles.p_value_chi_square < 0.001
    assert "999 permutations" in quartiles.method


def test_groups_that_cannot_be_made_are_refused() -> None:
    sample = make_sample(40, 5)
    with pytest.raises(InputError, match="of the 10 patients, and each needs 5"):
        risk_quartiles(sample.times[:10], sample.events[:10], sample.log_risk[:10])
    with pytest.raises(InputError, match="too many have an equal risk"):
        risk_quartiles(sample.times, sample.events, np.zeros(40))
    with pytest.raises(InputError, match="both groups"):
        permuted_log_rank(sample.times, sample.events, np.ones(40, dtype=bool))
    with pytest.raises(InputError, match="has an event"):
        risk_quartiles(sample.times, np.zeros(40, dtype=bool), sample.log_risk)
