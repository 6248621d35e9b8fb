"""What every metric asks of outcomes and risks before it computes anything."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from MemorySurvivalLib.errors import InputError

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Index = npt.NDArray[np.intp]


def check_outcomes(times_months: Floats, events: Bools, what: str = "patients") -> None:
    """Raises InputError unless times (n,) are finite and above 0, events (n,) are booleans and at least one is true."""
    if times_months.ndim != 1 or events.shape != times_months.shape or not len(times_months):
        raise InputError(
            f"Times {times_months.shape} and events {events.shape} of the {what} must be two columns of one length."
        )
    if events.dtype != np.bool_:
        raise InputError(f"Events of the {what} must be true or false, not numbers of type {events.dtype}.")
    bad = np.flatnonzero(~(np.isfinite(times_months) & (times_months > 0)))
    if len(bad):
        raise InputError(
            f"Row {bad[0] + 1} of the {what} has a follow-up of {times_months[bad[0]]:g} months; give more than 0."
        )
    if not events.any():
        raise InputError(f"None of the {len(events)} {what} has an event, so nothing can be judged; wait for events.")


def check_risks(log_risk: Floats, n: int) -> None:
    """Raises InputError unless risks (..., n) are finite numbers, one a patient."""
    if log_risk.shape[-1:] != (n,):
        raise InputError(f"There are risks of shape {log_risk.shape} for {n} patients; give one a patient.")
    missing = int((~np.isfinite(log_risk)).sum())
    if missing:
        raise InputError(f"{missing} of {log_risk.size} risks are not finite numbers; see why their fit failed first.")


def check_survival(survival: Floats, n: int, times: int) -> None:
    """Raises InputError unless survival curves (n, times) are probabilities that never rise with time."""
    if survival.shape != (n, times):
        raise InputError(f"Survival curves have the shape {survival.shape}; {n} patients by {times} times are needed.")
    if not np.isfinite(survival).all() or survival.min() < 0 or survival.max() > 1:
        raise InputError("Survival curves must be probabilities from 0 to 1.")
    if times > 1 and (np.diff(survival, axis=1) > 1e-9).any():
        raise InputError("A survival curve rises with time; give survival, not risk, at ascending times.")
