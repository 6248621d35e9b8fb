"""How well ratings of the same cases agree: quadratic weighted kappa, rank correlation, intervals by case."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from MemorySurvivalLib.reader_study.study import GROUPS

RESAMPLES = 2000
SEED = 20240

Ratings = npt.NDArray[np.float64]
Statistic = Callable[[Ratings, Ratings], Ratings]
"""Of the last axis, so that all resamples are done at once."""


@dataclass(frozen=True)
class Agreement:
    """A statistic of two raters over `cases` cases, with its 95 % interval by resampling cases.

    `value` is None where it is not defined, such as when both raters gave one answer only; `interval` is None where
    there are fewer than `FEWEST` cases or hardly a resample was defined.
    """

    cases: int
    value: float | None
    interval: tuple[float, float] | None


FEWEST = 5
"""Below this many cases an interval by resampling says nothing."""


def weighted_kappa(first: Sequence[str], second: Sequence[str]) -> Agreement:
    """Cohen's kappa of two raters' risk groups with quadratic weights (Cohen, Psychol Bull 1968;70:213-220).

    One minus the mean squared distance of the answers over that of independent answers with the same margins; the
    groups count as 0, 1, 2.
    """
    return _with_interval(_codes(first), _codes(second), _kappa)


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> Agreement:
    """Spearman's rank correlation of two raters' numbers."""
    return _with_interval(np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64), _spearman)


def _codes(groups: Sequence[str]) -> Ratings:
    return np.asarray([GROUPS.index(group) for group in groups], dtype=np.float64)


def _kappa(first: Ratings, second: Ratings) -> Ratings:
    # The mean squared distance over all pairs of one rater's answer with the other's.
    apart = (first.mean(axis=-1) - second.mean(axis=-1)) ** 2
    expected = first.var(axis=-1) + second.var(axis=-1) + apart
    return 1 - _divide(((first - second) ** 2).mean(axis=-1), expected)


def _spearman(first: Ratings, second: Ratings) -> Ratings:
    a, b = rankdata(first, axis=-1), rankdata(second, axis=-1)
    a, b = a - a.mean(axis=-1, keepdims=True), b - b.mean(axis=-1, keepdims=True)
    return _divide((a * b).sum(axis=-1), np.sqrt((a * a).sum(axis=-1) * (b * b).sum(axis=-1)))


def _divide(above: Ratings, below: Ratings) -> Ratings:
    """NaN where there is nothing to divide by."""
    quotient: Ratings = np.divide(above, below, out=np.full(np.shape(below), np.nan), where=below > 1e-12)
    return quotient


def _with_interval(first: Ratings, second: Ratings, statistic: Statistic) -> Agreement:
    count = len(first)
    if count == 0:
        return Agreement(0, None, None)
    value = float(statistic(first, second))
    interval = None
    if count >= FEWEST:
        drawn = np.random.default_rng(SEED).integers(0, count, size=(RESAMPLES, count))
        values = statistic(first[drawn], second[drawn])
        values = values[np.isfinite(values)]
        if len(values) >= RESAMPLES // 2:
            low, high = np.percentile(values, [2.5, 97.5])
            interval = (float(low), float(high))
    return Agreement(count, value if np.isfinite(value) else None, interval)
