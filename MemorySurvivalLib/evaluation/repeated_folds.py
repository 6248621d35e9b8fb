"""Means over the folds of a repeated cross-validation: Nadeau and Bengio's interval and test, the naive one beside."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.evaluation.estimates import LEVEL
from MemorySurvivalLib.evaluation.outcomes import Floats

NAIVE = (
    "Naive: takes folds for independent experiments, which they are not (they share training patients); its error is "
    "far above 5 %, so it is shown only because papers report it."
)

CONCORDANCE_CHANCE = 0.5
"""What a useless model has in figures of pairs (c, AUC), which lie between 0 and 1."""


@dataclass(frozen=True)
class FoldMean:
    """A figure as the mean over folds, with the corrected resampled t interval and test (Nadeau and Bengio 2003).

    The variance of the mean of J fold values with SD s is (1/J + n_test/n_train) s^2, with J - 1 degrees of freedom.
    `p_value` tests against `chance`, two-sided. What begins with `naive` uses s^2 / J instead and is too sure of itself
    (see NAIVE); papers often report its one-sided p. `n` and `events` count patients, not folds.
    """

    name: str
    value: float
    low: float
    high: float
    p_value: float
    sd: float
    folds: int
    repeats: int
    n: int
    events: int
    method: str
    chance: float
    naive_low: float
    naive_high: float
    naive_p_value: float
    naive_p_value_one_sided: float
    naive_method: str = NAIVE

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


def fold_mean(name: str, values: Floats, n: int, events: int, chance: float = 0.5) -> FoldMean:
    """The mean of `values` (repeats, folds), one a fold, on a cohort of n patients with `events` events.

    Raises InputError where a fold has no value: a mean over the folds that went well would be too kind.
    """
    values = np.atleast_2d(values)
    repeats, folds = values.shape
    missing = int((~np.isfinite(values)).sum())
    if missing:
        raise InputError(
            f"{name} has no value in {missing} of {values.size} folds, and a mean over the others would be too kind; "
            "see why they failed, or use fewer folds."
        )
    if folds < 2:
        raise InputError(f"{name} comes from {folds} fold a repeat; a cross-validation has at least two.")
    mean, sd, count = float(values.mean()), float(values.std(ddof=1)), values.size
    test_to_train = 1 / (folds - 1)
    corrected = sd * float(np.sqrt(1 / count + test_to_train))
    low, high, p_value = _t(mean, corrected, count, chance)
    naive_low, naive_high, naive_p = _t(mean, sd / float(np.sqrt(count)), count, chance)
    if chance == CONCORDANCE_CHANCE:
        # A concordance lies between 0 and 1; few folds with a wide spread would say otherwise.
        low, naive_low, high, naive_high = max(low, 0.0), max(naive_low, 0.0), min(high, 1.0), min(naive_high, 1.0)
    one_sided = naive_p / 2 if mean > chance else 1 - naive_p / 2
    method = (
        f"Mean over {repeats} x {folds} folds; 95 % interval and two-sided test against {chance:g} by Nadeau and "
        f"Bengio's corrected resampled t (n_test/n_train = 1/{folds - 1})."
    )
    return FoldMean(
        name, mean, low, high, p_value, sd, folds, repeats, n, events, method, chance,
        naive_low, naive_high, naive_p, one_sided,
    )  # fmt: skip


def fold_difference(name: str, first: Floats, second: Floats, n: int, events: int) -> FoldMean:
    """The mean of `first` - `second`, (repeats, folds) each, on the same folds, tested against 0."""
    first, second = np.atleast_2d(first), np.atleast_2d(second)
    if first.shape != second.shape:
        raise InputError(
            f"Two models with {first.shape} and {second.shape} repeats and folds were not validated on the same splits."
        )
    return fold_mean(f"difference of {name}", first - second, n, events, chance=0.0)


def _t(mean: float, standard_error: float, count: int, chance: float) -> tuple[float, float, float]:
    """Limits and two-sided p. Without any spread: the mean itself, and p 1 or 0."""
    if standard_error == 0:
        return mean, mean, 1.0 if mean == chance else 0.0
    reach = float(stats.t.ppf((1 + LEVEL) / 2, count - 1)) * standard_error
    p_value = 2 * float(stats.t.sf(abs(mean - chance) / standard_error, count - 1))
    return mean - reach, mean + reach, p_value
