"""The looks of the reading views: SUV ranges, CT windows, and their colours."""

from dataclasses import dataclass

import numpy as np
import slicer
from slicer.i18n import tr as _

SUV_RANGES = (5.0, 7.0, 10.0, 15.0)
"""Upper ends of the SUV scale; all begin at 0."""

FUSED_OPACITY = 0.5
_COLOURS = 256
_CLEAR_SHARE = 0.03
"""In the fusion, colours below this share of the scale are left out, so that air and the table show the CT alone.

Slicer's slice views know a colour as seen or not seen; it could not fade.
"""


@dataclass(frozen=True)
class CtWindow:
    """A range of Hounsfield units."""

    name: str
    window: float
    level: float

    @property
    def range_hu(self) -> tuple[float, float]:
        """The values that are black and white."""
        return self.level - self.window / 2, self.level + self.window / 2


def ct_windows() -> tuple[CtWindow, ...]:
    """Soft tissue first, then bone."""
    return CtWindow(_("Soft tissue"), 400.0, 40.0), CtWindow(_("Bone"), 1800.0, 400.0)


def inverted_grey() -> slicer.vtkMRMLColorTableNode:
    """White where there is nothing, black where the tracer is: how PET is read."""
    grey = 1.0 - np.linspace(0.0, 1.0, _COLOURS)
    return _table("MemorySurvivalInvertedGrey", _("Inverted grey"), np.stack([grey] * 3, axis=1), np.ones(_COLOURS))


def grey() -> slicer.vtkMRMLColorTableNode:
    """Black to white, for CT."""
    grey = np.linspace(0.0, 1.0, _COLOURS)
    return _table("MemorySurvivalGrey", _("Grey"), np.stack([grey] * 3, axis=1), np.ones(_COLOURS))


def hot_iron() -> slicer.vtkMRMLColorTableNode:
    """DICOM's hot iron palette (PS3.6 B.1.1), with nothing where there is next to nothing."""
    step = np.arange(_COLOURS)
    ramps = [np.clip(step * 2, 0, 255), np.clip((step - 128) * 2, 0, 255), np.clip((step - 192) * 4, 0, 255)]
    opacity = (step >= _CLEAR_SHARE * (_COLOURS - 1)).astype(float)
    return _table("MemorySurvivalHotIron", _("Hot iron"), np.stack(ramps, axis=1) / 255, opacity)


def _table(tag: str, name: str, colours: np.ndarray, opacity: np.ndarray) -> slicer.vtkMRMLColorTableNode:
    """The one colour table of the scene for this purpose; made when first asked for, never saved."""
    existing = slicer.mrmlScene.GetSingletonNode(tag, "vtkMRMLColorTableNode")
    if existing is not None and existing.GetNumberOfColors() == len(colours):
        return existing
    node = existing or slicer.vtkMRMLColorTableNode()
    node.SetTypeToUser()
    node.SetName(name)
    node.SetSingletonTag(tag)
    node.SetSaveWithScene(False)
    node.SetNumberOfColors(len(colours))
    for index, (red, green, blue) in enumerate(colours):
        node.SetColor(index, str(index), float(red), float(green), float(blue), float(opacity[index]))
    return slicer.mrmlScene.AddNode(node)
