"""Harrell's c, Uno's c and AUC against three other implementations, on random and on tied outcomes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from lifelines.utils import concordance_index
from outcomes_made_up import Sample, make_sample
from sksurv.metrics import concordance_index_censored, concordance_index_ipcw, cumulative_dynamic_auc
from sksurv.util import Surv
from torchsurv.metrics.auc import Auc
from torchsurv.metrics.cindex import ConcordanceIndex
from torchsurv.stats.ipcw import get_ipcw

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.evaluation.curves import Censoring
from MemorySurvivalLib.evaluation.discrimination import auc_pairs, harrell_pairs, uno_pairs

TIED = pytest.mark.parametrize("tied", [False, True], ids=["random", "tied"])


def surv(sample: Sample, earlier_events: float = 0.0) -> np.ndarray:
    """For scikit-survival. With `earlier_events`, events a moment before censorings of the same time.

    It weighs events by G(t), we by G(t-): equal once no event shares its time with a censoring.
    """
    return Surv.from_arrays(sample.events, sample.times - earlier_events * sample.events)


def censoring(train: Sample, test: Sample) -> Censoring:
    return Censoring.from_training(train.times, train.events, len(test.times))


def train_and_test(tied: bool) -> tuple[Sample, Sample]:
    train, test = make_sample(150, 1, tied=tied), make_sample(80, 2, tied=tied)
    return train, test


@TIED
@pytest.mark.parametrize("seed", range(3))
def test_harrell_is_that_of_three_others(tied: bool, seed: int) -> None:
    sample = make_sample(70, seed, tied=tied)
    ours = harrell_pairs(sample.times, sample.events).value(sample.log_risk)
    assert ours == pytest.approx(concordance_index(sample.times, -sample.log_risk, sample.events), abs=1e-12)
    assert ours == pytest.approx(concordance_index_censored(sample.events, sample.times, sample.log_risk)[0], abs=1e-12)
    if not tied:  # torchsurv 0.2.0 compares tied times in another way
        theirs = ConcordanceIndex()(*(torch.tensor(each) for each in (sample.log_risk, sample.events, sample.times)))
        assert ours == pytest.approx(float(theirs), abs=1e-6)


@TIED
def test_uno_is_scikit_survivals(tied: bool) -> None:
    train, test = train_and_test(tied)
    ours = uno_pairs(test.times, test.events, censoring(train, test), 50).value(test.log_risk)
    theirs = concordance_index_ipcw(surv(train, 1e-6), surv(test, 1e-6), test.log_risk, tau=50)[0]
    assert ours == pytest.approx(theirs, abs=1e-9)


def test_uno_is_torchsurvs_on_its_own_patients() -> None:
    sample = make_sample(60, 3)
    event, time = torch.tensor(sample.events), torch.tensor(sample.times, dtype=torch.float32)
    weight = get_ipcw(event, time)
    theirs = ConcordanceIndex()(torch.tensor(sample.log_risk, dtype=torch.float32), event, time, weight=weight)
    ours = uno_pairs(sample.times, sample.events, censoring(sample, sample), np.inf).value(sample.log_risk)
    assert ours == pytest.approx(float(theirs), abs=1e-6)


@TIED
@pytest.mark.parametrize("horizon", [12.5, 24.5, 36.5])
def test_auc_is_scikit_survivals(tied: bool, horizon: float) -> None:
    train, test = train_and_test(tied)
    ours = auc_pairs(test.times, test.events, censoring(train, test), horizon).value(test.log_risk)
    theirs = cumulative_dynamic_auc(surv(train, 1e-6), surv(test, 1e-6), test.log_risk, [horizon])[0][0]
    assert ours == pytest.approx(theirs, abs=1e-9)


def test_auc_is_torchsurvs() -> None:
    train, test = train_and_test(False)
    horizon = 24.5
    times = torch.tensor([horizon], dtype=torch.float64)
    weights = [
        get_ipcw(torch.tensor(train.events), torch.tensor(train.times), when)
        for when in (torch.tensor(test.times), times)
    ]
    theirs = Auc()(
        torch.tensor(test.log_risk),
        torch.tensor(test.events),
        torch.tensor(test.times),
        new_time=times,
        weight=weights[0],
        weight_new_time=weights[1],
    )
    ours = auc_pairs(test.times, test.events, censoring(train, test), horizon).value(test.log_risk)
    assert ours == pytest.approx(float(theirs[0]), abs=1e-6)


def test_ties_count_as_stated() -> None:
    """Two events at once are no pair; an event beside a censoring at once is one; equal risks are one half."""
    times, events = np.array([5.0, 5.0, 5.0, 9.0]), np.array([True, True, False, False])
    # Pairs: (0, 2), (0, 3), (1, 2), (1, 3).
    assert harrell_pairs(times, events).value(np.array([2.0, 1.0, 1.0, 0.0])) == pytest.approx(3.5 / 4)


def test_pooled_repeats_are_averaged_and_blocks_of_rows_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    sample = make_sample(60, 4)
    pairs = harrell_pairs(sample.times, sample.events)
    both = np.stack([sample.log_risk, -sample.log_risk])
    assert pairs.value(both) == pytest.approx(0.5)
    whole = pairs.estimate(sample.log_risk, 200, 1)
    monkeypatch.setattr("MemorySurvivalLib.evaluation.discrimination._ROWS_AT_ONCE", 7)
    again = pairs.estimate(sample.log_risk, 200, 1)
    assert (again.value, again.low, again.high) == pytest.approx((whole.value, whole.low, whole.high))


def test_a_resample_by_counts_is_the_c_of_the_patients_drawn() -> None:
    sample = make_sample(40, 5, tied=True)
    rows = np.random.default_rng(0).integers(0, 40, 40)
    counts = np.bincount(rows, minlength=40)[None, :].astype(float)
    drawn = sample.take(rows)
    assert harrell_pairs(sample.times, sample.events).share(sample.log_risk, counts)[0] == pytest.approx(
        harrell_pairs(drawn.times, drawn.events).value(drawn.log_risk)
    )


def test_intervals_cover_and_say_what_they_are() -> None:
    many = make_sample(1500, 99)
    truth = harrell_pairs(many.times, many.events).value(many.log_risk)
    covered = 0
    for seed in range(40):
        sample = make_sample(120, seed)
        estimate = harrell_pairs(sample.times, sample.events).estimate(sample.log_risk, 200, seed)
        covered += estimate.low <= truth <= estimate.high
    assert covered >= 34  # 38 expected, 34 is three standard deviations below
    assert "200 resamples of patients; models are not refitted" in estimate.method
    assert (estimate.n, estimate.events, estimate.chance) == (120, int(sample.events.sum()), 0.5)


def test_a_paired_difference_is_narrower_than_two_intervals() -> None:
    sample = make_sample(150, 6)
    pairs = harrell_pairs(sample.times, sample.events)
    near = sample.log_risk + np.random.default_rng(1).normal(0, 0.3, 150)
    difference = pairs.difference(sample.log_risk, near, 300)
    single = pairs.estimate(sample.log_risk, 300)
    assert difference.value == pytest.approx(single.value - pairs.value(near))
    assert difference.high - difference.low < 0.6 * (single.high - single.low)


def test_equal_risks_are_chance_with_an_interval_of_no_width() -> None:
    sample = make_sample(30, 7)
    estimate = harrell_pairs(sample.times, sample.events).estimate(np.zeros(30), 100)
    assert (estimate.value, estimate.low, estimate.high) == (0.5, 0.5, 0.5)


def test_ten_patients_and_all_events_are_judged() -> None:
    sample = make_sample(10, 8)
    everyone = np.ones(10, dtype=bool)
    for estimate in (
        harrell_pairs(sample.times, everyone).estimate(sample.log_risk, 200),
        uno_pairs(sample.times, everyone, Censoring.from_training(sample.times, everyone, 10), 1e3).estimate(
            sample.log_risk, 200
        ),
    ):
        assert estimate.high - estimate.low > 0.2
        assert estimate.value == pytest.approx(concordance_index(sample.times, -sample.log_risk), abs=1e-12)


def test_what_cannot_be_judged_is_said() -> None:
    sample = make_sample(40, 9)
    own = censoring(sample, sample)
    everyone = np.ones(40, dtype=bool)
    with pytest.raises(InputError, match="None of the 40 patients has an event"):
        harrell_pairs(sample.times, ~everyone)
    with pytest.raises(InputError, match="the times are tied"):
        harrell_pairs(np.full(40, 12.0), everyone).value(sample.log_risk)
    with pytest.raises(InputError, match=r"Row 3 of the patients has a follow-up of -1 months"):
        harrell_pairs(np.where(np.arange(40) == 2, -1.0, sample.times), sample.events)
    with pytest.raises(InputError, match="1 of 40 risks are not finite"):
        harrell_pairs(sample.times, sample.events).value(np.where(np.arange(40) == 2, np.nan, sample.log_risk))
    with pytest.raises(InputError, match="true or false"):
        harrell_pairs(sample.times, sample.events.astype(float))
    with pytest.raises(InputError, match="give one a patient"):
        harrell_pairs(sample.times, sample.events).value(sample.log_risk[1:])
    with pytest.raises(InputError, match="200 months cannot be judged, because the patients are followed up to"):
        auc_pairs(sample.times, sample.events, own, 200)
    with pytest.raises(InputError, match=r"has an event by 0\.001 months"):
        auc_pairs(sample.times, sample.events, own, 0.001)
    with pytest.raises(InputError, match=r"has an event before 0\.001 months"):
        uno_pairs(sample.times, sample.events, own, 0.001)
    with pytest.raises(InputError, match=r"An event at .* lies after the longest follow-up of the training patients"):
        uno_pairs(sample.times + 100, sample.events, own, 500)
    with pytest.raises(InputError, match="could not be computed in"):
        harrell_pairs(sample.times, np.arange(40) == sample.times.argsort()[-2]).estimate(sample.log_risk, 200)
