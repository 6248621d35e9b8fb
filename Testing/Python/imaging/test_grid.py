"""Cropping to the overlap moves no voxel, whatever the two grids; what was cut is said."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.grid import body_axis, crop_to_overlap, inside, overlap
from MemorySurvivalLib.imaging.volume import Affine, Volume

UPRIGHT = Affine.from_parts((1.0, 1.0, 2.0), np.eye(3), (-10.0, -10.0, 0.0))


def image(affine: Affine = UPRIGHT, shape: tuple[int, int, int] = (50, 20, 20)) -> Volume:
    return Volume(np.arange(np.prod(shape), dtype=np.int32).reshape(shape), affine)


def centres(volume: Volume) -> np.ndarray:
    z, y, x = np.indices(volume.shape).reshape(3, -1)
    return volume.affine.points_mm(np.stack([x, y, z], axis=1))


@st.composite
def grids(draw: st.DrawFn) -> Volume:
    """Any small rigid grid near the origin, mirrored or not."""
    turn = Rotation.from_euler("xyz", [draw(st.floats(-180, 180)) for _ in range(3)], degrees=True).as_matrix()
    mirror = np.diag([draw(st.sampled_from((1.0, -1.0))) for _ in range(3)])
    spacing = [draw(st.floats(0.8, 4.0)) for _ in range(3)]
    shape = tuple(draw(st.integers(6, 14)) for _ in range(3))
    affine = Affine.from_parts(spacing, turn @ mirror, (0, 0, 0))
    middle = affine.points_mm((np.array(shape[::-1]) - 1) / 2)
    where = np.array([draw(st.floats(-15, 15)) for _ in range(3)])
    return image(Affine.from_parts(spacing, turn @ mirror, where - middle), shape)  # type: ignore[arg-type]


@settings(deadline=None, max_examples=50)
@given(grids(), grids())
def test_the_crop_holds_exactly_the_box_of_voxels_that_the_pet_covers(ct: Volume, pet: Volume) -> None:
    covered = inside(pet, centres(ct)).reshape(ct.shape)
    try:
        cropped, found = crop_to_overlap(ct, pet)
    except InputError:
        assert covered.sum() == 0 or min(np.ptp(hit) for hit in np.nonzero(covered)) == 0
        return
    for axis, hit in enumerate(np.nonzero(covered)):
        # The intersection is convex, but between voxel centres it can reach one voxel farther than any covered centre.
        assert found.start_zyx[axis] <= hit.min() <= hit.max() < found.stop_zyx[axis]
    np.testing.assert_array_equal(
        cropped.voxels, ct.voxels[tuple(map(slice, found.start_zyx, found.stop_zyx))], strict=True
    )
    start = np.array(found.start_zyx[::-1])
    np.testing.assert_allclose(
        cropped.affine.points_mm([2, 3, 1]), ct.affine.points_mm(start + np.array([2, 3, 1])), atol=1e-9
    )


@settings(deadline=None, max_examples=30)
@given(grids(), st.sampled_from(("LPS", "RAS", "SPL", "AIR", "PSR")), st.tuples(*[st.integers(0, 2)] * 3))
def test_aligned_grids_are_cut_to_the_exact_voxel(ct: Volume, orientation: str, cut: tuple[int, int, int]) -> None:
    """A PET that is a crop of the CT's own grid, stored along other axes, brings back that very crop."""
    stop = tuple(n - c for n, c in zip(ct.shape, cut, strict=True))
    part = ct.cropped(cut, stop)  # type: ignore[arg-type]
    cropped, found = crop_to_overlap(ct, part.reoriented(orientation))
    assert (found.start_zyx, found.stop_zyx) == (cut, stop)
    assert cropped.same_grid(part)
    np.testing.assert_array_equal(cropped.voxels, part.voxels)
    assert found.covered == 1.0


def test_a_short_pet_cuts_the_head_and_says_so() -> None:
    ct = image()
    pet = image(Affine.from_parts((4, 4, 4), np.eye(3), (-20, -20, 0.5)), (15, 10, 10))
    cropped, found = crop_to_overlap(ct, pet)
    assert found.stop_zyx == (30, 20, 20)  # the PET ends at 0.5 + 14.5 * 4 = 58.5 mm; slice 29 lies at 58 mm
    assert found.cut_mm == {"head": 40.0}
    assert found.note == "The PET does not cover the whole CT: 40 mm at the head end of the CT was left out."
    assert cropped.shape == (30, 20, 20)


def test_ends_are_named_by_the_patient_not_by_the_array() -> None:
    pet = image(Affine.from_parts((4, 4, 4), np.eye(3), (0, -20, 20)), (15, 10, 10))
    upright = overlap(image(), pet)
    turned = overlap(image().reoriented("IAR"), pet)
    assert upright.cut_mm == turned.cut_mm == {"head": 20.0, "foot": 18.0, "right": 8.0}
    assert "at the right" in upright.note and "18 mm at the foot end" in upright.note


def test_a_margin_keeps_more_of_the_ct_but_never_more_than_there_is() -> None:
    pet = image(Affine.from_parts((4, 4, 4), np.eye(3), (-20, -20, 22)), (9, 10, 10))
    assert (overlap(image(), pet).start_zyx[0], overlap(image(), pet).stop_zyx[0]) == (10, 29)
    found = overlap(image(), pet, margin_mm=6)
    assert (found.start_zyx[0], found.stop_zyx[0]) == (7, 31 + 1)
    assert overlap(image(), pet, margin_mm=1e4).stop_zyx == (50, 20, 20)


def test_full_slices_can_be_kept() -> None:
    pet = image(Affine.from_parts((1, 1, 2), np.eye(3), (0, 0, 20)), (10, 5, 5))
    found = overlap(image(), pet, body_axis_only=True)
    assert (found.start_zyx, found.stop_zyx) == ((10, 0, 0), (20, 20, 20))
    sagittal = overlap(image().reoriented("SLP"), pet, body_axis_only=True)
    assert (sagittal.start_zyx, sagittal.stop_zyx) == ((0, 0, 10), (20, 20, 20))


def test_empty_end_slices_of_a_pet_are_no_data() -> None:
    voxels = np.zeros((50, 20, 20), np.float32)
    voxels[5:40] = 1.0
    assert overlap(image(), Volume(voxels, UPRIGHT)).start_zyx == (5, 0, 0)
    assert overlap(image(), Volume(voxels, UPRIGHT).reoriented("IRP")).stop_zyx == (40, 20, 20)


def test_a_ct_inside_the_pet_stays_the_same_object() -> None:
    ct = image()
    cropped, found = crop_to_overlap(ct, image(Affine.from_parts((5, 5, 5), np.eye(3), (-40, -40, -40)), (40, 20, 20)))
    assert cropped is ct and found.note == "" and found.cut_mm == {}


def test_images_apart_or_empty_are_refused_in_a_sentence() -> None:
    with pytest.raises(InputError, match="do not overlap"):
        overlap(image(), image(UPRIGHT.shifted((0, 0, 60))))
    with pytest.raises(InputError, match="less than two voxels"):
        overlap(image(), image(UPRIGHT.shifted((0, 0, 49))))
    with pytest.raises(InputError, match="same value everywhere"):
        overlap(image(), Volume(np.zeros((4, 4, 4)), UPRIGHT))


def test_a_turned_pet_leaves_corners_uncovered_and_that_is_measured() -> None:
    turn = Rotation.from_euler("z", 45, degrees=True).as_matrix()
    found = overlap(image(shape=(10, 20, 20)), image(Affine.from_parts((1, 1, 2), turn, (-0.5, -14, 0)), (10, 20, 20)))
    assert 0.4 < found.covered < 0.95


@pytest.mark.parametrize(("orientation", "axis"), [("LPS", 2), ("SPL", 0), ("LIP", 1)])
def test_the_body_axis_is_found_in_any_storage(orientation: str, axis: int) -> None:
    assert body_axis(image().reoriented(orientation).affine) == axis
