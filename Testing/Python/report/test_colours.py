"""Colours mean what the captions say."""

from __future__ import annotations

import numpy as np
import pytest

from MemorySurvivalLib.report.colours import blend, shade_ct, shade_effect, shade_fused, shade_pet

LIMIT = 0.04


@pytest.mark.parametrize("effect", [0.002, 0.01, 0.04, 5.0])
def test_positive_is_red_and_negative_blue(effect: float) -> None:
    grey = shade_ct(np.full((1, 2), 40.0))
    over = blend(grey, shade_effect(np.array([[effect, -effect]]), LIMIT))
    (r, g, b), (r2, g2, b2) = over[0]
    assert r > max(g, b) + 0.05
    assert b2 > max(r2, g2) + 0.05


def test_zero_leaves_the_ct_alone() -> None:
    grey = shade_ct(np.linspace(-500, 1200, 7)[None])
    assert np.allclose(blend(grey, shade_effect(np.zeros((1, 7)), LIMIT)), grey)


def test_colours_end_at_the_limit_and_grow_towards_it() -> None:
    layer = shade_effect(np.array([[0.01, 0.02, LIMIT, 2 * LIMIT]]), LIMIT)
    assert np.array_equal(layer[0, 2], layer[0, 3])
    assert (np.diff(layer[0, :3, 3]) > 0).all()


def test_limit_is_fixed_not_taken_from_the_data() -> None:
    alone = shade_effect(np.array([[0.01]]), LIMIT)[0, 0]
    beside = shade_effect(np.array([[0.01, 9.0]]), LIMIT)[0, 0]
    assert np.array_equal(alone, beside)


def test_red_and_blue_differ_for_the_colour_blind() -> None:
    # Without red cones or green cones the eye keeps blue against yellow: compare blue with the mean of red and green.
    layer = shade_effect(np.array([[LIMIT, -LIMIT]]), LIMIT)[0, :, :3]
    opponent = layer[:, 2] - layer[:, :2].mean(axis=1)
    assert opponent[1] - opponent[0] > 0.5


def test_uptake_is_dark_in_the_projection_and_bright_in_the_fusion() -> None:
    suv = np.array([[0.0, 2.0, 7.0, 30.0]])
    assert np.array_equal(shade_pet(suv)[0, :, 0], np.float32([1, 1 - 2 / 7, 0, 0]))
    fused = shade_fused(np.full((1, 4), -1000.0), suv)[0].sum(axis=1)
    assert fused[0] == 0 and (np.diff(fused[:3]) > 0).all() and fused[3] == fused[2]
