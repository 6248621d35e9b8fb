"""Geometry: an index and its point stay together through flips, permutations, crops and resampling."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.volume import Affine, FloatMatrix, Volume, resample_onto

ORIENTATIONS = [
    "".join(letters)
    for order in permutations(("LR", "PA", "SI"))
    for letters in product(*order)
]  # fmt: skip

millimetres = st.floats(0.3, 7.0)
places = st.floats(-800, 800)
angles = st.floats(-180, 180)


@st.composite
def affines(draw: st.DrawFn, largest_angle: float = 180) -> Affine:
    """Any rigid grid: spacing, rotation, an optional mirror, origin."""
    turn = [draw(st.floats(-largest_angle, largest_angle)) for _ in range(3)]
    direction = Rotation.from_euler("xyz", turn, degrees=True).as_matrix()
    mirror = np.diag([draw(st.sampled_from((1, -1))) if largest_angle == 180 else 1 for _ in range(3)])
    return Affine.from_parts(
        [draw(millimetres) for _ in range(3)], direction @ mirror, [draw(places) for _ in range(3)]
    )


def numbered(affine: Affine, shape: tuple[int, int, int] = (3, 4, 5)) -> Volume:
    """A volume whose every voxel holds another number."""
    return Volume(np.arange(np.prod(shape), dtype=np.int32).reshape(shape), affine, {"who": "me"})


def value_at(volume: Volume, points_mm: FloatMatrix) -> np.ndarray:
    """Voxels whose centres are at `points_mm` (n, 3)."""
    index = volume.affine.indices(points_mm)
    rounded = np.rint(index).astype(int)
    np.testing.assert_allclose(index, rounded, atol=1e-6)
    return volume.voxels[rounded[:, 2], rounded[:, 1], rounded[:, 0]]


def all_points(volume: Volume) -> FloatMatrix:
    """The centres of all voxels (n, 3), in the order of `voxels.ravel()`."""
    z, y, x = np.indices(volume.shape).reshape(3, -1)
    return volume.affine.points_mm(np.stack([x, y, z], axis=1))


def test_there_are_48_orientations() -> None:
    assert len(set(ORIENTATIONS)) == 48


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_reorienting_keeps_every_voxel_at_its_point_and_comes_back_exactly(orientation: str) -> None:
    volume = numbered(Affine.from_parts((0.7, 1.3, 2.9), np.eye(3), (-11.5, 203.25, -640.125)))
    stored = volume.reoriented(orientation)
    assert stored.affine.orientation == orientation
    assert stored.voxels.dtype == volume.voxels.dtype
    assert dict(stored.attributes) == {"who": "me"}
    np.testing.assert_array_equal(value_at(stored, all_points(volume)), volume.voxels.ravel())
    back = stored.reoriented("LPS")
    np.testing.assert_array_equal(back.voxels, volume.voxels)
    np.testing.assert_allclose(back.affine.matrix, volume.affine.matrix, atol=1e-9)
    assert back.same_grid(volume)
    assert back.sha256() == volume.sha256()


@settings(deadline=None, max_examples=60)
@given(affines(), st.sampled_from(ORIENTATIONS))
def test_reorienting_an_oblique_volume_moves_no_voxel(affine: Affine, orientation: str) -> None:
    volume = numbered(affine)
    stored = volume.reoriented(orientation)
    np.testing.assert_array_equal(value_at(stored, all_points(volume)), volume.voxels.ravel())
    assert stored.reoriented(volume.affine.orientation).same_grid(volume)


@settings(deadline=None)
@given(affines(), st.lists(st.tuples(*[st.floats(-500, 500)] * 3), min_size=1, max_size=4))
def test_points_and_indices_are_inverse(affine: Affine, index: list[tuple[float, float, float]]) -> None:
    np.testing.assert_allclose(affine.indices(affine.points_mm(index)), index, atol=1e-8)


@settings(deadline=None)
@given(affines(), st.tuples(st.integers(0, 2), st.integers(0, 3), st.integers(0, 4)))
def test_a_crop_keeps_its_place(affine: Affine, start: tuple[int, int, int]) -> None:
    volume = numbered(affine)
    crop = volume.cropped(start, volume.shape)
    assert crop.shape == tuple(n - s for n, s in zip(volume.shape, start, strict=True))
    np.testing.assert_array_equal(value_at(volume, all_points(crop)), crop.voxels.ravel())
    np.testing.assert_allclose(crop.spacing_mm, volume.spacing_mm)


@settings(deadline=None, max_examples=60)
@given(affines(largest_angle=180), affines(largest_angle=180), st.tuples(*[st.floats(-3, 3)] * 3))
def test_resampling_reproduces_a_ramp_in_millimetres(
    moving_affine: Affine, grid_affine: Affine, slope: tuple[float, float, float]
) -> None:
    """Linear interpolation is exact on a linear function of place, whatever the two grids."""
    shape = (9, 10, 11)
    middle = moving_affine.points_mm([5, 4.5, 4])
    small = np.asarray(grid_affine.matrix[:3, :3]) * 0.05 * min(moving_affine.spacing_mm)
    grid_affine = Affine(np.block([[small, middle[:, None]], [np.zeros((1, 3)), np.ones((1, 1))]]))
    moving = Volume(np.zeros(shape), moving_affine)
    ramp = (all_points(moving) - middle) @ np.asarray(slope)
    moving = moving.with_voxels(ramp.reshape(shape))
    grid = Volume(np.zeros((4, 3, 5)), grid_affine)
    result = resample_onto(moving, grid, linear=True, outside=1e9)
    expected = (all_points(grid) - middle) @ np.asarray(slope)
    inside = np.abs(result.voxels.ravel()) < 1e8
    assert inside.any()
    index = moving.affine.indices(all_points(grid))
    well_inside = ((index >= 0) & (index <= np.array(shape[::-1]) - 1)).all(axis=1)
    assert inside[well_inside].all()
    np.testing.assert_allclose(result.voxels.ravel()[well_inside], expected[well_inside], atol=2e-4)
    assert result.same_grid(grid)


def test_resampling_labels_invents_none_and_fills_the_outside() -> None:
    labels = Volume(np.array([[[3, 7], [7, 3]], [[3, 3], [7, 7]]], np.uint8), Affine(np.diag([4.0, 4, 4, 1])))
    grid = Volume(np.zeros((6, 12, 12)), Affine.from_parts((1, 1, 2), np.eye(3), (-2.5, -2.5, -1)))
    result = resample_onto(labels, grid, linear=False)
    assert set(np.unique(result.voxels)) == {0, 3, 7}
    assert result.voxels.dtype == np.uint8


def test_resampling_onto_the_same_grid_changes_no_voxel() -> None:
    volume = numbered(Affine(np.diag([1.0, 2, 3, 1])))
    assert resample_onto(volume, volume, linear=True).voxels.dtype == np.int32
    np.testing.assert_array_equal(resample_onto(volume, volume, linear=True).voxels, volume.voxels)


@pytest.mark.parametrize(
    "change",
    [
        lambda v: numbered(v.affine.shifted((0.01, 0, 0))),
        lambda v: numbered(Affine(v.affine.matrix @ np.diag([1, 1, 1.01, 1]))),
        lambda v: v.cropped((0, 0, 0), (2, 4, 5)),
        lambda v: v.reoriented("RPS"),
    ],
)
def test_another_place_or_size_is_another_grid(change: object) -> None:
    volume = numbered(Affine.from_parts((1, 2, 3), np.eye(3), (4, 5, 6)))
    assert volume.same_grid(Volume(volume.voxels * 2, volume.affine))
    assert not volume.same_grid(change(volume))  # type: ignore[operator]


def test_hash_changes_with_voxels_type_and_place_only() -> None:
    volume = numbered(Affine.from_parts((1, 2, 3), np.eye(3), (4, 0, 6)))
    same = Volume(volume.voxels.copy(), Affine(volume.affine.matrix.copy()), {"other": "attributes"})
    assert same.sha256() == volume.sha256()
    changed = volume.voxels.copy()
    changed[0, 0, 0] += 1
    others = [
        volume.with_voxels(changed),
        volume.with_voxels(volume.voxels.astype(np.int64)),
        Volume(volume.voxels.reshape(4, 3, 5), volume.affine),
        Volume(volume.voxels, volume.affine.shifted((0.001, 0, 0))),
    ]
    assert len({volume.sha256(), *(other.sha256() for other in others)}) == 5


def test_hash_does_not_depend_on_the_sign_of_zero() -> None:
    plus = numbered(Affine.from_parts((1, 2, 3), np.eye(3), (0.0, 0, 0)))
    minus = numbered(Affine.from_parts((1, 2, 3), np.eye(3), (-1e-12, -0.0, 0)))
    assert plus.sha256() == minus.sha256()


def test_hash_does_not_depend_on_memory_layout() -> None:
    voxels = np.arange(60).reshape(3, 4, 5)
    affine = Affine(np.eye(4))
    assert Volume(np.asfortranarray(voxels), affine).sha256() == Volume(voxels, affine).sha256()


def test_a_volume_cannot_be_changed_in_place() -> None:
    voxels = np.zeros((2, 2, 2))
    volume = Volume(voxels, Affine(np.eye(4)), {"a": "b"})
    with pytest.raises(ValueError, match="read-only"):
        volume.voxels[0, 0, 0] = 1
    with pytest.raises(ValueError, match="read-only"):
        volume.affine.matrix[0, 0] = 2
    with pytest.raises(TypeError):
        volume.attributes["a"] = "c"  # type: ignore[index]
    voxels[0, 0, 0] = 1  # the caller's own array stays the caller's


def test_simpleitk_sees_the_same_places() -> None:
    direction = Rotation.from_euler("xyz", (10, -20, 30), degrees=True).as_matrix()
    volume = numbered(Affine.from_parts((0.7, 1.3, 2.9), direction, (-11.5, 203.25, -640.125)))
    image = volume.to_sitk()
    np.testing.assert_allclose(
        image.TransformIndexToPhysicalPoint((4, 3, 2)), volume.affine.points_mm((4, 3, 2)), atol=1e-9
    )
    again = Volume.from_sitk(image)
    assert again.same_grid(volume)
    np.testing.assert_array_equal(again.voxels, volume.voxels)
    assert dict(again.attributes) == {"who": "me"}


def test_boolean_masks_become_bytes_for_simpleitk() -> None:
    mask = Volume(np.ones((2, 2, 2), bool), Affine(np.eye(4)))
    assert mask.to_sitk().GetPixelID() == sitk.sitkUInt8


@pytest.mark.parametrize(
    ("matrix", "sentence"),
    [
        (np.eye(3), "An affine must be 4 x 4, got (3, 3)."),
        (np.diag([1, 1, np.nan, 1]), "An affine must be finite and end in the row 0 0 0 1."),
        (np.diag([1.0, 1, 1, 2]), "An affine must be finite and end in the row 0 0 0 1."),
        (np.diag([1.0, 0, 1, 1]), "The voxel spacing must be positive along every axis."),
        (
            np.array([[1, 0.1, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]),
            "The voxel axes are not at right angles; resample the image to a regular grid.",
        ),
    ],
)
def test_an_impossible_affine_is_refused(matrix: FloatMatrix, sentence: str) -> None:
    with pytest.raises(InputError) as caught:
        Affine(matrix)
    assert str(caught.value) == sentence


def test_a_volume_needs_three_axes_and_fitting_voxels() -> None:
    with pytest.raises(InputError, match=r"^A volume needs three axes \(z, y, x\), got 2\.$"):
        Volume(np.zeros((2, 2)), Affine(np.eye(4)))
    with pytest.raises(InputError, match=r"^Expected voxels of shape \(3, 4, 5\), got \(3, 4, 4\)\.$"):
        numbered(Affine(np.eye(4))).with_voxels(np.zeros((3, 4, 4)))


def test_denormal_direction_cosines_do_not_lose_the_image() -> None:
    """A rotation computed in floating point can leave 1e-310 where 0 was meant; ITK's SVD fails on it silently."""
    tiny = np.diag([1.0, 1.0, 1.0, 1.0])
    tiny[0, 2], tiny[2, 0] = 3.88289502e-310, -3.88348649e-310
    moving = Volume(np.ones((9, 10, 11)), Affine(tiny))
    grid = Volume(np.zeros((3, 3, 3)), Affine.from_parts((1, 1, 1), np.eye(3), (4, 4, 4)))
    assert (resample_onto(moving, grid, linear=True).voxels == 1).all()
    assert Affine(tiny).matrix[0, 2] == 0
