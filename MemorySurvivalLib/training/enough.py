"""Whether a cohort is large enough to be judged at all: asked before the hours that embedding takes."""

from __future__ import annotations

import math
from collections.abc import Sequence

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.training.intake import OwnPatient
from MemorySurvivalLib.training.models.outcomes import MINIMUM_EVENTS, MINIMUM_PATIENTS


def check_enough_to_train(patients: Sequence[OwnPatient], folds: int, inner_folds: int) -> None:
    """Raise InputError where cross-validation with so many folds, inner ones within, cannot learn from these patients.

    Every inner training part needs MINIMUM_PATIENTS with MINIMUM_EVENTS events.
    """
    _check_outcomes(patients)
    kept = (1 - 1 / folds) * (1 - 1 / inner_folds)
    needed, events_needed = (math.ceil(count / kept) for count in (MINIMUM_PATIENTS, MINIMUM_EVENTS))
    n, events = len(patients), _count_events(patients)
    if n < needed or events < events_needed:
        raise InputError(
            f"The cohort has {n} patients with {events} events; {folds} folds with {inner_folds} inner ones need "
            f"{needed} patients and {events_needed} events, so that {MINIMUM_PATIENTS} and {MINIMUM_EVENTS} are left "
            "to learn from; add patients or wait for more events."
        )


def check_enough_to_validate(patients: Sequence[OwnPatient]) -> None:
    """Raise InputError where a bundle cannot be judged on these patients."""
    _check_outcomes(patients)
    n, events = len(patients), _count_events(patients)
    if n < MINIMUM_PATIENTS or events < MINIMUM_EVENTS:
        raise InputError(
            f"The cohort has {n} patients with {events} events; to judge a bundle at least {MINIMUM_PATIENTS} patients "
            f"and {MINIMUM_EVENTS} events are needed, and far more to judge it well. Add patients."
        )


def _check_outcomes(patients: Sequence[OwnPatient]) -> None:
    n = len(patients)
    if not n:
        raise InputError("No patient of the cohort is left after the exclusions; see why with `train --check`.")
    if not _count_events(patients):
        raise InputError(
            f"None of the {n} patients of the cohort has an event, so nothing can be learned or judged; check the "
            "event column (1 means progression or death), or wait for more follow-up."
        )
    months = {patient.months for patient in patients}
    if n > 1 and len(months) == 1:
        raise InputError(
            f"All {n} patients of the cohort have the same time ({months.pop():g} months), so nobody can be put before "
            "anybody; check the time column."
        )


def _count_events(patients: Sequence[OwnPatient]) -> int:
    return sum(patient.event for patient in patients)
