"""What a cross-validation leaves: one file for each fitted unit, and out-of-fold log-risks for all patients."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
import torch

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.evaluation.out_of_fold import OutOfFold
from MemorySurvivalLib.files import atomic_file
from MemorySurvivalLib.training.data import CohortData, Floats
from MemorySurvivalLib.training.folds import Splits, canonical_order

Metric = Callable[[Floats, npt.NDArray[np.bool_], Floats], float]
"""(times_months, events, log_risk) -> a number."""

FLAT_WARNING = (
    "Flat cross-validation: settings were chosen on the same folds that judge them, so these figures are too good."
)


class Unit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One model fitted for one outer fold of one repeat: what was chosen and what it said, or why it failed.

    `study` ties it to data, splits, recipe, budget and seed. Log-risks stand in the splits' order of patients.
    `inner_scores` are the means over the inner folds, a row for each trial as tried (None: the trial failed).
    """

    study: str
    model: str
    repeat: int
    fold: int
    flat: bool
    alternative: str = ""
    values: dict[str, float] = {}
    inner_scores: tuple[float | None, ...] = ()
    fingerprint: str = ""
    test_log_risk: tuple[float, ...] = ()
    train_log_risk: tuple[float, ...] = ()
    seconds: float = 0.0
    error: str = ""


def write_unit(unit: Unit, path: Path) -> None:
    """Write one unit whole or not at all."""
    with atomic_file(path) as partial:
        partial.write_bytes(msgspec.json.format(msgspec.json.encode(unit), indent=0))


def read_unit(path: Path, study: str) -> Unit | None:
    """A finished unit, or None where there is none. Raises InputError where it belongs to another study."""
    try:
        unit = msgspec.json.decode(path.read_bytes(), type=Unit)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as error:
        raise InputError(f"The result {path} cannot be read ({error}); delete it and run again.") from error
    if unit.study != study:
        raise InputError(
            f"{path} is of a validation with other patients, splits or settings; choose another folder for this one."
        )
    return unit


def hash_data(data: CohortData) -> str:
    """A hash of everything in a cohort, whatever the order of its rows."""
    order = canonical_order(data)
    digest = hashlib.sha256()
    rows = [
        (
            data.patient_ids[i],
            float(data.times_months[i]),
            bool(data.events[i]),
            dict(sorted(data.covariates[i].items())) if data.covariates else {},
            data.sites[i] if data.sites else "",
        )
        for i in order
    ]
    digest.update(msgspec.json.encode(rows))
    for name in sorted(data.statistics):
        digest.update(name.encode() + np.asarray(data.statistics[name], np.float64)[order].tobytes())
    for name in sorted(data.states):
        states = data.states[name]
        digest.update(f"{name}{states.dtype}{tuple(states.shape)}".encode())
        for row in order:
            digest.update(states[int(row)].contiguous().view(torch.uint8).numpy().reshape(-1).data)
    return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class FoldResult:
    """One outer fold of one model; rows index the cohort that was validated. `error` is empty where all went well."""

    repeat: int
    fold: int
    train: npt.NDArray[np.intp]
    test: npt.NDArray[np.intp]
    train_log_risk: Floats
    test_log_risk: Floats
    unit: Unit

    @property
    def error(self) -> str:
        """Why this fold has no log-risks, or nothing."""
        return self.unit.error

    @property
    def standardised(self) -> Floats:
        """Test log-risks minus the mean, over the SD, of the same fitted model's log-risks on its training rows.

        A model that gives every training row one log-risk gives zeros.
        """
        sd = float(self.train_log_risk.std(ddof=1))
        if sd < 1e-12 * max(1.0, float(np.abs(self.train_log_risk).max())):
            return np.zeros_like(self.test_log_risk)
        values: Floats = (self.test_log_risk - self.train_log_risk.mean()) / sd
        return values


@dataclass(frozen=True, eq=False)
class ValidatedModel:
    """The finished outer folds of one model, out of `repeats` x `folds_each`, on a cohort of `rows` patients.

    `flat` results are optimistic: every page that shows them says FLAT_WARNING.
    """

    name: str
    flat: bool
    repeats: int
    folds_each: int
    rows: int
    folds: tuple[FoldResult, ...]

    @property
    def finished(self) -> bool:
        """Whether every outer fold was tried; False where a run was stopped and has to be continued."""
        return len(self.folds) == self.repeats * self.folds_each

    @property
    def warning(self) -> str:
        """What must stand beside every figure made of this, or nothing."""
        return FLAT_WARNING if self.flat else ""

    @property
    def errors(self) -> tuple[str, ...]:
        """What went wrong, a sentence for each failed fold."""
        return tuple(f"{self.name}, repeat {f.repeat + 1}, fold {f.fold + 1}: {f.error}" for f in self.folds if f.error)

    @property
    def log_risk(self) -> Floats:
        """Out-of-fold log-risks (repeats, n) as the models gave them; NaN where a fold failed or is to come."""
        return self._gather(lambda fold: fold.test_log_risk)

    @property
    def standardised(self) -> Floats:
        """Out-of-fold log-risks (repeats, n) that may be pooled over folds; NaN where a fold failed or is to come."""
        return self._gather(lambda fold: fold.standardised)

    def fold_values(self, metric: Metric, data: CohortData) -> Floats:
        """`metric` on each outer fold's test rows, (repeats, folds); NaN where a fold failed or is to come."""
        values = np.full((self.repeats, self.folds_each), np.nan)
        for fold in self.folds:
            if not fold.error:
                rows = fold.test
                values[fold.repeat, fold.fold] = metric(data.times_months[rows], data.events[rows], fold.test_log_risk)
        return values

    def out_of_fold(self, data: CohortData) -> OutOfFold:
        """What the metrics of MemorySurvivalLib.evaluation take.

        Raises InputError where a fold failed or is to come, because figures on the rest would not be comparable.
        """
        if self.errors:
            raise InputError(f"{len(self.errors)} folds could not be fitted, so nothing is judged: {self.errors[0]}")
        if not self.finished:
            raise InputError(
                f"{self.name} has {len(self.folds)} of {self.repeats * self.folds_each} outer folds; run it to its end."
            )
        return OutOfFold(data.times_months, data.events, self.folds)

    def _gather(self, of: Callable[[FoldResult], Floats]) -> Floats:
        gathered = np.full((self.repeats, self.rows), np.nan)
        for fold in self.folds:
            if not fold.error:
                gathered[fold.repeat, fold.test] = of(fold)
        return gathered


def gather_units(name: str, flat: bool, data: CohortData, splits: Splits, units: list[Unit]) -> ValidatedModel:
    """The finished units of one model, put together."""
    folds = []
    for unit in sorted(units, key=lambda u: (u.repeat, u.fold)):
        fold = splits.fold(data, unit.repeat, unit.fold)
        train, test = (np.array(risk, dtype=np.float64) for risk in (unit.train_log_risk, unit.test_log_risk))
        folds.append(FoldResult(unit.repeat, unit.fold, fold.train, fold.test, train, test, unit))
    return ValidatedModel(name, flat, splits.plan.repeats, splits.plan.folds, len(data), tuple(folds))
