"""The whole explanation of a small case: noise floor, agreement, what lies outside, gradient, sentences."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from explain_makers import make_engine, make_scene, make_subject, naive_risks

from MemorySurvivalLib.explain import noise
from MemorySurvivalLib.explain.agreement import find_agreement
from MemorySurvivalLib.explain.explanation import Explanation, explain_subject, sum_effects, summarise
from MemorySurvivalLib.explain.fills import box_of, make_fills
from MemorySurvivalLib.explain.gradient import contributions, gradient_map
from MemorySurvivalLib.explain.noise import NUMERIC, find_noise_floor
from MemorySurvivalLib.explain.occlusion import occluded_log_risks
from MemorySurvivalLib.explain.outside import EVERYTHING, find_organ_masks, find_perspective
from MemorySurvivalLib.explain.plan import Blob, ExplainConfig, plan_patches
from MemorySurvivalLib.imaging.case import Case, make_case
from MemorySurvivalLib.imaging.volume import Volume
from MemorySurvivalLib.memory.engine import MemoryEngine
from MemorySurvivalLib.memory.prompts import PromptConfig
from MemorySurvivalLib.memory.propagation import PropagationConfig
from MemorySurvivalLib.memory.readout import READOUTS
from MemorySurvivalLib.roi.roi import Roi
from MemorySurvivalLib.roi.segments import Code, Maker, Segmentation, Structure
from MemorySurvivalLib.simulation.case import simulate_case
from MemorySurvivalLib.simulation.tissues import Tissue


@pytest.fixture(scope="module")
def engine() -> MemoryEngine:
    return make_engine()


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> tuple[Case, Roi]:
    return make_scene(tmp_path_factory.mktemp("patient"))


@pytest.fixture(scope="module")
def explanation(engine: MemoryEngine, scene: tuple[Case, Roi]) -> Explanation:
    subject = make_subject(engine, scene, PropagationConfig("mean"))
    config = ExplainConfig(40, 30, "volume_mean")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(noise, "WIDTH", 0.3)  # random weights show little else than noise
        return explain_subject(subject, scene[1], config, 0.2, lambda: column(scene[0]), thorough=True)


def column(case: Case) -> Segmentation:
    """The made-up patient's bones in two halves, with its "urinary bladder" in front."""
    labels = np.where(case.ct.voxels > 250, 1, 0).astype(np.uint8)
    labels[9:][labels[9:] == 1] = 2
    labels[3:7, 8:14, 20:28] = 3
    code = Code("1", "SCT", "x")
    structures = {
        1: Structure("L4", "vertebra", code),
        2: Structure("L3", "vertebra", code),
        3: Structure("Urinary bladder", "organ", code),
        4: Structure("Gallbladder", "organ", code),
    }
    return Segmentation(Volume(labels, case.ct.affine), structures, Maker("test"))


def test_the_parts_belong_together(explanation: Explanation, scene: tuple[Case, Roi]) -> None:
    heatmap = explanation.heatmap
    assert set(heatmap.effects) == {"PET", "CT"}
    assert heatmap.noise_floor == explanation.noise.value > NUMERIC
    assert np.abs(heatmap.effect.voxels).max() > heatmap.noise_floor
    assert heatmap.hotspots
    for spot in heatmap.hotspots:
        assert abs(spot.effect) > heatmap.noise_floor
        assert spot.site in ("L3", "L4", "near L3", "near L4")
    assert sum(spot.share for spot in heatmap.hotspots) <= 1
    assert [one.organ for one in explanation.outside] == [EVERYTHING, "bladder"]
    assert explanation.organs_unknown == ("brain", "heart", "kidneys")
    assert explanation.agreement is not None
    assert explanation.gradient is not None
    for volume in (*heatmap.effects.values(), explanation.agreement, explanation.gradient):
        assert volume.same_grid(heatmap.effect)
        assert not volume.voxels[~scene[1].mask.cropped(*scene[1].bounds_zyx).voxels].any()
    sentences = " ".join(summarise(explanation))
    assert "above noise" in sentences
    assert "not looked at alone: brain, heart, kidneys" in sentences


def test_the_whole_region_equals_running_everything_again(
    explanation: Explanation, engine: MemoryEngine, scene: tuple[Case, Roi]
) -> None:
    config = PropagationConfig("mean")
    subject = make_subject(engine, scene, config)
    fills = make_fills(subject.case, scene[1], "volume_mean", 40)
    inside = scene[1].mask.voxels
    for blob, effect in (
        (Blob(np.asarray(inside)), explanation.whole_roi_effect),
        (Blob(~inside), explanation.outside[0].effect),
    ):
        naive = subject.baseline() - naive_risks(subject, scene[1], blob, fills, config)[0]
        assert effect == pytest.approx(naive, abs=1e-5)
        assert abs(naive) > 1e-4


def test_summed_effects_count_every_voxel_once(scene: tuple[Case, Roi]) -> None:
    """Every patch has the effect of its voxels in the region, so the sum must be that of all of them."""
    for stride in (24, 12):
        patches = plan_patches(scene[1], ExplainConfig(24, stride))
        held = np.asarray([np.count_nonzero(scene[1].mask.voxels[box_of(patch)]) for patch in patches])
        whole = np.count_nonzero(scene[1].mask.voxels)
        assert sum_effects(patches, held * 0.001, scene[1]) == pytest.approx(whole * 0.001, rel=1e-6)


def test_nothing_above_noise_says_so(explanation: Explanation) -> None:
    quiet = replace(explanation, heatmap=replace(explanation.heatmap, hotspots=()))
    assert "There is no region above noise" in summarise(quiet)[0]


@pytest.mark.parametrize(
    ("config", "jitters"),
    [
        (PropagationConfig("mean"), True),
        (PropagationConfig("mean", mode="streamed"), True),
        (PropagationConfig("mean", mode="tracked", direction="both"), True),
        (PropagationConfig("mean", prompt=PromptConfig("points", points=2)), True),
        (PropagationConfig("mean", prompt=PromptConfig("mask")), False),
    ],
    ids=["boxed", "streamed", "tracked", "points", "mask"],
)
def test_the_noise_floor_of_every_mode(
    engine: MemoryEngine, scene: tuple[Case, Roi], config: PropagationConfig, jitters: bool
) -> None:
    subject = make_subject(engine, scene, config)
    patches = plan_patches(scene[1], ExplainConfig(40, 40))[:2]
    found = find_noise_floor(subject, patches, np.zeros(2), {})
    assert (found.jitter > 1e-6) == jitters, "rounding of a batch through the head is no jitter"
    assert found.fill == 0
    assert found.value == max(2 * found.jitter, NUMERIC)


def test_the_fill_moves_the_floor_and_a_few_strong_patches_do_not(
    engine: MemoryEngine, scene: tuple[Case, Roi]
) -> None:
    subject = make_subject(engine, scene, PropagationConfig("mean"))
    patches = plan_patches(scene[1], ExplainConfig(36, 30))[:6]
    fills = make_fills(subject.case, scene[1], "volume_mean", 36)
    effects = subject.baseline() - occluded_log_risks(subject, patches, fills).risks[:, 0]
    same = find_noise_floor(subject, patches, effects, {"volume_mean": fills})
    assert same.fill == 0
    strong = effects + np.array([0.5, 0, 0, 0, 0, 0])
    assert find_noise_floor(subject, patches, strong, {"volume_mean": fills}).fill == 0
    shifted = find_noise_floor(subject, patches, effects + 0.01, {"volume_mean": fills})
    assert shifted.fill == pytest.approx(0.0148, abs=1e-4)


def test_agreement_of_fills(engine: MemoryEngine, scene: tuple[Case, Roi]) -> None:
    subject = make_subject(engine, scene, PropagationConfig("mean"))
    roi = scene[1]
    patches = plan_patches(roi, ExplainConfig(36, 36))
    fills = make_fills(subject.case, roi, "volume_mean", 36)
    effects = subject.baseline() - occluded_log_risks(subject, patches, fills).risks[:, 0]
    from MemorySurvivalLib.explain.heatmap import spread_effects

    floor = float(np.median(np.abs(effects)))
    effect, _ = spread_effects(roi, patches, effects)
    same = find_agreement(subject, roi, patches, effects, effect, floor, {"volume_mean": fills})
    assert same.share == 1.0
    assert set(np.unique(same.volume.voxels)) == {0, 2}
    opposite = find_agreement(
        subject, roi, patches, -effects, effect.with_voxels(-effect.voxels), floor, {"volume_mean": fills}
    )
    assert opposite.share == 0.0
    assert set(np.unique(opposite.volume.voxels)) == {0, 1}
    nothing = find_agreement(subject, roi, patches, effects, effect, 10.0, {"volume_mean": fills})
    assert nothing.share is None
    assert not nothing.volume.voxels.any()


@pytest.mark.parametrize("readout", READOUTS)
def test_the_gradient_predicts_small_changes(engine: MemoryEngine, scene: tuple[Case, Roi], readout: str) -> None:
    """First order: the contributions' change foretells the log-risk when memories shrink towards the average map."""
    subject = make_subject(engine, scene, PropagationConfig(readout))
    cells = contributions(subject)
    step = 1e-3
    states = {}
    for modality, one in subject.passes.items():
        average = subject.head.downsamplers[modality].mean  # zero in these tests
        assert not average.any()
        states[modality] = one.readout.state() * (1 + step)
    moved = float(subject.log_risks([states])[0]) - subject.baseline()
    assert moved / step == pytest.approx(sum(float(c.sum()) for c in cells.values()), rel=0.05, abs=2e-3)


def test_the_gradient_of_last_is_blind_to_other_slices(engine: MemoryEngine, scene: tuple[Case, Roi]) -> None:
    subject = make_subject(engine, scene, PropagationConfig("last"))
    cells = contributions(subject)["PET"]
    assert not cells[:-1].any()
    assert cells[-1].any()
    volume = gradient_map(subject, scene[1])
    assert volume.voxels.any()
    assert torch.is_grad_enabled()


def test_hot_organs_of_a_simulated_patient_are_found_where_they_are() -> None:
    simulated = simulate_case(2, spacing_mm=(5.0, 5.0, 6.0))
    case = make_case(simulated.ct, simulated.pet)
    labels = simulated.phantom.labels.reoriented().voxels
    bones = (labels >= Tissue.C1).astype(np.uint8) + 2 * (labels == Tissue.SPINAL_CANAL).astype(np.uint8)
    code = Code("1", "SCT", "x")
    structures = {1: Structure("bone", "bone", code), 2: Structure("canal", "canal", code)}
    found = find_organ_masks(case, Segmentation(Volume(bones, case.ct.affine), structures, Maker("the phantom")))
    truth = {
        "bladder": (0.3, (Tissue.BLADDER,)),
        "brain": (0.3, (Tissue.GREY_MATTER, Tissue.WHITE_MATTER, Tissue.CEREBELLUM)),
        "heart": (0.3, (Tissue.MYOCARDIUM, Tissue.HEART_BLOOD)),
        "kidneys": (0.05, (Tissue.KIDNEY, Tissue.RENAL_PELVIS)),  # the hot pelvis of each
    }
    for organ, (least, tissues) in truth.items():
        assert organ in found, organ
        assert np.isin(labels[found[organ]], tissues).mean() > 0.4, organ
        assert found[organ][np.isin(labels, tissues)].mean() > least, organ


def test_without_structures_organs_are_said_to_be_unknown(engine: MemoryEngine, scene: tuple[Case, Roi]) -> None:
    subject = make_subject(engine, scene, PropagationConfig("last"))
    fills = make_fills(subject.case, scene[1], "roi_median", 36)
    perspective = find_perspective(subject, scene[1], fills, None)
    assert perspective.unknown == ("bladder", "brain", "heart", "kidneys")
    assert [one.organ for one in perspective.outside] == [EVERYTHING]
