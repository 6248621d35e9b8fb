"""Vectors are asked for the planted truth: what knows it explains it, noise explains nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from study_makers import embed_made_up, make_configuration

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.simulation.hazard import IMAGE_TERMS, hazard_terms, log_hazard
from MemorySurvivalLib.simulation.patient import Patient, draw_patients
from MemorySurvivalLib.simulation.scenario import load_scenario
from MemorySurvivalLib.study.cohorts import StudyCohort, read_cohort
from MemorySurvivalLib.study.configuration import Embedding, Extra
from MemorySurvivalLib.study.embed_cohorts import embed_cohorts
from MemorySurvivalLib.study.embedding import EmbeddedCase
from MemorySurvivalLib.study.evidence import describe_probes
from MemorySurvivalLib.study.probing import ALL_TERMS, _explain, probe_path, probe_vectors, read_probes, true_terms
from MemorySurvivalLib.study.taught import RIDGE, TREES, Taught, teach_truth


def embed_marrow(patient: Patient, settings: Embedding, extras: frozenset[Extra]) -> EmbeddedCase:
    """Vectors that show how much of the marrow is infiltrated."""
    made = embed_made_up(patient, settings, extras)
    shown = 5 * patient.shown.disease.marrow_infiltration
    return replace(made, vectors={key: (0.2 * values + shown).half() for key, values in made.vectors.items()})


def test_the_terms_are_the_log_hazard() -> None:
    for name in ("main", "spatial", "confounded-site"):
        scenario = load_scenario(name)
        for patient in draw_patients(scenario, 5, range(20)):
            terms = hazard_terms(scenario.hazard, patient.person, patient.site.name)
            total = log_hazard(scenario.hazard, patient.person, patient.site.name)
            assert total == pytest.approx(sum(terms.values()) - scenario.hazard.offset, abs=1e-12)
            assert total == patient.log_hazard
            assert set(IMAGE_TERMS) < set(terms)


def test_what_knows_the_truth_explains_it() -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(size=200)
    noise = rng.normal(size=(200, 30))
    assert _explain(noise, truth) < 0.1
    assert _explain(np.concatenate([noise, truth[:, None] + 0.1 * noise[:, :1]], axis=1), truth) > 0.9


def ridge_rows(taught: tuple[Taught, ...]) -> dict[str, Taught]:
    return {one.name: one for one in taught if one.learner == RIDGE}


def test_what_columns_give_a_model_that_is_shown_the_truth(tmp_path: Path) -> None:
    configuration = make_configuration(60)
    embed_cohorts(configuration, configuration.order[:2], tmp_path / "parts", embed_one=embed_made_up)
    development, test = (
        read_cohort(configuration, name, "main", tmp_path / "parts") for name in ("main-dev", "main-test")
    )
    plain = ridge_rows(teach_truth(configuration, development, test))
    assert plain["clinical"].chosen == "" and plain["clinical"].recovered[0] < 0.97

    key = next(key for key in development.data.states if key.startswith("PET/") and key.endswith("/mean/peak"))

    def with_truth(cohort: StudyCohort) -> StudyCohort:
        shown = torch.from_numpy(cohort.log_hazard).float()[:, None, None, None]
        states = {**cohort.data.states, key: shown.expand(-1, 8, 1, 1)}
        return replace(cohort, data=replace(cohort.data, states=states))

    taught = teach_truth(configuration, with_truth(development), with_truth(test))
    known = ridge_rows(taught)
    best = known["embedding"]
    assert best.chosen.endswith("mean of peaks") and best.chosen.startswith(key.split("/")[1])
    assert best.recovered[0] == pytest.approx(1, abs=0.03) and best.recovered[1] <= best.recovered[0]
    assert best.c[0] > plain["embedding"].c[0]
    trees = next(one for one in taught if one.name == "embedding" and one.learner == TREES)
    assert trees.chosen == best.chosen and trees.recovered[0] > plain["embedding"].recovered[0]
    assert known["clinical"] == plain["clinical"]


def test_a_study_is_probed_and_told(tmp_path: Path) -> None:
    configuration = make_configuration(60)
    embed_cohorts(configuration, configuration.order[:1], tmp_path / "parts", embed_one=embed_marrow)
    written = probe_vectors(configuration, tmp_path / "parts", tmp_path / "results")
    assert [path.stem for path in written] == ["main", "spatial"]
    found = read_probes(probe_path(configuration, tmp_path / "results", "main"))
    assert found is not None
    assert found.patients == 60
    mean = next(one for one in found.probes if one.vector == "dilated spine, mean")
    assert mean.columns == 8
    assert mean.explained["infiltration"] > 0.8
    assert mean.explained["extramedullary"] < 0.3
    terms = true_terms("main", 31, 60)
    assert found.sd == {name: round(float(values.std()), 3) for name, values in terms.items()}
    assert np.allclose(terms[ALL_TERMS], sum(values for name, values in terms.items() if name != ALL_TERMS))
    text = describe_probes(found)
    assert "(simulated)" in text.splitlines()[0]
    assert found.taught == () and "shown the truth" not in text
    embed_cohorts(configuration, configuration.order[:2], tmp_path / "parts", embed_one=embed_marrow)
    probe_vectors(configuration, tmp_path / "parts", tmp_path / "results")
    again = read_probes(written[0])
    assert again is not None and again.probes == found.probes
    assert (again.test, again.tested) == ("main-test/main", 60)
    all_columns = again.taught[-1]
    said = "{:.3f} ({:.3f} to {:.3f})".format(*all_columns.recovered)
    assert all_columns.name == "embedding + statistics + clinical"
    assert f"| {all_columns.chosen} | {all_columns.columns} |" in describe_probes(again)
    assert said in describe_probes(again)
    assert f"| dilated spine, mean | 8 | {mean.explained['focal']:.2f} |" in text
    written[0].write_text("{", encoding="utf-8")
    with pytest.raises(InputError, match="probe again"):
        read_probes(written[0])
