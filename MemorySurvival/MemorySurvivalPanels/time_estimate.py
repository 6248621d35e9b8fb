"""About how long a score will take, asked in the background whenever what it depends on has changed."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import qt
import slicer
import vtk
from slicer.i18n import tr as _

from MemorySurvivalPanels.background_ask import BackgroundAsk
from MemorySurvivalPanels.bundle_catalog import bundle_problem
from MemorySurvivalPanels.desk import Desk
from MemorySurvivalPanels.errors import UserError
from MemorySurvivalPanels.mask_jobs import is_segmentation
from MemorySurvivalPanels.parameters import ScoreParameters
from MemorySurvivalPanels.run_panel import describe_duration
from MemorySurvivalPanels.segmentations import segment_voxels
from MemorySurvivalPanels.volumes import ijk_to_world

TIMES = 3
"""How often the stability encodes what the score did: with models that look at each slice alone, as bundles do."""
QUIET_MS = 400
"""How long nothing may have changed before a question is asked."""


class TimeEstimate:
    """Keeps `label` and the line beside Score up to date; silent where nothing can be told."""

    def __init__(self, desk: Desk, label: Any) -> None:
        self._desk = desk
        self._label = label
        self._key: tuple[Any, ...] | None = None
        self._parameters: ScoreParameters | None = None
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(QUIET_MS)
        self._timer.timeout.connect(self._ask)
        self._show("")

    def follow(self, parameters: ScoreParameters | None) -> None:
        """Ask again, soon, where something has changed that the time depends on."""
        self._parameters = parameters
        key = None if parameters is None else _key(parameters)
        if key == self._key:
            return
        self._key = key
        self._show("")
        if key is not None:
            self._timer.start()

    def stop(self) -> None:
        """Ask nothing any more."""
        self._timer.stop()
        self._key, self._parameters = None, None
        self._show("")

    def _ask(self) -> None:
        key, parameters = self._key, self._parameters
        if key is None or parameters is None or parameters.ct is None:
            return
        try:
            request = estimate_request(parameters)
        except UserError:  # Score says what is wrong with the image
            return

        def done(result: Mapping[str, Any]) -> None:
            if key == self._key:
                self._show(describe_estimate(result, explained=parameters.explain, checked=parameters.check_stability))

        self._desk.worker().submit("estimate", request, BackgroundAsk(done), background=True)

    def _show(self, sentence: str) -> None:
        self._label.text = sentence
        self._label.visible = bool(sentence)
        self._desk.run_panel.set_estimate(sentence)


def describe_estimate(result: Mapping[str, Any], *, explained: bool, checked: bool = False) -> str:
    """Such as "About 2 min for 194 slices on this computer, and 8 min for the explanation."."""
    if "seconds" not in result:
        return ""
    time = describe_duration(result["seconds"])
    slices = result["slices"]
    if explained:
        text = _("About {time} for {n} slices, and {explain} for the explanation.").format(
            time=time, n=slices, explain=describe_duration(result["explain_seconds"])
        )
    else:
        text = _("About {time} for {n} slices.").format(time=time, n=slices)
    if checked:
        text += " " + _("Checking the stability: about {time} more.").format(
            time=describe_duration(TIMES * result["seconds"])
        )
    beyond = _("Reading the images comes on top.")
    if result.get("assumed"):
        beyond = _("Reading the images and finding the region come on top.")
    return f"{text} {beyond}"


def estimate_request(parameters: ScoreParameters) -> dict[str, Any]:
    """The parameters of the job `estimate`. Raises UserError for a CT that cannot be handed over."""
    matrix = ijk_to_world(parameters.ct, "CT")
    size = parameters.ct.GetImageData().GetDimensions()
    spacing, along = body_axis(matrix)
    height_ml = mask_extent(parameters.roi, parameters.segment_id)
    return {
        "ct_mm": spacing * size[along],
        "spacing_mm": spacing,
        "mask_mm": height_ml[0] if height_ml else None,
        "mask_ml": height_ml[1] if height_ml else None,
        "bundle": parameters.bundle,
        "device": parameters.device.value,
        "explain": parameters.explain,
    }


def body_axis(ijk_to_ras: np.ndarray) -> tuple[float, int]:
    """The voxel distance along the axis that runs closest to head-feet, and which axis (i, j, k) that is."""
    spacing = np.linalg.norm(ijk_to_ras[:3, :3], axis=0)
    along = int(np.abs(ijk_to_ras[2, :3] / spacing).argmax())
    return float(spacing[along]), along


def mask_extent(roi: Any, segment_id: str) -> tuple[float, float] | None:
    """How far a region reaches along the body in millimetres, and its volume in millilitres; None where it is empty."""
    if roi is None:
        return None
    if is_segmentation(roi):
        if not segment_id or roi.GetSegmentation().GetSegment(segment_id) is None:
            return None
        found = segment_voxels(roi, segment_id)
        if found is None:
            return None
        voxels, matrix = found.voxels, found.ijk_to_ras
    else:
        if roi.GetImageData() is None:
            return None
        voxels, matrix = slicer.util.arrayFromVolume(roi), ijk_to_world(roi, "ROI")
    count = int(np.count_nonzero(voxels))
    if count == 0:
        return None
    spacing, along = body_axis(matrix)
    others = tuple(axis for axis in range(3) if axis != 2 - along)
    height = int(np.count_nonzero(np.any(voxels, axis=others)))
    return height * spacing, count * float(abs(np.linalg.det(matrix[:3, :3]))) / 1000.0


def _key(parameters: ScoreParameters) -> tuple[Any, ...] | None:
    """What the time depends on; None where nothing can be asked."""
    ct, roi = parameters.ct, parameters.roi
    if ct is None or ct.GetImageData() is None or bundle_problem(parameters.bundle) is not None:
        return None
    region = ()
    if is_segmentation(roi):
        region = (roi.GetID(), parameters.segment_id, roi.GetSegmentation().GetMTime())
    elif roi is not None:
        region = (roi.GetID(), roi.GetImageData().GetMTime() if roi.GetImageData() else 0)
    place = voxel_matrix(ct).tobytes()
    choices = (parameters.bundle, parameters.device, parameters.explain, parameters.check_stability)
    return (ct.GetID(), place, ct.GetImageData().GetDimensions(), region, choices)


def voxel_matrix(node: slicer.vtkMRMLVolumeNode) -> np.ndarray:
    """The 4 x 4 matrix from voxel indices to RAS millimetres, without the node's transforms."""
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)
