"""Grids as scanners and converters leave them: flipped, permuted, anisotropic, oblique."""

from __future__ import annotations

import numpy as np

from MemorySurvivalLib.imaging.volume import Affine


def _turned(*angles_degree: float) -> np.ndarray:
    """Rotation about x, then y, then z."""
    matrix = np.eye(3)
    for axis, degrees in enumerate(angles_degree):
        c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        first, second = (each for each in range(3) if each != axis)
        turn = np.eye(3)
        turn[first, first], turn[second, second] = c, c
        turn[first, second], turn[second, first] = -s, s
        matrix = turn @ matrix
    return matrix


_SPACING, _ORIGIN = (1.5, 2.0, 3.7), (-33.0, 21.0, -410.5)
_PERMUTED = np.eye(3)[:, [2, 0, 1]]  # x runs to superior, y to the left, z to posterior

GRIDS: dict[str, Affine] = {
    "straight": Affine.from_parts(_SPACING, np.eye(3), _ORIGIN),
    "flipped": Affine.from_parts(_SPACING, np.diag([-1.0, 1.0, -1.0]), _ORIGIN),
    "left-handed": Affine.from_parts(_SPACING, np.diag([1.0, 1.0, -1.0]), _ORIGIN),
    "permuted": Affine.from_parts(_SPACING, _PERMUTED, _ORIGIN),
    "permuted and flipped": Affine.from_parts(_SPACING, _PERMUTED @ np.diag([-1.0, -1.0, 1.0]), _ORIGIN),
    "oblique": Affine.from_parts(_SPACING, _turned(12.0, -7.0, 25.0), _ORIGIN),
    "oblique and flipped": Affine.from_parts(_SPACING, _turned(-20.0, 9.0, 4.0) @ np.diag([1.0, -1.0, 1.0]), _ORIGIN),
}
