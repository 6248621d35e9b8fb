"""The points of Optuna's Sobol sampler without Optuna, which Slicer has not: the same numbers, drawn by scipy."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from MemorySurvivalLib.training.tuning import IntRange, Range, Values


def draw_points(space: Sequence[Range], trials: int, seed: int) -> list[Values]:
    """`trials` settings of numbers, equal to those that `optuna.samplers.QMCSampler` (Sobol, scrambled) asks for.

    The first one is drawn evenly and apart, the others are the scrambled sequence from its beginning.
    """
    from scipy.stats import qmc  # slow to import

    bounds = [_bounds(number) for number in space]
    first = np.random.RandomState(seed)  # what Optuna draws its first setting from
    rows = [[first.uniform(low, high) for low, high in bounds]]
    sequence = qmc.Sobol(len(space), scramble=True, seed=seed)
    for _ in range(trials - 1):
        shares = sequence.random(1)[0]
        rows.append([low + share * (high - low) for (low, high), share in zip(bounds, shares, strict=True)])
    return [{number.name: _value(number, at) for number, at in zip(space, row, strict=True)} for row in rows]


def _bounds(number: Range) -> tuple[float, float]:
    """What it is drawn between; whole numbers have half a step more at either end."""
    margin = 0.5 if isinstance(number, IntRange) else 0.0
    low, high = number.low - margin, number.high + margin
    return (math.log(low), math.log(high)) if number.log else (low, high)


def _value(number: Range, at: float) -> float:
    value = math.exp(at) if number.log else float(at)
    if isinstance(number, IntRange):
        whole = round(value) if number.log else math.floor(value + 0.5)
        return min(max(whole, number.low), number.high)
    return min(max(value, number.low), number.high) if number.log else value
