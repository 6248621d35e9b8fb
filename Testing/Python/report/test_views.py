"""Slices are cut, turned and measured as a radiologist expects them."""

from __future__ import annotations

import numpy as np
import pytest

from MemorySurvivalLib.imaging.volume import Affine, Volume
from MemorySurvivalLib.report.views import LETTERS, Plane, View, crop_around, find_body

SPACING_MM = (2.0, 3.0, 5.0)
SHAPE = (10, 20, 30)


def view_of(plane: Plane, index: int) -> View:
    return View(plane, index, (0, 0, 0), SHAPE, SPACING_MM)


@pytest.mark.parametrize(
    ("plane", "index", "size_mm", "expected"),
    [
        # The voxel is at x 25 (patient's left), y 2 (anterior), z 8 (superior).
        ("axial", 8, (60.0, 60.0), (2, 25)),
        ("coronal", 2, (60.0, 50.0), (1, 25)),
        ("sagittal", 25, (60.0, 50.0), (1, 2)),
    ],
)
def test_left_is_right_and_superior_is_up(
    plane: Plane, index: int, size_mm: tuple[float, float], expected: tuple[int, int]
) -> None:
    voxels = np.zeros(SHAPE)
    voxels[8, 2, 25] = 1
    view = view_of(plane, index)
    cut = view.cut(voxels)
    assert tuple(np.argwhere(cut)[0]) == expected
    assert view.size_mm == size_mm
    assert np.array_equal(view.project(voxels), cut)
    u, v = view.place((25, 2, 8))
    width, height = size_mm
    rows, columns = cut.shape
    assert u == pytest.approx((expected[1] + 0.5) * width / columns)
    assert v == pytest.approx((expected[0] + 0.5) * height / rows)


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
def test_letters_name_what_lies_on_their_side(plane: Plane) -> None:
    view = view_of(plane, 5)
    u, v = view.place((5, 5, 5))
    steps = {"L": (1, 0, 0), "R": (-1, 0, 0), "P": (0, 1, 0), "A": (0, -1, 0), "S": (0, 0, 1), "I": (0, 0, -1)}
    sides = dict(zip(((-1, 0), (1, 0), (0, -1), (0, 1)), LETTERS[plane], strict=True))
    for (across, down), letter in sides.items():
        moved_u, moved_v = view.place(tuple(5 + step for step in steps[letter]))
        assert (np.sign(moved_u - u), np.sign(moved_v - v)) == (across, down)


def test_a_crop_shows_only_its_part() -> None:
    voxels = np.arange(np.prod(SHAPE)).reshape(SHAPE)
    view = View("coronal", 7, (2, 0, 5), (9, 20, 11), SPACING_MM)
    assert np.array_equal(view.cut(voxels), voxels[2:9, 7, 5:11][::-1])
    assert view.size_mm == (12.0, 35.0)
    assert view.place((5, 7, 8)) == pytest.approx((1.0, 2.5))


def test_the_body_box_leaves_out_air_but_not_the_region() -> None:
    ct = np.full((40, 120, 160), -1000.0)
    ct[:, 40:80, 60:120] = 30
    volume = Volume(ct, Affine.from_parts((2, 2, 4), np.eye(3), (0, 0, 0)))
    (z0, y0, x0), (z1, y1, x1) = find_body(volume, ((10, 50, 70), (20, 60, 80)))
    assert (z0, z1) == (0, 40)
    assert 35 <= y0 <= 40 and 80 <= y1 <= 85
    assert 55 <= x0 <= 60 and 120 <= x1 <= 125
    (_, _, x0), (_, y1, _) = find_body(volume, ((0, 0, 3), (40, 115, 10)))
    assert x0 == 3 and y1 == 115


def test_an_image_without_body_is_shown_whole() -> None:
    volume = Volume(np.full((4, 8, 9), -1000.0), Affine(np.eye(4)))
    assert find_body(volume, ((1, 1, 1), (2, 2, 2))) == ((0, 0, 0), (4, 8, 9))


@pytest.mark.parametrize("index", [(5, 0, 0), (5, 19, 29), (5, 10, 15)])
def test_a_close_up_stays_inside_and_holds_its_voxel(index: tuple[int, int, int]) -> None:
    start, stop = crop_around(index, (30.0, 20.0), ((0, 0, 0), SHAPE), SPACING_MM)
    assert all(low <= at < high for low, at, high in zip(start, index, stop, strict=True))
    assert (stop[1] - start[1], stop[2] - start[2]) == (10, 10)
    assert min(start) >= 0 and all(a <= b for a, b in zip(stop, SHAPE, strict=True))


def test_a_close_up_of_a_small_image_is_the_whole_slice() -> None:
    start, stop = crop_around((5, 10, 15), (900.0, 900.0), ((0, 0, 0), SHAPE), SPACING_MM)
    assert (start, stop) == ((0, 0, 0), SHAPE)
