"""The study itself: models fitted on development patients and asked about test patients; resumed model by model."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import msgspec
import numpy as np

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.files import atomic_file
from MemorySurvivalLib.progress import Meter, ProgressCallback, ignore_progress
from MemorySurvivalLib.simulation.scenario import load_scenario
from MemorySurvivalLib.study.cohorts import StudyCohort, read_cohort
from MemorySurvivalLib.study.configuration import CLOSE, Extra, Fitting, Question, StudyConfiguration
from MemorySurvivalLib.study.embed_cohorts import count_embedded
from MemorySurvivalLib.study.models import Group, StudyModel, nested_imagenet, nested_models, study_models
from MemorySurvivalLib.study.parts import NOTICE
from MemorySurvivalLib.training.folds import FoldPlan
from MemorySurvivalLib.training.inner_score import concordance
from MemorySurvivalLib.training.nested import Validation, derive_seed, fit_tuned, validate_models
from MemorySurvivalLib.training.tuning import FIT_ERRORS, Budget, Recipe

_FORMAT = 1
_DIGITS = 4


class ModelResult(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One model fitted once. `key` ties it to embedding, scenario, patients, recipe and budget; `log_risk` are those of
    the test patients in their order, by "cohort/scenario"; `fits` how many fits it took."""

    key: str
    group: str
    modality: str
    roi: str
    readout: str
    downsampler: str
    fusion: str
    chosen: str = ""
    values: dict[str, float] = {}
    log_risk: dict[str, list[float]] = {}
    fits: int = 0
    seconds: float = 0.0
    error: str = ""


class NestedResult(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One model judged within the development patients: `c` (repeats, folds), and the pooled out-of-fold c."""

    key: str
    c: list[list[float]]
    pooled_c: float
    chosen: list[str]
    seconds: float
    error: str = ""


class ScenarioResults(msgspec.Struct, forbid_unknown_fields=True):
    """One file of results: a scenario at one size of the development cohort. `left_out` says by group why its models
    were not fitted."""

    notice: str
    configuration: str
    embedding: str
    scenario: str
    scenario_sha256: str
    development: str
    patients: int
    events: int
    tests: dict[str, int]
    models: dict[str, ModelResult] = {}
    nested: dict[str, NestedResult] = {}
    left_out: dict[str, str] = {}


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
    those are judged on the first test patients that have them. A result of other patients or settings is fitted
    again. Raises InputError where nothing can be run.
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
                kept.models[model.name] = run.fit(model)
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


def result_path(configuration: StudyConfiguration, results: Path, scenario: str, size: int) -> Path:
    """The file of one scenario at one size."""
    return results / f"embedding-{configuration.embedding.sha256[:12]}" / f"{scenario}-n{size:04d}.json"


def read_results(path: Path) -> ScenarioResults | None:
    """A file of results, None where there is none. Raises InputError where it is damaged."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=ScenarioResults)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as error:
        raise InputError(f"The results {path} cannot be read ({error}); delete the file and run again.") from error


def write_results(results: ScenarioResults, path: Path) -> None:
    """Write them whole or not at all, one line a model, so that changes can be read."""
    results.models = dict(sorted(results.models.items()))
    results.nested = dict(sorted(results.nested.items()))
    with atomic_file(path) as temporary:
        temporary.write_bytes(_one_line_each(results))


def count_fits(model: StudyModel, fitting: Fitting) -> int:
    """How many fits a tuned model takes: every point in every inner fold, and the last one on all patients."""
    recipe = model.recipe
    if recipe.fixed:
        return 1
    trials = sum(fitting.trials if alternative.space else 1 for alternative in recipe.alternatives)
    return trials * fitting.inner_folds + 1


def result_key(
    configuration: StudyConfiguration, scenario: str, patients: int, tests: Mapping[str, int] | None, recipe: Recipe
) -> str:
    """What a result depends on: embedding, scenario, how many patients taught and were asked, recipe and budget.

    `tests` None: a nested cross-validation."""
    embedding, fitting, described = configuration.embedding, configuration.fitting, repr(recipe)
    read = [one.sha256 for one in embedding.ways if one is embedding or f"/{CLOSE}" in described]
    said = (
        _FORMAT,
        read[0] if len(read) == 1 else read,
        load_scenario(scenario).sha256,
        patients,
        [] if tests is None else tests,
        described,
        fitting if tests is None else (Budget(fitting.trials, fitting.inner_folds, fitting.seed), fitting.seed),
    )
    return hashlib.sha256(msgspec.json.encode(said, order="sorted")).hexdigest()[:16]


def without_outdated(configuration: StudyConfiguration, results: ScenarioResults) -> ScenarioResults:
    """Without results of other recipes, patients or settings than the configuration's, which are to be fitted again."""
    recipes = {model.name: model.recipe for model in study_models(configuration.embedding, get_args(Group))}

    def key(name: str, tests: Mapping[str, int] | None) -> str:
        return result_key(configuration, results.scenario, results.patients, tests, recipes[name])

    models = {
        name: one
        for name, one in results.models.items()
        if name in recipes
        and (one.error or one.key == key(name, {test: len(risk) for test, risk in one.log_risk.items()}))
    }
    nested = {name: one for name, one in results.nested.items() if name in recipes and one.key == key(name, None)}
    return msgspec.structs.replace(results, models=models, nested=nested)


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
        """The file as it is, with the sizes of today; without results on other numbers of test patients, which no page
        could compare with those to come."""
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
            {name: one for name, one in kept.models.items() if self._is_of_today(one)} if kept else {},
            kept.nested if kept else {},
            left_out,
        )

    def _is_of_today(self, result: ModelResult) -> bool:
        tests = self._all.tests
        return result.group == "imagenet" or all(
            name not in tests or len(risk) == len(tests[name].data) for name, risk in result.log_risk.items()
        )

    def key(self, model: StudyModel, *, nested: bool = False) -> str:
        """What a result depends on."""
        cohorts = self._cohorts(model.group)
        tests = None if nested else {name: len(test.data) for name, test in cohorts.tests.items()}
        return result_key(
            self._configuration, self._question.scenario, len(cohorts.development.data), tests, model.recipe
        )

    def fit(self, model: StudyModel) -> ModelResult:
        """Tuned in inner folds of the development patients, fitted on all of them, asked about the test patients."""
        start = time.process_time()
        cohorts = self._cohorts(model.group)
        result = ModelResult(
            self.key(model), model.group, model.modality, model.roi, model.readout, model.downsampler, model.fusion
        )
        seed = derive_seed(self._fitting.seed, model.name, self._question.scenario)
        try:
            tuned = fit_tuned(model.recipe, cohorts.development.data, self._budget, seed)
            risks = {name: tuned.log_risk(test.data) for name, test in cohorts.tests.items()}
        except FIT_ERRORS as error:
            return msgspec.structs.replace(result, error=str(error) or type(error).__name__)
        return msgspec.structs.replace(
            result,
            chosen=tuned.choice.alternative.name if len(model.recipe.alternatives) > 1 else "",
            values={name: float(f"{value:.4g}") for name, value in tuned.choice.values.items()},
            log_risk={name: np.round(risk, _DIGITS).tolist() for name, risk in risks.items()},
            fits=count_fits(model, self._fitting),
            seconds=round(time.process_time() - start, 2),
        )

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


def _one_line_each(results: ScenarioResults) -> bytes:
    """JSON of the file with each model on a line of its own."""
    plain = msgspec.to_builtins(results)
    lines = [f"{_text(name)}: {_text(value)}" for name, value in plain.items() if name not in ("models", "nested")]
    for name in ("models", "nested"):
        rows = ",\n ".join(f"{_text(key)}: {_text(value)}" for key, value in plain[name].items())
        lines.append(f"{_text(name)}: {{\n {rows}\n}}" if rows else f"{_text(name)}: {{}}")
    return ("{\n" + ",\n".join(lines) + "\n}\n").encode()


def _text(value: object) -> str:
    return msgspec.json.encode(value).decode()
