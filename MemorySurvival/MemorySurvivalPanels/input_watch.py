"""Notices that voxels of the chosen images or of the mask were changed, which makes a result stale."""

from typing import Any

import qt
import slicer
import vtk
from slicer.util import VTKObservationMixin

from MemorySurvivalPanels.desk import Desk
from MemorySurvivalPanels.mask_jobs import is_segmentation
from MemorySurvivalPanels.part import Part

_QUIET_MS = 700
"""Has to pass without another change: painting changes the voxels with every stroke."""


class InputWatch(Part, VTKObservationMixin):
    """Follows the chosen nodes; a little after the last change every part is told."""

    def __init__(self, desk: Desk) -> None:
        VTKObservationMixin.__init__(self)
        self._watched: list[Any] = []
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(_QUIET_MS)
        self._timer.timeout.connect(desk.changed)

    def update(self) -> None:
        """Follow what is chosen now."""
        chosen = [] if self.parameters is None else [self.parameters.ct, self.parameters.pet, self.parameters.roi]
        nodes = [node for index, node in enumerate(chosen) if node is not None and node not in chosen[:index]]
        if nodes == self._watched:
            return
        self.removeObservers()
        self._watched = nodes
        for node in nodes:
            self.addObserver(node, slicer.vtkMRMLTransformableNode.TransformModifiedEvent, self._on_change)
            if is_segmentation(node):
                for event in ("SourceRepresentationModified", "SegmentModified", "SegmentRemoved"):
                    self.addObserver(node.GetSegmentation(), getattr(slicer.vtkSegmentation, event), self._on_change)
            else:
                for event in (slicer.vtkMRMLVolumeNode.ImageDataModifiedEvent, vtk.vtkCommand.ModifiedEvent):
                    self.addObserver(node, event, self._on_change)

    def scene_closed(self) -> None:
        """The nodes are gone."""
        self._timer.stop()
        self.removeObservers()
        self._watched = []

    def close(self) -> None:
        """Let go of the nodes."""
        self.scene_closed()

    def _on_change(self, caller: Any = None, event: Any = None) -> None:
        self._timer.start()
