"""Intervals by resampling patients: what is drawn, and which limits are read off."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.evaluation.estimates import LEVEL
from MemorySurvivalLib.evaluation.outcomes import Floats, Index

RESAMPLES = 1000
BY_PATIENT = "95 % percentile interval of {resamples} resamples of patients; models are not refitted"


def draw_counts(n: int, resamples: int, seed: int) -> Floats:
    """How often each patient is in each resample, (resamples, n)."""
    return np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=resamples).astype(np.float64)


def resample(statistic: Callable[[Index], Floats], n: int, resamples: int, seed: int) -> Floats:
    """`statistic` of the rows of each resample, (resamples, ...); NaN where it raises InputError."""
    counts = draw_counts(n, resamples, seed).astype(np.intp)
    values: list[Floats | None] = []
    for count in counts:
        try:
            values.append(np.asarray(statistic(np.repeat(np.arange(n), count)), dtype=np.float64))
        except InputError:
            values.append(None)
    known = next((value for value in values if value is not None), None)
    if known is None:
        raise InputError("No resample of these patients allows this figure; there are too few patients or events.")
    return np.stack([np.full_like(known, np.nan) if value is None else value for value in values])


def percentile_limits(values: Floats, name: str) -> tuple[float, float]:
    """The middle 95 % of resampled values (resamples,).

    Raises InputError when more than one in twenty resamples gave no value: the rest would be a kind selection.
    """
    known = values[np.isfinite(values)]
    if len(known) < 0.95 * len(values):
        raise InputError(
            f"{name} could not be computed in {len(values) - len(known)} of {len(values)} resamples, so it has no "
            "interval; there are too few patients or events."
        )
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
