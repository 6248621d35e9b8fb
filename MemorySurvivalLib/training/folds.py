"""Repeated stratified folds of patients: made once, saved with a hash, the same on every machine."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.files import atomic_file
from MemorySurvivalLib.training.data import CohortData, Index

Groups = npt.NDArray[np.intp]


class FoldPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How patients are dealt to folds: strata are event x quantile of the time within that event state."""

    folds: int = 5
    repeats: int = 5
    time_quantiles: int = 4
    seed: int = 2026

    def __post_init__(self) -> None:
        if self.folds < 2 or self.repeats < 1 or self.time_quantiles < 1 or self.seed < 0:
            raise InputError(
                "A validation needs at least 2 folds, 1 repeat, 1 quantile of time and a seed of 0 or more; "
                f"got {self.folds}, {self.repeats}, {self.time_quantiles} and {self.seed}."
            )


@dataclass(frozen=True, eq=False)
class Fold:
    """Rows of the cohort to train on and to test on, both in the splits' own order of patients."""

    repeat: int
    number: int
    train: Index
    test: Index


class Splits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The fold of every patient in every repeat.

    `assignments[repeat][k]` is the fold of the patient who is k-th by id (so that the order of a cohort's file does
    not matter). `patients` is a hash of ids, outcomes and groups, so that no id is stored.
    """

    plan: FoldPlan
    patients: str
    assignments: tuple[tuple[int, ...], ...]

    def fold(self, data: CohortData, repeat: int, number: int) -> Fold:
        """The rows of `data` in and outside one fold."""
        order = canonical_order(data)
        held_out = np.array(self.assignments[repeat]) == number
        return Fold(repeat, number, order[~held_out], order[held_out])

    @property
    def digest(self) -> str:
        """A hash of the plan, the patients and every assignment."""
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()


def canonical_order(data: CohortData) -> Index:
    """Rows by patient id, then time: the same patients in the same order, however the cohort's file is sorted."""
    return np.array(
        sorted(range(len(data)), key=lambda row: (data.patient_ids[row], data.times_months[row], row)), dtype=np.intp
    )


def make_splits(data: CohortData, plan: FoldPlan, groups: Groups | None = None) -> Splits:
    """Deal the patients to folds, rows of one group (see duplicates.group_patients) always together.

    Raises InputError when there are too few patients or events for every fold to have one with an event.
    """
    if groups is None:
        groups = np.arange(len(data), dtype=np.intp)
    _check(data, plan, groups)
    order = canonical_order(data)
    events, times = data.events[order], data.times_months[order]
    members = _members(groups[order])
    strata = _strata(times, events, plan.time_quantiles)
    assignments = tuple(
        tuple(_deal(strata, events, members, plan.folds, np.random.default_rng([plan.seed, repeat])).tolist())
        for repeat in range(plan.repeats)
    )
    return Splits(plan, _patients_digest(data, groups), assignments)


def save_splits(splits: Splits, path: Path) -> None:
    """Write the splits as JSON, with their hash."""
    text = msgspec.json.format(msgspec.json.encode(_Saved(splits.digest, splits)), indent=1)
    with atomic_file(path) as partial:
        partial.write_bytes(text)


def load_splits(path: Path, data: CohortData, groups: Groups | None = None) -> Splits:
    """Read saved splits and make sure that they are whole and belong to these patients with these outcomes.

    Raises InputError where not.
    """
    try:
        saved = msgspec.json.decode(path.read_bytes(), type=_Saved)
    except OSError as error:
        raise InputError(f"The splits {path} cannot be read: {error.strerror or error}.") from error
    except msgspec.MsgspecError as error:
        raise InputError(f"{path} does not hold splits of this version ({error}); make them again.") from error
    splits = saved.splits
    if saved.digest != splits.digest:
        raise InputError(f"The splits {path} were changed after they were made; restore the file or make them again.")
    if groups is None:
        groups = np.arange(len(data), dtype=np.intp)
    if splits.patients != _patients_digest(data, groups):
        raise InputError(
            f"The splits {path} were made for other patients, outcomes or groups than this cohort; make them again."
        )
    return splits


class _Saved(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    digest: str
    splits: Splits


def _check(data: CohortData, plan: FoldPlan, groups: Groups) -> None:
    if len(groups) != len(data):
        raise InputError(f"The cohort has {len(data)} rows but {len(groups)} group numbers; give one a row.")
    with_event = len(np.unique(groups[data.events]))
    patients = len(np.unique(groups))
    if patients < 2 * plan.folds:
        raise InputError(
            f"The cohort has {patients} patients, and {plan.folds} folds need at least {2 * plan.folds}; "
            "use fewer folds or more patients."
        )
    if with_event < plan.folds:
        raise InputError(
            f"The cohort has {with_event} patients with an event, and {plan.folds} folds need at least one each; "
            "use fewer folds or wait for more events."
        )


def _members(groups: Groups) -> list[npt.NDArray[np.intp]]:
    """Rows of each group, in order of the group's first row."""
    firsts = np.unique(groups, return_index=True)[1]
    return [np.flatnonzero(groups == groups[first]) for first in np.sort(firsts)]


def _strata(times: npt.NDArray[np.float64], events: npt.NDArray[np.bool_], quantiles: int) -> npt.NDArray[np.intp]:
    """Stratum of each row: event state x quantile of the time among the rows of that state."""
    strata = np.zeros(len(times), dtype=np.intp)
    for flag in (False, True):
        rows = events == flag
        if rows.any():
            edges = np.quantile(times[rows], np.linspace(0, 1, quantiles + 1)[1:-1])
            strata[rows] = flag * quantiles + np.searchsorted(edges, times[rows], side="right")
    return strata


def _deal(
    strata: npt.NDArray[np.intp],
    events: npt.NDArray[np.bool_],
    members: list[npt.NDArray[np.intp]],
    folds: int,
    rng: np.random.Generator,
) -> npt.NDArray[np.intp]:
    """Fold of each row: groups, largest first and else in random order, go where their stratum is rarest.

    Where several folds are equal in that, the one with fewest events and then fewest rows takes the group.
    """
    shuffled = rng.permutation(len(members))
    queue = sorted(shuffled, key=lambda g: (-len(members[g]), strata[members[g][0]]))
    in_stratum = np.zeros((strata.max() + 1, folds))
    with_event, rows_in = np.zeros(folds), np.zeros(folds)
    fold_of = np.zeros(len(strata), dtype=np.intp)
    for g in queue:
        rows = members[g]
        load = np.stack([in_stratum[strata[rows[0]]], with_event, rows_in])
        for row in load:
            load[:, row > row[np.isfinite(load[0])].min()] = np.inf
        fold = int(rng.choice(np.flatnonzero(np.isfinite(load[0]))))
        fold_of[rows] = fold
        np.add.at(in_stratum, (strata[rows], fold), 1)
        with_event[fold] += events[rows].sum()
        rows_in[fold] += len(rows)
    if not with_event.all():
        raise InputError(
            f"{folds} folds cannot each have a patient with an event, because rows of one patient stay together; "
            "use fewer folds."
        )
    return fold_of


def _patients_digest(data: CohortData, groups: Groups) -> str:
    order = canonical_order(data)
    together = np.unique(groups[order], return_index=True)
    first_of = dict(zip(together[0].tolist(), together[1].tolist(), strict=True))
    digest = hashlib.sha256()
    for row in order:
        outcome = (data.patient_ids[row], float(data.times_months[row]), bool(data.events[row]))
        digest.update(msgspec.json.encode((*outcome, first_of[int(groups[row])])))
    return digest.hexdigest()
