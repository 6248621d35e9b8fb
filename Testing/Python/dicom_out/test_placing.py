"""Masks find their source slices by place, however source and result run through the body."""

from __future__ import annotations

from itertools import permutations, product
from pathlib import Path

import numpy as np
import pytest
from dicom_made_up import write_series
from scipy.spatial.transform import Rotation

from MemorySurvivalLib.dicom_out.placing import place_on, whole_frames
from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.dicom_scan import scan
from MemorySurvivalLib.imaging.dicom_series import DicomSeries
from MemorySurvivalLib.imaging.volume import Affine, Volume

SHAPE = (5, 6, 7)
SPACING_MM = (2.0, 3.0, 4.5)
AXES = [
    np.eye(3)[:, list(order)] * signs
    for order, signs in zip(permutations(range(3)), product((1, -1), repeat=3), strict=False)
]
OBLIQUE = Rotation.from_euler("xyz", (20, -15, 30), degrees=True).as_matrix()


def proper(direction: np.ndarray) -> np.ndarray:
    """DICOM knows right-handed stacks alone: the slice normal is what rows and columns make it."""
    return np.column_stack([direction[:, 0], direction[:, 1], np.cross(direction[:, 0], direction[:, 1])])


def source(folder: Path, direction: np.ndarray) -> tuple[Volume, DicomSeries]:
    """A CT of random numbers as a DICOM series whose file names say nothing of the order."""
    affine = Affine.from_parts(SPACING_MM, proper(direction), (-31.0, 12.5, 77.0))
    voxels = np.random.default_rng(1).integers(0, 1000, SHAPE).astype(np.int16)
    ct = Volume(voxels, affine)
    write_series(folder, ct, shuffle=3)
    (series,) = scan(folder).series
    return ct, series


@pytest.mark.parametrize("direction", [*AXES, OBLIQUE, OBLIQUE @ AXES[3]], ids=range(len(AXES) + 2))
def test_a_crop_turned_to_lps_and_back_falls_on_its_own_pixels(tmp_path: Path, direction: np.ndarray) -> None:
    ct, series = source(tmp_path, direction)
    for part in (ct.cropped((1, 2, 3), (4, 6, 6)), ct.cropped((1, 2, 3), (4, 6, 6)).reoriented()):
        placed = place_on(part, series, "mask")
        assert placed.start_zyx == (1, 2, 3)
        frames = whole_frames(placed, series, np.arange(1, 4))
        assert np.array_equal(frames[:, 2:6, 3:6], ct.voxels[1:4, 2:6, 3:6])
        frames[:, 2:6, 3:6] = 0
        assert not frames.any()


def test_slices_are_told_apart_by_their_place(tmp_path: Path) -> None:
    ct, series = source(tmp_path, OBLIQUE)
    placed = place_on(ct.cropped((2, 0, 0), (4, 6, 7)).reoriented(), series, "mask")
    assert list(placed.slices) == [2, 3]
    for z in placed.slices:
        assert series.slices[z].position_mm == pytest.approx(ct.affine.points_mm((0, 0, z)), abs=1e-6)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: m.affine.shifted((0.5, 0, 0)), "does not lie on the grid"),
        (lambda m: m.affine.shifted((0, 0, 3)), "reaches beyond"),
        (lambda m: Affine.from_parts((2.0, 3.0, 4.0), m.affine.direction, m.affine.origin_mm), "does not lie on the"),
        (lambda m: Affine.from_parts(SPACING_MM, np.eye(3), m.affine.origin_mm), "does not lie on the grid"),
    ],
)
def test_another_grid_is_refused(tmp_path: Path, change, words: str) -> None:
    ct, series = source(tmp_path, OBLIQUE)
    with pytest.raises(InputError, match=words):
        place_on(Volume(ct.voxels, change(ct)), series, "mask")
