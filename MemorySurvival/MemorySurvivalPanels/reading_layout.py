"""The reading layout: the rotating PET beside CT, PET and fusion, axial above and coronal or sagittal below."""

from collections.abc import Iterator
from typing import Any

import slicer

from MemorySurvivalPanels import views
from MemorySurvivalPanels.row_sync import RowSync
from MemorySurvivalPanels.shown_copy import ShownCopy
from MemorySurvivalPanels.window_presets import FUSED_OPACITY, CtWindow, grey, hot_iron, inverted_grey

LAYOUT = 5160
"""The number of the layout; other modules choose theirs at will, so it is an unlikely one."""

MIP_VIEW = "MemorySurvivalMip"
UPPER, LOWER = "Upper", "Lower"
AXIAL, CORONAL, SAGITTAL = "Axial", "Coronal", "Sagittal"
_COLUMNS = ((views.CT, "CT"), (views.PET, "PET"), (views.FUSED, "PET/CT"))
_COLOURS = {CORONAL: (0.43, 0.69, 0.29), SAGITTAL: (0.93, 0.84, 0.30)}
"""Slicer's own colours of these planes."""

_VIEW_GROUP, _MIP_GROUP = 51, 52
"""Slicer's shift and mouse move takes the crosshair through the views of one group; the rotating view keeps still."""


def view_name(row: str, role: str) -> str:
    """The name of a slice view in a row."""
    return f"MemorySurvival{row}{role.capitalize()}"


def layout_xml() -> str:
    """The layout in Slicer's own words."""

    def view(name: str, orientation: str, label: str, colour: str, group: int) -> str:
        properties = (("orientation", orientation), ("viewlabel", label), ("viewcolor", colour), ("viewgroup", group))
        inside = "".join(f'<property name="{key}" action="default">{value}</property>' for key, value in properties)
        return f'<item><view class="vtkMRMLSliceNode" singletontag="{name}">{inside}</view></item>'

    def row(name: str, orientation: str, colour: str) -> str:
        cells = (view(view_name(name, role), orientation, label, colour, _VIEW_GROUP) for role, label in _COLUMNS)
        return f'<item><layout type="horizontal">{"".join(cells)}</layout></item>'

    mip = view(MIP_VIEW, CORONAL, "MIP", "#8C8C8C", _MIP_GROUP).replace("<item>", '<item splitSize="270">')
    rows = row(UPPER, AXIAL, "#F34A33") + row(LOWER, CORONAL, "#6EB04B")
    grid = f'<item splitSize="730"><layout type="vertical">{rows}</layout></item>'
    return f'<layout type="horizontal" split="true">{mip}{grid}</layout>'


class ReadingLayout:
    """Shows one CT and PET; the user's own volumes, displays and views stay as they are and come back with `leave`.

    Everything that is seen is a hidden copy (`ShownCopy`) with a look of its own.
    """

    def __init__(self) -> None:
        self._open = False
        self._before: int | None = None
        self._crosshair_before: tuple[int, int] | None = None
        self._copies: dict[str, ShownCopy] = {}
        self._rows: list[RowSync] = []

    @property
    def shown(self) -> bool:
        """Whether the views on the screen are these."""
        return self._open and _is_current()

    @property
    def orphaned(self) -> bool:
        """Whether the views are on the screen, with nothing in them: a saved scene was read."""
        return not self._open and _is_current()

    @property
    def mip_widget(self) -> Any:
        """The slice widget for the rotating view."""
        return slicer.app.layoutManager().sliceWidget(MIP_VIEW)

    def show(self, ct: slicer.vtkMRMLScalarVolumeNode, pet: slicer.vtkMRMLScalarVolumeNode) -> None:
        """Change to the layout and lay the volumes into its views; where that is so already, take over what changed."""
        if self.shown and self._sources() == (ct, pet):
            self.follow()
            return
        node = _layout_node()
        node.AddLayoutDescription(LAYOUT, layout_xml())
        if not self.shown:
            self._before = None if _is_current() else node.GetViewArrangement()
            node.SetViewArrangement(LAYOUT)
            self._open = True
            self._show_crosshair(ct)
        self._tell_views()
        self._show_copies(ct, pet)
        for row in self._rows:
            row.stop()
        self.fit()
        self._rows = [RowSync(list(_row_nodes(row))) for row in (UPPER, LOWER)]

    def follow(self) -> None:
        """Take over what changed of the volumes."""
        for copy in self._copies.values():
            copy.follow()
        if self._copies:
            self._lay_layers()  # other parts of Slicer lay volumes into all views at once

    def fit(self) -> None:
        """Let the whole CT be seen in every view."""
        for row in (UPPER, LOWER):
            first = _widget(row, views.CT)
            if first is not None:
                first.sliceLogic().FitSliceToBackground()
                for role, _label in _COLUMNS[1:]:
                    _widget(row, role).sliceLogic().FitSliceToBackground()
        for row in self._rows:
            row.match_first()

    def show_suv(self, upper_suv: float, suv_per_unit: float) -> None:
        """Set the upper end of the SUV scale of PET and fusion."""
        for role in (views.PET, views.FUSED):
            if role in self._copies:
                self._copies[role].show_range(0.0, upper_suv / suv_per_unit)

    def show_ct(self, window: CtWindow) -> None:
        """Set the CT's window, alone and below the fusion."""
        if views.CT in self._copies:
            self._copies[views.CT].show_range(*window.range_hu)

    def turn_lower_row(self, orientation: str) -> None:
        """Show the lower row coronal or sagittal, through the crosshair."""
        crosshair = views.crosshair_node()
        for node in _row_nodes(LOWER):
            node.SetOrientation(orientation)
            node.SetLayoutColor(*_COLOURS[orientation])
            if crosshair is not None:
                node.JumpSliceByOffsetting(*crosshair.GetCrosshairRAS())

    def leave(self) -> None:
        """Go back to the views that the user had before."""
        self.forget()
        if _is_current():
            before = self._before if self._before is not None else slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView
            _layout_node().SetViewArrangement(before)
        self._before = None

    def forget(self) -> None:
        """The user changed the layout otherwise, or the scene is gone."""
        self.empty()
        self._open = False
        crosshair = views.crosshair_node()
        if crosshair is not None and self._crosshair_before is not None:
            crosshair.SetCrosshairMode(self._crosshair_before[0])
            crosshair.SetCrosshairBehavior(self._crosshair_before[1])
        self._crosshair_before = None

    def empty(self) -> None:
        """Take the hidden volumes away; the views stay."""
        for row in self._rows:
            row.stop()
        self._rows = []
        for copy in self._copies.values():
            copy.remove()
        self._copies = {}

    def _sources(self) -> tuple[Any, Any] | None:
        if not self._copies:
            return None
        return self._copies[views.CT].source, self._copies[views.PET].source

    def _show_crosshair(self, ct: slicer.vtkMRMLScalarVolumeNode) -> None:
        crosshair = views.crosshair_node()
        if crosshair is not None:
            bounds = [0.0] * 6
            ct.GetRASBounds(bounds)
            crosshair.SetCrosshairRAS(*((low + high) / 2 for low, high in zip(bounds[::2], bounds[1::2], strict=True)))
            self._crosshair_before = (crosshair.GetCrosshairMode(), crosshair.GetCrosshairBehavior())
            crosshair.SetCrosshairMode(slicer.vtkMRMLCrosshairNode.ShowBasic)
            crosshair.SetCrosshairBehavior(slicer.vtkMRMLCrosshairNode.OffsetJumpSlice)

    def _tell_views(self) -> None:
        """Say what each view is for, and keep volumes that are loaded later out of them."""
        roles = {view_name(row, role): role for row in (UPPER, LOWER) for role, _label in _COLUMNS}
        for name, role in {MIP_VIEW: views.MIP, **roles}.items():
            widget = slicer.app.layoutManager().sliceWidget(name)
            widget.mrmlSliceNode().SetAttribute(views.OWN_VIEW, role)
            composite = widget.sliceLogic().GetSliceCompositeNode()
            composite.SetDoPropagateVolumeSelection(False)
            composite.SetLinkedControl(False)

    def _show_copies(self, ct: slicer.vtkMRMLScalarVolumeNode, pet: slicer.vtkMRMLScalarVolumeNode) -> None:
        for copy in self._copies.values():
            copy.remove()
        self._copies = {
            views.CT: ShownCopy(ct, views.CT, grey()),
            views.PET: ShownCopy(pet, views.PET, inverted_grey()),
            views.FUSED: ShownCopy(pet, views.FUSED, hot_iron()),
        }
        self._lay_layers()

    def _lay_layers(self) -> None:
        """Lay CT, PET and fusion into their views, where something else is; an overlay on the CT stays."""
        under = {views.CT: views.CT, views.PET: views.PET, views.FUSED: views.CT}
        for row in (UPPER, LOWER):
            for role, below in under.items():
                composite = _widget(row, role).sliceLogic().GetSliceCompositeNode()
                _lay(composite, "Background", self._copies[below].node.GetID())
                if role == views.FUSED and _lay(composite, "Foreground", self._copies[role].node.GetID()):
                    composite.SetForegroundOpacity(FUSED_OPACITY)
                elif role == views.PET:
                    _lay(composite, "Foreground", None)


def _lay(composite: slicer.vtkMRMLSliceCompositeNode, layer: str, identifier: str | None) -> bool:
    """Show a volume in a layer; whether another was there."""
    if getattr(composite, f"Get{layer}VolumeID")() == identifier:
        return False
    getattr(composite, f"Set{layer}VolumeID")(identifier)
    return True


def _is_current() -> bool:
    node = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLLayoutNode")
    return node is not None and node.GetViewArrangement() == LAYOUT


def _layout_node() -> slicer.vtkMRMLLayoutNode:
    return slicer.app.layoutManager().layoutLogic().GetLayoutNode()


def _widget(row: str, role: str) -> Any:
    return slicer.app.layoutManager().sliceWidget(view_name(row, role))


def _row_nodes(row: str) -> Iterator[slicer.vtkMRMLSliceNode]:
    for role, _label in _COLUMNS:
        widget = _widget(row, role)
        if widget is not None:
            yield widget.mrmlSliceNode()
