"""Stand-in for Slicer's Segment Editor widget over the real editor logic: strokes, undo and overwriting are real.

Upstream's behaviour that it keeps: an effect holds the views while it is active; another segmentation ends the effect
and the undo history; keyboard shortcuts last until they are uninstalled; closing the scene needs a new editor node.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import vtk
from PySide6 import QtCore, QtWidgets
from vtk.util.numpy_support import numpy_to_vtk

from slicer_host.dialect import speak_pythonqt
from slicer_host.mrml_widgets import qMRMLWidget

_EFFECTS = ("Paint", "Draw", "Erase", "Level tracing", "Grow from seeds", "Margin", "Smoothing", "Scissors", "Islands")
_FLAGS = (
    "segmentationNodeSelectorVisible",
    "sourceVolumeNodeSelectorVisible",
    "switchToSegmentationsButtonVisible",
    "autoShowSourceVolumeNode",
)


class qMRMLSegmentEditorWidget(qMRMLWidget):
    """A table of segments, a grid of effects, undo and redo; `stroke` is what a person's hand does (host only)."""

    currentSegmentIDChanged = QtCore.Signal(str)

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._flags = dict.fromkeys(_FLAGS, True)
        self._logic = slicer.vtkSlicerSegmentEditorLogic()
        self._node: Any = None
        self._effect: str | None = None
        self._shortcuts = False
        self._views = False
        self._table = QtWidgets.QListWidget()
        self._table.setMaximumHeight(90)
        column = QtWidgets.QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self._table)
        grid = QtWidgets.QGridLayout()
        column.addLayout(grid)
        for number, name in enumerate((*_EFFECTS, "Undo", "Redo")):
            button = QtWidgets.QToolButton()
            button.setText(name)
            button.setSizePolicy(QtWidgets.QSizePolicy.Policy.Expanding, QtWidgets.QSizePolicy.Policy.Fixed)
            grid.addWidget(button, number // 4, number % 4)

    @staticmethod
    def _flag(name: str) -> QtCore.Property:
        def read(self: qMRMLSegmentEditorWidget) -> bool:
            return self._flags[name]

        def write(self: qMRMLSegmentEditorWidget, value: bool) -> None:
            self._flags[name] = value

        return QtCore.Property(bool, read, write)

    segmentationNodeSelectorVisible = _flag("segmentationNodeSelectorVisible")
    sourceVolumeNodeSelectorVisible = _flag("sourceVolumeNodeSelectorVisible")
    switchToSegmentationsButtonVisible = _flag("switchToSegmentationsButtonVisible")
    autoShowSourceVolumeNode = _flag("autoShowSourceVolumeNode")

    def setMRMLScene(self, scene: Any) -> None:
        """Use this scene."""
        super().setMRMLScene(scene)
        self._logic.SetMRMLApplicationLogic(slicer.app.applicationLogic())
        self._logic.SetMRMLScene(scene)

    def mrmlSegmentEditorNode(self) -> Any:
        """The node that keeps the choices."""
        return self._node

    def setMRMLSegmentEditorNode(self, node: Any) -> None:
        """Keep the choices in this node."""
        self._node = node
        self._logic.SetSegmentEditorNode(node)
        self.updateWidgetFromMRML()

    def segmentationNode(self) -> Any:
        """What is edited, or None."""
        node = self._logic.GetSegmentationNode()
        return node if node is not None and node.GetScene() is not None else None

    def setSegmentationNode(self, node: Any) -> None:
        """Edit this one."""
        if self._logic.GetSegmentationNode() is node:
            return
        self._logic.SetSegmentationNode(node)
        self.setActiveEffect(None)
        self.updateWidgetFromMRML()

    def sourceVolumeNode(self) -> Any:
        """The image that effects look at, or None."""
        return self._logic.GetSourceVolumeNode()

    def setSourceVolumeNode(self, node: Any) -> None:
        """Let effects look at this image."""
        self._logic.SetSourceVolumeNode(node)

    def currentSegmentID(self) -> str:
        """The selected segment."""
        return self._logic.GetCurrentSegmentID() or ""

    def setCurrentSegmentID(self, segment_id: str) -> None:
        """Select a segment."""
        if self._node is not None:
            self._logic.SetCurrentSegmentID(segment_id)
            self.updateWidgetFromMRML()

    def updateWidgetFromMRML(self) -> None:
        """Show what is so now."""
        self._table.clear()
        node = self.segmentationNode()
        if node is None:
            return
        segmentation = node.GetSegmentation()
        for index in range(segmentation.GetNumberOfSegments()):
            self._table.addItem(segmentation.GetNthSegment(index).GetName())
            if segmentation.GetNthSegmentID(index) == self.currentSegmentID():
                self._table.setCurrentRow(index)

    def activeEffect(self) -> str | None:
        """The effect, here by its name."""
        return self._effect

    def setActiveEffect(self, effect: None) -> None:
        """End the effect; only None can be given here."""
        if effect is not None:
            raise TypeError("the host has no effect objects; use setActiveEffectByName")
        self._effect = None
        self.removeViewObservations()

    def setActiveEffectByName(self, name: str) -> None:
        """Begin an effect; it takes hold of the views."""
        if name not in _EFFECTS:
            raise ValueError(f"the host has no effect {name!r}")
        self._effect = name
        self.setupViewObservations()

    def setupViewObservations(self) -> None:
        """Take hold of the views."""
        self._views = True

    def removeViewObservations(self) -> None:
        """Let go of the views."""
        self._views = False

    def installKeyboardShortcuts(self, parent: Any = None) -> None:
        """Take the keys."""
        self._shortcuts = True

    def uninstallKeyboardShortcuts(self) -> None:
        """Give the keys back."""
        self._shortcuts = False

    def setMaximumNumberOfUndoStates(self, count: int) -> None:
        """Keep so many states."""
        self._logic.SetMaximumNumberOfUndoStates(count)

    def undo(self) -> None:
        """One state back."""
        self._logic.Undo()

    def redo(self) -> None:
        """One state forth."""
        self._logic.Redo()


def holds(editor: Any) -> tuple[bool, bool]:
    """Host only: whether the editor has the keys, and whether it has the views."""
    return editor._shortcuts, editor._views


def undo_states(editor: Any) -> int:
    """Host only: how many states are kept."""
    return int(editor._logic.GetMaximumNumberOfUndoStates())


def stroke(editor: Any, box: tuple[slice, slice, slice], *, erase: bool = False) -> None:
    """Host only: what a brush does to the voxels `box` (k, j, i of the source volume) of the selected segment."""
    source = editor.sourceVolumeNode()
    voxels = np.zeros(slicer.util.arrayFromVolume(source).shape, np.uint8)
    voxels[box] = 1
    image = slicer.vtkOrientedImageData()
    image.SetDimensions(*reversed(voxels.shape))
    image.GetPointData().SetScalars(numpy_to_vtk(voxels.ravel(), deep=True))
    matrix = vtk.vtkMatrix4x4()
    source.GetIJKToRASMatrix(matrix)
    image.SetImageToWorldMatrix(matrix)
    logic = editor._logic
    mode = logic.ModificationModeRemove if erase else logic.ModificationModeAdd
    logic.SaveStateForUndo()
    logic.ModifySegmentByLabelmap(editor.segmentationNode(), editor.currentSegmentID(), image, mode, False, False)


def install_segment_editor() -> None:
    """Put the stand-in where Slicer has its widget."""
    slicer.qMRMLSegmentEditorWidget = speak_pythonqt(qMRMLSegmentEditorWidget)
