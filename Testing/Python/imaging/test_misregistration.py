"""Shifts between contours are found on any grids; the estimate from images finds known shifts and knows its limits."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.misregistration import (
    CONTOUR_WARNING_MM,
    Misregistration,
    estimate_misregistration,
    shift_between_masks,
)
from MemorySurvivalLib.imaging.reading import read_volume
from MemorySurvivalLib.imaging.registration import find_translation, make_pair
from MemorySurvivalLib.imaging.volume import Affine, Volume
from MemorySurvivalLib.simulation.case import SimulatedCase, simulate_case

TURNS = {
    "upright": np.eye(3),
    "flipped": np.diag([-1.0, 1.0, -1.0]),
    "permuted": np.eye(3)[[2, 0, 1]],
    "oblique": Rotation.from_euler("xyz", (12, -25, 40), degrees=True).as_matrix(),
}


@cache
def phantom() -> SimulatedCase:
    """Coarse, so that the tests are fast."""
    return simulate_case(31, spacing_mm=(5.0, 5.0, 6.0))


def moved(volume: Volume, shift_mm: tuple[float, float, float], direction: np.ndarray | None = None) -> Volume:
    """The volume shifted, and the whole world turned by `direction`."""
    matrix = volume.affine.matrix.copy()
    matrix[:3, 3] += shift_mm
    if direction is not None:
        matrix[:3] = direction @ matrix[:3]
    return Volume(volume.voxels, Affine(matrix), volume.attributes)


def ball(
    centre: tuple[float, float, float], spacing: tuple[float, float, float], turn: str, radius_mm: float = 15.0
) -> Volume:
    shape = tuple(int(70 // step) for step in reversed(spacing))
    there = Affine.from_parts(spacing, TURNS[turn], (0, 0, 0)).points_mm((np.array(shape[::-1]) - 1) / 2)
    affine = Affine.from_parts(spacing, TURNS[turn], -there)
    z, y, x = np.indices(shape)
    points = affine.points_mm(np.stack([x, y, z], axis=-1)) - centre
    return Volume(((points**2).sum(axis=-1) <= radius_mm**2).astype(np.uint8), affine)


@pytest.mark.parametrize("ct_turn", TURNS)
@pytest.mark.parametrize("pet_turn", TURNS)
def test_the_shift_of_a_ball_is_found_below_a_voxel_on_any_two_grids(ct_turn: str, pet_turn: str) -> None:
    found = shift_between_masks(
        ball((1.0, -2.0, 0.5), (0.98, 0.98, 3.27), ct_turn), ball((4.4, -2.0, -5.9), (4.1, 4.1, 3.27), pet_turn)
    )
    np.testing.assert_allclose(found.shift_lps_mm, (3.4, 0.0, -6.4), atol=0.35)
    assert found.reliable and found.exceeds() and found.source == "contours"
    assert "left" in found.warning() and "towards the feet" in found.warning()


def test_the_same_place_is_no_shift_and_no_warning() -> None:
    found = shift_between_masks(
        ball((0, 0, 0), (0.98, 0.98, 3.27), "upright"), ball((0, 0, 0), (4.1, 4.1, 3.27), "flipped")
    )
    assert found.magnitude_mm < 0.3 and found.warning() == ""


def test_partial_volume_counts_by_its_share() -> None:
    one = np.zeros((3, 3, 4), np.float32)
    one[1, 1, 1], one[1, 1, 2] = 1.0, 0.25
    soft = Volume(one, Affine(np.diag([2.0, 2, 2, 1])))
    hard = soft.with_voxels((one > 0).astype(np.uint8))
    np.testing.assert_allclose(shift_between_masks(hard, soft.with_voxels(one)).shift_lps_mm[0], (0.2 - 0.5) * 2)


def test_contours_that_are_cut_or_differ_in_volume_are_unreliable() -> None:
    whole = ball((0, 0, 0), (1.0, 1.0, 2.0), "upright")
    cut = whole.cropped((0, 0, 0), (16, 70, 70))
    found = shift_between_masks(whole, cut)
    assert not found.reliable and "outside the PET" in found.reasons[0] and found.warning() == ""
    assert found.magnitude_mm < 0.1  # compared where both are
    other = shift_between_masks(whole, ball((9, 0, 0), (1.0, 1.0, 2.0), "upright", radius_mm=8))
    assert not other.reliable and "differ in volume" in other.reasons[0]


def test_contours_without_common_ground_are_refused() -> None:
    mask = ball((0, 0, 0), (2.0, 2.0, 2.0), "upright")
    with pytest.raises(InputError, match="on the PET is empty"):
        shift_between_masks(mask, mask.with_voxels(np.zeros_like(mask.voxels)))
    with pytest.raises(InputError, match="outside each other"):
        shift_between_masks(mask, moved(mask, (500, 0, 0)))


@pytest.mark.real_data
def test_contours_flag_exactly_the_one_patient(real_data: Path) -> None:
    found = {}
    for folder in sorted(path for path in (real_data / "petct_sts10").iterdir() if path.is_dir()):
        ct, pet = (read_volume(folder / f"{name}_mask.nii.gz", "mask") for name in ("CT", "PET"))
        found[folder.name] = shift_between_masks(ct, pet)
    assert [name for name, shift in found.items() if shift.exceeds()] == ["STS_019"]
    assert found.pop("STS_019").magnitude_mm == pytest.approx(7.2, abs=0.1)
    assert len(found) == 9 and all(shift.reliable for shift in found.values())
    assert max(shift.magnitude_mm for shift in found.values()) < 0.4 < CONTOUR_WARNING_MM / 2


@pytest.mark.real_data
def test_cropped_limbs_are_called_unreliable(real_data: Path) -> None:
    for name in ("STS_008", "STS_019"):
        images = (
            read_volume(real_data / "petct_sts10" / name / f"{kind}_image.nii.gz", kind) for kind in ("CT", "PET")
        )
        found = estimate_misregistration(*images)
        assert not found.reliable and "litres of the body" in found.reasons[0] and found.warning() == ""


@pytest.mark.parametrize("shift", [(0.0, 0.0, 0.0), (4.0, -5.0, 7.0)])
def test_a_known_shift_is_found_from_the_images(shift: tuple[float, float, float]) -> None:
    found = estimate_misregistration(phantom().ct, moved(phantom().pet, shift))
    assert np.linalg.norm(np.subtract(found.shift_lps_mm, shift)) < 2
    assert found.reliable and found.exceeds() == any(shift)


def test_storage_and_orientation_do_not_matter() -> None:
    """The CT stored along other axes, the PET along others, and the whole world turned: the shift turns with it."""
    shift, turn = (-6.0, 3.0, 4.0), Rotation.from_euler("xyz", (6, -4, 15), degrees=True).as_matrix()
    ct, pet = (
        moved(phantom().ct, (0, 0, 0), turn).reoriented("PSR"),
        moved(phantom().pet, shift, turn).reoriented("IAL"),
    )
    found = estimate_misregistration(ct, pet)
    assert np.linalg.norm(found.shift_lps_mm - turn @ shift) < 2
    assert found.reliable


def test_the_same_images_give_the_same_answer() -> None:
    pair = make_pair(phantom().ct, moved(phantom().pet, (2, 2, 2)))
    first, second = find_translation(pair), find_translation(pair)
    np.testing.assert_array_equal(first.rigid, second.rigid)
    assert first.mutual_information == second.mutual_information


def test_another_person_is_called_unreliable() -> None:
    other = simulate_case(32, spacing_mm=(5.0, 5.0, 6.0))
    found = estimate_misregistration(phantom().ct, other.pet)
    assert not found.reliable and any("disagree" in reason for reason in found.reasons)


def test_images_that_cannot_be_compared_are_refused_in_a_sentence() -> None:
    ct, pet = phantom().ct, phantom().pet
    with pytest.raises(InputError, match="do not overlap"):
        estimate_misregistration(ct, moved(pet, (0, 0, 5000)))
    with pytest.raises(InputError, match="no body"):
        estimate_misregistration(ct.with_voxels(np.full_like(ct.voxels, -1000)), pet)
    with pytest.raises(InputError, match="cannot be compared"):
        estimate_misregistration(ct.with_voxels(np.zeros_like(ct.voxels)), pet)


def test_a_misregistration_is_valid_or_raises() -> None:
    with pytest.raises(InputError, match="finite"):
        Misregistration((0.0, float("nan"), 0.0), "images", True)
    with pytest.raises(InputError, match="says why not"):
        Misregistration((0.0, 0.0, 0.0), "images", False)
    with pytest.raises(InputError, match="contours"):
        Misregistration((0.0, 0.0, 0.0), "guess", True)  # type: ignore[arg-type]
    small = Misregistration((0.2, 0.0, 3.0), "contours", True)
    assert small.directions == "3.0 mm towards the head"
    assert small.exceeds() and not small.exceeds(threshold_mm=4) and small.warning(4) == ""
