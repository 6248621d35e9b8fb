"""What an edit changed, in voxels and in prompts; stray voxels are named before they stretch a box."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.reading import read_volume
from MemorySurvivalLib.imaging.volume import Affine, Volume
from MemorySurvivalLib.roi.boxes import prompt_boxes
from MemorySurvivalLib.roi.edits import boxes_changed, describe_edit
from MemorySurvivalLib.roi.stray import find_stray, remove_stray
from MemorySurvivalLib.simulation.case import SimulatedCase, simulate_case

ORIENTATIONS = ["LPS", "RAS", "SLP", "PIR", "ILA"]


def turned(degrees: float) -> np.ndarray:
    a = np.radians(degrees)
    return np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])


@pytest.fixture(params=["straight", "oblique"])
def mask(request: pytest.FixtureRequest) -> Volume:
    """A column of 30 slices in a grid of 2 x 2 x 3 mm."""
    voxels = np.zeros((40, 60, 60), np.bool_)
    voxels[5:35, 25:40, 20:35] = True
    direction = np.eye(3) if request.param == "straight" else turned(15)
    return Volume(voxels, Affine.from_parts((2.0, 2.0, 3.0), direction, (-60.0, -60.0, -500.0)))


def changed(mask: Volume, **places: object) -> Volume:
    voxels = mask.voxels.copy()
    for value, place in places.items():
        voxels[place] = value == "on"
    return mask.with_voxels(voxels)


# --- voxels


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_counts_do_not_depend_on_axes_or_extent(mask: Volume, orientation: str) -> None:
    edited = changed(mask, on=np.s_[10:12, 25, 40:43], off=np.s_[20, 30, 30])
    stored = edited.cropped((2, 20, 15), (38, 45, 50)).reoriented(orientation)
    found = describe_edit(mask, stored)
    assert (found.voxels_added, found.voxels_removed, found.slices_touched) == (6, 1, 3)
    assert not found.resampled
    assert found.ml_added == pytest.approx(6 * 0.012)
    assert found.sentence == ("The edit added 6 voxels (0.072 ml) and removed 1 (0.012 ml), on 3 axial slices.")


def test_no_change_is_said(mask: Volume) -> None:
    assert describe_edit(mask, mask).sentence == "No voxel of the generated mask was changed."


def test_paint_outside_the_generated_grid_is_counted(mask: Volume) -> None:
    """Slicer's painting is not bound to the CT's extent."""
    larger = Volume(np.pad(mask.voxels, 4), mask.affine.shifted((-4, -4, -4)))
    found = describe_edit(mask, changed(larger, on=np.s_[0, 0, 0]))
    assert (found.voxels_added, found.voxels_removed) == (1, 0)


def test_erasing_all_and_drawing_from_nothing(mask: Volume) -> None:
    empty = mask.with_voxels(np.zeros_like(mask.voxels))
    full = int(mask.voxels.sum())
    assert describe_edit(mask, empty).voxels_removed == describe_edit(empty, mask).voxels_added == full
    assert describe_edit(empty, empty).voxels_changed == 0


@pytest.mark.parametrize("factor", [2, 3])
def test_another_grid_is_compared_on_the_finer_one_and_said(mask: Volume, factor: int) -> None:
    fine = mask.voxels.repeat(factor, 0).repeat(factor, 1).repeat(factor, 2)
    matrix = mask.affine.matrix.copy()
    matrix[:3, :3] /= factor
    matrix[:3, 3] = mask.affine.points_mm([(1 / factor - 1) / 2] * 3)
    same = Volume(fine, Affine(matrix))
    assert describe_edit(mask, same).voxels_changed == 0
    edited = changed(same, on=np.s_[0, 0, 0], off=np.s_[10 * factor, 30 * factor, 30 * factor])
    for found in (describe_edit(mask, edited), describe_edit(edited, mask)):
        assert found.resampled
        assert {found.voxels_added, found.voxels_removed} == {1}
        assert "different grids" in found.sentence


@given(arrays(bool, (4, 5, 6)), arrays(bool, (4, 5, 6)))
@settings(max_examples=40, deadline=None)
def test_counts_are_those_of_the_two_masks(first: np.ndarray, second: np.ndarray) -> None:
    affine = Affine.from_parts((1, 2, 3), np.eye(3), (4, 5, 6))
    found = describe_edit(Volume(first, affine), Volume(second, affine).reoriented("RAS"))
    assert (found.voxels_added, found.voxels_removed) == ((second & ~first).sum(), (first & ~second).sum())
    assert found.slices_touched == (first ^ second).any(axis=(1, 2)).sum()


# --- prompts


def test_an_edit_inside_the_boxes_changes_nothing_for_the_model(mask: Volume) -> None:
    found = boxes_changed(mask, changed(mask, off=np.s_[8:30, 28:35, 24:30]), 1)
    assert found.total == 0
    assert found.sentence == "The edit leaves every prompt box as it was."


def test_moved_boxes_are_counted_with_how_far(mask: Volume) -> None:
    found = boxes_changed(mask, changed(mask, on=np.s_[10:14, 30, 44]), 1)
    assert found.slices_moved == (13, 12, 11, 10)
    assert found.largest_move_mm == pytest.approx(20.0)
    assert found.sentence == (
        "The edit changes the prompt boxes of 4 slices (4 moved by up to 20 mm; 30 slices are prompted)."
    )


def test_an_edit_on_slices_that_are_not_used_is_not_counted(mask: Volume) -> None:
    """With a step of 2 the slices 34, 32, ... are prompted."""
    assert boxes_changed(mask, changed(mask, on=np.s_[13, 30, 44]), 2).total == 0
    assert boxes_changed(mask, changed(mask, on=np.s_[12, 30, 44]), 2).slices_moved == (12,)


def test_one_slice_more_at_the_top_uses_the_other_slices(mask: Volume) -> None:
    found = boxes_changed(mask, changed(mask, on=np.s_[35, 25:40, 20:35]), 2)
    assert (len(found.slices_added), len(found.slices_removed)) == (16, 15)
    assert found.total == 31
    assert found.sentence.endswith("with one of every 2 slices used, others are used than before.")


def test_an_edit_beyond_the_most_slices_raises_the_step(mask: Volume) -> None:
    found = boxes_changed(mask, changed(mask, on=np.s_[35, 25:40, 20:35]), 2, 15)
    assert (found.slices_before, found.slices_after, found.slice_step) == (15, 11, 3)
    assert found.sentence.endswith("with one of every 3 slices used, others are used than before.")


def test_slices_gone_and_new(mask: Volume) -> None:
    found = boxes_changed(mask, changed(mask, off=np.s_[5], on=np.s_[36:38, 30, 30]), 1)
    assert found.slices_removed == (5,)
    assert found.slices_added == (37, 36)
    assert (found.slices_before, found.slices_after) == (30, 31)


def test_prompts_of_two_grids_cannot_be_compared(mask: Volume) -> None:
    with pytest.raises(InputError, match="only be compared on one grid"):
        boxes_changed(mask, mask.cropped((0, 0, 0), (39, 60, 60)), 1)


@given(arrays(bool, (6, 5, 7)), arrays(bool, (6, 5, 7)), st.integers(1, 3))
@settings(max_examples=60, deadline=None)
def test_total_is_the_number_of_slices_whose_prompt_differs(first: np.ndarray, second: np.ndarray, step: int) -> None:
    old, new = (Volume(each, Affine(np.eye(4))) for each in (first, second))
    boxes_old, boxes_new = ({box.z: box for box in prompt_boxes(each, step)} for each in (old, new))
    differ = {z for z in boxes_old.keys() | boxes_new.keys() if boxes_old.get(z) != boxes_new.get(z)}
    found = boxes_changed(old, new, step)
    assert found.total == len(differ)
    assert found.slices_after == len(boxes_new)


# --- stray pieces


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_one_stray_voxel_is_found_at_its_place(mask: Volume, orientation: str) -> None:
    spoilt = changed(mask, on=np.s_[12, 30, 50])
    (piece,) = find_stray(spoilt.reoriented(orientation))
    assert piece.position_lps_mm == pytest.approx(tuple(mask.affine.points_mm((50, 30, 12))))
    assert (piece.voxels, piece.distance_mm, piece.box_stretch_mm) == (1, pytest.approx(32.0), pytest.approx(32.0))
    assert len(piece.slices) == 1
    x, y, z = (abs(round(value)) for value in piece.position_lps_mm)
    side = "L" if piece.position_lps_mm[0] > 0 else "R"
    assert piece.sentence == (
        f"A stray voxel at {side} {x}, P 0, I {z} mm, 32 mm from the rest of the mask, stretches the prompt box by "
        "32 mm on 1 slice; erase it unless meant."
    )
    assert y == 0
    clean = remove_stray(spoilt.reoriented(orientation), (piece,)).reoriented()
    assert (clean.voxels == mask.reoriented().voxels).all()


def test_slices_are_numbered_on_the_masks_own_grid(mask: Volume) -> None:
    (piece,) = find_stray(changed(mask, on=np.s_[12:14, 30, 50]))
    assert piece.slices == (12, 13)


def test_a_stray_voxel_beyond_the_ends_prompts_a_slice_alone(mask: Volume) -> None:
    (piece,) = find_stray(changed(mask, on=np.s_[0, 30, 30]))
    assert piece.box_stretch_mm is None
    assert piece.slices == (0,)
    assert "prompts 1 slice on which the rest of the mask has no voxel" in piece.sentence


def test_what_stretches_no_box_is_not_reported(mask: Volume) -> None:
    wide = changed(mask, on=np.s_[5:35, 50:55, 5:55])
    assert find_stray(changed(wide, on=np.s_[12, 10, 30])) != ()
    assert find_stray(changed(wide, on=np.s_[12, 44, 8])) == ()


def test_close_voxels_and_separate_bones_are_not_stray(mask: Volume) -> None:
    assert find_stray(changed(mask, on=np.s_[12, 30, 37])) == ()  # 6 mm beside the column: a ragged edge
    assert find_stray(changed(mask, on=np.s_[10:16, 30:33, 50:53])) == ()  # 0.65 ml: a bone of its own


def test_only_the_chosen_pieces_go(mask: Volume) -> None:
    spoilt = changed(mask, on=(np.array([12, 20]), np.array([30, 5]), np.array([50, 30])))
    first, second = find_stray(spoilt)
    left = remove_stray(spoilt, (first,))
    assert int(left.voxels.sum()) == int(mask.voxels.sum()) + 1
    assert find_stray(left) == (second,)
    assert int(spoilt.voxels.sum()) == int(mask.voxels.sum()) + 2


def test_a_mask_that_is_all_tiny_or_empty_has_no_stray_piece(mask: Volume) -> None:
    nothing = mask.with_voxels(np.zeros_like(mask.voxels))
    assert find_stray(nothing) == ()
    assert find_stray(changed(nothing, on=np.s_[3, 4, 5])) == ()


@pytest.fixture(scope="module")
def patient() -> SimulatedCase:
    return simulate_case(3, spacing_mm=(4.0, 4.0, 5.0))


@pytest.mark.parametrize("name", ["skeleton", "spine_dilated"])
def test_no_bone_of_a_whole_body_is_stray_and_one_voxel_is(patient: SimulatedCase, name: str) -> None:
    """Skull, ribs, sternum and limbs are apart from each other, and legitimate."""
    mask: Volume = getattr(patient, name)
    assert find_stray(mask) == ()
    voxels = mask.voxels.copy()
    z = int(np.flatnonzero(voxels.any(axis=(1, 2)))[20])
    voxels[z, 2, 2] = 1
    assert [piece.voxels for piece in find_stray(mask.with_voxels(voxels))] == [1]


@pytest.mark.real_data
def test_no_bone_of_a_real_label_map_is_stray(real_data: Path) -> None:
    """Skeleton, spine and vertebrae as another segmenter labelled them on a real CT (TotalSegmentator's numbers)."""
    folder = real_data / "ct_labels"
    labels = read_volume(folder / "example_seg_fast_force_split.nii.gz", "labels")
    spine, skeleton = range(25, 51), [*range(25, 51), *range(69, 79), *range(91, 118)]
    for chosen in (spine, skeleton):
        mask = labels.with_voxels(np.isin(labels.voxels, chosen))
        assert np.count_nonzero(mask.voxels) > 20_000
        assert find_stray(mask) == ()
    vertebrae = read_volume(folder / "example_ct_vertebrae.nii.gz", "labels")
    assert find_stray(vertebrae) == ()
