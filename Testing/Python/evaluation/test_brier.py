"""Brier scores against scikit-survival and torchsurv, and what they say of good, bad and no models."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from outcomes_made_up import Sample, make_sample
from sksurv.metrics import brier_score as sksurv_brier
from sksurv.metrics import integrated_brier_score
from sksurv.util import Surv
from torchsurv.metrics.brier_score import BrierScore as TorchBrier
from torchsurv.stats.ipcw import get_ipcw

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.evaluation.brier import brier_score
from MemorySurvivalLib.evaluation.curves import Censoring
from MemorySurvivalLib.evaluation.outcomes import Floats

GRID = np.arange(6.5, 40.0, 3.0)


def truth(sample: Sample, scale: float = 1.0) -> Floats:
    """The survival that make_sample draws from; `scale` makes it too extreme."""
    return np.exp(-np.exp(scale * 0.8 * sample.log_risk)[:, None] * (GRID / 45) ** 1.5)


def own_censoring(train: Sample, test: Sample) -> Censoring:
    return Censoring.from_training(train.times, train.events, len(test.times))


@pytest.mark.parametrize("tied", [False, True], ids=["random", "tied"])
def test_brier_is_scikit_survivals(tied: bool) -> None:
    train, test = make_sample(120, 1, tied=tied), make_sample(70, 2, tied=tied)
    test = test.take(np.flatnonzero(test.times < train.times.max() - 7))  # it asks for G of everybody's time
    # It weighs events by G(t), we by G(t-): equal once events come a moment before censorings.
    outcomes = [Surv.from_arrays(s.events, s.times - 1e-6 * s.events) for s in (train, test)]
    ours = brier_score(test.times, test.events, truth(test), GRID, own_censoring(train, test))
    np.testing.assert_allclose(ours.by_time, sksurv_brier(*outcomes, truth(test), GRID)[1], atol=1e-9)
    assert ours.integrated == pytest.approx(integrated_brier_score(*outcomes, truth(test), GRID), abs=1e-9)


def test_brier_is_torchsurvs() -> None:
    sample = make_sample(60, 3)
    event, time = torch.tensor(sample.events), torch.tensor(sample.times, dtype=torch.float32)
    grid = torch.tensor(GRID, dtype=torch.float32)
    theirs = TorchBrier()(
        torch.tensor(truth(sample), dtype=torch.float32),
        event,
        time,
        grid,
        weight=get_ipcw(event, time),
        weight_new_time=get_ipcw(event, time, grid),
    )
    ours = brier_score(sample.times, sample.events, truth(sample), GRID, own_censoring(sample, sample))
    np.testing.assert_allclose(ours.by_time, theirs.numpy(), atol=1e-4)


def test_a_good_model_gains_and_an_extreme_one_loses() -> None:
    sample = make_sample(300, 4)
    own = own_censoring(sample, sample)
    average = np.tile(truth(make_sample(2000, 5)).mean(axis=0), (300, 1))
    right, extreme, none = (
        brier_score(sample.times, sample.events, survival, GRID, own)
        for survival in (truth(sample), truth(sample, -2.0), average)
    )
    gain = right.gain(none, 200)
    assert gain.low > 0 and gain.value == pytest.approx(1 - right.integrated / none.integrated)
    assert extreme.gain(none, 200).high < 0
    difference = right.difference(extreme, 200)
    assert difference.high < 0 and difference.value == pytest.approx(right.integrated - extreme.integrated)
    of_gains = right.gain_difference(extreme, none, 200)
    assert of_gains.value == pytest.approx(gain.value - extreme.gain(none, 200).value)
    assert right.at(3, 200).value == pytest.approx(right.by_time[3])
    assert right.estimate(200).low < right.integrated < right.estimate(200).high


def test_what_cannot_be_scored_is_said() -> None:
    sample = make_sample(40, 6)
    own = own_censoring(sample, sample)
    with pytest.raises(InputError, match="followed up to"):
        brier_score(sample.times, sample.events, np.ones((40, 1)), np.array([500.0]), own)
    with pytest.raises(InputError, match="rises with time"):
        brier_score(sample.times, sample.events, truth(sample)[:, ::-1], GRID, own)
    with pytest.raises(InputError, match="from 0 to 1"):
        brier_score(sample.times, sample.events, 1 + truth(sample), GRID, own)
    with pytest.raises(InputError, match="must ascend"):
        brier_score(sample.times, sample.events, np.ones((40, 2)), np.array([9.0, 9.0]), own)
    with pytest.raises(InputError, match="at least two times"):
        _ = brier_score(sample.times, sample.events, np.ones((40, 1)), np.array([9.0]), own).integrated
    short = Sample(np.minimum(sample.times, 20.0), sample.events, sample.log_risk)
    with pytest.raises(InputError, match="no training patient is followed beyond 20 months"):
        brier_score(sample.times, sample.events, truth(sample), GRID, own_censoring(short, sample))
