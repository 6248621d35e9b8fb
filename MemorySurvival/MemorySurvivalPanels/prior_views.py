"""Two studies beside each other: the current one above, the prior one below, in views that move together."""

from typing import Any

import numpy as np
import slicer

from MemorySurvivalPanels import views
from MemorySurvivalPanels.row_sync import RowSync
from MemorySurvivalPanels.shown_copy import ShownCopy
from MemorySurvivalPanels.window_presets import FUSED_OPACITY, SUV_RANGES, ct_windows, grey, hot_iron

LAYOUT = 5161
CURRENT, PRIOR = "Current", "Prior"
_COLUMNS = (("Axial", "#F34A33"), ("Coronal", "#6EB04B"), ("Sagittal", "#EDD54C"))
_VIEW_GROUP = 53


class MovedCopy(ShownCopy):
    """A hidden copy that lies where a rigid move takes its source; nothing is resampled, and the source stays put."""

    def __init__(
        self,
        source: slicer.vtkMRMLScalarVolumeNode,
        purpose: str,
        colours: slicer.vtkMRMLColorNode,
        move_ras: np.ndarray | None = None,
    ) -> None:
        self.move_ras = np.eye(4) if move_ras is None else move_ras
        super().__init__(source, purpose, colours)

    def follow(self) -> None:
        """Take over the image, and the place in the world as the move has it."""
        node, source = self.node, self.source
        if node.GetScene() is None or source.GetScene() is None:
            return
        if node.GetImageData() is not source.GetImageData():
            node.SetAndObserveImageData(source.GetImageData())
        place = slicer.vtkMRMLTransformNode
        to_world = slicer.util.vtkMatrixFromArray(np.eye(4))
        place.GetMatrixTransformBetweenNodes(source.GetParentTransformNode(), None, to_world)
        ijk_to_ras = slicer.util.vtkMatrixFromArray(np.eye(4))
        source.GetIJKToRASMatrix(ijk_to_ras)
        matrices = [slicer.util.arrayFromVTKMatrix(each) for each in (to_world, ijk_to_ras)]
        node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(self.move_ras @ matrices[0] @ matrices[1]))


class PriorViews:
    """Shows two studies in a layout of its own; the user's volumes, displays and views come back with `leave`."""

    def __init__(self) -> None:
        self._before: int | None = None
        self._copies: list[MovedCopy] = []
        self._columns: list[RowSync] = []

    @property
    def shown(self) -> bool:
        """Whether the views on the screen are these, with the studies in them."""
        return bool(self._copies) and _is_current()

    def show(self, current: tuple[Any, Any], prior: tuple[Any, Any], prior_to_current_ras: np.ndarray) -> None:
        """Lay CT and PET of both studies into the views, the prior one moved over the current one."""
        self._empty()
        node = _layout_node()
        node.AddLayoutDescription(LAYOUT, layout_xml())
        if not _is_current():
            self._before = node.GetViewArrangement()
            node.SetViewArrangement(LAYOUT)
        for row, (ct, pet), move in ((CURRENT, current, None), (PRIOR, prior, prior_to_current_ras)):
            below = MovedCopy(ct, f"{row} CT", grey(), move)
            over = MovedCopy(pet, f"{row} PET", hot_iron(), move)
            below.show_range(*ct_windows()[0].range_hu)
            over.show_range(0.0, SUV_RANGES[1])
            self._copies += [below, over]
            self._fill(row, below, over)
        for orientation, _colour in _COLUMNS:
            widgets = [_widget(row, orientation) for row in (CURRENT, PRIOR)]
            widgets[0].sliceLogic().FitSliceToBackground()
            column = RowSync([widget.mrmlSliceNode() for widget in widgets])
            column.match_first()
            self._columns.append(column)

    def leave(self) -> None:
        """Go back to the views that the user had before."""
        self._empty()
        if _is_current():
            before = self._before if self._before is not None else slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView
            _layout_node().SetViewArrangement(before)
        self._before = None

    def _empty(self) -> None:
        for column in self._columns:
            column.stop()
        for copy in self._copies:
            copy.remove()
        self._columns, self._copies = [], []

    def _fill(self, row: str, below: MovedCopy, over: MovedCopy) -> None:
        for orientation, _colour in _COLUMNS:
            widget = _widget(row, orientation)
            widget.mrmlSliceNode().SetAttribute(views.OWN_VIEW, views.FUSED)
            composite = widget.sliceLogic().GetSliceCompositeNode()
            composite.SetDoPropagateVolumeSelection(False)
            composite.SetLinkedControl(False)
            composite.SetBackgroundVolumeID(below.node.GetID())
            composite.SetForegroundVolumeID(over.node.GetID())
            composite.SetForegroundOpacity(FUSED_OPACITY)


def view_name(row: str, orientation: str) -> str:
    """The name of a slice view."""
    return f"MemorySurvival{row}{orientation}"


def layout_xml() -> str:
    """The layout in Slicer's own words."""

    def view(row: str, orientation: str, colour: str) -> str:
        label = f"{row} {orientation[0]}"
        properties = (
            ("orientation", orientation),
            ("viewlabel", label),
            ("viewcolor", colour),
            ("viewgroup", _VIEW_GROUP),
        )
        inside = "".join(f'<property name="{key}" action="default">{value}</property>' for key, value in properties)
        name = view_name(row, orientation)
        return f'<item><view class="vtkMRMLSliceNode" singletontag="{name}">{inside}</view></item>'

    rows = (
        f'<item><layout type="horizontal">{"".join(view(row, *column) for column in _COLUMNS)}</layout></item>'
        for row in (CURRENT, PRIOR)
    )
    return f'<layout type="vertical">{"".join(rows)}</layout>'


def _is_current() -> bool:
    node = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLLayoutNode")
    return node is not None and node.GetViewArrangement() == LAYOUT


def _layout_node() -> slicer.vtkMRMLLayoutNode:
    return slicer.app.layoutManager().layoutLogic().GetLayoutNode()


def _widget(row: str, orientation: str) -> Any:
    return slicer.app.layoutManager().sliceWidget(view_name(row, orientation))
