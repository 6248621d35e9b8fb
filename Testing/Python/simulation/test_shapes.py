"""Signed distances against geometry that can be worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from MemorySurvivalLib.simulation.shapes import (
    FAR_MM,
    Array,
    Barrel,
    Ellipsoid,
    Overlap,
    Shape,
    Tube,
    Union,
    Without,
    rotation,
)


def at(shape: Shape, x: float, y: float, z: float) -> float:
    one = [np.asarray([v], dtype=np.float32) for v in (x, y, z)]
    return float(shape.distance(*one)[0, 0, 0])


def test_a_tube_knows_its_exact_distance_beside_and_beyond_its_ends() -> None:
    tube = Tube(((0.0, 0.0, 0.0), (0.0, 0.0, 100.0)), (10.0, 10.0), reach_mm=50)
    assert at(tube, 13, 0, 50) == pytest.approx(3, abs=1e-4)
    assert at(tube, 0, 0, 50) == pytest.approx(-10, abs=1e-4)
    assert at(tube, 0, 3, 114) == pytest.approx(np.hypot(3, 14) - 10, abs=1e-4)


def test_a_tube_narrows_from_point_to_point() -> None:
    tube = Tube(((0.0, 0.0, 0.0), (100.0, 0.0, 0.0)), (10.0, 4.0))
    assert at(tube, 50, 0, 0) == pytest.approx(-7, abs=1e-4)


def test_beyond_its_reach_a_tube_is_far_and_not_near() -> None:
    tube = Tube(((0.0, 0.0, 0.0), (0.0, 0.0, 10.0)), (5.0, 5.0))
    assert at(tube, 200, 0, 5) == FAR_MM


def test_an_ellipsoid_turns_with_its_axes() -> None:
    lying = Ellipsoid((0.0, 0.0, 0.0), (5.0, 5.0, 40.0), rotation((1.0, 0.0, 0.0)))
    assert at(lying, 39, 0, 0) < 0 < at(lying, 0, 0, 8)
    low, high = lying.bounds()
    np.testing.assert_allclose(high, [40, 5, 5], atol=1e-6)
    np.testing.assert_allclose(low, [-40, -5, -5], atol=1e-6)


def test_rotation_gives_right_handed_unit_axes_along_the_direction() -> None:
    axes = rotation((0.3, -0.4, 1.0))
    np.testing.assert_allclose(axes.T @ axes, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(axes[:, 2], np.array([0.3, -0.4, 1.0]) / np.linalg.norm([0.3, -0.4, 1.0]))
    assert np.linalg.det(axes) == pytest.approx(1)


def test_a_wedged_barrel_is_lower_in_front_than_behind() -> None:
    def height(y: float) -> float:
        z = np.linspace(-20, 20, 401).astype(np.float32)
        one: Array = np.asarray([0], dtype=np.float32)
        column = barrel.distance(one, np.asarray([y], dtype=np.float32), z)[:, 0, 0]
        return float((column < 0).sum() * 0.1)

    barrel = Barrel((0.0, 0.0, 0.0), np.eye(3), (20.0, 15.0), 12.0, wedge_mm=10.0)
    assert height(-12) < height(12) - 6


def test_union_overlap_and_hole_are_what_sets_say() -> None:
    left = Ellipsoid((-8.0, 0.0, 0.0), (10.0, 10.0, 10.0))
    right = Ellipsoid((8.0, 0.0, 0.0), (10.0, 10.0, 10.0))
    assert at(Union((left, right)), 15, 0, 0) < 0
    assert at(Overlap((left, right)), 15, 0, 0) > 0 > at(Overlap((left, right)), 0, 0, 0)
    assert at(Without(left, right), 0, 0, 0) > 0 > at(Without(left, right), -15, 0, 0)


def test_blending_fills_the_crease_and_nothing_else() -> None:
    parts = (Ellipsoid((-11.0, 0.0, 0.0), (10.0, 10.0, 10.0)), Ellipsoid((11.0, 0.0, 0.0), (10.0, 10.0, 10.0)))
    assert at(Union(parts), 0, 0, 0) > 0 > at(Union(parts, 8.0), 0, 0, 0)
    assert at(Union(parts, 8.0), 21.5, 0, 0) > 0
