"""Views of one row move together: scrolling, panning and zooming one of them moves the others."""

from collections.abc import Sequence
from typing import Any

import slicer
import vtk
from slicer.util import VTKObservationMixin


class RowSync(VTKObservationMixin):
    """Keeps slice nodes on the same plane, at the same scale and place.

    Slicer's own link would also carry the volumes over, and CT, PET and fusion would become one.
    """

    def __init__(self, nodes: Sequence[slicer.vtkMRMLSliceNode]) -> None:
        VTKObservationMixin.__init__(self)
        self._nodes = tuple(nodes)
        self._following = False
        for node in self._nodes:
            self.addObserver(node, vtk.vtkCommand.ModifiedEvent, self._follow)

    def match_first(self) -> None:
        """Bring all views to where the first is."""
        self._follow(self._nodes[0])

    def stop(self) -> None:
        """Let each view move alone again."""
        self.removeObservers()

    def _follow(self, moved: Any, event: Any = None) -> None:
        if self._following:
            return
        self._following = True
        try:
            for node in self._nodes:
                if node is not moved and node.GetScene() is not None:
                    _match(node, moved)
        finally:
            self._following = False


def _match(node: slicer.vtkMRMLSliceNode, moved: slicer.vtkMRMLSliceNode) -> None:
    width, height, _depth = node.GetDimensions()
    if min(width, height) < 1:  # a view that has no room yet
        return
    _across, up, through = moved.GetFieldOfView()
    was_modifying = node.StartModify()
    node.GetSliceToRAS().DeepCopy(moved.GetSliceToRAS())
    # Views of a row are equally high, and Slicer keeps what they show from top to bottom when a view changes its size.
    node.SetFieldOfView(up * width / height, up, through)
    node.SetXYZOrigin(*moved.GetXYZOrigin())
    node.UpdateMatrices()
    node.EndModify(was_modifying)
