"""The prompt boxes over the slice views: four walls for each prompted slice, cut by the views where they show it.

A surface is exact under any orientation of the CT, costs a few kilobytes, and takes part in no list of segmentations.
It has no lids, so that views along the body show the boxes' edges and not a solid band.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _
from vtk.util.numpy_support import numpy_to_vtk, numpy_to_vtkIdTypeArray

_YELLOW = (1.0, 0.85, 0.0)
"""Seen on black, on grey CT and on white inverted PET, and told from red and blue by those who do not see both."""

_THICKNESS = 0.9
"""Share of a slice, so that a view exactly between two slices shows neither."""

_WALLS = ((0, 1, 5, 4), (2, 6, 7, 3), (0, 4, 6, 2), (1, 3, 7, 5))
"""Of a box whose corners are counted with x fastest, then y, then z, which is the slice's thickness."""


class BoxOverlay:
    """One model node that nobody edits and no scene keeps."""

    def __init__(self) -> None:
        self._node_id: str | None = None

    @property
    def node(self) -> slicer.vtkMRMLModelNode | None:
        """The node, where boxes are shown."""
        return slicer.mrmlScene.GetNodeByID(self._node_id) if self._node_id is not None else None

    def show(self, placed: Sequence[Mapping[str, Any]]) -> None:
        """Show the boxes that the worker placed in the patient, in place of earlier ones."""
        if not placed:
            self.hide()
            return
        node = self.node or self._add_node()
        node.SetAndObservePolyData(_build_walls(placed))

    def hide(self) -> None:
        """Take them out of the scene."""
        node, self._node_id = self.node, None
        if node is None:
            return
        display = node.GetDisplayNode()
        slicer.mrmlScene.RemoveNode(node)
        if display is not None and display.GetScene() is not None:
            slicer.mrmlScene.RemoveNode(display)

    def _add_node(self) -> slicer.vtkMRMLModelNode:
        node = slicer.vtkMRMLModelNode()
        node.SetName(_("Prompt boxes"))
        node.SetHideFromEditors(True)
        node.SetSaveWithScene(False)
        node.SetSelectable(False)
        node = slicer.mrmlScene.AddNode(node)
        node.CreateDefaultDisplayNodes()
        display = node.GetDisplayNode()
        display.SetSaveWithScene(False)
        display.SetColor(*_YELLOW)
        display.SetVisibility2D(True)
        display.SetVisibility3D(False)
        display.SetSliceIntersectionThickness(2)
        self._node_id = node.GetID()
        return node


def _build_walls(placed: Sequence[Mapping[str, Any]]) -> vtk.vtkPolyData:
    corners = np.array([box["corners_lps_mm"] for box in placed], dtype=float) * (-1.0, -1.0, 1.0)
    middle = corners.reshape(-1, 2, 4, 3).mean(axis=1, keepdims=True)
    corners = (middle + (corners.reshape(-1, 2, 4, 3) - middle) * _THICKNESS).reshape(-1, 3)
    starts = 8 * np.arange(len(placed))[:, None, None]
    walls = (starts + np.array(_WALLS)[None]).reshape(-1, 4)
    cells = vtk.vtkCellArray()
    listed = np.hstack([np.full((len(walls), 1), 4), walls]).ravel().astype(np.int64)
    cells.ImportLegacyFormat(numpy_to_vtkIdTypeArray(listed, deep=True))
    points = vtk.vtkPoints()
    points.SetData(numpy_to_vtk(corners, deep=True))
    surface = vtk.vtkPolyData()
    surface.SetPoints(points)
    surface.SetPolys(cells)
    return surface
