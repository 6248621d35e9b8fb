"""The stand-in for Slicer's layout manager: the real layout logic, and a view for every slice node of the layout."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Any

import slicer
import vtk

_MANAGERS = (
    "vtkMRMLSegmentationsDisplayableManager2D",
    "vtkMRMLModelSliceDisplayableManager",
    "vtkMRMLCrosshairDisplayableManager",
    "vtkMRMLRulerDisplayableManager",
)


class SliceViewWidget:
    """What qMRMLSliceWidget.sliceView() hands out, as far as the module uses it."""

    __slots__ = ("_interactor", "_node")

    def __init__(self, node: Any, interactor: Any) -> None:
        self._node, self._interactor = node, interactor

    def interactor(self) -> Any:
        """The VTK interactor whose events are those of the mouse over this view."""
        return self._interactor

    def mrmlSliceNode(self) -> Any:
        return self._node

    def convertDeviceToXYZ(self, xy: Any) -> list[float]:
        """From the interactor's event position to slice view coordinates; there is one pane."""
        if len(xy) != 2:
            raise ValueError("convertDeviceToXYZ needs two numbers")
        return [float(xy[0]), float(xy[1]), 0.0]

    def convertXYZToRAS(self, xyz: Any) -> list[float]:
        """From slice view coordinates to world RAS."""
        return list(self._node.GetXYToRAS().MultiplyPoint((*xyz, 1.0))[:3])


class SliceWidget:
    """What layoutManager.sliceWidget(name) hands out: a slice logic on a slice node of the scene, drawn offscreen."""

    __slots__ = ("_image", "_interactor", "_logic", "_managers", "_mapper", "_node", "_renderer", "_view", "_window")

    def __init__(self, node: Any) -> None:
        application = slicer.app.applicationLogic()
        self._node = node
        self._logic = slicer.vtkMRMLSliceLogic()
        self._logic.SetMRMLApplicationLogic(application)
        self._logic.SetMRMLScene(slicer.mrmlScene)
        self._logic.SetSliceNode(node)
        application.GetSliceLogics().AddItem(self._logic)

        self._window = vtk.vtkRenderWindow()
        self._window.SetOffScreenRendering(1)
        self._renderer = vtk.vtkRenderer()
        self._renderer.GetActiveCamera().ParallelProjectionOn()
        self._window.AddRenderer(self._renderer)
        self._interactor = vtk.vtkGenericRenderWindowInteractor()
        self._interactor.SetRenderWindow(self._window)
        self._interactor.EnableRenderOff()
        self._interactor.SetInteractorStyle(None)  # VTK's own would keep the release of a button to itself
        self._view = SliceViewWidget(node, self._interactor)
        self._managers: Any = None

    def sliceView(self) -> SliceViewWidget:
        return self._view

    def sliceLogic(self) -> Any:
        return self._logic

    def mrmlSliceNode(self) -> Any:
        return self._node

    @property
    def visible(self) -> bool:
        """Whether the current layout shows this view."""
        return bool(self._node.IsMappedInLayout())

    def resize(self, width: int, height: int) -> None:
        """Give the view a size, as its place in the window does."""
        self._window.SetSize(width, height)
        self._logic.ResizeSliceNode(width, height)

    def grab(self) -> vtk.vtkImageData:
        """What is seen now (RGB, from the bottom up)."""
        if self._managers is None:
            self._start_drawing()
        self._logic.UpdatePipeline()
        connection = self._logic.GetImageDataConnection()
        self._image.SetVisibility(connection is not None)
        if connection is not None:
            self._mapper.SetInputConnection(connection)
        self._window.Render()
        grabbed = vtk.vtkWindowToImageFilter()
        grabbed.SetInput(self._window)
        grabbed.ReadFrontBufferOff()
        grabbed.Update()
        return grabbed.GetOutput()

    def _start_drawing(self) -> None:
        """Put the displayable managers in only when something is drawn: they take time and need GL."""
        factory = slicer.vtkMRMLSliceViewDisplayableManagerFactory.GetInstance()
        factory.SetMRMLApplicationLogic(slicer.app.applicationLogic())
        for name in _MANAGERS:
            if not factory.IsDisplayableManagerRegistered(name):
                factory.RegisterDisplayableManager(name)
        self._managers = factory.InstantiateDisplayableManagers(self._renderer)
        self._managers.SetMRMLDisplayableNode(self._node)
        # What Slicer's slice widget does with the blended layers: put them behind everything else.
        self._mapper = vtk.vtkImageMapper()
        self._mapper.SetColorWindow(255)
        self._mapper.SetColorLevel(127.5)
        self._image = vtk.vtkActor2D()
        self._image.SetMapper(self._mapper)
        self._image.GetProperty().SetDisplayLocationToBackground()
        self._renderer.AddViewProp(self._image)


class LayoutManager:
    """Follows the scene's layout node: a view for every slice node that the layout names, and only those are mapped."""

    __slots__ = ("_logic", "_tag", "_widgets")

    def __init__(self) -> None:
        slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(slicer.mrmlScene)
        slicer.app.applicationLogic().SetSliceLogics(vtk.vtkCollection())
        crosshair = slicer.vtkMRMLCrosshairNode()
        crosshair.SetCrosshairName("default")
        slicer.mrmlScene.AddNode(crosshair)
        self._widgets: dict[str, SliceWidget] = {}
        self._logic = slicer.vtkMRMLLayoutLogic()
        self._logic.SetMRMLScene(slicer.mrmlScene)
        node = self._logic.GetLayoutNode()
        self._tag = node.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: self._follow())
        node.SetViewArrangement(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)

    def layoutLogic(self) -> Any:
        return self._logic

    def sliceViewNames(self) -> list[str]:
        """The names of the slice views that the layout shows."""
        return [name for name, widget in self._widgets.items() if widget.visible]

    def sliceWidget(self, name: str) -> SliceWidget | None:
        """The view of a name, shown or not; None where there never was one."""
        return self._widgets.get(name)

    def mrmlSliceLogics(self) -> vtk.vtkCollection:
        """The slice logics of all views."""
        logics = vtk.vtkCollection()
        for widget in self._widgets.values():
            logics.AddItem(widget.sliceLogic())
        return logics

    def description(self) -> ET.Element:
        """The current layout's XML."""
        return ET.fromstring(self._logic.GetLayoutNode().GetCurrentLayoutDescription() or "<layout />")

    def _follow(self) -> None:
        shown = {each.get("singletontag") for each in self.description().iter("view")}
        for node in slicer.util.getNodesByClass("vtkMRMLSliceNode"):
            name = node.GetLayoutName()
            known = self._widgets.get(name)
            if name in shown and (known is None or known.mrmlSliceNode() is not node):
                self._widgets[name] = SliceWidget(node)
            node.SetMappedInLayout(name in shown)


def forget_added_views(manager: LayoutManager) -> None:
    """Be as new: four-up, without the views that other layouts added. Closing a scene keeps them, as in Slicer."""
    manager._logic.GetLayoutNode().SetViewArrangement(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)
    logics = slicer.app.applicationLogic().GetSliceLogics()
    for name in [name for name, widget in manager._widgets.items() if not widget.visible]:
        logic, node = manager._widgets[name].sliceLogic(), manager._widgets.pop(name).mrmlSliceNode()
        composite = logic.GetSliceCompositeNode()
        logics.RemoveItem(logic)
        logic.SetMRMLScene(None)
        for each in (node, composite):
            slicer.mrmlScene.RemoveNode(each)
