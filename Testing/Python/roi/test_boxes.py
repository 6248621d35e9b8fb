"""Prompt boxes: tight, one of every few ROI slices, from head to feet."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from MemorySurvivalLib.imaging.volume import Affine, Volume
from MemorySurvivalLib.roi.boxes import SliceBox, prompt_boxes, raise_step


def mask_of(voxels: np.ndarray) -> Volume:
    return Volume(voxels.astype(bool), Affine(np.eye(4)))


def test_the_box_is_tight_in_voxel_edges() -> None:
    voxels = np.zeros((3, 10, 12), bool)
    voxels[1, 4, 3] = voxels[1, 6, 8] = True  # two corners of one box
    assert prompt_boxes(mask_of(voxels), 1) == (SliceBox(1, 3, 4, 9, 7),)


def test_a_single_voxel_has_a_box_of_one() -> None:
    voxels = np.zeros((2, 3, 4), bool)
    voxels[1, 2, 3] = True
    assert prompt_boxes(mask_of(voxels), 2) == (SliceBox(1, 3, 2, 4, 3),)


@pytest.mark.parametrize(
    ("step", "slices"), [(1, [9, 8, 7, 3, 2, 1]), (2, [9, 7, 2]), (3, [9, 3]), (6, [9]), (100, [9])]
)
def test_every_stepth_roi_slice_from_the_head_down(step: int, slices: list[int]) -> None:
    """Slices 4 to 6 hold no ROI: they are passed over and do not count."""
    voxels = np.zeros((11, 4, 4), bool)
    voxels[[1, 2, 3, 7, 8, 9], 1, 1] = True
    assert [box.z for box in prompt_boxes(mask_of(voxels), step)] == slices


@pytest.mark.parametrize(
    ("most", "slices"), [(None, [9, 8, 7, 3, 2, 1]), (6, [9, 8, 7, 3, 2, 1]), (5, [9, 7, 2]), (2, [9, 3]), (1, [9])]
)
def test_the_step_is_raised_until_no_more_slices_are_left(most: int | None, slices: list[int]) -> None:
    voxels = np.zeros((11, 4, 4), bool)
    voxels[[1, 2, 3, 7, 8, 9], 1, 1] = True
    assert [box.z for box in prompt_boxes(mask_of(voxels), 1, most)] == slices


@given(st.integers(1, 400), st.integers(1, 6), st.integers(1, 60))
def test_a_raised_step_is_the_smallest_that_will_do(slices: int, step: int, most: int) -> None:
    raised = raise_step(slices, step, most)
    assert raised >= step and len(range(0, slices, raised)) <= most
    assert raised == step or len(range(0, slices, raised - 1)) > most


@given(arrays(bool, (6, 5, 7), elements=st.booleans()), st.integers(1, 4))
def test_boxes_hold_all_of_their_slice_and_no_more(voxels: np.ndarray, step: int) -> None:
    boxes = prompt_boxes(mask_of(voxels), step)
    occupied = int(voxels.any(axis=(1, 2)).sum())
    assert len(boxes) == -(-occupied // step)
    for box in boxes:
        part = voxels[box.z, box.y0 : box.y1, box.x0 : box.x1]
        assert part.sum() == voxels[box.z].sum() > 0
        assert part[0].any() and part[-1].any() and part[:, 0].any() and part[:, -1].any()
