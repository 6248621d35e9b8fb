"""Vectors are asked for the planted truth: what knows it explains it, noise explains nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from study_makers import embed_made_up, make_configuration

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.simulation.hazard import IMAGE_TERMS, hazard_terms, log_hazard
from MemorySurvivalLib.simulation.patient import Patient, draw_patients
from MemorySurvivalLib.simulation.scenario import load_scenario
from MemorySurvivalLib.study.configuration import Embedding, Extra
from MemorySurvivalLib.study.embed_cohorts import embed_cohorts
from MemorySurvivalLib.study.embedding import EmbeddedCase
from MemorySurvivalLib.study.evidence import describe_probes
from MemorySurvivalLib.study.probing import ALL_TERMS, _explain, probe_path, probe_vectors, read_probes, true_terms


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
    assert f"| dilated spine, mean | 8 | {mean.explained['focal']:.2f} |" in text
    written[0].write_text("{", encoding="utf-8")
    with pytest.raises(InputError, match="probe again"):
        read_probes(written[0])
