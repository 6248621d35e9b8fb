"""Occlusion with every prompt of `boxed` mode against running everything again, and the modes it refuses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from made_up import SMALL, make_head, make_patient

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.explain.occlusion import fill_values, occluded_log_risks
from MemorySurvivalLib.explain.plan import ExplainConfig, plan_patches
from MemorySurvivalLib.imaging.case import Case, make_case
from MemorySurvivalLib.imaging.window import MODALITIES, Window
from MemorySurvivalLib.memory.backbone import build_backbone
from MemorySurvivalLib.memory.engine import MemoryEngine
from MemorySurvivalLib.memory.prompts import PromptConfig
from MemorySurvivalLib.memory.propagation import Pass, PropagationConfig, propagate
from MemorySurvivalLib.roi.boxes import prompt_boxes
from MemorySurvivalLib.roi.roi import Roi

WINDOWS = {"CT": Window(-200, 1000), "PET": Window(0, 10)}


@pytest.fixture(scope="module")
def engine() -> MemoryEngine:
    return MemoryEngine(build_backbone(SMALL, seed=3), torch.device("cpu"))


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> tuple[Case, Roi]:
    patient = make_patient(tmp_path_factory.mktemp("patient"))
    mask = patient.spine.with_voxels(patient.spine.voxels > 0)
    return make_case(patient.ct, patient.pet), Roi(mask, "spine_dilated", "test")


def run_pass(engine: MemoryEngine, case: Case, roi: Roi, config: PropagationConfig) -> dict[str, Pass]:
    boxes = prompt_boxes(roi.mask, config.slice_step)
    return {m: propagate(engine, case.image(m), m, WINDOWS[m], boxes, config, mask=roi.mask) for m in MODALITIES}


@pytest.mark.parametrize(
    "prompt",
    [
        PromptConfig("mask"),
        PromptConfig("points", points=3, seed=4),
        PromptConfig(padding_mm=6, jitter=0.1, seed=2),
    ],
    ids=["mask", "points", "padded and jittered"],
)
def test_equals_running_everything_again(engine: MemoryEngine, scene: tuple[Case, Roi], prompt: PromptConfig) -> None:
    case, roi = scene
    head, _ = make_head("image", None, 1)
    config = PropagationConfig("mean", direction="feet_to_head", prompt=prompt)
    passes = run_pass(engine, case, roi, config)
    patches = plan_patches(roi, ExplainConfig(patch_mm=40, stride_mm=40))[:4]
    fills = fill_values(case, roi, "volume_mean")
    fast = occluded_log_risks(engine, case, passes, head, (), patches, fills)
    naive = []
    for patch in patches:
        images = {}
        for m in MODALITIES:
            voxels = case.image(m).voxels.copy()
            voxels[patch.z0 : patch.z1, patch.y0 : patch.y1, patch.x0 : patch.x1] = fills[m]
            images[m] = case.image(m).with_voxels(voxels)
        occluded = Case(images["CT"], images["PET"], case.orientation, case.simulated, case.sources)
        again = run_pass(engine, occluded, roi, config)
        naive.append(head.score({m: p.readout.state() for m, p in again.items()}, ()).log_risk.item())
    baseline = head.score({m: p.readout.state() for m, p in passes.items()}, ()).log_risk.item()
    assert np.abs(fast - naive).max() <= 1e-5
    assert np.abs(np.asarray(naive) - baseline).max() > 1e-4, "the patches must matter for this test to mean anything"


@pytest.mark.parametrize("mode", ["streamed", "tracked"])
def test_modes_that_attend_to_memory_are_refused(engine: MemoryEngine, scene: tuple[Case, Roi], mode: str) -> None:
    case, roi = scene
    head, _ = make_head("image", None, 1)
    passes = run_pass(engine, case, roi, PropagationConfig("mean", mode=mode))  # type: ignore[arg-type]
    patches = plan_patches(roi, ExplainConfig(patch_mm=40, stride_mm=40))
    with pytest.raises(InputError, match=f"no heatmap for mode {mode}"):
        occluded_log_risks(engine, case, passes, head, (), patches, fill_values(case, roi, "roi_median"))
