"""A region of interest is never empty and knows its bounds and volume."""

from __future__ import annotations

import numpy as np
import pytest

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.volume import Affine, Volume
from MemorySurvivalLib.roi.roi import ROI_KINDS, ROI_TITLES, Roi


def test_bounds_and_volume() -> None:
    voxels = np.zeros((6, 7, 8), bool)
    voxels[2, 3, 4] = voxels[4, 3, 1] = voxels[3, 6, 7] = True
    roi = Roi(Volume(voxels, Affine(np.diag([2.0, 3, 5, 1]))), "skeleton", "a test")
    assert roi.bounds_zyx == ((2, 3, 1), (5, 7, 8))
    assert roi.volume_ml == pytest.approx(3 * 2 * 3 * 5 / 1000)


def test_an_empty_roi_is_refused() -> None:
    with pytest.raises(InputError) as caught:
        Roi(Volume(np.zeros((2, 2, 2), bool), Affine(np.eye(4))), "skeleton", "the built-in segmenter")
    assert str(caught.value) == (
        "The ROI from the built-in segmenter is empty on the CT; draw or choose a mask with voxels in it."
    )


def test_labels_are_no_mask() -> None:
    with pytest.raises(InputError, match=r"^A ROI needs a boolean mask, got uint8\.$"):
        Roi(Volume(np.ones((2, 2, 2), np.uint8), Affine(np.eye(4))), "skeleton", "a test")


def test_every_kind_has_a_title() -> None:
    assert set(ROI_TITLES) == set(ROI_KINDS)
