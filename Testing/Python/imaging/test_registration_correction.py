"""The rigid correction brings the PET back, touches no voxel, is recorded, and refuses when unsure."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.misregistration import Misregistration
from MemorySurvivalLib.imaging.registration_correction import RigidCorrection, correct_by_contours, correct_rigidly
from MemorySurvivalLib.imaging.volume import Affine, FloatMatrix, Volume
from MemorySurvivalLib.simulation.case import SimulatedCase, simulate_case


@cache
def phantom() -> SimulatedCase:
    """Coarse, so that the tests are fast."""
    return simulate_case(33, spacing_mm=(5.0, 5.0, 6.0))


def displaced(shift: tuple[float, float, float], angles_deg: tuple[float, float, float] = (0, 0, 0)) -> FloatMatrix:
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", angles_deg, degrees=True).as_matrix()
    matrix[:3, 3] = shift
    return matrix


def left_over_mm(moved: Volume, true: Volume) -> float:
    """The longest distance of a corner of the image from where it belongs."""
    nz, ny, nx = true.shape
    corners = [(x, y, z) for x in (0, nx) for y in (0, ny) for z in (0, nz)]
    return float(np.linalg.norm(moved.affine.points_mm(corners) - true.affine.points_mm(corners), axis=1).max())


def test_a_shifted_pet_comes_back_and_its_voxels_are_untouched() -> None:
    pet = phantom().pet
    wrong = Volume(pet.voxels, Affine(displaced((5, -4, 7)) @ pet.affine.matrix), {"who": "me"})
    moved, record = correct_rigidly(wrong, phantom().ct)
    assert left_over_mm(moved, pet) < 2
    np.testing.assert_array_equal(moved.voxels, wrong.voxels)
    assert dict(moved.attributes) == {"who": "me"}
    np.testing.assert_allclose(record.translation_lps_mm, (-5, 4, -7), atol=1.5)
    assert record.largest_move_mm == pytest.approx(np.linalg.norm(record.translation_lps_mm), abs=0.01)
    assert record.rotation_deg == (0, 0, 0) and record.source == "images"
    assert record.similarity_after > record.similarity_before  # type: ignore[operator]
    assert record.apply(wrong).same_grid(moved)
    assert "left, back and head" in record.sentence and "turned" not in record.sentence


def test_a_turned_pet_comes_back_by_a_turn_however_it_is_stored() -> None:
    pet = phantom().pet
    wrong = Volume(pet.voxels, Affine(displaced((4, 3, -5), (-2, 1.5, 2)) @ pet.affine.matrix)).reoriented("SRA")
    moved, record = correct_rigidly(wrong, phantom().ct.reoriented("RAI"), motion="rigid")
    assert left_over_mm(moved.reoriented("LPS"), pet) < 6  # the corners are 70 cm from the middle
    assert max(map(abs, record.rotation_deg)) == pytest.approx(2, abs=0.6)
    assert "turned by up to" in record.sentence


def test_a_pet_that_fits_or_lies_implausibly_is_left_alone() -> None:
    pet, ct = phantom().pet, phantom().ct
    with pytest.raises(InputError, match=r"not moved.*implausible"):
        correct_rigidly(pet, ct, estimate=Misregistration((0.0, 0.0, 45.0), "images", True))
    with pytest.raises(InputError, match="no better"):
        correct_rigidly(pet, ct, estimate=Misregistration((3.0, 0.0, 0.0), "images", True))
    shifted = Volume(pet.voxels, Affine(displaced((6, 0, 0)) @ pet.affine.matrix))
    with pytest.raises(InputError, match=r"not moved.*Parts disagree"):
        correct_rigidly(shifted, ct, estimate=Misregistration((6.0, 0.0, 0.0), "images", False, ("Parts disagree.",)))
    with pytest.raises(InputError, match="rigid"):
        correct_rigidly(pet, ct, motion="elastic")  # type: ignore[arg-type]


def test_contours_can_move_the_pet_too() -> None:
    pet = phantom().pet
    wrong = Volume(pet.voxels, Affine(displaced((3.5, 0, -6.4)) @ pet.affine.matrix))
    moved, record = correct_by_contours(wrong, Misregistration((3.5, 0.0, -6.4), "contours", True))
    assert left_over_mm(moved, pet) < 1e-6
    assert record.source == "contours" and record.similarity_after is None
    assert record.translation_lps_mm == (-3.5, 0.0, 6.4)
    with pytest.raises(InputError, match="differ"):
        correct_by_contours(wrong, Misregistration((3.5, 0.0, 1.0), "contours", False, ("The contours differ.",)))
    with pytest.raises(InputError, match="implausible"):
        correct_by_contours(wrong, Misregistration((0.0, 40.0, 0.0), "contours", True))


def test_a_record_holds_a_rigid_move_or_raises() -> None:
    def record(matrix: FloatMatrix, **changes: object) -> RigidCorrection:
        fields = {"source": "images", "motion": "rigid", "matrix": tuple(matrix.ravel()), "largest_move_mm": 1.0}
        places = dict.fromkeys(("centre_lps_mm", "translation_lps_mm", "rotation_deg"), (0.0, 0.0, 0.0))
        return RigidCorrection(**{**fields, **places, **changes})  # type: ignore[arg-type]

    assert record(np.eye(4)).apply(phantom().pet).same_grid(phantom().pet)
    for wrong in (np.diag([1, 1, 1.1, 1]), np.diag([-1, 1, 1, 1]), np.full((4, 4), np.nan), np.eye(3)):
        with pytest.raises(InputError):
            record(wrong)
    with pytest.raises(InputError, match="elastic"):
        record(np.eye(4), motion="elastic")
