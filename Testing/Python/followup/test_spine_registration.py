"""The move between two studies is found to less than a millimetre, however they are stored and lie."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.followup.spine_registration import SpineMatch, match_spines
from MemorySurvivalLib.imaging.volume import Affine, Volume
from MemorySurvivalLib.simulation.case import SimulatedCase, simulate_case


@cache
def one(spacing_mm: tuple[float, float, float]) -> SimulatedCase:
    """One patient, scanned on a grid."""
    return simulate_case(3, spacing_mm=spacing_mm)


def move(angles_deg: tuple[float, float, float], shift_mm: tuple[float, float, float]) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", angles_deg, degrees=True).as_matrix()
    matrix[:3, 3] = shift_mm
    return matrix


def moved(volume: Volume, matrix: np.ndarray, orientation: str, feet_cut: int = 0) -> Volume:
    """The volume as another scan has it: elsewhere, stored along other axes, beginning higher up."""
    cut = volume.cropped((feet_cut, 0, 0), volume.shape)
    return Volume(cut.voxels, Affine(matrix @ cut.affine.matrix)).reoriented(orientation)


def error_mm(match: SpineMatch, truth: np.ndarray, spine: Volume) -> float:
    points = spine.affine.points_mm(np.argwhere(spine.voxels)[::40, ::-1])
    true = points @ truth[:3, :3].T + truth[:3, 3]
    return float(np.linalg.norm(match.to_prior(points) - true, axis=1).max())


@pytest.mark.parametrize(
    ("angles", "shift", "orientation", "cut"),
    [
        ((0, 0, 0), (0, 0, 0), "LPS", 0),
        ((4, -3, 6), (20, -35, 60), "RAI", 0),
        ((-5, 2, -8), (-15, 30, -120), "PIL", 20),  # the prior shows less of the legs: its spine's middle is the same
    ],
)
def test_the_move_is_found(
    angles: tuple[float, float, float], shift: tuple[float, float, float], orientation: str, cut: int
) -> None:
    now, before = one((4.0, 4.0, 5.0)), one((3.6, 3.6, 4.0))
    truth = move(angles, shift)
    prior = [moved(volume, truth, orientation, cut) for volume in (before.ct, before.spine_dilated)]
    match = match_spines(now.ct, now.spine_dilated.reoriented("ASR"), *prior)
    assert error_mm(match, truth, now.spine_dilated) < 1.0
    assert match.spine_dice > 0.9
    assert not match.doubtful


def test_the_same_answer_again() -> None:
    now = one((4.0, 4.0, 5.0))
    first, second = (match_spines(now.ct, now.spine_dilated, now.ct, now.spine_dilated) for _ in range(2))
    assert first == second


def test_a_scan_of_another_part_is_doubted_or_refused() -> None:
    now = one((4.0, 4.0, 5.0))
    noise = np.random.default_rng(0).normal(0, 100, now.ct.shape).astype(now.ct.voxels.dtype)
    across = np.zeros(now.ct.shape, np.uint8)
    across[80:84, 40:50, 30:90] = 1
    assert match_spines(now.ct, now.spine_dilated, now.ct.with_voxels(noise), Volume(across, now.ct.affine)).doubtful
    nothing = now.spine_dilated.with_voxels(np.zeros_like(now.spine_dilated.voxels))
    with pytest.raises(InputError, match="The prior study has no spine to be registered by"):
        match_spines(now.ct, now.spine_dilated, now.ct, nothing)
