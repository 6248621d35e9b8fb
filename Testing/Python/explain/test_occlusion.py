"""Occlusion against the naive way: occlude the volume, run the whole pass again, score again."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from explain_makers import ball, make_engine, make_scene, make_subject, naive_risks

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.explain.fills import make_fills
from MemorySurvivalLib.explain.occlusion import count_encodings, occluded_log_risks
from MemorySurvivalLib.explain.plan import FILLS, Blob, ExplainConfig, plan_patches
from MemorySurvivalLib.imaging.case import Case
from MemorySurvivalLib.memory.engine import MemoryEngine
from MemorySurvivalLib.memory.prompts import PromptConfig
from MemorySurvivalLib.memory.propagation import PropagationConfig
from MemorySurvivalLib.memory.readout import READOUTS
from MemorySurvivalLib.roi.roi import Roi

MEANS_ANYTHING = "the patches must matter for this test to mean anything"


@pytest.fixture(scope="module")
def engine() -> MemoryEngine:
    return make_engine()


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> tuple[Case, Roi]:
    return make_scene(tmp_path_factory.mktemp("patient"))


@pytest.mark.parametrize(("readout", "fill"), list(zip(READOUTS, [*FILLS, *FILLS], strict=False)))
def test_boxed_equals_running_everything_again(
    engine: MemoryEngine, scene: tuple[Case, Roi], readout: str, fill: str
) -> None:
    config = PropagationConfig(readout)
    subject = make_subject(engine, scene, config)
    # Overlapping patches, so that slices are shared between them.
    patches = plan_patches(scene[1], ExplainConfig(patch_mm=36, stride_mm=24))
    fills = make_fills(subject.case, scene[1], fill, 36)  # type: ignore[arg-type]
    before = engine.encoded_slices
    fast = occluded_log_risks(subject, patches, fills).risks
    spent = engine.encoded_slices - before
    assert spent == count_encodings(subject, patches)
    assert spent < 2 * len(subject.any_pass.boxes) * len(patches) / 3, "slices must not be encoded for each patch"
    chosen = range(1, len(patches), len(patches) // 2)
    naive = np.asarray([naive_risks(subject, scene[1], patches[n], fills, config) for n in chosen])
    assert len(naive) >= 2
    assert np.abs(fast[chosen] - naive).max() <= 1e-5
    assert np.abs(naive - subject.baseline()).max() > 1e-4, MEANS_ANYTHING


def test_modalities_side_by_side_give_the_same_map(engine: MemoryEngine, scene: tuple[Case, Roi]) -> None:
    subject = make_subject(engine, scene, PropagationConfig("mean"))
    patches = plan_patches(scene[1], ExplainConfig(patch_mm=40, stride_mm=40))
    fills = make_fills(subject.case, scene[1], "volume_mean", 40)
    threads, risks, spent = torch.get_num_threads(), [], []
    try:
        for count in (1, 2, 2):
            torch.set_num_threads(count)
            before = engine.encoded_slices
            risks.append(occluded_log_risks(subject, patches, fills).risks)
            spent.append(engine.encoded_slices - before)
    finally:
        torch.set_num_threads(threads)
    assert spent == [count_encodings(subject, patches)] * 3
    assert np.array_equal(risks[1], risks[2]), "side by side, the same threads give the same numbers"
    assert np.abs(risks[0] - risks[1]).max() <= 1e-5


@pytest.mark.parametrize(
    "prompt",
    [
        PromptConfig("mask"),
        PromptConfig("points", points=3, seed=4),
        PromptConfig(padding_mm=6, jitter=0.1, seed=2),
    ],
    ids=["mask", "points", "padded and jittered"],
)
def test_boxed_with_every_prompt(engine: MemoryEngine, scene: tuple[Case, Roi], prompt: PromptConfig) -> None:
    config = PropagationConfig("mean", direction="feet_to_head", prompt=prompt)
    subject = make_subject(engine, scene, config)
    patches = plan_patches(scene[1], ExplainConfig(patch_mm=40, stride_mm=40))[:2]
    fills = make_fills(subject.case, scene[1], "volume_mean", 40)
    fast = occluded_log_risks(subject, patches, fills).risks
    naive = np.asarray([naive_risks(subject, scene[1], patch, fills, config) for patch in patches])
    assert np.abs(fast - naive).max() <= 1e-5
    assert np.abs(naive - subject.baseline()).max() > 1e-4, MEANS_ANYTHING


@pytest.mark.parametrize(
    ("mode", "direction", "readout", "batch_size"),
    [
        ("streamed", "head_to_feet", "mean", 1),
        ("streamed", "both", "stations:4", 1),
        ("tracked", "feet_to_head", "last", 1),
        ("tracked", "both", "max", 1),
        ("tracked", "both", "mean", 3),
    ],
)
def test_modes_that_look_back(
    engine: MemoryEngine, scene: tuple[Case, Roi], mode: str, direction: str, readout: str, batch_size: int
) -> None:
    config = PropagationConfig(readout, mode=mode, direction=direction)  # type: ignore[arg-type]
    subject = make_subject(engine, scene, config)
    patches = plan_patches(scene[1], ExplainConfig(patch_mm=36, stride_mm=36))[2:4]
    fills = make_fills(subject.case, scene[1], "volume_mean", 36)
    before = engine.encoded_slices
    fast = occluded_log_risks(subject, patches, fills, batch_size=batch_size).risks
    spent = engine.encoded_slices - before
    before = engine.encoded_slices
    naive = np.asarray([naive_risks(subject, scene[1], patch, fills, config) for patch in patches])
    assert spent < (engine.encoded_slices - before)
    # Larger batches round differently, and these modes pass a flipped mask pixel on.
    assert np.abs(fast - naive).max() <= (1e-5 if batch_size == 1 else 2e-2)
    assert np.abs(naive - subject.baseline()).max() > 1e-4, MEANS_ANYTHING


@pytest.mark.parametrize("mode", ["boxed", "tracked"])
def test_a_blob_of_any_shape(engine: MemoryEngine, scene: tuple[Case, Roi], mode: str) -> None:
    config = PropagationConfig("mean", mode=mode)  # type: ignore[arg-type]
    subject = make_subject(engine, scene, config)
    blob = Blob(ball(subject.case.ct.shape, (8, 25, 24), 7))
    fills = make_fills(subject.case, scene[1], "roi_median", 40)
    fast = occluded_log_risks(subject, [blob], fills).risks
    assert np.abs(fast - naive_risks(subject, scene[1], blob, fills, config)).max() <= 1e-5
    assert np.abs(fast - subject.baseline()).max() > 1e-4, MEANS_ANYTHING


def test_batches_stay_near(engine: MemoryEngine, scene: tuple[Case, Roi]) -> None:
    subject = make_subject(engine, scene, PropagationConfig("mean"))
    patches = plan_patches(scene[1], ExplainConfig(patch_mm=36, stride_mm=24))
    fills = make_fills(subject.case, scene[1], "roi_median", 36)
    one = occluded_log_risks(subject, patches, fills).risks
    before = engine.encoded_slices
    many = occluded_log_risks(subject, patches, fills, batch_size=4).risks
    assert engine.encoded_slices - before == count_encodings(subject, patches), "running ahead encodes nothing twice"
    assert np.abs(one - many).max() <= 5e-3


def test_last_readout_encodes_nothing_it_cannot_see(engine: MemoryEngine, scene: tuple[Case, Roi]) -> None:
    subject = make_subject(engine, scene, PropagationConfig("last"))
    patches = plan_patches(scene[1], ExplainConfig(patch_mm=24, stride_mm=24))
    last_z = subject.any_pass.boxes[-1].z
    before = engine.encoded_slices
    fills = make_fills(subject.case, scene[1], "roi_median", 24)
    risks = occluded_log_risks(subject, patches, fills).risks
    touching = [p for p in patches if p.touches(last_z)]
    assert engine.encoded_slices - before == 2 * len({p.plane for p in touching})
    blind = np.asarray([risk for patch, risk in zip(patches, risks, strict=True) if patch not in touching])
    assert len(blind) > len(touching) > 0
    # Exactly what the unoccluded states give: the effect is 0, not nearly 0.
    states = subject.baseline_states()
    assert (blind == subject.variant_risks(states, states)).all()


@pytest.mark.parametrize("only", ["PET", "CT"])
def test_one_modality_alone(engine: MemoryEngine, scene: tuple[Case, Roi], only: str) -> None:
    both = make_subject(engine, scene, PropagationConfig("mean"))
    one = make_subject(engine, scene, PropagationConfig("mean"), (only,))  # type: ignore[arg-type]
    patches = plan_patches(scene[1], ExplainConfig(patch_mm=40, stride_mm=40))[:3]
    fills = make_fills(both.case, scene[1], "roi_median", 40)
    of_both = occluded_log_risks(both, patches, fills).risks
    before = engine.encoded_slices
    of_one = occluded_log_risks(one, patches, fills).risks
    assert engine.encoded_slices - before == count_encodings(both, patches) / 2
    assert both.names == ("fused", "PET", "CT")
    assert one.names == ("fused",)
    assert of_one[:, 0] == pytest.approx(of_both[:, both.names.index(only)], abs=1e-6)
    assert np.abs(of_both[:, 0] - of_one[:, 0]).max() > 1e-4


def test_a_modality_that_the_model_does_not_read_is_refused(engine: MemoryEngine, scene: tuple[Case, Roi]) -> None:
    subject = make_subject(engine, scene, PropagationConfig("mean"))
    subject.head.spec = subject.head.spec.__class__(("PET",), "concatenation", 0)
    with pytest.raises(InputError, match="reads PET only, so occluding CT changes nothing; choose PET"):
        type(subject)(engine, subject.case, subject.passes, subject.head, (), ("CT",))
