"""A bundle validated on patients that it knows is told by the times in its baseline; strangers never are."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from MemorySurvivalLib.training.seen_before import say_seen_before

Floats = npt.NDArray[np.float64]


def draw(rng: np.random.Generator, n: int, step_months: float) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Times on a grid of `step_months`, and who had an event (about 70 %)."""
    times = 40 * rng.weibull(2.2, n)
    censored = rng.uniform(20, 80, n)
    seen = np.maximum(np.round(np.minimum(times, censored) / step_months), 1) * step_months
    return seen, times <= censored


DAYS = 1 / 30.4375


@pytest.mark.parametrize("step_months", [0.01, DAYS])
def test_the_same_patients_are_recognised(step_months: float) -> None:
    times, events = draw(np.random.default_rng(1), 227, step_months)
    baseline = tuple(np.unique(times[events]).tolist())
    said = say_seen_before(baseline, times, events)
    count = int(events.sum())
    assert f"{count} of their {count} events" in said and "no validation" in said
    order = np.random.default_rng(2).permutation(227)[:60]
    assert say_seen_before(baseline, times[order], events[order]), "some of them"
    others, fell_ill = draw(np.random.default_rng(3), 60, step_months)
    mixed = np.concatenate([times[order], others]), np.concatenate([events[order], fell_ill])
    shared = np.isin(np.round(mixed[0][mixed[1]], 4), np.round(baseline, 4)).mean()
    assert bool(say_seen_before(baseline, *mixed)) == (shared >= 0.5)


@pytest.mark.parametrize("step_months", [0.01, DAYS, 0.5, 1.0])
@pytest.mark.parametrize("learned", [60, 227, 1000])
def test_strangers_are_not_accused(step_months: float, learned: int) -> None:
    for seed in range(20):
        rng = np.random.default_rng([seed, learned])
        times, events = draw(rng, learned, step_months)
        baseline = tuple(np.unique(times[events]).tolist())
        assert say_seen_before(baseline, *draw(rng, 200, step_months)) == ""


def test_nothing_is_said_where_times_tell_nothing() -> None:
    times, events = draw(np.random.default_rng(1), 227, 1.0)
    assert say_seen_before(tuple(np.unique(times[events]).tolist()), times, events) == "", "whole months"
    nobody = np.zeros(3, dtype=bool)
    assert say_seen_before((1.0, 2.0), np.array([1.0, 2.0, 3.0]), nobody) == ""
    assert say_seen_before((), times, events) == ""
    few = np.array([1.37, 2.91, 5.03])
    assert say_seen_before(tuple(few.tolist()), few, np.ones(3, dtype=bool)) == "", "three patients may be chance"
