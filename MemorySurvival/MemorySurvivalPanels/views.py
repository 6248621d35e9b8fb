"""The slice views as a whole: where they all go to, and which volumes lie in them."""

from typing import Any

import slicer
import vtk

_EDGE_SHARE = 0.12

OWN_VIEW = "MemorySurvival.View"
"""A slice node's attribute that names what this module shows in it; views without it are the user's own."""

MIP = "mip"
CT = "ct"
PET = "pet"
FUSED = "fused"


def jump_views(ras: tuple[float, float, float]) -> None:
    """Take every slice view to a point (world RAS, mm) and put the crosshair there; the rotating MIP keeps still.

    The user's own views are centred on it. Those of the reading layout, which show the whole body, are moved only where
    the point would lie near their edge or beyond.
    """
    crosshair = crosshair_node()
    if crosshair is not None:
        crosshair.SetCrosshairRAS(*ras)
    for node in slice_nodes():
        role = node.GetAttribute(OWN_VIEW)
        if role and role != MIP:
            node.JumpSliceByOffsetting(*ras)
        if not role or (role != MIP and _is_near_edge(node, ras)):
            node.JumpSliceByCentering(*ras)


def show_overlay(
    background: Any = "keep-current", foreground: Any = "keep-current", opacity: float | None = None
) -> None:
    """Lay volumes into the slice views, as slicer.util.setSliceViewerLayers does, but not over the PET.

    In the reading layout only the CT's views take them; MIP, PET and fusion stay as they are.
    """
    for composite in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"):
        role = view_role(composite)
        if role not in ("", CT):
            continue
        if background != "keep-current" and role != CT:  # the CT's views of the reading layout have their CT
            composite.SetBackgroundVolumeID(_identifier(background))
        if foreground != "keep-current":
            composite.SetForegroundVolumeID(_identifier(foreground))
        if opacity is not None:
            composite.SetForegroundOpacity(opacity)


def show_in_own_views(ct: slicer.vtkMRMLVolumeNode, pet: slicer.vtkMRMLVolumeNode, opacity: float) -> None:
    """Show a case in the user's own slice views, fitted; the reading layout looks after its views itself."""
    for composite in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"):
        if not view_role(composite):
            composite.SetBackgroundVolumeID(ct.GetID())
            composite.SetForegroundVolumeID(pet.GetID())
            composite.SetForegroundOpacity(opacity)
    fit_views()


def fit_views() -> None:
    """Let the whole background be seen in each of the user's own views, centred."""
    manager = slicer.app.layoutManager()
    for node in slice_nodes():
        widget = manager.sliceWidget(node.GetLayoutName()) if manager is not None else None
        if widget is not None and not node.GetAttribute(OWN_VIEW):
            widget.sliceLogic().FitSliceToBackground()


def view_role(composite: slicer.vtkMRMLSliceCompositeNode) -> str:
    """What this module shows in the view of a composite node: "mip", "ct", "pet", "fused"; empty in the user's own."""
    for node in slice_nodes():
        if node.GetLayoutName() == composite.GetLayoutName():
            return node.GetAttribute(OWN_VIEW) or ""
    return ""


def slice_nodes() -> list[slicer.vtkMRMLSliceNode]:
    """Every slice view's node, shown or not."""
    return slicer.util.getNodesByClass("vtkMRMLSliceNode")


def crosshair_node() -> slicer.vtkMRMLCrosshairNode | None:
    """The scene's one crosshair, which also knows where the mouse is."""
    return slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLCrosshairNode")


def _is_near_edge(node: slicer.vtkMRMLSliceNode, ras: tuple[float, float, float]) -> bool:
    to_view = vtk.vtkMatrix4x4()
    vtk.vtkMatrix4x4.Invert(node.GetXYToRAS(), to_view)
    place = to_view.MultiplyPoint((*ras, 1.0))
    shares = [place[axis] / max(node.GetDimensions()[axis], 1) for axis in (0, 1)]
    return not all(_EDGE_SHARE < share < 1 - _EDGE_SHARE for share in shares)


def _identifier(node: Any) -> str | None:
    return node.GetID() if node is not None else None
