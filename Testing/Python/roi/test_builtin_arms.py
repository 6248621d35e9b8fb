"""The built-in segmenter on patients whose arms lie beside the body."""

from __future__ import annotations

import numpy as np
import pytest

from MemorySurvivalLib.roi.automatic import derive_roi, segment_case
from MemorySurvivalLib.simulation.case import simulate_case
from MemorySurvivalLib.simulation.tissues import Tissue

ARMS = (Tissue.HUMERUS_LEFT, Tissue.HUMERUS_RIGHT, Tissue.FOREARM_LEFT, Tissue.FOREARM_RIGHT)


@pytest.fixture(scope="module")
def found() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Tissues, labels' vertebrae and bones, spine region, and the true spine region of simulated patient 1."""
    case = simulate_case(1)
    assert case.truth.spec.arms == "down"
    segmentation = segment_case(case.ct)
    spine = derive_roi(segmentation, "spine_dilated").mask.voxels
    bones = segmentation.of("bone", "vertebra", "sacrum")
    return (
        np.asarray(case.phantom.labels.voxels),
        segmentation.of("vertebra"),
        bones,
        np.stack([spine, case.spine_dilated.voxels != 0]),
    )


def test_arms_are_bones_and_no_spine(found: tuple[np.ndarray, ...]) -> None:
    tissues, vertebrae, bones, _ = found
    arms = np.isin(tissues, ARMS)
    assert arms.sum() > 1000
    assert bones[arms].mean() > 0.7
    assert not vertebrae[arms].any()


def test_arms_beside_the_body_do_not_disturb_the_spine(found: tuple[np.ndarray, ...]) -> None:
    spine, truth = found[3]
    assert 2 * (spine & truth).sum() / (spine.sum() + truth.sum()) > 0.85
