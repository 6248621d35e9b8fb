"""Choosing settings inside a training fold: Sobol points of Optuna's sampler, one study for each alternative."""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self, runtime_checkable

import msgspec
import numpy as np

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.files import explain_os_error
from MemorySurvivalLib.progress import Meter, ProgressCallback, ignore_progress
from MemorySurvivalLib.training.data import CohortData
from MemorySurvivalLib.training.folds import Fold
from MemorySurvivalLib.training.inner_score import concordance, log_likelihood_per_event
from MemorySurvivalLib.training.survival_model import FittedModel, SurvivalModel

if TYPE_CHECKING:
    import optuna

FIT_ERRORS = (InputError, ArithmeticError, ValueError, RuntimeError)
"""What a fit may raise because of its patients or settings: recorded for that fit, the others go on."""

Values = dict[str, float]


@dataclass(frozen=True)
class FloatRange:
    """A number between `low` and `high`, drawn on a logarithmic scale with `log`. Dots lead into nested settings."""

    name: str
    low: float
    high: float
    log: bool = False

    def __post_init__(self) -> None:
        if not self.low < self.high or (self.log and self.low <= 0):
            raise InputError(f"The range of {self.name} ({self.low:g} to {self.high:g}) is empty or not positive.")


@dataclass(frozen=True)
class IntRange:
    """A whole number from `low` to `high`, both included."""

    name: str
    low: int
    high: int
    log: bool = False

    def __post_init__(self) -> None:
        if not self.low < self.high or (self.log and self.low <= 0):
            raise InputError(f"The range of {self.name} ({self.low} to {self.high}) is empty or not positive.")


Range = FloatRange | IntRange


@dataclass(frozen=True)
class Alternative:
    """One categorical choice: a model (a frozen dataclass) and the ranges of its numbers that are searched."""

    name: str
    base: SurvivalModel
    space: tuple[Range, ...] = ()

    def model(self, values: Values) -> SurvivalModel:
        """The model with these values in place of its own."""
        model: Any = self.base
        for number in self.space:
            value = int(values[number.name]) if isinstance(number, IntRange) else float(values[number.name])
            model = _replace(model, number.name.split("."), value)
        built: SurvivalModel = model
        return built


class Budget(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much is tried: `trials` Sobol points for each alternative with a space (powers of two fill it evenly).

    The points depend on `points_seed` alone and are the same in every fold.
    """

    trials: int = 64
    inner_folds: int = 5
    points_seed: int = 2026
    objective: Literal["concordance", "partial likelihood"] = "concordance"

    def __post_init__(self) -> None:
        if self.trials < 1 or self.inner_folds < 2:
            raise InputError(
                f"Tuning needs at least 1 trial and 2 inner folds; got {self.trials} and {self.inner_folds}."
            )


@dataclass(frozen=True)
class Recipe:
    """What stands as one model in a table: alternatives between which the tuning chooses.

    `budget` takes the place of the validation's where a fit is dear (image heads).
    """

    name: str
    alternatives: tuple[Alternative, ...]
    budget: Budget | None = None

    def __post_init__(self) -> None:
        names = [alternative.name for alternative in self.alternatives]
        if not names or len(set(names)) < len(names):
            raise InputError(f"The model {self.name} needs alternatives with names of their own; it has {names}.")
        if " at 0x" in repr(self):
            raise InputError(f"The model {self.name} has settings without a written form, so it cannot be repeated.")

    @property
    def fixed(self) -> bool:
        """Whether there is nothing to choose."""
        return len(self.alternatives) == 1 and not self.alternatives[0].space


@dataclass(frozen=True)
class Choice:
    """The best alternative and values, its mean inner score, and every trial's (None: it could not be fitted)."""

    alternative: Alternative
    values: Values
    score: float | None
    scores: tuple[float | None, ...] = ()

    @property
    def model(self) -> SurvivalModel:
        """The chosen model, not fitted."""
        return self.alternative.model(self.values)


@runtime_checkable
class FitsTogether(Protocol):
    """A model that fits many settings of itself at once faster than one by one, with the same results."""

    def fit_together(self, variants: Sequence[Self], data: CohortData, seed: int) -> Sequence[FittedModel]:
        """Each variant fitted on the same patients."""
        ...


def tune(
    recipe: Recipe,
    data: CohortData,
    folds: Sequence[Fold],
    budget: Budget,
    seed: int,
    journal: Path | None = None,
    progress: ProgressCallback = ignore_progress,
) -> Choice:
    """The settings with the best mean score over `folds` of `data`; the first tried wins a draw.

    The points never depend on results, so a search that was stopped and continued from its `journal`
    (a file of optuna.storages.JournalStorage; one study for each alternative) gives the same as one in one go.
    A setting that fails in one inner fold is out. Raises InputError when all of them are.
    """
    if recipe.fixed:
        return Choice(recipe.alternatives[0], {}, None)
    parts = [(data.take(fold.train), data.take(fold.test)) for fold in folds]
    score = concordance if budget.objective == "concordance" else log_likelihood_per_event
    points = [sobol_points(a.space, budget.trials, budget.points_seed) for a in recipe.alternatives]
    meter = Meter(f"tune {recipe.name}", sum(map(len, points)), progress)
    scores: list[float | None] = []
    tried: list[tuple[Alternative, Values]] = []
    reason = ""
    for alternative, values in zip(recipe.alternatives, points, strict=True):
        record = _Journal(journal, f"{recipe.name} {alternative.name}", alternative.space)
        for first, last in _batches(alternative, len(values)):
            known = [record.known(point) for point in range(first, last)]
            if not all(is_known for is_known, _ in known):
                results = _evaluate(alternative, values[first:last], parts, score, seed)
                record.add(first, values[first:last], [result.score for result in results])
                reason = next((result.error for result in results if result.error), reason)
                known = [(True, result.score) for result in results]
            scores += [value for _, value in known]
            tried += [(alternative, point) for point in values[first:last]]
            for _ in range(first, last):
                meter.step()
    best = max((s for s in scores if s is not None), default=None)
    if best is None:
        raise InputError(f"None of the {len(scores)} settings tried for {recipe.name} could be fitted: {reason}")
    chosen, chosen_values = tried[scores.index(best)]
    return Choice(chosen, chosen_values, best, tuple(scores))


@lru_cache(maxsize=64)
def _cached_points(space: tuple[Range, ...], trials: int, seed: int) -> tuple[tuple[tuple[str, float], ...], ...]:
    try:
        import optuna
    except ImportError:  # in Slicer, where demonstration bundles are rebuilt
        from MemorySurvivalLib.training.sobol import draw_points

        return tuple(tuple(point.items()) for point in draw_points(space, trials, seed))
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = optuna.samplers.QMCSampler(
            qmc_type="sobol", scramble=True, seed=seed, warn_independent_sampling=False, warn_asynchronous_seeding=False
        )
    study = optuna.create_study(sampler=sampler)
    # The first trial of a study is drawn independently; the Sobol sequence needs one to know its space.
    return tuple(tuple(study.ask(_distributions(space)).params.items()) for _ in range(trials))


def sobol_points(space: tuple[Range, ...], trials: int, seed: int) -> list[Values]:
    """The settings to try, the same for the same seed; one empty setting where nothing is searched."""
    if not space:
        return [{}]
    return [dict(point) for point in _cached_points(space, trials, seed)]


@dataclass(frozen=True)
class _Result:
    score: float | None
    error: str = ""


def _evaluate(
    alternative: Alternative,
    values: Sequence[Values],
    parts: Sequence[tuple[CohortData, CohortData]],
    score: Callable[..., float],
    seed: int,
) -> list[_Result]:
    """The mean score over the inner folds of each setting."""
    models = [alternative.model(value) for value in values]
    sums = np.zeros(len(models))
    for number, (train, watch) in enumerate(parts):
        try:
            if isinstance(alternative.base, FitsTogether):
                fitted = alternative.base.fit_together(models, train, seed + number)  # type: ignore[arg-type]
            else:
                fitted = [model.fit(train, seed + number) for model in models]
            risks = [model.log_risk(watch) for model in fitted]
        except FIT_ERRORS as error:
            if len(models) > 1:  # one of them spoils the batch; find out which
                return [_evaluate(alternative, [value], parts, score, seed)[0] for value in values]
            return [_Result(None, str(error))]
        sums += [score(watch.times_months, watch.events, risk) for risk in risks]
    means = sums / len(parts)
    return [
        _Result(float(mean)) if math.isfinite(mean) else _Result(None, "Its log-risks are not finite.")
        for mean in means
    ]


def _batches(alternative: Alternative, points: int) -> Iterator[tuple[int, int]]:
    size = points if isinstance(alternative.base, FitsTogether) else 1
    return ((first, min(first + size, points)) for first in range(0, points, size))


class _Journal:
    """What was tried for one alternative, kept in a file where one is given."""

    def __init__(self, path: Path | None, name: str, space: tuple[Range, ...]) -> None:
        self._path, self._space = path, space
        self._study: optuna.Study | None = None
        self._known: dict[int, float | None] = {}
        if path is None:
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _drop_torn_line(path)
            try:
                self._study = _open_study(path, name)
            except (ValueError, KeyError):  # damaged: it only saves time, so begin a new one
                path.unlink()
                self._study = _open_study(path, name)
        except OSError as error:
            raise explain_os_error(error, path) from error
        for trial in self._study.get_trials(deepcopy=False):
            self._known[int(trial.user_attrs["point"])] = trial.value if trial.state.name == "COMPLETE" else None

    def known(self, point: int) -> tuple[bool, float | None]:
        """Whether this point was tried, and its score."""
        return point in self._known, self._known.get(point)

    def add(self, first: int, values: Sequence[Values], scores: Sequence[float | None]) -> None:
        """Keep the scores of the points from `first` on. Raises OutputError where they cannot be written."""
        if self._study is None or self._path is None:
            return
        for point, (value, score) in enumerate(zip(values, scores, strict=True), start=first):
            if point not in self._known:
                try:
                    self._study.add_trial(_trial(value, score, self._space, point))
                except OSError as error:
                    raise explain_os_error(error, self._path) from error
                self._known[point] = score


def forget_journal(path: Path) -> None:
    """Remove a journal that is no longer needed, and the lock that a killed program left."""
    path.unlink(missing_ok=True)
    path.with_name(f"{path.name}.lock").unlink(missing_ok=True)


def _open_study(path: Path, name: str) -> optuna.Study:
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    # Optuna's usual lock is a symbolic link, which Windows refuses to make; a lock left behind is broken after 10 s.
    lock = JournalFileOpenLock(str(path), grace_period=10)
    storage = JournalStorage(JournalFileBackend(str(path), lock_obj=lock))
    return optuna.create_study(storage=storage, study_name=name, load_if_exists=True, direction="maximize")


def _trial(values: Values, score: float | None, space: tuple[Range, ...], point: int) -> optuna.trial.FrozenTrial:
    import optuna

    state = optuna.trial.TrialState.FAIL if score is None else optuna.trial.TrialState.COMPLETE
    return optuna.trial.create_trial(
        state=state,
        value=score,
        params=dict(values),
        distributions=_distributions(space),
        user_attrs={"point": point},
    )


def _drop_torn_line(path: Path) -> None:
    """Cut what a killed program left half-written at the end of a journal, or nothing after it could be read."""
    if not path.exists():
        return
    text = path.read_bytes()
    whole = text.rfind(b"\n") + 1
    if whole < len(text):
        with path.open("r+b") as file:
            file.truncate(whole)


def _distributions(space: tuple[Range, ...]) -> dict[str, optuna.distributions.BaseDistribution]:
    from optuna.distributions import FloatDistribution, IntDistribution

    return {
        number.name: IntDistribution(number.low, number.high, log=number.log)
        if isinstance(number, IntRange)
        else FloatDistribution(number.low, number.high, log=number.log)
        for number in space
    }


def _replace(settings: Any, path: Sequence[str], value: float) -> Any:
    """A copy of frozen dataclasses with one number changed."""
    name, *deeper = path
    if not dataclasses.is_dataclass(settings) or name not in {f.name for f in dataclasses.fields(settings)}:
        raise InputError(f"{type(settings).__name__} has no setting {name} to search.")
    changed = _replace(getattr(settings, name), deeper, value) if deeper else value
    return dataclasses.replace(settings, **{name: changed})  # type: ignore[type-var]
