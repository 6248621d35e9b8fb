"""Cross-validation of whole procedures, tuning included: nested by default, resumable from files, one unit a fold."""

from __future__ import annotations

import hashlib
import math
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import msgspec
import numpy as np

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.progress import Meter, ProgressCallback, ignore_progress
from MemorySurvivalLib.training.data import CohortData, Floats
from MemorySurvivalLib.training.folds import (
    Fold,
    FoldPlan,
    Groups,
    Splits,
    load_splits,
    make_splits,
    save_splits,
)
from MemorySurvivalLib.training.results import Unit, ValidatedModel, gather_units, hash_data, read_unit, write_unit
from MemorySurvivalLib.training.survival_model import FittedModel
from MemorySurvivalLib.training.tuning import FIT_ERRORS, Budget, Choice, Recipe, forget_journal, tune

_FORMAT = 1


class Validation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How models are judged. `flat` chooses settings on the outer folds themselves, as many papers do: optimistic."""

    plan: FoldPlan = FoldPlan()
    budget: Budget = Budget()
    seed: int = 2026
    flat: bool = False

    @property
    def sentence(self) -> str:
        """What is done, for a page."""
        plan, budget = self.plan, self.budget
        tried = f"{budget.trials} Sobol points an alternative are tried"
        inner = f"in {budget.inner_folds} inner folds of the training patients, judged by {budget.objective}"
        where = "on the outer folds themselves" if self.flat else inner
        return (
            f"{'Flat' if self.flat else 'Nested'} cross-validation, {plan.repeats} x {plan.folds} folds stratified by "
            f"event and time, patients kept whole; {tried} {where} (seed {self.seed})."
        )


@runtime_checkable
class Checks(Protocol):
    """A model that refuses some cohorts before anything is split."""

    def check(self, data: CohortData) -> None:
        """Raises InputError where this cohort may not be used."""
        ...


@dataclass(frozen=True)
class TunedModel:
    """A procedure fitted on some patients: what was chosen among them and the model refitted on all of them."""

    choice: Choice
    fitted: FittedModel

    def log_risk(self, data: CohortData) -> Floats:
        """Log-risks (n,); higher is worse. Raises InputError when one is not a finite number."""
        risks = np.asarray(self.fitted.log_risk(data), dtype=np.float64)
        if risks.shape != (len(data),) or not np.isfinite(risks).all():
            raise InputError("The model gave log-risks that are not finite numbers, one a patient.")
        return risks

    def fingerprint(self) -> str:
        """A hash of the choice, every trial's score and the fitted model."""
        said = (self.choice.alternative.name, self.choice.values, self.choice.scores, self.fitted.fingerprint())
        return hashlib.sha256(msgspec.json.encode(said)).hexdigest()


def fit_tuned(
    recipe: Recipe,
    data: CohortData,
    budget: Budget,
    seed: int,
    *,
    groups: Groups | None = None,
    journal: Path | None = None,
    progress: ProgressCallback = ignore_progress,
) -> TunedModel:
    """Tune in inner folds of these patients alone, then fit the best on all of them: the one way to a fitted model.

    Raises InputError where nothing can be fitted, and what the model itself raises.
    """
    folds: list[Fold] = []
    if not recipe.fixed:
        splits = make_splits(data, FoldPlan(budget.inner_folds, 1, seed=seed), groups)
        folds = [splits.fold(data, 0, number) for number in range(budget.inner_folds)]
    choice = tune(recipe, data, folds, budget, seed, journal, progress)
    return TunedModel(choice, choice.model.fit(data, seed))


def fit_unit(
    recipe: Recipe,
    data: CohortData,
    fold: Fold,
    settings: Validation,
    study: str,
    *,
    groups: Groups | None = None,
    journal: Path | None = None,
    flat_choice: Choice | None = None,
    progress: ProgressCallback = ignore_progress,
) -> Unit:
    """One outer fold of one model. Only the training rows reach the fit; a fit that fails is recorded as such.

    `flat_choice` is what was chosen on all outer folds, where the validation is flat.
    """
    start = time.perf_counter()
    seed = derive_seed(settings.seed, recipe.name, fold.repeat, fold.number)
    unit = Unit(study, recipe.name, fold.repeat, fold.number, settings.flat)
    training = data.take(fold.train)
    own_groups = None if groups is None else groups[fold.train]
    try:
        if flat_choice is None:
            tuned = fit_tuned(
                recipe,
                training,
                recipe.budget or settings.budget,
                seed,
                groups=own_groups,
                journal=journal,
                progress=progress,
            )
        else:
            tuned = TunedModel(flat_choice, flat_choice.model.fit(training, seed))
        test, train = tuned.log_risk(data.take(fold.test)), tuned.log_risk(training)
    except FIT_ERRORS as error:
        why = str(error) or type(error).__name__
        return msgspec.structs.replace(unit, error=why, seconds=_seconds(start))
    return msgspec.structs.replace(
        unit,
        alternative=tuned.choice.alternative.name,
        values=tuned.choice.values,
        inner_scores=tuned.choice.scores,
        fingerprint=tuned.fingerprint(),
        test_log_risk=tuple(test.tolist()),
        train_log_risk=tuple(train.tolist()),
        seconds=_seconds(start),
    )


def validate_models(
    data: CohortData,
    recipes: Sequence[Recipe],
    settings: Validation,
    folder: Path | None = None,
    *,
    groups: Groups | None = None,
    stop_after_s: float = math.inf,
    progress: ProgressCallback = ignore_progress,
) -> tuple[ValidatedModel, ...]:
    """Validate each recipe on the same folds.

    With a `folder`, splits and every finished unit are files in it: what is there is not computed again, on whatever
    machine, and a folder of another study is refused. A fold that cannot be fitted is recorded in its unit and in
    ValidatedModel.errors. After `stop_after_s` seconds no further fold is begun (0 only reads what is there);
    ValidatedModel.finished says whether all are done. `groups` come from duplicates.group_patients. Raises InputError
    for unusable cohorts.
    """
    start = time.monotonic()
    _check(data, recipes)
    splits = _splits(data, settings.plan, groups, folder)
    whole = hash_data(data)
    meter = Meter("validate", len(recipes) * settings.plan.repeats * settings.plan.folds, progress)
    models = []
    for recipe in recipes:
        work = _Work(recipe, data, splits, settings, _study(whole, splits, recipe, settings), groups, folder)
        units = []
        for repeat in range(settings.plan.repeats):
            for number in range(settings.plan.folds):
                unit = work.read(repeat, number)
                if unit is None and time.monotonic() - start < stop_after_s:
                    unit = work.compute(repeat, number)
                if unit is not None:
                    units.append(unit)
                meter.step()
        models.append(gather_units(recipe.name, settings.flat, data, splits, units))
    return tuple(models)


def derive_seed(*parts: int | str) -> int:
    """A seed below 2^31 made of everything it should depend on."""
    return int.from_bytes(hashlib.sha256(msgspec.json.encode(parts)).digest()[:4], "big") >> 1


class _Work:
    """The units of one recipe, read from files where they are."""

    def __init__(
        self,
        recipe: Recipe,
        data: CohortData,
        splits: Splits,
        settings: Validation,
        study: str,
        groups: Groups | None,
        folder: Path | None,
    ) -> None:
        self._recipe, self._data, self._splits, self._settings = recipe, data, splits, settings
        self._study, self._groups = study, groups
        self._place = None if folder is None else folder / _plain(recipe.name)
        self._flat: dict[int, Choice | str] = {}

    def read(self, repeat: int, number: int) -> Unit | None:
        """A finished unit."""
        path = self._path(repeat, number)
        return None if path is None else read_unit(path, self._study)

    def compute(self, repeat: int, number: int) -> Unit:
        """A unit fitted now and written; its journal stays beside its file until the file is there."""
        path = self._path(repeat, number)
        if path is None:
            return self._fit(repeat, number, None)
        # named after the study, so that a journal of other settings is never continued
        journal = path.with_name(f"{path.stem}-{self._study[:12]}.journal")
        unit = self._fit(repeat, number, journal)
        write_unit(unit, path)
        forget_journal(journal)
        return unit

    def _path(self, repeat: int, number: int) -> Path | None:
        return self._place / f"repeat-{repeat + 1:02d}-fold-{number + 1:02d}.json" if self._place else None

    def _fit(self, repeat: int, number: int, journal: Path | None) -> Unit:
        choice: Choice | None = None
        if self._settings.flat:
            found = self._choose_flat(repeat)
            if isinstance(found, str):
                return Unit(self._study, self._recipe.name, repeat, number, True, error=found)
            choice = found
        fold = self._splits.fold(self._data, repeat, number)
        return fit_unit(
            self._recipe,
            self._data,
            fold,
            self._settings,
            self._study,
            groups=self._groups,
            journal=journal,
            flat_choice=choice,
        )

    def _choose_flat(self, repeat: int) -> Choice | str:
        """What scores best on the outer folds of a repeat themselves, or why nothing could be fitted."""
        if repeat not in self._flat:
            folds = [self._splits.fold(self._data, repeat, number) for number in range(self._settings.plan.folds)]
            seed = derive_seed(self._settings.seed, self._recipe.name, repeat)
            budget = self._recipe.budget or self._settings.budget
            try:
                self._flat[repeat] = tune(self._recipe, self._data, folds, budget, seed)
            except FIT_ERRORS as error:
                self._flat[repeat] = str(error)
        return self._flat[repeat]


def _check(data: CohortData, recipes: Sequence[Recipe]) -> None:
    names = [_plain(recipe.name) for recipe in recipes]
    if not names or len(set(names)) < len(names):
        raise InputError(f"Models need names of their own (letters and digits count); got {names}.")
    for recipe in recipes:
        for alternative in recipe.alternatives:
            if isinstance(alternative.base, Checks):
                alternative.base.check(data)


def _splits(data: CohortData, plan: FoldPlan, groups: Groups | None, folder: Path | None) -> Splits:
    path = folder / "splits.json" if folder else None
    if path is None or not path.exists():
        splits = make_splits(data, plan, groups)
        if path is not None:
            save_splits(splits, path)
        return splits
    splits = load_splits(path, data, groups)
    if splits.plan != plan:
        raise InputError(f"{path} holds splits of another plan; choose another folder for this one.")
    return splits


def _study(whole: str, splits: Splits, recipe: Recipe, settings: Validation) -> str:
    said = (_FORMAT, whole, splits.digest, repr(recipe), settings)
    return hashlib.sha256(msgspec.json.encode(said)).hexdigest()


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.casefold()).strip("-")


def _seconds(start: float) -> float:
    return math.ceil((time.perf_counter() - start) * 1000) / 1000
