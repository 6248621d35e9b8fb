"""Propagation modes against the official sam2 video predictor, what they depend on, and how much they keep."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from made_up import make_patient
from scipy.spatial.transform import Rotation

from MemorySurvivalLib.errors import InputError, OutputError
from MemorySurvivalLib.imaging.case import make_case
from MemorySurvivalLib.imaging.volume import Affine, Volume
from MemorySurvivalLib.imaging.window import Window
from MemorySurvivalLib.memory.backbone import MEDSAM2, BackboneSpec, build_backbone
from MemorySurvivalLib.memory.bank import MemoryBank
from MemorySurvivalLib.memory.engine import MemoryEngine
from MemorySurvivalLib.memory.features import FeatureFile, Features
from MemorySurvivalLib.memory.prompts import PromptConfig, PromptKind, box_prompt
from MemorySurvivalLib.memory.propagation import Direction, Mode, PropagationConfig, propagate
from MemorySurvivalLib.roi.boxes import prompt_boxes
from MemorySurvivalLib.roi.plausibility import accept_roi
from Testing.Benchmarks.oracle_equality import WINDOW, Scene, Sides

TINY = BackboneSpec("sam2.1-compact", 64)
SLICES = 10
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def sides() -> Sides:
    return Sides(TINY)


@pytest.fixture(scope="module")
def scene() -> Scene:
    return Scene.make(64, SLICES)


def config_of(
    mode: Mode, direction: Direction = "head_to_feet", kind: PromptKind = "box", batch_size: int = 1, points: int = 1
) -> PropagationConfig:
    return PropagationConfig("mean", 1, mode, batch_size, direction, PromptConfig(kind, points=points))


@pytest.mark.parametrize("kind", ["box", "mask", "points"])
@pytest.mark.parametrize(
    ("mode", "direction"),  # boxed has no direction: the official predictor is given every prompt before it runs
    [
        ("boxed", "head_to_feet"),
        ("streamed", "head_to_feet"),
        ("streamed", "feet_to_head"),
        ("tracked", "head_to_feet"),
        ("tracked", "feet_to_head"),
    ],
)
def test_equal_to_the_last_bit(sides: Sides, scene: Scene, mode: Mode, kind: PromptKind, direction: Direction) -> None:
    config = config_of(mode, direction, kind)
    before = sides.engine.encoded_slices
    ours = sides.ours(scene, config)
    assert sides.engine.encoded_slices - before == SLICES
    assert [box.z for box in ours.boxes] == list(range(SLICES))[:: 1 if direction == "feet_to_head" else -1]
    assert torch.equal(ours.memories, sides.official(scene, config, ours))


@pytest.mark.parametrize("mode", ["streamed", "tracked"])
@pytest.mark.parametrize(
    ("slices", "seed"), [(19, 1), (10, 4), (10, 5), (2, 1), (1, 1)], ids=["long", "lost", "absent", "two", "one"]
)
def test_equal_beyond_the_bank_and_when_the_object_is_lost(mode: Mode, slices: int, seed: int) -> None:
    """19 slices: memories and pointers drop out of the bank; seed 4 loses the object, seed 5 never sees it."""
    sides, scene = Sides(TINY, seed), Scene.make(64, slices)
    ours = sides.ours(scene, config_of(mode))
    assert torch.equal(ours.memories, sides.official(scene, config_of(mode), ours))


@pytest.mark.parametrize("mode", ["streamed", "tracked"])
def test_several_points_too(sides: Sides, scene: Scene, mode: Mode) -> None:
    config = config_of(mode, kind="points", points=3)
    ours = sides.ours(scene, config)
    assert torch.equal(ours.memories, sides.official(scene, config, ours))


def test_hiera_tiny_too() -> None:
    """`streamed` and the other prompts with hiera-tiny: the figure oracle-equality."""
    sides, scene = Sides(MEDSAM2), Scene.make(512, 2)
    ours = sides.ours(scene, config_of("tracked"))
    assert torch.equal(ours.memories, sides.official(scene, config_of("tracked"), ours))


def darkened(scene: Scene, z: int) -> Scene:
    voxels = scene.image.voxels.copy()
    voxels[z] *= 0.5
    return Scene(scene.image.with_voxels(voxels), scene.mask)


@pytest.mark.parametrize("direction", ["head_to_feet", "feet_to_head"])
def test_what_a_memory_depends_on(sides: Sides, scene: Scene, direction: Direction) -> None:
    """`boxed`: its own slice. `streamed` and `tracked`: its own and earlier ones, later ones never."""
    changed = darkened(scene, 5)
    position = 4 if direction == "head_to_feet" else 5
    for mode in ("boxed", "streamed", "tracked"):
        before = sides.ours(scene, config_of(mode, direction)).memories
        after = sides.ours(changed, config_of(mode, direction)).memories
        moved = [not torch.equal(a, b) for a, b in zip(before, after, strict=True)]
        assert moved[position]
        assert not any(moved[:position])
        if mode == "boxed":
            assert not any(moved[position + 1 :])
    assert any(moved[position + 1 :]), "the change must reach later slices in tracked mode"


def test_earlier_slices_reach_a_streamed_memory_only_through_its_mask(
    sides: Sides, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    masks: list[torch.Tensor] = []
    encode = sides.engine.model._encode_new_memory

    def record(**inputs: torch.Tensor) -> object:
        masks.append(torch.cat([inputs["pred_masks_high_res"].flatten(), inputs["object_score_logits"].flatten()]) > 0)
        return encode(**inputs)

    monkeypatch.setattr(sides.engine.model, "_encode_new_memory", record)
    before = sides.ours(scene, config_of("streamed")).memories
    after = sides.ours(darkened(scene, SLICES - 1), config_of("streamed")).memories  # the first slice: all attend to it
    moved = [not torch.equal(a, b) for a, b in zip(before[1:], after[1:], strict=True)]
    flipped = [not torch.equal(a, b) for a, b in zip(masks[1:SLICES], masks[SLICES + 1 :], strict=True)]
    assert moved == flipped
    assert not all(moved), "where no pixel flips the effect is exactly zero"


def test_streamed_masks_attend_to_nothing(sides: Sides, scene: Scene) -> None:
    config = config_of("streamed", kind="mask")
    before, after = (sides.ours(one, config).memories for one in (scene, darkened(scene, 5)))
    assert [not torch.equal(a, b) for a, b in zip(before, after, strict=True)] == [k == 4 for k in range(SLICES)]


@pytest.mark.parametrize("mode", ["boxed", "streamed", "tracked"])
def test_both_is_the_mean_of_the_two_directions_at_one_encoding(sides: Sides, scene: Scene, mode: Mode) -> None:
    down = sides.ours(scene, config_of(mode)).memories.float()
    up = sides.ours(scene, config_of(mode, "feet_to_head")).memories.flip(0).float()
    before = sides.engine.encoded_slices
    both = sides.ours(scene, config_of(mode, "both"))
    assert sides.engine.encoded_slices - before == SLICES
    assert [box.z for box in both.boxes] == list(range(SLICES))[::-1]
    assert torch.equal(both.memories, ((down + up) / 2).to(torch.bfloat16))
    assert torch.equal(down, up) == (mode == "boxed")


@pytest.mark.parametrize("mode", ["boxed", "streamed", "tracked"])
def test_larger_batches_stay_near(sides: Sides, scene: Scene, mode: Mode) -> None:
    """The image encoder takes four slices together; the tolerances are those of docs/method.md."""
    single = sides.ours(scene, config_of(mode)).memories.float()
    batched = sides.ours(scene, config_of(mode, batch_size=4)).memories.float()
    assert single.shape == batched.shape
    assert (single - batched).norm() / single.norm() <= (1e-2 if mode == "boxed" else 5e-2)


def test_the_bank_keeps_no_more_than_the_attention_asks_for() -> None:
    engine = MemoryEngine(build_backbone(TINY, 1), CPU)
    bank = MemoryBank(engine, 20)
    features = engine.encode(torch.zeros(1, 3, 64, 64))
    prompt = box_prompt(torch.tensor([[10.0, 10.0, 40.0, 40.0]]))
    kept = []
    for _ in range(20):
        bank.take(features, prompt)
        kept.append(bank.kept)
    assert kept == [min(n, 16) for n in range(1, 21)], "the first slice and the last fifteen"


def test_the_first_slice_needs_a_prompt() -> None:
    engine = MemoryEngine(build_backbone(TINY, 1), CPU)
    with pytest.raises(ValueError, match="first slice"):
        MemoryBank(engine, 2).take(engine.encode(torch.zeros(1, 3, 64, 64)), None)


def test_features_come_back_with_their_values_and_layout(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    written = [
        Features(
            (
                torch.rand(1, 4, 6, 6, generator=generator).to(memory_format=torch.channels_last),
                torch.rand(1, 8, 3, 3, generator=generator).to(torch.bfloat16),
            ),
            (torch.zeros(1, 4, 6, 6), torch.zeros(1, 8, 3, 3)),
        )
        for _ in range(3)
    ]
    with (tmp_path / "features").open("w+b") as stream:
        file = FeatureFile(stream, CPU)
        for one in written:
            file.append(one)
        for number in (2, 0, 1):
            read = file.read(number)
            for a, b in zip(read.maps, written[number].maps, strict=True):
                assert torch.equal(a, b)
                assert a.stride() == b.stride()


def test_a_full_temporary_folder_is_said_in_one_sentence() -> None:
    features = Features((torch.zeros(1, 1, 64, 64),), (torch.zeros(1, 1, 64, 64),))
    with Path("/dev/full").open("wb") as stream, pytest.raises(OutputError, match=r"No space left.*one direction"):
        FeatureFile(stream, CPU).append(features)


def test_a_pass_without_slices_is_refused(sides: Sides, scene: Scene) -> None:
    with pytest.raises(InputError, match="nothing to read"):
        propagate(sides.engine, scene.image, "PET", WINDOW, (), config_of("boxed"))


@pytest.mark.parametrize("mode", ["boxed", "streamed", "tracked"])
@pytest.mark.parametrize(
    ("shape", "what"),
    [
        ((4, 3, 3), "smaller than the model's input"),
        ((3, 4, 300), "extreme aspect ratio"),
        ((3, 300, 1), "one column"),
        ((1, 20, 20), "one slice"),
    ],
)
def test_odd_volumes_give_finite_memories(sides: Sides, mode: Mode, shape: tuple[int, int, int], what: str) -> None:
    """Constant images of odd shapes, the ROI a single voxel at a corner of each slice."""
    mask = np.zeros(shape, dtype=np.bool_)
    mask[:, -1, -1] = True
    affine = Scene.make(64, 1).image.affine
    image = Volume(np.full(shape, 0.25, dtype=np.float32), affine)
    for kind in ("box", "mask", "points"):
        scene = Scene(image, Volume(mask, affine))
        memories = sides.ours(scene, config_of(mode, kind=kind)).memories
        assert memories.shape == (shape[0], 64, 4, 4)
        assert torch.isfinite(memories.float()).all(), what


def test_slices_without_roi_are_passed_over(sides: Sides, scene: Scene) -> None:
    """A gap in the ROI is a pass of the remaining slices, as if they lay side by side."""
    voxels = scene.mask.voxels.copy()
    voxels[4:7] = False
    rest = [0, 1, 2, 3, 7, 8, 9]
    gap = Scene(scene.image, scene.mask.with_voxels(voxels))
    affine = scene.image.affine
    close = Scene(Volume(scene.image.voxels[rest], affine), Volume(scene.mask.voxels[rest], affine))
    for mode in ("streamed", "tracked"):
        ours = sides.ours(gap, config_of(mode))
        assert [box.z for box in ours.boxes] == rest[::-1]
        assert torch.equal(ours.memories, sides.ours(close, config_of(mode)).memories)


def turned_about(volume: Volume, degrees: float) -> Volume:
    """The same voxels in a patient that lies turned about an oblique axis."""
    rotation = np.eye(4)
    rotation[:3, :3] = Rotation.from_rotvec(np.deg2rad(degrees) * np.array([0.3, 0.5, 0.8])).as_matrix()
    return Volume(volume.voxels, Affine(rotation @ volume.affine.matrix), volume.attributes)


@pytest.mark.parametrize(
    ("kind", "orientation"),
    [
        ("box", "LPI"),
        ("box", "PSL"),
        ("box", "oblique"),
        ("mask", "RAS"),
        ("mask", "oblique"),
        ("points", "IRA"),
        ("points", "oblique"),
    ],
)
def test_flips_permutations_and_oblique_axes_change_nothing(
    sides: Sides, tmp_path: Path, kind: PromptKind, orientation: str
) -> None:
    """A patient of 4 x 4 x 6 mm voxels with jittered boxes or random points, streamed in both directions."""
    patient = make_patient(tmp_path)
    config = PropagationConfig(
        "stations:3", 3, "streamed", 1, "both", PromptConfig(kind, padding_mm=5, jitter=0.1, points=3)
    )

    def state(ct: Volume, pet: Volume, spine: Volume) -> torch.Tensor:
        case = make_case(ct, pet)
        roi = accept_roi(spine, case.ct, "spine_dilated", None, "spine", allow_other=True)
        boxes = prompt_boxes(roi.mask, config.slice_step)
        return propagate(sides.engine, case.pet, "PET", Window(0, 10), boxes, config, mask=roi.mask).readout.state()

    straight = state(patient.ct, patient.pet, patient.spine)
    if orientation == "oblique":
        turned = state(*(turned_about(volume, 20) for volume in (patient.ct, patient.pet, patient.spine)))
        assert (turned - straight).norm() / straight.norm() <= 1e-3  # the PET is resampled with other roundings
    else:
        other = state(
            patient.ct.reoriented(orientation), patient.pet.reoriented("LAS"), patient.spine.reoriented("SPL")
        )
        assert (other - straight).norm() / straight.norm() <= 1e-6
