"""Masks on the PET's grid keep their volume and their place, whatever the two grids; slabs change no voxel."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging import grid_masks, volume
from MemorySurvivalLib.imaging.grid_masks import MaskRule, mask_share, masks_to_pet
from MemorySurvivalLib.imaging.volume import Affine, Volume, resample_onto

TURNS = {
    "upright": np.eye(3),
    "flipped": np.diag([-1.0, 1.0, -1.0]),
    "permuted": np.eye(3)[[2, 0, 1]],
    "oblique": Rotation.from_euler("xyz", (12, -25, 40), degrees=True).as_matrix(),
    "oblique and mirrored": Rotation.from_euler("xyz", (-8, 5, 70), degrees=True).as_matrix() @ np.diag([1, -1, 1]),
}


def centred(spacing: tuple[float, float, float], shape: tuple[int, int, int], direction: np.ndarray) -> Affine:
    """A grid whose middle lies at (3, -2, 1) mm."""
    there = Affine.from_parts(spacing, direction, (0, 0, 0)).points_mm((np.array(shape[::-1]) - 1) / 2)
    return Affine.from_parts(spacing, direction, np.array([3, -2, 1]) - there)


def ellipsoid(direction: np.ndarray) -> Volume:
    """30 x 22 x 26 mm half axes, off the middle, on an anisotropic CT-like grid."""
    shape, spacing = (44, 80, 90), (1.0, 1.1, 2.3)
    affine = centred(spacing, shape, direction)
    z, y, x = np.indices(shape)
    points = affine.points_mm(np.stack([x, y, z], axis=-1)) - (4.0, 1.0, -3.0)
    return Volume((points / (30.0, 22.0, 26.0)) ** 2 @ np.ones(3) <= 1, affine, {"who": "me"})


def volume_ml(mask: Volume) -> float:
    return float(mask.voxels.sum(dtype=np.float64) * np.prod(mask.spacing_mm) / 1000)


def centroid(mask: Volume) -> np.ndarray:
    z, y, x = np.nonzero(mask.voxels)
    return np.average(mask.affine.points_mm(np.stack([x, y, z], -1)), axis=0, weights=mask.voxels[z, y, x])


@pytest.mark.parametrize("rule", ["nearest", "majority"])
@pytest.mark.parametrize("mask_turn", TURNS)
@pytest.mark.parametrize("pet_turn", TURNS)
def test_a_mask_keeps_volume_and_place_on_the_pet(mask_turn: str, pet_turn: str, rule: MaskRule) -> None:
    mask = ellipsoid(TURNS[mask_turn])
    shape = (30, 28, 26)
    pet = Volume(np.zeros(shape), centred((4.1, 3.6, 5.0), shape, TURNS[pet_turn]))
    found = masks_to_pet(mask, pet, rule)
    assert found.voxels.dtype == np.bool_ and found.same_grid(pet) and dict(found.attributes) == {"who": "me"}
    assert volume_ml(found) == pytest.approx(volume_ml(mask), rel=0.03)
    np.testing.assert_allclose(centroid(found), centroid(mask), atol=0.35 if rule == "majority" else 0.6)


@pytest.mark.parametrize("turn", TURNS)
def test_the_share_of_voxels_keeps_the_volume_of_thin_bone_too(turn: str) -> None:
    """A sheet of 2 mm in 4 mm voxels: shares add up to its volume although no voxel is filled by half."""
    shape = (20, 60, 60)
    affine = centred((1.0, 1.0, 2.0), shape, np.eye(3))
    voxels = np.zeros(shape, np.uint8)
    voxels[4:16, 29:31, 10:50] = 7  # any label counts
    sheet = Volume(voxels, affine)
    counted = Volume(voxels > 0, affine)
    pet = Volume(np.zeros((24, 24, 24)), centred((5.2, 4.3, 5.0), (24, 24, 24), TURNS[turn]))
    share = mask_share(sheet, pet)
    assert share.voxels.min() >= 0 and share.voxels.max() <= 1
    assert volume_ml(share) == pytest.approx(volume_ml(counted), rel=0.05)
    np.testing.assert_allclose(centroid(share), centroid(counted), atol=0.3)


def test_majority_drops_what_fills_less_than_half_and_nearest_asks_the_centre() -> None:
    fine = np.zeros((2, 2, 8), bool)
    fine[:, :, :1] = fine[:, :, 2:4] = True  # a half (0), a full (1), nothing (2, 3) of each pair along x
    fine[0, 0, 4] = True
    mask = Volume(fine, Affine.from_parts((1, 1, 1), np.eye(3), (0.5, 0.5, 0.5)))
    pet = Volume(np.zeros((1, 1, 4)), Affine.from_parts((2, 2, 2), np.eye(3), (1, 1, 1)))
    np.testing.assert_allclose(mask_share(mask, pet).voxels.ravel(), [0.5, 1, 0.125, 0])
    assert masks_to_pet(mask, pet, "majority").voxels.ravel().tolist() == [True, True, False, False]


def test_a_mask_beyond_the_pet_is_cut_and_outside_is_empty() -> None:
    mask = Volume(np.ones((6, 6, 6), np.uint8), Affine(np.diag([2.0, 2, 2, 1])))
    pet = Volume(np.zeros((3, 3, 8)), Affine.from_parts((3, 3, 3), np.eye(3), (0, 0, 0)))
    assert not masks_to_pet(mask, pet).voxels[..., 4:].any()
    assert masks_to_pet(mask, pet).voxels[..., :3].all()


def test_an_unknown_rule_is_refused() -> None:
    with pytest.raises(InputError, match="majority"):
        masks_to_pet(ellipsoid(np.eye(3)), ellipsoid(np.eye(3)), "linear")  # type: ignore[arg-type]


@pytest.mark.parametrize("linear", [True, False])
@pytest.mark.parametrize("moving_turn", TURNS)
@pytest.mark.parametrize("grid_turn", TURNS)
def test_slabs_give_the_voxels_of_one_go(
    moving_turn: str, grid_turn: str, linear: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(5)
    moving = Volume(
        rng.normal(size=(17, 15, 13)).astype(np.float32), centred((4.07, 4.07, 3.0), (17, 15, 13), TURNS[moving_turn])
    )
    grid = Volume(np.zeros((41, 30, 33)), centred((1.3, 1.7, 1.9), (41, 30, 33), TURNS[grid_turn]))
    whole = resample_onto(moving, grid, linear=linear, outside=-3.0)
    monkeypatch.setattr(volume, "SLAB_VOXELS", 5000)
    slabs = resample_onto(moving, grid, linear=linear, outside=-3.0)
    assert (whole.voxels == -3).any() and (whole.voxels != -3).any()
    assert slabs.voxels.dtype == whole.voxels.dtype and slabs.same_grid(whole)
    np.testing.assert_allclose(slabs.voxels, whole.voxels, rtol=0, atol=1e-6)  # one float32 bit where rounding falls


def test_slabs_that_miss_the_image_are_filled_and_labels_keep_their_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(volume, "SLAB_VOXELS", 40)
    labels = Volume(np.full((2, 4, 4), 9, np.int16), Affine.from_parts((1, 1, 1), np.eye(3), (0, 0, 20)))
    grid = Volume(np.zeros((40, 4, 4)), Affine(np.eye(4)))
    result = resample_onto(labels, grid, linear=False, outside=-1)
    assert result.voxels.dtype == np.int16
    assert np.unique(result.voxels[20:22]).tolist() == [9] and (np.delete(result.voxels, (20, 21), axis=0) == -1).all()
    mask = resample_onto(labels.with_voxels(labels.voxels > 0), grid, linear=False)
    assert mask.voxels.dtype == np.uint8 and mask.voxels.sum() == 32


def test_shares_in_slabs_are_the_shares_in_one_go(monkeypatch: pytest.MonkeyPatch) -> None:
    mask = ellipsoid(TURNS["oblique"])
    pet = Volume(np.zeros((16, 16, 16)), centred((4.1, 5.6, 5.0), (16, 16, 16), np.eye(3)))
    whole = mask_share(mask, pet)
    monkeypatch.setattr(grid_masks, "SLAB_VOXELS", 60_000)
    np.testing.assert_array_equal(mask_share(mask, pet).voxels, whole.voxels)
