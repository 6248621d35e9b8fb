"""The bundle that ships: it is what it says, and its reference risks are really those of cases it never saw."""

from __future__ import annotations

import math

import numpy as np
import pytest
import safetensors.torch
import torch

from MemorySurvivalLib.bundle.archive import BACKBONE, HEADS
from MemorySurvivalLib.bundle.bundle import ModelBundle, load_bundle
from MemorySurvivalLib.bundle.registry import find_bundle
from MemorySurvivalLib.imaging.case import make_case
from MemorySurvivalLib.memory.engine import MemoryEngine
from MemorySurvivalLib.pipeline import embed_case
from MemorySurvivalLib.roi.roi import Roi
from MemorySurvivalLib.simulation.case import simulate_case
from MemorySurvivalLib.training.demonstration import DemonstrationConfig


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


def test_weights_are_float16_and_small(bundle: ModelBundle) -> None:
    for member in (BACKBONE, HEADS):
        tensors = safetensors.torch.load(bundle.archive.members[member])
        assert {t.dtype for t in tensors.values() if t.is_floating_point()} == {torch.float16}
    assert len(bundle.archive.members[BACKBONE]) <= 8.5e6
    assert bundle.archive.path.stat().st_size <= 8.5e6


def test_reference_risks_are_held_out_cases_scored_by_these_very_weights(bundle: ModelBundle) -> None:
    """Simulate one reference patient again: its log-risk is among the stored ones, after the float16 round trip."""
    seed = DemonstrationConfig().reference_seeds[0]
    assert seed not in DemonstrationConfig().training_seeds
    simulated = simulate_case(seed)
    case = make_case(simulated.ct, simulated.pet)
    assert case.simulated
    mask = simulated.spine_dilated
    roi = Roi(mask.with_voxels(mask.voxels > 0), "spine_dilated", "truth")
    engine = MemoryEngine(bundle.backbone(), torch.device("cpu"))
    passes = embed_case(engine, bundle, case, roi)
    states = {modality: one_pass.readout.state() for modality, one_pass in passes.items()}
    log_risk = bundle.heads["image"].score(states, ()).log_risk.item()
    reference = bundle.manifest.heads[0].reference
    assert reference is not None
    assert math.isfinite(log_risk)
    assert np.abs(np.asarray(reference.log_risks) - log_risk).min() <= 2e-3
    assert np.std(reference.log_risks) > 0.02, "the reference must spread, or any number would be near one of it"
