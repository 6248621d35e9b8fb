"""The bundle that ships: it is what it says, and its reference risks are really those of cases it never saw."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from MemorySurvivalLib.bundle.archive import BACKBONE, HEADS
from MemorySurvivalLib.bundle.bundle import ModelBundle, load_bundle
from MemorySurvivalLib.bundle.registry import find_bundle
from MemorySurvivalLib.imaging.case import make_case
from MemorySurvivalLib.imaging.window import Modality
from MemorySurvivalLib.measure.statistics import measure_statistics
from MemorySurvivalLib.models import Models
from MemorySurvivalLib.pipeline import embed_case
from MemorySurvivalLib.roi.roi import Roi
from MemorySurvivalLib.scoring import needed_statistics, score_states
from MemorySurvivalLib.simulation.patient import Patient, draw_patient, draw_patients
from MemorySurvivalLib.simulation.scenario import load_scenario
from MemorySurvivalLib.simulation.scenario_case import simulate_patient
from MemorySurvivalLib.study.cohorts import StudyCohort, read_cohort
from MemorySurvivalLib.study.configuration import CLOSE, load_configuration

PARTS = Path(__file__).resolve().parents[1] / "Study" / "parts"
SCENARIO, TESTED = "main", "main-test"

NEAR_SDS = 5e-3
"""float16 vectors and six digits of a statistic are off by thousandths of the log-risks' spread."""


@pytest.fixture(scope="module")
def bundle() -> ModelBundle:
    return load_bundle(find_bundle("demonstration"))


def test_says_what_it_is(bundle: ModelBundle) -> None:
    manifest = bundle.manifest
    assert manifest.status == "demonstration"
    assert manifest.provenance.simulated
    assert manifest.backbone.architecture == "sam2.1-compact"
    assert "not MedSAM2" in manifest.backbone.release
    assert "SIMULATED" in bundle.card
    assert "Research use only, not a medical device" in bundle.card
    assert [head.covariates is None for head in manifest.heads] == [True, False]
    judged, ships = load_configuration().explaining, manifest.explain
    assert (ships.patch_mm, ships.stride_mm, ships.fill) == (judged.patch_mm, judged.stride_mm, judged.fill)
    assert ships.modalities == ("PET",)


def test_weights_are_small(bundle: ModelBundle) -> None:
    """The backbone in float16; heads on pooled states keep float32, which they need."""
    tensors = safetensors.torch.load(bundle.archive.members[BACKBONE])
    assert {t.dtype for t in tensors.values() if t.is_floating_point()} == {torch.float16}
    assert len(bundle.archive.members[BACKBONE]) <= 8.5e6
    assert len(bundle.archive.members[HEADS]) <= 1e6
    assert bundle.archive.path.stat().st_size <= 8.5e6


def score(
    bundle: ModelBundle, states: Mapping[Modality, torch.Tensor], statistics: Mapping[str, float], patient: Patient
) -> dict[str, float]:
    """Log-risks of both heads: the one without covariates scores those whose clinical values nobody gave."""
    return {
        risk.head: risk.log_risk
        for covariates in (None, patient.covariates)
        for risk in [
            score_states(bundle, states, covariates, simulated_case=True, other_roi=False, statistics=statistics)
        ]
    }


@pytest.fixture(scope="module")
def cohort(bundle: ModelBundle) -> StudyCohort:
    """The study's test patients, as they are embedded in the repository."""
    reference = bundle.manifest.heads[0].reference
    assert reference is not None
    return read_cohort(load_configuration(), TESTED, SCENARIO, PARTS, len(reference.log_risks))


def test_reference_risks_are_those_of_test_patients_whom_no_head_learned_from(
    bundle: ModelBundle, cohort: StudyCohort
) -> None:
    configuration = load_configuration()
    assert configuration.cohort(TESTED).seed != configuration.cohort("main-dev").seed
    patients = draw_patients(load_scenario(SCENARIO), configuration.cohort(TESTED).seed, range(len(cohort.data)))
    risks = [score(bundle, *kept(bundle, cohort, number), patient) for number, patient in enumerate(patients)]
    for entry in bundle.manifest.heads:
        assert entry.reference is not None
        stored, again = np.array(entry.reference.log_risks), np.sort([risk[entry.name] for risk in risks])
        assert stored.std() > 0.02
        np.testing.assert_allclose(again, stored, rtol=0, atol=NEAR_SDS * stored.std())


def test_a_reference_patient_simulated_again_scores_as_the_embedded_one(
    bundle: ModelBundle, cohort: StudyCohort
) -> None:
    """From the images on, as `score` does it, with the hospital's mask."""
    patient = draw_patient(load_scenario(SCENARIO), load_configuration().cohort(TESTED).seed, 0)
    simulated = simulate_patient(patient)
    case, mask = make_case(simulated.ct, simulated.pet), simulated.spine_dilated.reoriented()
    roi = Roi(mask.with_voxels(mask.voxels > 0), "spine_dilated", "simulated")
    passes = embed_case(Models().engine(bundle, torch.device("cpu")), bundle, case, roi)
    states = {modality: one_pass.readout.state() for modality, one_pass in passes.items()}
    measured = measure_statistics(case, roi.mask.voxels, needed_statistics(bundle))
    again, embedded = score(bundle, states, measured, patient), score(bundle, *kept(bundle, cohort, 0), patient)
    for entry in bundle.manifest.heads:
        assert entry.reference is not None
        assert abs(again[entry.name] - embedded[entry.name]) < NEAR_SDS * np.std(entry.reference.log_risks)


def kept(
    bundle: ModelBundle, cohort: StudyCohort, number: int
) -> tuple[dict[Modality, torch.Tensor], dict[str, float]]:
    """States and statistics of an embedded patient, as the bundle reads them."""
    propagation, roi = bundle.manifest.propagation, bundle.manifest.roi
    pooling = {"peak": "peak", "lesions": "lesions"}.get(str(propagation.inside), "region")
    kind = pooling if propagation.close_up_mm is None else f"{CLOSE}{pooling}"
    states = {
        modality: cohort.data.states[f"{modality}/{roi}/{propagation.readout}/{kind}"][number][None].float()
        for modality in bundle.manifest.heads[0].spec.modalities
    }
    return states, {name: float(cohort.data.statistics[f"{roi}/{name}"][number]) for name in needed_statistics(bundle)}
