"""The main job inside Slicer's panel: a real patient's nodes, the real worker, the heatmap at its place over the CT."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
BUNDLE = Path(os.environ.get("MEMORYSURVIVAL_HOST_BUNDLE", ROOT / "Resources" / "Bundles" / "demonstration.msbundle"))

pytestmark = pytest.mark.real_data

PATIENT = "STS_025"
SECONDS = 300.0


def load_patient(folder: Path) -> tuple[Any, Any, Any]:
    """CT, PET and the tumour mask as nodes that Slicer's own reader made."""
    from scenes import load_volume

    names = ("CT_image", "PET_image", "CT_mask")
    return tuple(load_volume(folder / f"{name}.nii.gz", name) for name in names)


def store_differently(node: Any, move: np.ndarray, flips: tuple[int, int, int]) -> None:
    """Turn a node's patient in space and store its voxels (i, j, k) along flipped axes."""
    import slicer
    from scenes import ijk_to_ras

    voxels = slicer.util.arrayFromVolume(node)
    matrix = ijk_to_ras(node)
    for axis, flip in enumerate(flips):
        if flip < 0:
            size = voxels.shape[2 - axis]
            voxels = np.flip(voxels, axis=2 - axis)
            matrix[:3, 3] += matrix[:3, axis] * (size - 1)
            matrix[:3, axis] *= -1
    slicer.util.updateVolumeFromArray(node, np.ascontiguousarray(voxels))
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(move @ matrix))


def score_patient(panel: Any, patient: Path, change: Callable[[Any], None]) -> tuple[Any, Any, Any]:
    """Choose the nodes in the panel, click Score, wait for the worker: (CT node, mask node, heatmap node)."""
    import slicer
    from scenes import add_segmentation, snapshot

    ct, pet, mask = load_patient(patient)
    for node in (ct, pet, mask):
        change(node)
    region = add_segmentation((slicer.util.arrayFromVolume(mask) > 0).astype(np.uint8), mask, "Regions", "tumour")
    before = [snapshot(node) for node in (ct, pet)]
    panel.representation.select()
    panel.ui.ctSelector.setCurrentNode(ct)
    panel.ui.petSelector.setCurrentNode(pet)
    panel.ui.roiSelector.setCurrentNode(region)
    panel.widget._parameters.bundle = str(BUNDLE) if "MEMORYSURVIVAL_HOST_BUNDLE" in os.environ else "demonstration"
    panel.ui.explainCheckBox.checked = True
    panel.ui.allowOtherRoiCheckBox.checked = True
    panel.score(SECONDS)
    assert panel.ui.messageLabel.text == ""
    assert [snapshot(node) for node in (ct, pet)] == before
    return ct, mask, panel.widget._parameters.heatmap


def assert_at_its_place(ct: Any, mask: Any, heatmap: Any) -> None:
    """The heatmap's grid is a crop of the CT's, it holds the whole ROI, and ends close to it."""
    import slicer
    from scenes import ijk_to_ras, voxel_points

    to_ct_index = np.linalg.inv(ijk_to_ras(ct)) @ ijk_to_ras(heatmap)
    assert to_ct_index[:3, :3] == pytest.approx(np.eye(3), abs=1e-4)
    start = np.round(to_ct_index[:3, 3])
    assert to_ct_index[:3, 3] == pytest.approx(start, abs=1e-3)
    size = np.array(heatmap.GetImageData().GetDimensions())
    assert (start >= 0).all()
    assert (start + size <= ct.GetImageData().GetDimensions()).all()

    effect = slicer.util.arrayFromVolume(heatmap)
    assert np.isfinite(effect).all()
    assert np.abs(effect).max() > 0
    roi = voxel_points(slicer.util.arrayFromVolume(mask), ijk_to_ras(mask))
    hot = voxel_points(effect, ijk_to_ras(heatmap))
    inside = np.c_[roi, np.ones(len(roi))] @ np.linalg.inv(ijk_to_ras(heatmap)).T
    assert (inside[:, :3] > -0.51).all()
    assert (inside[:, :3] < size - 0.49).all()
    # An effect is given where a patch was occluded, and every patch is centred in the ROI.
    slack_mm = 60.0
    assert (hot.min(axis=0) >= roi.min(axis=0) - slack_mm).all()
    assert (hot.max(axis=0) <= roi.max(axis=0) + slack_mm).all()


@pytest.fixture(scope="module")
def log_risks() -> dict[str, float]:
    """Log-risk by how the images were stored, to compare between the tests of this file."""
    return {}


def test_real_patient(panel: Any, real_data: Path, log_risks: dict[str, float]) -> None:
    ct, mask, heatmap = score_patient(panel, real_data / "petct_sts10" / PATIENT, lambda node: None)
    assert_at_its_place(ct, mask, heatmap)
    assert "SIMULATED MODEL" in panel.ui.modelLabel.text
    assert panel.widget.parts.result.report.is_file()
    assert "engineering use" in panel.ui.notesLabel.text
    assert not panel.ui.riskGroupValue.isVisible()
    assert not panel.ui.positionValue.isVisible()
    log_risks["as stored"] = float(panel.ui.logRiskValue.text)


def test_real_patient_oblique_and_flipped(panel: Any, real_data: Path, log_risks: dict[str, float]) -> None:
    from scenes import rotation

    move = rotation(2, 20) @ rotation(0, 8)
    move[:3, 3] = (15.0, -25.0, 40.0)

    def change(node: Any) -> None:
        store_differently(node, move, (-1, 1, -1) if node.GetName() != "PET_image" else (1, -1, 1))

    ct, mask, heatmap = score_patient(panel, real_data / "petct_sts10" / PATIENT, change)
    assert_at_its_place(ct, mask, heatmap)
    if "as stored" in log_risks:
        assert float(panel.ui.logRiskValue.text) == pytest.approx(log_risks["as stored"], abs=2e-3)
