"""What is changed on a case: masks in millimetres, PET by whole voxels, other slices, boxes that do not fit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from made_up import make_patient

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.case import BODY_THRESHOLD_HU, Case, make_case
from MemorySurvivalLib.imaging.volume import Affine, Volume
from MemorySurvivalLib.memory.prompts import PromptConfig
from MemorySurvivalLib.memory.propagation import PropagationConfig
from MemorySurvivalLib.roi.boxes import SliceBox, prompt_boxes
from MemorySurvivalLib.stability.arrangement import NotApplicable, arrange, grown, moved, whole_steps
from MemorySurvivalLib.stability.changes import BADGE, OTHER_SLICES, UNCHANGED, Change, grow, jitter, pad, shift_pet
from MemorySurvivalLib.stability.odd_boxes import place_boxes

CONFIG = PropagationConfig("mean")


@pytest.fixture(scope="module")
def case() -> Case:
    made = make_patient(Path())
    return make_case(made.ct, made.pet)


@pytest.fixture(scope="module")
def mask() -> Volume:
    spine = make_patient(Path()).spine
    return spine.with_voxels(spine.voxels > 0)


def test_unchanged_is_what_the_bundle_reads(case: Case, mask: Volume) -> None:
    plain = arrange(UNCHANGED, case, mask, CONFIG)
    assert plain.boxes == prompt_boxes(mask, 2)
    assert plain.config == CONFIG
    assert plain.pet_steps == (0, 0, 0)


def test_a_raised_step_is_that_of_scoring(case: Case, mask: Volume) -> None:
    limited = PropagationConfig("mean", most_slices=4)
    plain = arrange(UNCHANGED, case, mask, limited)
    assert plain.boxes == limited.boxes(mask) and 1 < len(plain.boxes) <= 4
    used, others = ([box.z for box in arrange(one, case, mask, limited).boxes] for one in (UNCHANGED, OTHER_SLICES))
    assert not set(used) & set(others)
    assert len(arrange(Change("every slice", slice_step=1), case, mask, limited).boxes) > 4


def test_the_other_slices_are_those_between(case: Case, mask: Volume) -> None:
    used = [box.z for box in prompt_boxes(mask, 2)]
    others = [box.z for box in arrange(OTHER_SLICES, case, mask, CONFIG).boxes]
    assert not set(used) & set(others)
    assert sorted(used + others) == np.flatnonzero(mask.voxels.any(axis=(1, 2))).tolist()


def test_a_mask_grows_by_millimetres_on_uneven_voxels() -> None:
    affine = Affine.from_parts((1.0, 2.0, 5.0), np.eye(3), (0, 0, 0))
    voxels = np.zeros((7, 21, 31), dtype=np.bool_)
    voxels[2:5, 6:15, 8:23] = True
    mask = Volume(voxels, affine)
    wider = grown(mask, 4.0).voxels
    assert np.flatnonzero(wider.any(axis=(0, 1)))[[0, -1]].tolist() == [4, 26]
    assert np.flatnonzero(wider.any(axis=(0, 2)))[[0, -1]].tolist() == [4, 16]
    assert np.flatnonzero(wider.any(axis=(1, 2)))[[0, -1]].tolist() == [2, 4]  # 5 mm voxels: nothing within 4 mm
    thinner = grown(mask, -4.0).voxels
    assert np.flatnonzero(thinner.any(axis=(0, 1)))[[0, -1]].tolist() == [12, 18]
    assert np.flatnonzero(thinner.any(axis=(0, 2)))[[0, -1]].tolist() == [8, 12]
    assert np.flatnonzero(thinner.any(axis=(1, 2)))[[0, -1]].tolist() == [2, 4]
    assert not grown(mask.with_voxels(np.zeros_like(voxels)), -1.0).voxels.any()


def test_a_mask_grows_by_one_voxel_where_voxels_are_larger(case: Case, mask: Volume) -> None:
    wider = arrange(grow(2.0), case, mask, CONFIG)
    assert wider.boxes[0].x0 == prompt_boxes(mask, 2)[0].x0 - 1
    assert wider.done == "mask dilated by 4 mm"
    assert arrange(grow(-4.0), case, mask, CONFIG).done == "mask eroded by 4 mm"


def test_a_mask_that_erosion_removes_is_left_out(case: Case, mask: Volume) -> None:
    with pytest.raises(NotApplicable, match="Nothing of the mask is left"):
        arrange(grow(-60.0), case, mask, CONFIG)


def test_a_region_on_one_slice_has_no_other_slices(case: Case, mask: Volume) -> None:
    voxels = np.zeros_like(mask.voxels)
    voxels[7] = mask.voxels[7]
    with pytest.raises(NotApplicable, match="lies in one slice"):
        arrange(OTHER_SLICES, case, mask.with_voxels(voxels), CONFIG)
    with pytest.raises(NotApplicable, match="reads every slice"):
        arrange(OTHER_SLICES, case, mask, msgspec.structs.replace(CONFIG, slice_step=1))


@pytest.mark.parametrize("kind", ["mask", "points"])
def test_boxes_cannot_move_where_there_are_none(case: Case, mask: Volume, kind: str) -> None:
    config = msgspec.structs.replace(CONFIG, prompt=PromptConfig(kind))  # type: ignore[arg-type]
    for change in (*jitter(0.05, 1), pad(5)):
        with pytest.raises(NotApplicable, match=f"prompted with {kind}"):
            arrange(change, case, mask, config)


def test_a_pet_moves_by_whole_voxels_at_least_one() -> None:
    assert whole_steps((4.0, -2.0, 0.0), (4.0, 4.0, 6.0)) == (1, -1, 0)
    assert whole_steps((8.0, 0.0, 4.0), (1.0, 1.0, 6.0)) == (8, 0, 1)
    voxels = np.arange(24, dtype=np.float32).reshape(2, 3, 4) + 1
    image = Volume(voxels, Affine(np.eye(4)))
    left_and_down = moved(image, (1, 0, -1)).voxels
    assert np.array_equal(left_and_down[0, :, 1:], voxels[1, :, :-1])
    assert not left_and_down[1].any() and not left_and_down[:, :, 0].any()
    assert not moved(image, (9, 0, 0)).voxels.any()


def test_a_shift_says_which_way_it_really_went(case: Case, mask: Volume) -> None:
    done = arrange(shift_pet(up_mm=4), case, mask, CONFIG)
    assert (done.pet_steps, done.done) == ((0, 0, 1), "PET 6 mm to the head")
    assert arrange(shift_pet(left_mm=-4), case, mask, CONFIG).done == "PET 4 mm to the right"
    before, after = case.pet.voxels, moved(case.pet, done.pet_steps).voxels
    assert np.array_equal(after[1:], before[:-1])  # axes run to the head


def test_impossible_numbers_are_refused() -> None:
    with pytest.raises(InputError, match="100 mm at most"):
        grow(float("nan"))
    with pytest.raises(InputError, match="100 mm at most"):
        shift_pet(up_mm=101)
    with pytest.raises(InputError, match="first slice"):
        Change("x", first_slice=-1)


def test_one_coarse_box_holds_the_region_of_every_slice(case: Case, mask: Volume) -> None:
    boxes = place_boxes(prompt_boxes(mask, 2), "coarse", case.ct)
    assert len({(box.x0, box.y0, box.x1, box.y1) for box in boxes}) == 1
    rows, columns = np.flatnonzero(mask.voxels.any(axis=(0, 2))), np.flatnonzero(mask.voxels.any(axis=(0, 1)))
    assert (boxes[0].x0, boxes[0].x1) == (columns[0], columns[-1] + 1)
    assert (boxes[0].y0, boxes[0].y1) == (rows[0], rows[-1] + 1)


@pytest.mark.parametrize("seed", range(5))
def test_a_box_beside_the_region_lies_on_the_body(case: Case, mask: Volume, seed: int) -> None:
    own = prompt_boxes(mask, 2)
    for before, after in zip(own, place_boxes(own, "beside", case.ct, seed), strict=True):
        assert (after.x1 - after.x0, after.y1 - after.y0) == (before.x1 - before.x0, before.y1 - before.y0)
        assert after.x0 >= before.x1 or after.x1 <= before.x0 or after.y0 >= before.y1 or after.y1 <= before.y0
        assert case.ct.voxels[after.z, (after.y0 + after.y1) // 2, (after.x0 + after.x1) // 2] > BODY_THRESHOLD_HU
    assert place_boxes(own, "beside", case.ct, seed) == place_boxes(own, "beside", case.ct, seed)
    assert place_boxes(own, "beside", case.ct, seed) != place_boxes(own, "beside", case.ct, seed + 9)


def test_odd_boxes_of_extreme_sizes_stay_in_the_image(case: Case) -> None:
    rows, columns = case.ct.shape[1:]
    whole, pixel = SliceBox(4, 0, 0, columns, rows), SliceBox(5, 3, 3, 4, 4)
    for rule in ("random", "beside"):
        first, second = place_boxes((whole, pixel), rule, case.ct, 1)  # type: ignore[arg-type]
        assert first == whole  # there is no other place for it
        assert (second.x1 - second.x0, second.y1 - second.y0) == (1, 1)
        assert 0 <= second.x0 < columns and 0 <= second.y0 < rows
    in_air = replace(case, ct=case.ct.with_voxels(np.full_like(case.ct.voxels, -1000)))
    assert place_boxes((pixel,), "beside", in_air.ct, 1)[0] != pixel


def test_the_badge_tries_each_kind_of_choice() -> None:
    families = {change.family for change in BADGE}
    assert len(families) == len(BADGE) - 2  # three seeds of one jitter
    assert {change.prompt["seed"] for change in BADGE if "seed" in change.prompt} == {1, 2, 3}
