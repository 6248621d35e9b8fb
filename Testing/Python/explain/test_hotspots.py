"""Hotspots of made-up maps: what counts, where they lie in any orientation, and what bones they are in."""

from __future__ import annotations

import numpy as np
import pytest
from explain_makers import ball
from scipy.spatial.transform import Rotation

from MemorySurvivalLib.explain.hotspots import find_hotspots, name_hotspots
from MemorySurvivalLib.explain.sites import name_sites
from MemorySurvivalLib.imaging.volume import Affine, Volume
from MemorySurvivalLib.roi.segments import Code, Maker, Segmentation, Structure

SHAPE = (40, 30, 36)
SPACING = (2.0, 3.0, 4.0)
OBLIQUE = Rotation.from_euler("xyz", [10, -15, 20], degrees=True).as_matrix()


def make_map(direction: np.ndarray | None = None) -> Volume:
    """Two red balls, one blue, and noise everywhere else."""
    affine = Affine.from_parts(SPACING, np.eye(3) if direction is None else direction, (-30.0, -40.0, 100.0))
    effect = np.random.default_rng(0).uniform(-0.004, 0.004, SHAPE)
    effect[ball(SHAPE, (10, 10, 10), 4)] = 0.05
    effect[ball(SHAPE, (30, 20, 26), 3)] = 0.03
    effect[ball(SHAPE, (20, 20, 10), 3)] = -0.04
    return Volume(effect.astype(np.float32), affine)


@pytest.mark.parametrize("direction", [None, OBLIQUE], ids=["straight", "oblique"])
def test_connected_maxima_above_the_floor(direction: np.ndarray | None) -> None:
    volume = make_map(direction)
    spots = name_hotspots(find_hotspots(volume, 0.01, 4.0), lambda point: f"{point[2]:.0f}")
    assert [round(spot.effect, 3) for spot in spots] == [0.05, -0.04, 0.03]
    for spot, zyx in zip(spots, [(10, 10, 10), (20, 20, 10), (30, 20, 26)], strict=True):
        expected = volume.affine.points_mm(zyx[::-1])
        assert np.linalg.norm(np.asarray(spot.position_lps_mm) - expected) <= 5
        assert spot.site == f"{spot.position_lps_mm[2]:.0f}"
        assert 0 < spot.share < 1
    true_ml = np.count_nonzero(ball(SHAPE, (10, 10, 10), 4)) * np.prod(SPACING) / 1000
    assert spots[0].volume_ml == pytest.approx(true_ml, rel=0.25)
    parts = np.abs(volume.voxels) * ball(SHAPE, (10, 10, 10), 4)
    assert spots[0].share == pytest.approx(parts.sum() / np.abs(volume.voxels).sum(), rel=0.25)


def test_flips_and_permutations_give_the_same_hotspots() -> None:
    volume = make_map()
    straight = find_hotspots(volume, 0.01, 2.0)
    for orientation in ("RAS", "LIP", "SPL", "PSR"):
        turned = find_hotspots(volume.reoriented(orientation), 0.01, 2.0)
        assert [spot.effect for spot in turned] == [spot.effect for spot in straight]
        for one, other in zip(turned, straight, strict=True):
            assert np.linalg.norm(np.subtract(one.position_lps_mm, other.position_lps_mm)) <= 4.5
            assert one.share == pytest.approx(other.share, rel=0.01)


def test_nothing_above_noise_is_a_proper_answer() -> None:
    assert find_hotspots(make_map(), 0.06, 4.0) == ()
    zeros = make_map()
    assert find_hotspots(zeros.with_voxels(np.zeros_like(zeros.voxels)), 0.0, 4.0) == ()


def test_one_ridge_with_a_dip_is_two_hotspots_and_without_one() -> None:
    effect = np.zeros(SHAPE, dtype=np.float32)
    effect[5:35, 14:17, 16:20] = 0.05
    volume = make_map().with_voxels(effect)
    assert len(find_hotspots(volume, 0.01, 2.0)) == 1
    dipped = effect.copy()
    dipped[18:22] *= 0.5
    assert len(find_hotspots(volume.with_voxels(dipped), 0.01, 2.0)) == 2
    assert len(find_hotspots(volume.with_voxels(dipped), 0.03, 2.0)) == 2, "cut apart by the floor"


def test_a_region_of_one_slice_or_one_voxel() -> None:
    affine = Affine.from_parts(SPACING, np.eye(3), (0, 0, 0))
    flat = Volume(np.full((1, 5, 5), 0.02, dtype=np.float32), affine)
    [spot] = find_hotspots(flat, 0.01, 40.0)
    assert spot.share == pytest.approx(1)
    [spot] = find_hotspots(Volume(np.full((1, 1, 1), -0.02, dtype=np.float32), affine), 0.01, 40.0)
    assert spot.position_lps_mm == (0, 0, 0)


def make_bones(direction: np.ndarray) -> Segmentation:
    labels = np.zeros(SHAPE, dtype=np.uint8)
    labels[20:24, 10:20, 10:20] = 1
    labels[28:32, 10:20, 10:20] = 2
    labels[20:32, 22:26, 10:20] = 3
    code = Code("1", "SCT", "bone")
    structures = {
        1: Structure("L4", "vertebra", code),
        2: Structure("L3", "vertebra", code),
        3: Structure("spinal canal", "canal", code),
    }
    return Segmentation(
        Volume(labels, Affine.from_parts(SPACING, direction, (-30.0, -40.0, 100.0))), structures, Maker("test")
    )


@pytest.mark.parametrize("direction", [np.eye(3), OBLIQUE, np.diag([-1.0, -1.0, 1.0])], ids=["LPS", "oblique", "RAS"])
def test_sites_are_named_by_the_nearest_bone(direction: np.ndarray) -> None:
    bones = make_bones(direction)
    name = name_sites(bones)

    def at(x: float, y: float, z: float) -> str:
        px, py, pz = bones.labels.affine.points_mm((x, y, z)).tolist()
        return name((px, py, pz))

    assert at(15, 15, 22) == "L4"
    assert at(15, 15, 30) == "L3"
    assert at(15, 15, 26.9) == "L3", "between two the nearer one"
    assert at(15, 24, 21) == "near L4", "the canal is no bone"
    assert at(35, 0, 0) == ""
    assert at(500, 500, 500) == ""
    assert name_sites(None)((0, 0, 0)) == ""
