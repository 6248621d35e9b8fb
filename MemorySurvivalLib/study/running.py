"""The study itself: models fitted on development patients and asked about test patients; resumed model by model."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.progress import Meter, ProgressCallback, ignore_progress
from MemorySurvivalLib.simulation.scenario import load_scenario
from MemorySurvivalLib.study.cohorts import StudyCohort, read_cohort
from MemorySurvivalLib.study.configuration import Extra, Fitting, Question, StudyConfiguration
from MemorySurvivalLib.study.embed_cohorts import count_embedded
from MemorySurvivalLib.study.models import Group, StudyModel, nested_imagenet, nested_models, study_models
from MemorySurvivalLib.study.parts import NOTICE
from MemorySurvivalLib.study.results import (
    ModelResult,
    NestedResult,
    ScenarioResults,
    read_results,
    result_key,
    result_path,
    write_results,
)
from MemorySurvivalLib.training.folds import FoldPlan
from MemorySurvivalLib.training.inner_score import concordance
from MemorySurvivalLib.training.nested import TunedModel, Validation, derive_seed, fit_tuned, validate_models
from MemorySurvivalLib.training.tuning import FIT_ERRORS, Budget, Choice, Values, sobol_points

_DIGITS = 4


@dataclass(frozen=True)
class Plan:
    """What a run does: which scenarios and groups of models, of these those named (empty: all), at which sizes (None:
    the configuration's), and when it stops beginning new fits."""

    scenarios: tuple[str, ...] = ()
    groups: tuple[Group, ...] = ("baselines", "embeddings", "fused", "deep", "imagenet")
    models: tuple[str, ...] = ()
    sizes: tuple[int, ...] | None = None
    minutes: float = math.inf
    nested: bool = True


def run_study(
    configuration: StudyConfiguration,
    parts: Path,
    results: Path,
    plan: Plan,
    progress: ProgressCallback = ignore_progress,
) -> list[Path]:
    """Fit what is not there yet and keep every model's result at once; the files that hold results.

    Sizes of which too few patients are embedded, and tests with fewer than the configured smallest number, are left
    out, and so are models of the ImageNet network where its vectors are not kept of these patients (the file says it);
    those are judged on the first test patients that have them. A result of other patients or settings is fitted again;
    where test patients were added alone, with the settings chosen then. Raises InputError where nothing can be run.
    """
    deadline = time.monotonic() + 60 * plan.minutes
    runs = list(_list_runs(configuration, parts, plan))
    if not runs:
        sizes = ", ".join(map(str, plan.sizes or configuration.fitting.sizes))
        raise InputError(
            f"Too few patients are embedded in {parts} for any scenario (development {sizes}, tests at least "
            f"{configuration.fitting.smallest_test}); run `python -m MemorySurvivalLib.study embed` first."
        )
    # Small maps are kept of development patients alone, so heads on them are judged among these.
    models = study_models(configuration.embedding, tuple(group for group in plan.groups if group != "small maps"))
    if plan.models:
        models = _choose(models, plan.models)
    meter = Meter("study", len(runs) * len(models), progress)
    written = []
    left_out: dict[str, str] = {}
    for question, size in runs:
        path = result_path(configuration, results, question.scenario, size)
        run = _Run(configuration, question, size, parts, plan.groups)
        kept = run.begin(path)
        left_out |= run.left_out
        if path.exists() and kept != read_results(path):
            write_results(kept, path)
        for model in models:
            wanted = model.group not in run.left_out and _is_new(kept, model.name, run.key(model))
            if wanted and time.monotonic() < deadline:
                kept.models[model.name] = run.fit(model, kept.models.get(model.name))
                write_results(kept, path)
            meter.step()
        nested = plan.nested and not plan.models and question.nested
        if nested and size == min(configuration.fitting.sizes, default=size):
            run.validate(kept, path, deadline)
        if path.exists():
            written.append(path)
    if not written and left_out and set(plan.groups) <= set(left_out):
        raise InputError(f"Nothing could be fitted. {' '.join(left_out.values())}")
    return written


def count_fits(model: StudyModel, fitting: Fitting) -> int:
    """How many fits a tuned model takes: every point in every inner fold, and the last one on all patients."""
    recipe = model.recipe
    if recipe.fixed:
        return 1
    trials = sum(fitting.trials if alternative.space else 1 for alternative in recipe.alternatives)
    return trials * fitting.inner_folds + 1


@dataclass(frozen=True)
class _Cohorts:
    """Who is learned from, and the tests by "cohort/scenario"."""

    development: StudyCohort
    tests: Mapping[str, StudyCohort]


class _Run:
    """One scenario at one size, with its cohorts read once. `left_out` says by group why it cannot be fitted."""

    def __init__(
        self, configuration: StudyConfiguration, question: Question, size: int, parts: Path, groups: Sequence[Group]
    ) -> None:
        self._configuration, self._question = configuration, question
        self._fitting = configuration.fitting
        self._budget = Budget(self._fitting.trials, self._fitting.inner_folds, self._fitting.seed)
        self._small = "small maps" in groups and size <= configuration.cohort(question.development).count("small")
        self._all = self._read(size, parts, ("small",) if self._small else ())
        self._imagenet: _Cohorts | None = None
        self.left_out: dict[str, str] = {}
        if "imagenet" in groups:
            try:
                self._imagenet = self._read(size, parts, ("imagenet",), "imagenet")
            except InputError as error:
                self.left_out["imagenet"] = str(error)

    def _read(self, size: int, parts: Path, extras: Sequence[Extra], tested: Extra | None = None) -> _Cohorts:
        """The cohorts with `extras` of the development patients; tests are those patients that have `tested`."""
        configuration, question = self._configuration, self._question
        development = read_cohort(configuration, question.development, question.scenario, parts, size, extras)
        tests = {}
        for cohort, scenario in _ready_tests(configuration, question, parts):
            there = count_embedded(configuration, cohort, parts)
            count = min(there, configuration.cohort(cohort).count(tested)) if tested else there
            tests[f"{cohort}/{scenario}"] = read_cohort(
                configuration, cohort, scenario, parts, count or there, (tested,) if tested else ()
            )
        return _Cohorts(development, tests)

    def _cohorts(self, group: str) -> _Cohorts:
        return self._imagenet if group == "imagenet" and self._imagenet is not None else self._all

    def begin(self, path: Path) -> ScenarioResults:
        """The file as it is, with the sizes of today."""
        scenario = load_scenario(self._question.scenario)
        kept = read_results(path)
        left_out = {**(kept.left_out if kept else {}), **self.left_out}
        if self._imagenet is not None:
            left_out.pop("imagenet", None)
        return ScenarioResults(
            NOTICE,
            self._configuration.sha256,
            self._configuration.embedding.sha256,
            scenario.name,
            scenario.sha256,
            self._question.development,
            len(self._all.development.data),
            int(self._all.development.data.events.sum()),
            {name: len(test.data) for name, test in self._all.tests.items()},
            kept.models if kept else {},
            kept.nested if kept else {},
            left_out,
        )

    def key(self, model: StudyModel, *, nested: bool = False) -> str:
        """What a result depends on."""
        cohorts = self._cohorts(model.group)
        tests = None if nested else {name: len(test.data) for name, test in cohorts.tests.items()}
        return result_key(
            self._configuration, self._question.scenario, len(cohorts.development.data), tests, model.recipe
        )

    def fit(self, model: StudyModel, earlier: ModelResult | None = None) -> ModelResult:
        """Tuned in inner folds of the development patients, fitted on all of them, asked about the test patients.

        `earlier`: what stands in the file. The tuning never sees test patients, so where these alone are others, what
        it chose is taken as it is.
        """
        start = time.process_time()
        cohorts = self._cohorts(model.group)
        result = ModelResult(
            self.key(model), model.group, model.modality, model.roi, model.readout, model.downsampler, model.fusion
        )
        seed = derive_seed(self._fitting.seed, model.name, self._question.scenario)
        data = cohorts.development.data
        try:
            tuned = self._fit_as_before(model, earlier, seed)
            before = earlier.seconds if tuned and earlier else 0.0
            tuned = tuned or fit_tuned(model.recipe, data, self._budget, seed)
            risks = self._ask(tuned, cohorts)
        except FIT_ERRORS as error:
            return msgspec.structs.replace(result, error=str(error) or type(error).__name__)
        return msgspec.structs.replace(
            result,
            chosen=tuned.choice.alternative.name if len(model.recipe.alternatives) > 1 else "",
            values=_shorten(tuned.choice.values),
            log_risk=risks,
            fits=count_fits(model, self._fitting),
            seconds=round(before + time.process_time() - start, 2),
        )

    @staticmethod
    def _ask(tuned: TunedModel, cohorts: _Cohorts) -> dict[str, list[float]]:
        return {name: np.round(tuned.log_risk(test.data), _DIGITS).tolist() for name, test in cohorts.tests.items()}

    def _fit_as_before(self, model: StudyModel, earlier: ModelResult | None, seed: int) -> TunedModel | None:
        """The model with what was chosen earlier on the same development patients, None where that is not known or
        gives those test patients that were asked about other risks than it gave then."""
        cohorts = self._cohorts(model.group)
        data = cohorts.development.data
        if earlier is None or earlier.error or model.recipe.fixed:
            return None
        asked = {name: len(risk) for name, risk in earlier.log_risk.items()}
        if earlier.key != result_key(self._configuration, self._question.scenario, len(data), asked, model.recipe):
            return None
        choice = _find_choice(model, earlier, self._budget)
        if choice is None:
            return None
        tuned = TunedModel(choice, choice.model.fit(data, seed))
        for name, risks in self._ask(tuned, cohorts).items():
            known = earlier.log_risk.get(name, [])
            if not np.allclose(risks[: len(known)], known[: len(risks)], rtol=0, atol=2 * 10.0**-_DIGITS):
                return None
        return tuned

    def validate(self, kept: ScenarioResults, path: Path, deadline: float) -> None:
        """Nested cross-validation within the development patients, model by model."""
        fitting = self._fitting
        plan = FoldPlan(folds=fitting.outer_folds, repeats=fitting.outer_repeats, seed=fitting.seed)
        settings = Validation(plan, self._budget, fitting.seed)
        models = nested_models(self._configuration.embedding)
        if self._small:
            models += study_models(self._configuration.embedding, ("small maps",))
        if self._imagenet is not None:
            models += nested_imagenet(self._configuration.embedding)
        for model in models:
            key = self.key(model, nested=True)
            known = kept.nested.get(model.name)
            if (known is not None and known.key == key) or time.monotonic() >= deadline:
                continue
            start = time.process_time()
            data = self._cohorts(model.group).development.data
            validated = validate_models(data, [model.recipe], settings)[0]
            error = validated.errors[0] if validated.errors else ""
            c = validated.fold_values(concordance, data)
            pooled = [concordance(data.times_months, data.events, one) for one in validated.standardised]
            kept.nested[model.name] = NestedResult(
                key,
                np.round(np.nan_to_num(c, nan=-1.0), _DIGITS).tolist(),
                round(float(np.nan_to_num(np.mean(pooled), nan=-1.0)), _DIGITS),
                sorted({fold.unit.alternative for fold in validated.folds}),
                round(time.process_time() - start, 1),
                error,
            )
            write_results(kept, path)


def _choose(models: Sequence[StudyModel], names: Sequence[str]) -> tuple[StudyModel, ...]:
    unknown = set(names) - {model.name for model in models}
    if unknown:
        known = "; ".join(model.name for model in models)
        raise InputError(f"No model of these groups is named {sorted(unknown)[0]!r}; use one of: {known}.")
    return tuple(model for model in models if model.name in names)


def _list_runs(configuration: StudyConfiguration, parts: Path, plan: Plan) -> Iterator[tuple[Question, int]]:
    for question in configuration.questions:
        if plan.scenarios and question.scenario not in plan.scenarios:
            continue
        there = count_embedded(configuration, question.development, parts)
        if _ready_tests(configuration, question, parts):
            for size in plan.sizes or configuration.fitting.sizes:
                if size <= there:
                    yield question, size


def _ready_tests(configuration: StudyConfiguration, question: Question, parts: Path) -> list[tuple[str, str]]:
    enough = configuration.fitting.smallest_test
    return [test for test in question.tests if count_embedded(configuration, test[0], parts) >= enough]


def _is_new(kept: ScenarioResults, name: str, key: str) -> bool:
    return name not in kept.models or kept.models[name].key != key


def _shorten(values: Values) -> Values:
    return {name: float(f"{value:.4g}") for name, value in values.items()}


def _find_choice(model: StudyModel, earlier: ModelResult, budget: Budget) -> Choice | None:
    """The point that was tried then, with all its digits."""
    for alternative in model.recipe.alternatives:
        if earlier.chosen in ("", alternative.name):
            for values in sobol_points(alternative.space, budget.trials, budget.points_seed):
                if _shorten(values) == earlier.values:
                    return Choice(alternative, values, None)
    return None
