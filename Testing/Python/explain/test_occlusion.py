"""Occlusion against the naive way: occlude the volume, run the whole pass again, score again."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from made_up import SMALL, make_head, make_patient

from MemorySurvivalLib.explain.heatmap import make_heatmap
from MemorySurvivalLib.explain.occlusion import fill_values, occluded_log_risks
from MemorySurvivalLib.explain.plan import ExplainConfig, Patch, plan_patches
from MemorySurvivalLib.imaging.case import Case, make_case
from MemorySurvivalLib.imaging.window import MODALITIES, Window
from MemorySurvivalLib.memory.backbone import build_backbone
from MemorySurvivalLib.memory.engine import MemoryEngine
from MemorySurvivalLib.memory.propagation import Pass, PropagationConfig, propagate
from MemorySurvivalLib.memory.readout import READOUTS
from MemorySurvivalLib.roi.boxes import prompt_boxes
from MemorySurvivalLib.roi.roi import Roi

WINDOWS = {"CT": Window(-200, 1000), "PET": Window(0, 10)}


@pytest.fixture(scope="module")
def engine() -> MemoryEngine:
    return MemoryEngine(build_backbone(SMALL, seed=3), torch.device("cpu"))


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> tuple[Case, Roi]:
    patient = make_patient(tmp_path_factory.mktemp("patient"))
    return make_case(patient.ct, patient.pet), Roi(
        patient.spine.with_voxels(patient.spine.voxels > 0), "spine_dilated", "test"
    )


def run_pass(engine: MemoryEngine, case: Case, roi: Roi, readout: str) -> dict[str, Pass]:
    config = PropagationConfig(readout=readout)  # type: ignore[arg-type]
    boxes = prompt_boxes(roi.mask, config.slice_step)
    return {m: propagate(engine, case.image(m), m, WINDOWS[m], boxes, config) for m in MODALITIES}


def occlude(case: Case, patch: Patch, fills: dict[str, float]) -> Case:
    images = {}
    for modality in MODALITIES:
        image = case.image(modality)
        voxels = image.voxels.copy()
        voxels[patch.z0 : patch.z1, patch.y0 : patch.y1, patch.x0 : patch.x1] = fills[modality]
        images[modality] = image.with_voxels(voxels)
    return Case(images["CT"], images["PET"], case.orientation, case.simulated, case.sources)


@pytest.mark.parametrize("readout", READOUTS)
@pytest.mark.parametrize("fill", ["roi_median", "volume_mean"])
def test_equals_running_everything_again(
    engine: MemoryEngine, scene: tuple[Case, Roi], readout: str, fill: str
) -> None:
    case, roi = scene
    head, _ = make_head("image", None, 1)
    passes = run_pass(engine, case, roi, readout)
    # Overlapping patches, so that slices are shared between layers.
    patches = plan_patches(roi, ExplainConfig(patch_mm=36, stride_mm=24))
    fills = fill_values(case, roi, fill)  # type: ignore[arg-type]
    before = engine.encoded_slices
    fast = occluded_log_risks(engine, case, passes, head, (), patches, fills)
    spent = engine.encoded_slices - before
    naive = []
    before = engine.encoded_slices
    for patch in patches:
        again = run_pass(engine, occlude(case, patch, fills), roi, readout)
        states = {m: p.readout.state() for m, p in again.items()}
        naive.append(head.score(states, ()).log_risk.item())
    assert len(patches) >= 8
    assert np.abs(fast - naive).max() <= 1e-5
    assert spent < (engine.encoded_slices - before) / 3, "shared slices must not be encoded for each patch"
    baseline = head.score({m: p.readout.state() for m, p in passes.items()}, ()).log_risk.item()
    assert np.abs(np.asarray(naive) - baseline).max() > 1e-4, "the patches must matter for this test to mean anything"


def test_last_readout_encodes_nothing_it_cannot_see(engine: MemoryEngine, scene: tuple[Case, Roi]) -> None:
    case, roi = scene
    head, _ = make_head("image", None, 1)
    passes = run_pass(engine, case, roi, "last")
    patches = plan_patches(roi, ExplainConfig(patch_mm=24, stride_mm=24))
    last_z = passes["PET"].boxes[-1].z
    before = engine.encoded_slices
    risks = occluded_log_risks(engine, case, passes, head, (), patches, fill_values(case, roi, "roi_median"))
    touching = [p for p in patches if p.z0 <= last_z < p.z1]
    assert engine.encoded_slices - before == 2 * len({(p.y0, p.x0) for p in touching})
    baseline = head.score({m: p.readout.state() for m, p in passes.items()}, ()).log_risk.item()
    blind = [risk for patch, risk in zip(patches, risks, strict=True) if patch not in touching]
    assert len(blind) > len(touching) > 0
    assert np.abs(np.asarray(blind) - baseline).max() <= 1e-6


def test_patch_centres_lie_in_the_roi_and_sizes_are_millimetres(scene: tuple[Case, Roi]) -> None:
    _, roi = scene
    patches = plan_patches(roi, ExplainConfig(patch_mm=24, stride_mm=12))
    inner = [p for p in patches if p.z0 > 0 and p.z1 < roi.mask.shape[0]]
    assert {(p.x1 - p.x0, p.y1 - p.y0, p.z1 - p.z0) for p in inner} == {(6, 6, 4)}  # 24 mm at 4 x 4 x 6 mm
    for patch in patches:
        centre = ((patch.z0 + patch.z1) // 2, (patch.y0 + patch.y1) // 2, (patch.x0 + patch.x1) // 2)
        assert roi.mask.voxels[centre]


def test_a_roi_between_lattice_points_still_gets_a_patch(scene: tuple[Case, Roi]) -> None:
    _, roi = scene
    ring = np.zeros(roi.mask.shape, dtype=np.bool_)
    ring[5, 10:20, 10] = True
    ring[5, 10, 10:20] = True
    patches = plan_patches(Roi(roi.mask.with_voxels(ring), "other", "test"), ExplainConfig(500, 500))
    assert len(patches) == 1


def test_heatmap_is_baseline_minus_occluded_averaged_inside_the_roi(scene: tuple[Case, Roi]) -> None:
    _, roi = scene
    (z0, y0, x0), _ = roi.bounds_zyx
    first = Patch(z0, z0 + 4, y0, y0 + 8, x0, x0 + 8)
    second = Patch(z0 + 2, z0 + 6, y0, y0 + 8, x0, x0 + 8)
    config = ExplainConfig(24, 12)
    heatmap = make_heatmap(roi, config, {"PET": 1.0, "CT": 0.0}, (first, second), np.array([0.4, -0.2]), 0.2)
    inside = roi.mask.cropped(*roi.bounds_zyx).voxels
    effect = heatmap.effect.voxels
    assert effect[0][:8, :8][inside[0][:8, :8]] == pytest.approx(0.4)
    assert effect[3][:8, :8][inside[3][:8, :8]] == pytest.approx(0.1)
    assert effect[5][:8, :8][inside[5][:8, :8]] == pytest.approx(-0.2)
    assert not effect[~inside].any()
    assert np.allclose(heatmap.effect.affine.points_mm((0, 0, 0)), roi.mask.affine.points_mm((x0, y0, z0)))
    assert heatmap.hotspots[0].effect == pytest.approx(0.4)
