"""The two scores that tuning looks at, fast on some dozens of rows: Harrell's c and the partial likelihood."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from MemorySurvivalLib.training.data import Floats


def concordance(times_months: Floats, events: npt.NDArray[np.bool_], log_risk: Floats) -> float:
    """Harrell's c (n,): the share of comparable pairs in which the higher risk has the earlier event.

    A pair is comparable when the earlier time is an event, or when times are equal and one alone is an event (it
    counts as the earlier). Equal risks count one half. NaN without a comparable pair or with a risk that is not finite.
    """
    if not np.isfinite(log_risk).all():
        return float("nan")
    earlier = times_months[:, None] < times_months[None, :]
    at_once = (times_months[:, None] == times_months[None, :]) & ~events[None, :]
    pairs = events[:, None] & (earlier | at_once)
    higher = (log_risk[:, None] > log_risk[None, :]) + 0.5 * (log_risk[:, None] == log_risk[None, :])
    count = int(pairs.sum())
    return float(higher[pairs].sum() / count) if count else float("nan")


def log_likelihood_per_event(times_months: Floats, events: npt.NDArray[np.bool_], log_risk: Floats) -> float:
    """Efron's log partial likelihood of these rows (n,) at these log-risks, per event; higher is better.

    NaN without events or with a risk that is not finite.
    """
    if not np.isfinite(log_risk).all() or not events.any():
        return float("nan")
    relative = np.exp(log_risk - log_risk.max())
    total = 0.0
    for time in np.unique(times_months[events]):
        dying = events & (times_months == time)
        at_risk, tied, count = relative[times_months >= time].sum(), relative[dying].sum(), int(dying.sum())
        total += log_risk[dying].sum() - count * log_risk.max()
        total -= np.log(at_risk - np.arange(count) / count * tied).sum()
    return float(total / events.sum())
