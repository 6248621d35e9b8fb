"""A slice view drawn offscreen: Slicer's slice logic blends the layers, VTK draws them with the segments' outlines."""

from __future__ import annotations

from pathlib import Path

import slicer
import vtk

_MANAGERS = ("vtkMRMLSegmentationsDisplayableManager2D", "vtkMRMLModelSliceDisplayableManager")


class SliceView:
    """One view of the scene, such as "Red" and "Axial"; setSliceViewerLayers reaches it like any view of Slicer."""

    def __init__(self, name: str, orientation: str, width: int, height: int) -> None:
        application = slicer.app.applicationLogic()
        # An earlier view of the name has left its nodes behind; the new one would stay without a place in the scene.
        for left in ("vtkMRMLSliceNode", "vtkMRMLSliceCompositeNode"):
            node = slicer.mrmlScene.GetNodeByID(f"{left}{name}")
            if node is not None:
                slicer.mrmlScene.RemoveNode(node)
        self._logic = slicer.vtkMRMLSliceLogic()
        self._logic.SetMRMLApplicationLogic(application)
        self._logic.SetMRMLScene(slicer.mrmlScene)
        self._logic.AddSliceNode(name)
        self.node = self._logic.GetSliceNode()
        self.node.SetOrientation(orientation)
        self.node.SetDimensions(width, height, 1)

        self._window = vtk.vtkRenderWindow()
        self._window.SetOffScreenRendering(1)
        self._window.SetSize(width, height)
        self._renderer = vtk.vtkRenderer()
        self._renderer.GetActiveCamera().ParallelProjectionOn()
        self._window.AddRenderer(self._renderer)
        self._interactor = vtk.vtkGenericRenderWindowInteractor()
        self._interactor.SetRenderWindow(self._window)

        factory = slicer.vtkMRMLSliceViewDisplayableManagerFactory.GetInstance()
        factory.SetMRMLApplicationLogic(application)
        for manager in _MANAGERS:
            if not factory.IsDisplayableManagerRegistered(manager):
                factory.RegisterDisplayableManager(manager)
        self._managers = factory.InstantiateDisplayableManagers(self._renderer)
        self._managers.SetMRMLDisplayableNode(self.node)

        # What Slicer's slice widget does with the blended layers: put them behind everything else.
        self._mapper = vtk.vtkImageMapper()
        self._mapper.SetColorWindow(255)
        self._mapper.SetColorLevel(127.5)
        self._image = vtk.vtkActor2D()
        self._image.SetMapper(self._mapper)
        self._image.GetProperty().SetDisplayLocationToBackground()
        self._renderer.AddViewProp(self._image)

    def show(self, ras: tuple[float, float, float]) -> None:
        """Fit the view to the background volume and go to the slice through a point."""
        self._logic.FitSliceToBackground()
        self.node.JumpSliceByOffsetting(*ras)
        self._logic.UpdatePipeline()
        self._mapper.SetInputConnection(self._logic.GetImageDataConnection())
        self._window.Render()

    def save(self, path: Path) -> None:
        """Write what is seen as PNG."""
        self._window.Render()
        grab = vtk.vtkWindowToImageFilter()
        grab.SetInput(self._window)
        grab.ReadFrontBufferOff()
        writer = vtk.vtkPNGWriter()
        writer.SetInputConnection(grab.GetOutputPort())
        writer.SetFileName(str(path))
        writer.Write()
