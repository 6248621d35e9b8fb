"""The study on made-up embeddings: what is fitted, that it resumes, and that it says what it was fitted on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from study_makers import embed_all, make_configuration

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.study import running
from MemorySurvivalLib.study.cohorts import read_cohort
from MemorySurvivalLib.study.configuration import StudyConfiguration, load_configuration
from MemorySurvivalLib.study.models import (
    ALL,
    CLINICAL,
    DEEP_HIDING,
    EMBEDDING,
    IMAGENET_CNN,
    IMAGENET_STATISTICS,
    PUBLISHED,
    STATISTICS,
    StudyModel,
    nested_models,
    study_models,
)
from MemorySurvivalLib.study.results import (
    ModelResult,
    ScenarioResults,
    read_results,
    result_key,
    result_path,
    without_outdated,
    write_results,
)
from MemorySurvivalLib.study.running import Plan, count_fits, run_study
from MemorySurvivalLib.training.inner_score import concordance
from MemorySurvivalLib.training.models.cox import PartialLikelihood, RidgeCox, fit_cox
from MemorySurvivalLib.training.models.features import StateVectors, VectorFeatures
from MemorySurvivalLib.training.nested import TunedModel, fit_tuned
from MemorySurvivalLib.training.tuning import Recipe

GROUPS = ("baselines", "embeddings", "fused", "deep", "imagenet", "published", "small maps")


@pytest.fixture(scope="module")
def configuration() -> StudyConfiguration:
    return make_configuration(90)


@pytest.fixture(scope="module")
def parts(configuration: StudyConfiguration, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("parts")
    embed_all(configuration, root)
    return root


def keep_models(monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...]) -> None:
    """Leave the others out: a network takes a second."""

    def keep(make: Callable[..., tuple[StudyModel, ...]]) -> Callable[..., tuple[StudyModel, ...]]:
        return lambda *given: tuple(model for model in make(*given) if model.name in names)

    for name in ("study_models", "nested_models", "nested_imagenet"):
        monkeypatch.setattr(running, name, keep(getattr(running, name)))


def test_every_model_has_a_name_and_needs_only_what_is_kept() -> None:
    embedding = load_configuration().embedding
    models = study_models(embedding, GROUPS)
    names = [model.name for model in models]
    assert len(set(names)) == len(names)
    assert {CLINICAL, STATISTICS, EMBEDDING, ALL, PUBLISHED, DEEP_HIDING} <= set(names)
    assert {f"{stage} alone" for stage in ("ISS", "R-ISS", "R2-ISS")} <= set(names)
    rejected = [name.partition(":")[0] for name in names if name.startswith(("flatten", "3D CNN", "PCA"))]
    assert sorted(set(rejected)) == ["3D CNN", "PCA", "flatten"]
    kept = {name for way in embedding.ways for name in (*way.region_readouts, *way.peak_readouts, *way.lesion_readouts)}
    assert {model.readout for model in models if model.group == "embeddings"} == {*kept, "encoder"}
    assert len(nested_models(embedding)) == 7
    fits = sum(count_fits(model, load_configuration().fitting) for model in models)
    assert fits < 14_000, "the budget of fits a scenario and size"


@pytest.mark.parametrize("state_penalty", [1e6, None])
def test_states_can_be_penalised_apart(configuration: StudyConfiguration, parts: Path, state_penalty: float) -> None:
    data = read_cohort(configuration, "main-dev", "main", parts).data
    vectors = StateVectors(("PET/skeleton/mean/region",))
    both = RidgeCox("both", VectorFeatures(statistics=("*",), states=vectors), state_penalty=state_penalty)
    alone = RidgeCox("alone", VectorFeatures(statistics=("*",)))
    apart = np.abs(both.fit(data, 0).log_risk(data) - alone.fit(data, 0).log_risk(data)).max()
    assert (apart < 1e-4) == (state_penalty is not None)


def test_more_columns_than_patients_still_have_one_maximum() -> None:
    """At the maximum the likelihood's slope equals the penalty's, for each column with its own penalty."""
    rng = np.random.default_rng(5)
    x, times, events = (
        rng.normal(size=(40, 70)) * rng.uniform(0.2, 5, 70),
        rng.exponential(size=40),
        rng.random(40) < 0.7,
    )
    penalty = np.where(np.arange(70) < 4, 0.05, 2.0)
    beta = fit_cox(x, times, events, penalty) * x.std(axis=0, ddof=1)
    order = np.argsort(times)
    z = (x - x.mean(axis=0)) / x.std(axis=0, ddof=1)
    _, gradient, _ = PartialLikelihood(z[order], times[order], events[order], "efron").at(beta)
    np.testing.assert_allclose(gradient / 40, penalty * beta, atol=1e-6)
    assert np.abs(beta).max() > 0.05


def test_a_run_of_named_models_fits_these_alone(
    configuration: StudyConfiguration, parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_models(monkeypatch, (CLINICAL, STATISTICS))
    plan = Plan(scenarios=("main",), groups=("baselines",), models=(STATISTICS,))
    results = read_results(run_study(configuration, parts, tmp_path, plan)[0])
    assert results is not None and (set(results.models), results.nested) == ({STATISTICS}, {})
    with pytest.raises(InputError, match=f"No model of these groups is named 'X'; use one of: {CLINICAL}; "):
        run_study(configuration, parts, tmp_path, replace(plan, models=(STATISTICS, "X")))


def test_a_run_resumes_and_knows_its_patients(
    configuration: StudyConfiguration, parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_models(monkeypatch, (CLINICAL, STATISTICS, EMBEDDING))
    plan = Plan(scenarios=("main", "null"), groups=("baselines", "fused"), nested=False)
    paths = run_study(configuration, parts, tmp_path, plan)
    assert [path.name for path in paths] == ["main-n0090.json", "null-n0090.json"]
    main = read_results(paths[0])
    assert main is not None
    assert main.tests == {"main-test/main": 90, "second-test/second": 20}
    assert not [result.error for result in main.models.values() if result.error]
    test = read_cohort(configuration, "main-test", "main", parts).data
    risk = np.array(main.models[STATISTICS].log_risk["main-test/main"])
    assert concordance(test.times_months, test.events, risk) > 0.5, "made-up statistics follow the burden"
    assert main.models[EMBEDDING].chosen.split()[1] in ("mean", "max", "stations:4", "tops:3")
    assert main.models[EMBEDDING].fits == 11 * 2 * 2 + 1
    before = [path.read_bytes() for path in paths]

    def refuse(*_: object) -> None:
        raise AssertionError("a finished model was fitted again")

    with monkeypatch.context() as patch:
        patch.setattr(running, "fit_tuned", refuse)
        run_study(configuration, parts, tmp_path, plan)
    assert [path.read_bytes() for path in paths] == before
    changed = msgspec.structs.replace(configuration, fitting=msgspec.structs.replace(configuration.fitting, trials=1))
    run_study(changed, parts, tmp_path, replace(plan, scenarios=("main",), groups=("baselines",)))
    again = read_results(paths[0])
    assert again is not None
    assert again.models[STATISTICS].key != main.models[STATISTICS].key


def test_more_test_patients_are_asked_without_tuning_again(
    configuration: StudyConfiguration, parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was chosen is found again with all its digits; a file that says other risks than the model gives is not
    believed."""
    keep_models(monkeypatch, (STATISTICS, EMBEDDING))
    plan = Plan(scenarios=("main",), groups=("baselines", "fused"), nested=False)
    path = run_study(configuration, parts, tmp_path, plan)[0]
    whole = read_results(path)
    assert whole is not None
    first = {STATISTICS: 70, EMBEDDING: 60}
    fewer = {name: _ask_fewer(configuration, whole, name, count) for name, count in first.items()}
    older = msgspec.structs.replace(whole, models=fewer)
    assert not without_outdated(configuration, older).models, "fewer test patients than others have stand on no page"
    write_results(older, path)
    tuned: list[str] = []

    def note(recipe: Recipe, *given: Any) -> TunedModel:
        tuned.append(recipe.name)
        return fit_tuned(recipe, *given)

    monkeypatch.setattr(running, "fit_tuned", note)
    run_study(configuration, parts, tmp_path, plan)
    again = read_results(path)
    assert again is not None and not tuned
    for name in first:
        assert again.models[name].seconds >= fewer[name].seconds
        assert msgspec.structs.replace(again.models[name], seconds=whole.models[name].seconds) == whole.models[name]
    wrong = {test: [risk + 0.001 for risk in risks] for test, risks in fewer[STATISTICS].log_risk.items()}
    write_results(
        msgspec.structs.replace(whole, models={STATISTICS: msgspec.structs.replace(fewer[STATISTICS], log_risk=wrong)}),
        path,
    )
    run_study(configuration, parts, tmp_path, replace(plan, models=(STATISTICS,)))
    assert tuned == [STATISTICS]
    assert (read_results(path) or whole).models[STATISTICS].log_risk == whole.models[STATISTICS].log_risk


def _ask_fewer(configuration: StudyConfiguration, results: ScenarioResults, name: str, count: int) -> ModelResult:
    """A result as it was when the first test cohort had `count` patients."""
    model = results.models[name]
    risks = {test: risk[:count] for test, risk in model.log_risk.items()}
    asked = {test: len(risk) for test, risk in risks.items()}
    (recipe,) = (m.recipe for m in study_models(configuration.embedding, GROUPS) if m.name == name)
    key = result_key(configuration, results.scenario, results.patients, asked, recipe)
    return msgspec.structs.replace(model, key=key, log_risk=risks)


def test_nested_validation_is_kept_with_the_heads_on_maps(
    configuration: StudyConfiguration, parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_models(monkeypatch, (CLINICAL, STATISTICS))
    plan = Plan(scenarios=("main",), groups=())
    path = run_study(configuration, parts, tmp_path, plan)[0]
    results = read_results(path)
    assert results is not None
    assert set(results.nested) == {CLINICAL, STATISTICS}
    assert np.shape(results.nested[STATISTICS].c) == (1, 2)
    assert 0 < results.nested[CLINICAL].pooled_c < 1
    assert not results.models


def test_the_imagenet_network_is_asked_about_patients_that_have_its_vectors(
    configuration: StudyConfiguration, parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_models(monkeypatch, (IMAGENET_CNN, IMAGENET_STATISTICS))
    path = run_study(configuration, parts, tmp_path, Plan(("main",), ("imagenet",)))[0]
    results = read_results(path)
    assert results is not None
    assert results.tests == {"main-test/main": 90, "second-test/second": 20}
    for name in (IMAGENET_CNN, IMAGENET_STATISTICS):
        assert [len(risk) for risk in results.models[name].log_risk.values()] == [30, 20]
        assert not results.models[name].error
        assert not results.nested[name].error
    assert set(results.models[IMAGENET_STATISTICS].values) == {"penalty", "state_penalty"}
    assert not results.left_out


def test_the_imagenet_network_is_left_out_with_a_reason(
    configuration: StudyConfiguration, parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_models(monkeypatch, (STATISTICS, IMAGENET_CNN))
    cohorts = tuple(msgspec.structs.replace(cohort, imagenet=20) for cohort in configuration.cohorts)
    fewer = msgspec.structs.replace(configuration, cohorts=cohorts)
    plan = Plan(("null",), ("baselines", "imagenet"), nested=False)
    with pytest.raises(InputError, match=r"fitted\. ImageNet vectors are kept of the first 20 patients"):
        run_study(fewer, parts, tmp_path, replace(plan, groups=("imagenet",)))
    results = read_results(run_study(fewer, parts, tmp_path, plan)[0])
    assert results is not None
    assert set(results.models) == {STATISTICS}
    assert results.left_out == {
        "imagenet": "ImageNet vectors are kept of the first 20 patients of main-dev alone; take fewer."
    }
    again = read_results(run_study(configuration, parts, tmp_path, plan)[0])
    assert again is not None
    assert set(again.models) == {STATISTICS, IMAGENET_CNN}
    assert not again.left_out


def test_no_time_fits_nothing(configuration: StudyConfiguration, parts: Path, tmp_path: Path) -> None:
    assert run_study(configuration, parts, tmp_path, Plan(("null",), minutes=0)) == []


def test_too_few_patients_are_said(configuration: StudyConfiguration, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Too few patients are embedded"):
        run_study(configuration, tmp_path / "empty", tmp_path, Plan())
    path = result_path(configuration, tmp_path, "main", 60)
    path.parent.mkdir(parents=True)
    path.write_text("{")
    with pytest.raises(InputError, match="cannot be read"):
        read_results(path)
