"""Prompts: where boxes, masks and points land in the picture, and odd ROIs."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.volume import Affine, Volume
from MemorySurvivalLib.imaging.window import Window
from MemorySurvivalLib.memory.backbone import BackboneSpec, build_backbone
from MemorySurvivalLib.memory.prompts import MAX_JITTER, MaskPrompt, PointPrompt, PromptConfig, Prompter
from MemorySurvivalLib.memory.slices import SliceFrame
from MemorySurvivalLib.roi.boxes import SliceBox, prompt_boxes
from Testing.Benchmarks.official import add_prompt, build_official, new_state

SIZE = 64


def mask_of(voxels: np.ndarray, spacing_mm: tuple[float, float, float] = (1, 1, 1)) -> Volume:
    return Volume(voxels.astype(np.bool_), Affine(np.diag([*spacing_mm, 1.0])))


def prompter_of(mask: Volume, config: PromptConfig, size: int = SIZE) -> Prompter:
    return Prompter(config, SliceFrame.of(mask, size), mask.spacing_mm, mask)


def prompt_of(mask: Volume, config: PromptConfig, size: int = SIZE) -> PointPrompt | MaskPrompt:
    prompter = prompter_of(mask, config, size)
    return prompter.prompt([prompter.edges(box) for box in prompt_boxes(mask, 1)])


def blob(rows: int = 20, columns: int = 30) -> np.ndarray:
    voxels = np.zeros((3, rows, columns))
    voxels[:, rows // 4 : rows // 2, columns // 3 : columns // 2] = 1
    return voxels


def test_a_box_is_two_labelled_corners_and_moves_nowhere_by_default() -> None:
    mask = mask_of(blob(32, 32))
    prompt = prompt_of(mask, PromptConfig())
    assert isinstance(prompt, PointPrompt)
    assert prompt.points.tolist() == [[[20, 16], [32, 32]]] * 3  # voxels 10 to 16 and 8 to 16, doubled
    assert prompt.labels.tolist() == [[2, 3]] * 3
    assert prompt.labels.dtype == torch.int32


def test_padding_is_in_millimetres_along_each_axis_and_stops_at_the_border() -> None:
    mask = mask_of(blob(20, 30), (2.0, 4.0, 5.0))
    prompter = prompter_of(mask, PromptConfig(padding_mm=8))
    edges = prompter.edges(SliceBox(1, 10, 5, 15, 10))
    assert (edges.z, edges.x0, edges.y0, edges.x1, edges.y1) == (1, 6, 3, 19, 12)
    far = prompter_of(mask, PromptConfig(padding_mm=500)).edges(SliceBox(1, 10, 5, 15, 10))
    assert (far.x0, far.y0, far.x1, far.y1) == (0, 0, 30, 20)


@given(
    seed=st.integers(0, 10_000),
    z=st.integers(0, 500),
    jitter=st.floats(0, MAX_JITTER),
    padding_mm=st.floats(0, 30),
    x0=st.integers(0, 29),
    y0=st.integers(0, 19),
    data=st.data(),
)
def test_jitter_moves_each_edge_by_its_share_and_never_leaves_the_image(
    seed: int, z: int, jitter: float, padding_mm: float, x0: int, y0: int, data: st.DataObject
) -> None:
    """Down to boxes of one pixel and boxes at the border."""
    box = SliceBox(z, x0, y0, data.draw(st.integers(x0 + 1, 30)), data.draw(st.integers(y0 + 1, 20)))
    prompter = prompter_of(mask_of(blob()), PromptConfig(padding_mm=padding_mm, jitter=jitter, seed=seed))
    edges = prompter.edges(box)
    assert edges == prompter.edges(box)
    assert 0 <= edges.x0 < edges.x1 <= 30
    assert 0 <= edges.y0 < edges.y1 <= 20
    wide, high = box.x1 - box.x0 + 2 * padding_mm, box.y1 - box.y0 + 2 * padding_mm
    for value, tight, side in (
        (edges.x0, max(0, box.x0 - padding_mm), wide),
        (edges.x1, min(30, box.x1 + padding_mm), wide),
        (edges.y0, max(0, box.y0 - padding_mm), high),
        (edges.y1, min(20, box.y1 + padding_mm), high),
    ):
        assert abs(value - tight) <= jitter * side + 1e-6
    assert edges.x1 - edges.x0 >= 0.8 * (box.x1 - box.x0) - 1e-6
    assert edges.y1 - edges.y0 >= 0.8 * (box.y1 - box.y0) - 1e-6


def test_jitter_differs_between_slices_and_seeds_but_not_between_passes() -> None:
    def moved(seed: int, z: int) -> float:
        config = PromptConfig(jitter=0.1, seed=seed)
        return prompter_of(mask_of(blob()), config).edges(SliceBox(z, 10, 5, 20, 15)).x0

    assert len({moved(0, 1), moved(0, 2), moved(1, 1)}) == 3
    assert moved(0, 1) == moved(0, 1)
    shifts = np.array([moved(0, z) for z in range(400)]) - 10
    assert 0.85 < np.abs(shifts).max() <= 1
    assert abs(shifts.mean()) < 0.1


@pytest.mark.parametrize("side", [16, 64, 100], ids=["smaller", "same", "larger"])
def test_masks_are_those_that_the_official_predictor_makes_of_square_slices(side: int) -> None:
    rng = np.random.default_rng(0)
    voxels = blob(side, side)
    voxels[1, side // 2 :, side // 2 :] = rng.random((side - side // 2, side - side // 2)) < 0.4
    mask = mask_of(voxels)
    spec = BackboneSpec("sam2.1-compact", SIZE)
    predictor = build_official(spec, build_backbone(spec, 1).state_dict())
    state = new_state(predictor, torch.zeros(3, 3, SIZE, SIZE))
    for index in range(3):
        add_prompt(predictor, state, index, {"mask": torch.from_numpy(mask.voxels[2 - index].copy())})
    ours = prompt_of(mask, PromptConfig("mask"))
    assert isinstance(ours, MaskPrompt)
    theirs = torch.cat([state["mask_inputs_per_obj"][0][index] for index in range(3)])
    assert ours.masks.dtype == theirs.dtype == torch.float32
    assert torch.equal(ours.masks, theirs)


@pytest.mark.parametrize(
    ("shape", "spacing_mm"),
    [((20, 30), (1, 1, 1)), ((20, 30), (1, 3, 1)), ((100, 40), (2, 1, 1)), ((200, 4), (1, 1, 1)), ((3, 3), (1, 1, 1))],
)
def test_mask_box_and_points_agree_on_where_the_roi_is(
    shape: tuple[int, int], spacing_mm: tuple[float, float, float]
) -> None:
    """Padded frames, unequal pixels, extreme aspect ratios: the mask fills its box, the points lie in the mask."""
    voxels = np.zeros((1, *shape))
    voxels[0, shape[0] // 3 : 1 + shape[0] // 2, shape[1] // 3 : 1 + shape[1] // 2] = 1
    mask = mask_of(voxels, spacing_mm)
    box = prompt_of(mask, PromptConfig()).points[0].flatten()  # type: ignore[union-attr]
    picture = prompt_of(mask, PromptConfig("mask")).masks[0, 0]  # type: ignore[union-attr]
    rows, columns = (picture.any(dim=axis).nonzero().flatten() for axis in (1, 0))
    found = torch.tensor([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], dtype=torch.float32)
    assert (found - box).abs().max() <= 1
    points = prompt_of(mask, PromptConfig("points", points=6)).points[0]  # type: ignore[union-attr]
    for x, y in points.tolist():
        assert box[0] - 0.5 <= x <= box[2] - 0.5
        assert box[1] - 0.5 <= y <= box[3] - 0.5


@pytest.mark.parametrize("shape", [(200, 4), (4, 200), (300, 1)])
def test_pictures_of_extreme_shapes_keep_their_values(shape: tuple[int, int]) -> None:
    """A slice that is bright in its middle rows and columns stays so, however narrow the picture of it."""
    pixels = np.zeros((1, *shape), dtype=np.float32)
    pixels[0, shape[0] // 4 : 1 + 3 * shape[0] // 4, shape[1] // 4 : 1 + 3 * shape[1] // 4] = 1
    frame = SliceFrame.of(mask_of(pixels), SIZE)
    picture = frame.picture(pixels, Window(0, 1))[0, 0] * 0.229 + 0.485
    part = picture[frame.top : frame.top + frame.height, frame.left : frame.left + frame.width]
    assert part.mean() == pytest.approx(pixels.mean(), abs=0.03)
    assert part[frame.height // 2, frame.width // 2] >= 0.5
    assert float(picture.sum() - part.sum()) == pytest.approx(0, abs=1e-3)


def test_a_thin_mask_does_not_vanish_in_a_small_picture() -> None:
    voxels = np.zeros((2, 512, 512))
    voxels[0, 100, 200] = 1
    masks = prompt_of(mask_of(voxels), PromptConfig("mask")).masks  # type: ignore[union-attr]
    assert masks.shape == (1, 1, SIZE, SIZE)
    assert masks.nonzero().tolist() == [[0, 0, 12, 25]]


def test_the_first_point_is_the_deepest_in_millimetres() -> None:
    voxels = np.zeros((1, 40, 40))
    voxels[0, 2:7, 2:38] = 1  # 5 rows of 4 mm: 12 mm deep
    voxels[0, 20:38, 20:28] = 1  # 8 columns of 1 mm: 4 mm deep, though deeper in pixels
    mask = mask_of(voxels, (1.0, 4.0, 1.0))
    prompter = prompter_of(mask, PromptConfig("points"))
    ((x, y),) = prompter.prompt([prompter.edges(prompt_boxes(mask, 1)[0])]).points[0].tolist()  # type: ignore[union-attr]
    frame = prompter.frame
    assert (y + 0.5 - frame.top) / frame.height * frame.rows == pytest.approx(4.5)
    assert 2 < (x + 0.5 - frame.left) / frame.width * frame.columns < 38


def test_a_roi_at_the_border_is_deepest_inside_not_at_the_border() -> None:
    voxels = np.zeros((1, 9, 9))
    voxels[0, :5, :5] = 1
    points = prompt_of(mask_of(voxels), PromptConfig("points"), size=288).points  # type: ignore[union-attr]
    assert points[0, 0].tolist() == [2 * 32 + 15.5, 2 * 32 + 15.5]


def test_points_lie_in_disjoint_pieces_and_do_not_repeat_while_pixels_last() -> None:
    voxels = np.zeros((1, SIZE, SIZE))
    voxels[0, 5:8, 5:8] = voxels[0, 40:43, 50:53] = 1  # two pieces of nine pixels
    prompt = prompt_of(mask_of(voxels), PromptConfig("points", points=18))
    assert isinstance(prompt, PointPrompt)
    pixels = {(int(x), int(y)) for x, y in prompt.points[0].tolist()}
    assert pixels == {(int(x), int(y)) for y, x in np.argwhere(voxels[0])}
    assert prompt.labels.tolist() == [[1] * 18]


def test_a_single_pixel_is_given_as_often_as_points_are_asked_for() -> None:
    voxels = np.zeros((1, SIZE, SIZE))
    voxels[0, 63, 0] = 1
    prompt = prompt_of(mask_of(voxels), PromptConfig("points", points=3))
    assert prompt.points.tolist() == [[[0, 63]] * 3]  # type: ignore[union-attr]


def test_points_depend_on_seed_and_slice_alone() -> None:
    mask = mask_of(np.ones((3, SIZE, SIZE)))
    one, other = (prompt_of(mask, PromptConfig("points", points=5, seed=seed)).points for seed in (0, 1))  # type: ignore[union-attr]
    assert not torch.equal(one, other)
    assert not torch.equal(one[0], one[1])
    alone = np.zeros((3, SIZE, SIZE))
    alone[1] = 1
    assert torch.equal(prompt_of(mask_of(alone), PromptConfig("points", points=5)).points[0], one[1])  # type: ignore[union-attr]


def test_a_missing_or_other_mask_is_said() -> None:
    mask = mask_of(blob())
    frame = SliceFrame.of(mask, SIZE)
    with pytest.raises(InputError, match="points prompt needs the ROI mask"):
        Prompter(PromptConfig("points"), frame, mask.spacing_mm)
    with pytest.raises(InputError, match="grid"):
        Prompter(PromptConfig("mask"), frame, mask.spacing_mm, mask_of(blob(21, 30)))
    prompter = prompter_of(mask_of(np.zeros((3, 20, 30))), PromptConfig("mask"))
    with pytest.raises(InputError, match="Slice 1 has a box but no ROI pixels"):
        prompter.prompt([prompter.edges(SliceBox(1, 3, 3, 5, 5))])


@pytest.mark.parametrize("changes", [{"padding_mm": -1}, {"jitter": 0.2}, {"jitter": float("nan")}, {"points": 0}])
def test_impossible_prompts_are_refused_in_code_and_in_manifests(changes: dict[str, float]) -> None:
    with pytest.raises(InputError):
        PromptConfig(**changes)  # type: ignore[arg-type]
    if not np.isnan(next(iter(changes.values()))):
        with pytest.raises(msgspec.ValidationError):
            msgspec.json.decode(msgspec.json.encode(changes), type=PromptConfig)
