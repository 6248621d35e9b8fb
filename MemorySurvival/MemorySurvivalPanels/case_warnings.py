"""What is to be known of the chosen images before they are scored, in short lines under them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import qt
import slicer
from slicer.i18n import tr as _

from MemorySurvivalPanels.background_ask import BackgroundAsk
from MemorySurvivalPanels.desk import Desk
from MemorySurvivalPanels.dicom_source import dicom_file, pet_file
from MemorySurvivalPanels.errors import UserError
from MemorySurvivalPanels.parameters import Alignment, ScoreParameters
from MemorySurvivalPanels.pet_values import PET_VALUES, supplied_values, typed
from MemorySurvivalPanels.time_estimate import QUIET_MS, voxel_matrix
from MemorySurvivalPanels.volumes import ijk_to_world, untouched_file

WARNING_SIGN = "⚠"
_RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


class CaseWarnings:
    """Asks the worker in the background, headers first and then whether the PET lies on the CT, and shows its lines."""

    def __init__(self, desk: Desk, label: Any) -> None:
        self._desk = desk
        self._label = label
        self._key: tuple[Any, ...] | None = None
        self._parameters: ScoreParameters | None = None
        self._own: list[str] = []
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(QUIET_MS)
        self._timer.timeout.connect(self._ask)
        self.findings: list[Mapping[str, Any]] = []
        self._show()

    @property
    def warned(self) -> bool:
        """Whether something was found that can change the score."""
        return bool(self._own) or any(each.get("severity") == "warning" for each in self.findings)

    def follow(self, parameters: ScoreParameters | None, *, ask: bool) -> None:
        """Show what is so for the chosen images; with `ask` the worker is asked where something has changed."""
        self._parameters = parameters
        self._own = [] if parameters is None else own_warnings(parameters)
        key = None if parameters is None or not ask else _key(parameters)
        if key != self._key:
            self._key = key
            self.findings = []
            self._timer.stop()
            if key is not None:
                self._timer.start()
        self._show()

    def stop(self) -> None:
        """Ask nothing any more."""
        self._timer.stop()
        self._key, self._parameters, self.findings, self._own = None, None, [], []
        self._show()

    def _ask(self) -> None:
        """Headers and geometry; when they are known, the voxels."""
        key, parameters = self._key, self._parameters
        if key is None or parameters is None:
            return
        try:
            request = inspect_request(parameters)
        except UserError:  # Score is off already, and says why
            return
        self._submit(request, key)
        files = [image for image in (request["ct"], request["pet"]) if image is not None and image["file"] is not None]
        if len(files) == 2 and parameters.alignment is not Alignment.OFF:
            self._submit({**request, "align": True}, key)

    def _submit(self, request: Mapping[str, Any], key: tuple[Any, ...]) -> None:
        def done(result: Mapping[str, Any]) -> None:
            if key == self._key:
                self.findings = list(result.get("findings") or [])
                self._show()
                self._desk.changed()

        self._desk.worker().submit("inspect", request, BackgroundAsk(done), background=True)

    def _show(self) -> None:
        lines = [f"{WARNING_SIGN}  {sentence}" for sentence in self._own]
        for each in self.findings:
            sign = f"{WARNING_SIGN}  " if each.get("severity") == "warning" else ""
            lines.append(f"{sign}{each.get('sentence', '')}")
        text = "\n".join(lines)
        if self._label.text != text:
            self._label.text = text
        self._label.visible = bool(text)


def own_warnings(parameters: ScoreParameters) -> list[str]:
    """What only the viewer knows of the chosen images."""
    lines = []
    for what, node in (("CT", parameters.ct), ("PET", parameters.pet)):
        if node is not None and is_sequence_frame(node):
            text = _('The {what} "{name}" is one item of a sequence; the item that is shown now will be scored.')
            lines.append(text.format(what=what, name=node.GetName()))
    return lines


def is_sequence_frame(node: slicer.vtkMRMLNode) -> bool:
    """Whether a sequence browser exchanges the node's content."""
    scene = node.GetScene()
    if scene is None:
        return False
    for index in range(scene.GetNumberOfNodesByClass("vtkMRMLSequenceBrowserNode")):
        if scene.GetNthNodeByClass(index, "vtkMRMLSequenceBrowserNode").IsProxyNodeID(node.GetID()):
            return True
    return False


def inspect_request(parameters: ScoreParameters) -> dict[str, Any]:
    """The parameters of the job `inspect`: places as the scene has them, and files where one holds just that.

    Raises UserError for an image or a value that cannot be handed over. Nothing is written.
    """
    return {
        "ct": _facts(parameters.ct, "CT"),
        "pet": _facts(parameters.pet, "PET"),
        "supplied": supplied_values(parameters),
    }


def _facts(node: slicer.vtkMRMLVolumeNode | None, what: str) -> dict[str, Any] | None:
    if node is None:
        return None
    if node.GetImageData() is None:
        raise UserError(_('The {what} "{name}" holds no image; choose another.').format(what=what, name=node.GetName()))
    file: Path | None = dicom_file(node) if what == "CT" else pet_file(node)
    file = file or untouched_file(node)
    return {
        "geometry": {
            "matrix": (_RAS_TO_LPS @ ijk_to_world(node, what)).tolist(),
            "size": list(node.GetImageData().GetDimensions()),
        },
        "file": None if file is None else str(file),
    }


def _key(parameters: ScoreParameters) -> tuple[Any, ...] | None:
    """What the findings depend on, cheap enough to be asked at every change; None where nothing is chosen."""
    if parameters.ct is None and parameters.pet is None:
        return None
    stated = tuple(str(typed(parameters, value) or "") for value in PET_VALUES)
    return (_state(parameters.ct), _state(parameters.pet), stated, parameters.alignment is Alignment.OFF)


def _state(node: slicer.vtkMRMLVolumeNode | None) -> tuple[Any, ...]:
    if node is None or node.GetImageData() is None:
        return ()
    transform = node.GetParentTransformNode()
    return (
        node.GetID(),
        node.GetImageData().GetMTime(),
        voxel_matrix(node).tobytes(),
        node.GetAttribute("DICOM.instanceUIDs"),
        None if transform is None else (transform.GetID(), transform.GetMTime()),
    )
