"""Whether a bundle seems to know the patients that it is validated on, told by the event times in its baseline.

A baseline hazard rises at the event times of the patients whom it was made of. Strangers share such a time by chance
alone; the same patients share nearly all. Nothing else of a patient stands in a bundle, nor is it needed here.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats

from MemorySurvivalLib.evaluation.outcomes import Bools, Floats

FEWEST_SHARED = 10
LARGEST_CHANCE = 1e-6
_DECIMALS = 4
_WINDOW_MONTHS = 1.5


def say_seen_before(baseline_months: Sequence[float], times_months: Floats, events: Bools) -> str:
    """One sentence where at least half of the events (of n patients) have times of the baseline and chance does not
    explain it; else empty.

    Chance is judged by how densely the baseline's times lie around each event, on the grid on which times were written
    down: with whole months every time is shared, so nothing is said.
    """
    known = np.unique(np.round(np.asarray(baseline_months, dtype=np.float64), _DECIMALS))
    asked = np.round(times_months[events], _DECIMALS)
    if len(known) < 2 or not len(asked):
        return ""
    shared = int(np.isin(asked, known).sum())
    step = float(np.diff(np.unique(np.concatenate([known, asked]))).min())
    near = np.searchsorted(known, asked + _WINDOW_MONTHS, "right") - np.searchsorted(known, asked - _WINDOW_MONTHS)
    places = 2 * np.floor(_WINDOW_MONTHS / step)
    expected = float(np.minimum(1.0, (near - np.isin(asked, known)) / max(places, 1.0)).sum())
    by_chance = float(stats.poisson.sf(shared - 1, expected))
    if shared < max(FEWEST_SHARED, len(asked) / 2) or by_chance > LARGEST_CHANCE:
        return ""
    return (
        f"The bundle seems to have learned from these patients or to have been recalibrated on them: {shared} of their "
        f"{len(asked)} events happened at a time that stands in its baseline, where chance would give {expected:.0f}. "
        "These figures are no validation; judge it on other patients."
    )
