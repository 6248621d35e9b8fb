"""What outcomes must have before anything is fitted on them, and a cohort split to watch a fit."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.training.data import CohortData, Index

MINIMUM_PATIENTS = 20
MINIMUM_EVENTS = 5
"""Below these a coefficient says nothing and no part can be held back to stop a fit; a floor, not a recommendation."""


def check_outcomes(data: CohortData) -> None:
    """Raise InputError, saying why, where no model of the hazard can be fitted on these patients.

    All patients with an event are fine, and so are tied times (whole months), as long as not all times are one.
    """
    n, events = len(data), int(data.events.sum())
    if n < MINIMUM_PATIENTS:
        raise InputError(
            f"Only {n} patients are there to learn from; a survival model needs at least {MINIMUM_PATIENTS}, "
            "so add patients."
        )
    if events == 0:
        raise InputError(
            f"None of the {n} patients to learn from has an event, so there is nothing to learn; "
            "check the event column (1 means progression or death)."
        )
    if events < MINIMUM_EVENTS:
        raise InputError(
            f"Only {events} of the {n} patients to learn from have an event; at least {MINIMUM_EVENTS} are needed, "
            "so wait for more follow-up."
        )
    if len(np.unique(data.times_months)) == 1:
        raise InputError(
            f"All {n} patients to learn from have the same time ({data.times_months[0]:g} months), so nobody can be "
            "put before anybody; check the time column."
        )


def split_for_watching(events: npt.NDArray[np.bool_], share: float, seed: int) -> tuple[Index, Index]:
    """Indices to fit on and to watch, with the same share of events in both and at least one event to watch."""
    rng = np.random.default_rng(seed)
    watching = []
    for flag in (False, True):
        members = rng.permutation(np.flatnonzero(events == flag))
        watching.append(members[: max(int(flag), round(share * len(members)))])
    watched = np.sort(np.concatenate(watching))
    return np.setdiff1d(np.arange(len(events)), watched), watched
