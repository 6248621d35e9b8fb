"""What the study keeps of its models: one file a scenario and size, each result tied to what it depends on."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import get_args

import msgspec

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.files import atomic_file
from MemorySurvivalLib.simulation.scenario import load_scenario
from MemorySurvivalLib.study.configuration import CLOSE, StudyConfiguration
from MemorySurvivalLib.study.models import Group, study_models
from MemorySurvivalLib.training.tuning import Budget, Recipe

_FORMAT = 1


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
    """Without results of other recipes, patients or settings than the configuration's, which are to be fitted again.

    Those on other numbers of test patients than today's are among them, for nothing else could be compared with them;
    the ImageNet network alone has fewer.
    """
    recipes = {model.name: model.recipe for model in study_models(configuration.embedding, get_args(Group))}

    def key(name: str, tests: Mapping[str, int] | None) -> str:
        return result_key(configuration, results.scenario, results.patients, tests, recipes[name])

    models = {
        name: one
        for name, one in results.models.items()
        if name in recipes and (one.error or (one.key == key(name, _asked(one)) and _is_of_today(one, results)))
    }
    nested = {name: one for name, one in results.nested.items() if name in recipes and one.key == key(name, None)}
    return msgspec.structs.replace(results, models=models, nested=nested)


def _asked(result: ModelResult) -> dict[str, int]:
    return {test: len(risk) for test, risk in result.log_risk.items()}


def _is_of_today(result: ModelResult, results: ScenarioResults) -> bool:
    return result.group == "imagenet" or all(
        count == results.tests.get(test, count) for test, count in _asked(result).items()
    )


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
