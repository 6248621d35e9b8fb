"""Saved results are judged against the truth, and the page says that all is simulated."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import msgspec
import numpy as np
import pytest
from study_makers import make_configuration

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.simulation.scenario import load_scenario
from MemorySurvivalLib.study.configuration import StudyConfiguration
from MemorySurvivalLib.study.evidence import BEGIN, END, describe_hotspots, describe_study, load_results, write_page
from MemorySurvivalLib.study.hotspot_results import ExplainedCase, Finding, HotspotResults
from MemorySurvivalLib.study.hotspots import HOTTEST
from MemorySurvivalLib.study.judging import Judge, draw_tested, judge_goals
from MemorySurvivalLib.study.models import (
    ALL,
    CLINICAL,
    EMBEDDING,
    EMBEDDING_STATISTICS,
    IMAGENET_CNN,
    PUBLISHED,
    STATISTICS,
    Group,
    embedding_name,
    study_models,
)
from MemorySurvivalLib.study.parts import NOTICE
from MemorySurvivalLib.study.results import (
    ModelResult,
    NestedResult,
    ScenarioResults,
    result_key,
    result_path,
    without_outdated,
    write_results,
)

TESTED = 150
LAST = embedding_name("PET+CT", "spine_dilated", "last", "grid")


@pytest.fixture(scope="module")
def configuration() -> StudyConfiguration:
    made = make_configuration(TESTED)
    return msgspec.structs.replace(made, fitting=msgspec.structs.replace(made.fitting, resamples=20))


def invent(configuration: StudyConfiguration, scenario: str, noise: dict[str, float], patients: int) -> ScenarioResults:
    """Results of models that know the oracle's log hazard up to so much noise (infinite: nothing)."""
    rng = np.random.default_rng(3)
    drawn = draw_tested(scenario, configuration.cohort("main-test").seed, TESTED)
    hazard = np.array([patient.log_hazard for patient in drawn])
    recipes = {model.name: model.recipe for model in study_models(configuration.embedding, get_args(Group))}
    models = {}
    for name, sd in noise.items():
        draws = rng.normal(size=TESTED)
        risk = draws if np.isinf(sd) else hazard + sd * draws
        tested = f"main-test/{scenario}"
        key = result_key(configuration, scenario, patients, {tested: TESTED}, recipes[name])
        models[name] = ModelResult(key, "baselines", "", "", "", "", "", log_risk={tested: risk.tolist()})
    sha256 = load_scenario(scenario).sha256
    results = ScenarioResults(
        NOTICE, "c", "e", scenario, sha256, "main-dev", patients, 100, {f"main-test/{scenario}": TESTED}, models
    )
    key = result_key(configuration, scenario, patients, None, recipes[CLINICAL])
    results.nested[CLINICAL] = NestedResult(key, [[0.61, 0.65]], 0.6, ["ridge"], 1.0)
    return results


GOOD = {
    ALL: 0.05,
    EMBEDDING: 0.3,
    EMBEDDING_STATISTICS: 0.2,
    STATISTICS: 3.0,
    f"{STATISTICS}, MLP": 3.0,
    PUBLISHED: 9.0,
}


def test_the_oracle_recovers_all_and_noise_nothing(configuration: StudyConfiguration) -> None:
    results = invent(configuration, "main", {ALL: 0.0, EMBEDDING: np.inf}, 227)
    judge = Judge(configuration, results, "main-test/main")
    assert judge.recovered(ALL).value == pytest.approx(1)
    assert judge.recovered(ALL).low == pytest.approx(1)
    assert judge.oracle.low < judge.oracle.value < judge.oracle.high
    assert judge.oracle_with_frailty > 0.5
    chance = judge.c(EMBEDDING)
    assert chance.low < 0.5 < chance.high
    gain = judge.difference(ALL, EMBEDDING)
    assert gain.value == pytest.approx(judge.c_alone(ALL) - chance.value)
    assert gain.low > 0


def test_goals_are_met_missed_or_open(configuration: StudyConfiguration) -> None:
    good = invent(configuration, "main", GOOD, 227)
    met = judge_goals(configuration, [good])
    assert [goal.met for goal in met] == [True, True, None, True, True]
    worse = invent(configuration, "main", {**GOOD, ALL: 2.0, EMBEDDING: np.inf, LAST: 0.1}, 500)
    later = judge_goals(configuration, [worse, good])
    assert [goal.development for goal in later] == [500] * 5, "the largest development cohort is judged"
    assert [goal.met for goal in later[:3]] == [False, False, False]
    null = invent(configuration, "null", {ALL: 0.4, CLINICAL: 0.4, EMBEDDING: np.inf}, 227)
    assert [goal.met for goal in judge_goals(configuration, [null])] == [True, True]
    leaky = invent(configuration, "null", {ALL: 0.1, CLINICAL: 3.0, EMBEDDING: 0.3}, 227)
    assert [goal.met for goal in judge_goals(configuration, [leaky])] == [False, False]


def test_goals_are_judged_apart_on_patients_nobody_was_asked_about(configuration: StudyConfiguration) -> None:
    """A model that knows the first patients by heart, and of the others nothing, is found out there."""
    test, seen = "main-test/main", 60
    results = invent(configuration, "main", GOOD, 227)
    noise = invent(configuration, "main", {ALL: np.inf}, 227).models[ALL].log_risk[test]
    learned = results.models[ALL]
    results.models[ALL] = msgspec.structs.replace(
        learned, log_risk={test: [*learned.log_risk[test][:seen], *noise[seen:]]}
    )
    assert judge_goals(configuration, [results], unseen=True)[0].tested == TESTED, "nobody was seen before"
    cohorts = tuple(
        msgspec.structs.replace(one, seen=seen if one.name == "main-test" else 0) for one in configuration.cohorts
    )
    looked = msgspec.structs.replace(configuration, cohorts=cohorts)
    (apart, *_others) = judge_goals(looked, [results], unseen=True)
    assert (apart.tested, apart.met) == (TESTED - seen, False)
    assert apart.outcome is not None and apart.outcome.low < 0.2
    first = Judge(looked, results, test, patients=seen)
    assert first.recovered(ALL).value > 0.85 > Judge(looked, results, test, first=seen).recovered(ALL).value
    assert "whom no earlier configuration of the study was asked about" in describe_study(looked, [results])
    all_seen = msgspec.structs.replace(
        configuration, cohorts=tuple(msgspec.structs.replace(one, seen=TESTED - 5) for one in configuration.cohorts)
    )
    assert not judge_goals(all_seen, [results], unseen=True), "too few to say anything"


def test_results_of_other_patients_are_refused(configuration: StudyConfiguration) -> None:
    results = invent(configuration, "main", {ALL: 0.1}, 227)
    fewer = msgspec.structs.replace(results, tests={"main-test/main": TESTED - 1})
    with pytest.raises(InputError, match="150 test patients, not of 149"):
        Judge(configuration, fewer, "main-test/main").c(ALL)


def test_a_model_of_few_test_patients_is_compared_on_these(configuration: StudyConfiguration) -> None:
    results = invent(configuration, "main", {EMBEDDING: 0.1, IMAGENET_CNN: np.inf}, 227)
    test, few = "main-test/main", 60
    cnn = results.models[IMAGENET_CNN]
    results.models[IMAGENET_CNN] = msgspec.structs.replace(cnn, log_risk={test: cnn.log_risk[test][:few]})
    results.left_out["imagenet"] = "Its vectors are not here."
    judge = Judge(configuration, results, test, few)
    assert len(judge.events) == few
    gain = judge.difference(EMBEDDING, IMAGENET_CNN)
    assert gain.low > 0
    text = describe_study(configuration, [results])
    assert f"| {test} | 227 | {few} | {EMBEDDING} | {judge.c(EMBEDDING)} | {gain} |" in text
    assert f"| {test} | 227 | {few} | {IMAGENET_CNN} | {judge.c(IMAGENET_CNN)} |  |" in text
    assert "- Its vectors are not here." in text
    with pytest.raises(InputError, match="60 test patients, not of 150"):
        Judge(configuration, results, test).c(IMAGENET_CNN)


def test_what_was_fitted_on_fewer_patients_alone_is_shown_too(configuration: StudyConfiguration) -> None:
    many = invent(configuration, "main", {EMBEDDING: 0.1}, 500)
    many.nested.clear()
    few = invent(configuration, "main", {EMBEDDING: 0.2, PUBLISHED: 2.0}, 227)
    judge = Judge(configuration, few, "main-test/main")
    text = describe_study(configuration, [few, many])
    row = f"| {PUBLISHED} | 227 | {TESTED} | {judge.c(PUBLISHED)} | {judge.recovered(PUBLISHED)} |"
    assert text.partition("Learned from fewer patients, asked about main-test/main")[2].count(row) == 1
    assert f"| {EMBEDDING} | 227 |" not in text
    assert "within the 227 development patients of main (simulated)" in text
    assert "Learned from fewer patients" not in describe_study(configuration, [many])


def test_growth_is_shown_by_size_with_gaps(configuration: StudyConfiguration) -> None:
    few = invent(configuration, "main", {STATISTICS: 3.0, ALL: 1.0, EMBEDDING: 2.0}, 100)
    some = invent(configuration, "main", {STATISTICS: 2.0, EMBEDDING: 2.0}, 120)
    many = invent(configuration, "main", {STATISTICS: 1.0, ALL: 0.05, EMBEDDING: 2.0}, 150)
    text = describe_study(configuration, [few, some, many])
    growth = text.partition("### More patients to learn from (simulated)")[2].splitlines()
    assert f"| scenario | model | tested on | {few.patients} | {some.patients} | {many.patients} |" in growth
    judges = [Judge(configuration, one, "main-test/main") for one in (few, some, many)]
    by_size = " | ".join(f"{judge.c_alone(STATISTICS):.3f}" for judge in judges)
    assert f"| main | {STATISTICS} | {TESTED} | {by_size} |" in growth
    assert f"| main | {ALL} | {TESTED} | {judges[0].c_alone(ALL):.3f} |  | {judges[2].c_alone(ALL):.3f} |" in growth
    assert "More patients to learn from" not in describe_study(configuration, [many])


def test_explained_cases_stand_beside_chance(configuration: StudyConfiguration) -> None:
    near, far = Finding((0.0, 0.0, 0.0), 4.0, 0.2, "lesion"), Finding((0.0, 0.0, 0.0), 30.0, None, "organ")
    shares = {"lesion": 0.1, "distractor": 0.2, "organ": 0.3, "elsewhere": 0.4}
    case = ExplainedCase(3, 2, 0.02, shares, 6.0, 9, 9, 1.0, {ALL: near, HOTTEST: far})
    text = describe_hotspots(configuration, HotspotResults(NOTICE, "k", "spatial", "main-test", 227, {"3": case}, [1]))
    assert "(simulated)" in text.splitlines()[0]
    assert f"| {ALL} | 1 | 1.0 | [0.207, 1.0] | 1 of 1 | 0 | 0 | 0 | 0 | 0.2 | 10.0 |" in text
    assert f"| {HOTTEST} | 1 | 0.0 | [0.0, 0.793] | 0 of 1 | 0 | 1 | 0 | 0 |  |  |" in text
    assert "| a point by chance | 1 | 0.1 |  |  | 20% | 30% | 40% |  | 0.02 | 1.0 |" in text


def test_what_is_to_be_fitted_again_stands_on_no_page(configuration: StudyConfiguration) -> None:
    results = invent(configuration, "main", {CLINICAL: 1.0, STATISTICS: 2.0, EMBEDDING: 0.3}, 227)
    results.models["a model that is asked no more"] = results.models[CLINICAL]
    failed = ModelResult("old", "fused", "", "", "", "", "", error="It did not converge.")
    results.models[ALL] = failed
    assert set(without_outdated(configuration, results).models) == {CLINICAL, STATISTICS, EMBEDDING, ALL}
    assert set(without_outdated(configuration, results).nested) == {CLINICAL}
    fitting = msgspec.structs.replace(configuration.fitting, trials=configuration.fitting.trials + 1)
    budget = msgspec.structs.replace(configuration, fitting=fitting)
    assert not without_outdated(budget, results).nested and set(without_outdated(budget, results).models) == {ALL}
    close = configuration.embedding.close_up
    assert close is not None
    other = msgspec.structs.replace(close, reader_sha256="1" * 64)
    embedding = msgspec.structs.replace(configuration.embedding, close_up=other)
    reader = without_outdated(msgspec.structs.replace(configuration, embedding=embedding), results)
    assert set(reader.models) == {CLINICAL, STATISTICS, ALL}, "only what may read close-ups depends on the reader"


def test_the_page_keeps_what_is_around_the_section(configuration: StudyConfiguration, tmp_path: Path) -> None:
    page = tmp_path / "evidence.md"
    page.write_text("# Evidence\n\n## Stability\n\nold\n", encoding="utf-8")
    with pytest.raises(InputError, match="No results of this study"):
        write_page(configuration, tmp_path, page)
    for scenario, patients in (("spatial", 227), ("main", 500), ("main", 227)):
        results = invent(configuration, scenario, {**GOOD, CLINICAL: 1.0, LAST: 2.0}, patients)
        write_results(results, result_path(configuration, tmp_path, scenario, patients))
    assert [(one.scenario, one.patients) for one in load_results(configuration, tmp_path)] == [
        ("main", 227),
        ("main", 500),
        ("spatial", 227),
    ]
    write_page(configuration, tmp_path, page)
    text = page.read_text(encoding="utf-8")
    assert text.startswith("# Evidence\n\n## Stability\n\nold\n\n" + BEGIN)
    assert text.endswith(END + "\n")
    titles = [line for line in text.splitlines() if line.startswith("###")]
    assert len(titles) >= 4
    assert all("(simulated)" in title for title in titles)
    assert "Simulated patients, not persons" in text
    assert "| clinical | 0.630 (0.190 to 1.000) | 0.376 to 0.884 | 0.600 | ridge |" in text
    page.write_text(f"{text}\nafter\n", encoding="utf-8")
    write_page(configuration, tmp_path, page)
    assert page.read_text(encoding="utf-8") == f"{text}\nafter\n"
