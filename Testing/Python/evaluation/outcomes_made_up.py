"""Made-up outcomes that the metrics' tests share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from MemorySurvivalLib.evaluation.out_of_fold import OutOfFold
from MemorySurvivalLib.evaluation.outcomes import Bools, Floats, Index


@dataclass(frozen=True, eq=False)
class Sample:
    """Times in months, events, and a log-risk that is related to them."""

    times: Floats
    events: Bools
    log_risk: Floats

    def take(self, rows: Index) -> Sample:
        return Sample(self.times[rows], self.events[rows], self.log_risk[rows])


def make_sample(n: int, seed: int, *, tied: bool = False, strength: float = 0.8) -> Sample:
    """Weibull times as in a myeloma cohort; `tied` rounds times and risks so that both are often equal."""
    rng = np.random.default_rng(seed)
    log_risk = rng.normal(0, 1, n)
    own = 45 * (-np.log(rng.uniform(size=n)) * np.exp(-strength * log_risk)) ** (1 / 1.5)
    lost = rng.uniform(15, 80, n)
    times, events = np.minimum(own, lost) + 0.01, own <= lost
    if tied:
        times, log_risk = np.ceil(times / 6) * 6, np.round(log_risk, 0)
    return Sample(times, events, log_risk)


@dataclass(frozen=True, eq=False)
class Fold:
    """One fold of a made-up validation."""

    repeat: int
    fold: int
    train: Index
    test: Index
    train_log_risk: Floats
    test_log_risk: Floats


def make_out_of_fold(sample: Sample, repeats: int = 2, folds: int = 4, scale: float = 1.0) -> OutOfFold:
    """A validation whose model knows the true log-risk, times `scale`, up to a shift of each fold's own."""
    parts = []
    for repeat in range(repeats):
        order = np.random.default_rng(repeat).permutation(len(sample.times))
        for number, test in enumerate(np.array_split(order, folds)):
            train = np.setdiff1d(order, test)
            risk = scale * sample.log_risk + 3.0 * number
            parts.append(Fold(repeat, number, train, np.sort(test), risk[train], risk[np.sort(test)]))
    return OutOfFold(sample.times, sample.events, tuple(parts))
