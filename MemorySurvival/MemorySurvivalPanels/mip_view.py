"""The rotating PET in a slice view: it turns by itself or by hand; a click leads to where the maximum lies."""

from collections.abc import Callable
from typing import Any

import numpy as np
import qt
import slicer
import vtk

from MemorySurvivalPanels.mip_frames import MipFrames
from MemorySurvivalPanels.shown_copy import add_hidden_volume, remove_hidden_volume

TICK_MS = 120
_CLICK_PIXELS = 4
"""A press that moves farther than this before the release is not a click."""
_THICK_MM = 4000.0
_AHEAD_MM = 1000.0
_WHITE_COLUMNS, _WHITE_ROWS = 3, 5
"""How large the image is in widths of the frame: white around it, because a slice view is black where no image is."""


class MipView:
    """Shows one frame at a time as a volume of one thick voxel layer, so that it is seen wherever its plane lies.

    Each frame stands in the patient as it was projected, so crosshair and cursor are where they belong. The plane
    itself lies far in front of the patient, where no segmentation is cut by it.

    `picked` is called with the point (RAS) of the maximum that the user clicked on; `turned` after each turn.
    """

    def __init__(self, picked: Callable[[tuple[float, float, float]], None], turned: Callable[[], None]) -> None:
        self._picked, self._turned = picked, turned
        self._frames: MipFrames | None = None
        self._node: Any = None
        self._widget: Any = None
        self._tags: dict[int, Callable[[], None]] = {}
        self._pressed: tuple[int, int] | None = None
        self._number = 0
        self._timer = qt.QTimer()
        self._timer.setInterval(TICK_MS)
        self._timer.connect("timeout()", self._tick)

    @property
    def frames(self) -> MipFrames | None:
        """What is shown, or nothing."""
        return self._frames

    @property
    def number(self) -> int:
        """The frame that is shown."""
        return self._number

    @property
    def playing(self) -> bool:
        """Whether it turns by itself."""
        return bool(self._timer.isActive())

    @property
    def node(self) -> slicer.vtkMRMLScalarVolumeNode | None:
        """The volume that the frame is in; None where nothing is shown."""
        return self._node if self._node is not None and self._node.GetScene() is not None else None

    def show(self, frames: MipFrames, widget: Any, colours: slicer.vtkMRMLColorNode) -> None:
        """Show these frames in a slice widget, from the front."""
        self.clear()
        self._frames, self._widget, self._number = frames, widget, 0
        self._node = add_hidden_volume("Rotating PET", colours)
        self._node.GetDisplayNode().SetInterpolate(True)
        height, width = frames.picture(0).shape
        rows, columns = max(_WHITE_ROWS * width, height), _WHITE_COLUMNS * width
        slicer.util.updateVolumeFromArray(self._node, np.zeros((1, rows, columns), np.float32))
        self._observe_mouse()
        self.fit()
        self.turn_to(0)

    def show_range(self, low: float, high: float) -> None:
        """Map the values from `low` to `high` to the colours."""
        if self.node is not None:
            self.node.GetDisplayNode().SetWindowLevelMinMax(low, high)

    def clear(self) -> None:
        """Show nothing and turn no more."""
        self.pause()
        self._leave_mouse()
        if self._node is not None:
            remove_hidden_volume(self._node)
        self._frames = self._node = self._widget = None

    def play(self) -> None:
        """Turn until told otherwise, or until the view is no longer seen."""
        if self.node is not None:
            self._timer.start()

    def pause(self) -> None:
        """Stand still."""
        self._timer.stop()

    def turn(self, frames: int) -> None:
        """Turn by some frames; the viewer walks towards the patient's left."""
        self.turn_to(self._number + frames)

    def turn_to(self, number: int) -> None:
        """Show one frame of the turn."""
        if self._frames is None or self.node is None:
            self.pause()
            return
        self._number = number % self._frames.count
        self._lay_layers()
        picture = self._frames.picture(self._number)
        right, up, towards = self._frames.axes(self._number)
        voxels = slicer.util.arrayFromVolume(self.node)
        bottom = (voxels.shape[1] - picture.shape[0]) // 2
        left = (voxels.shape[2] - picture.shape[1]) // 2
        voxels[0, bottom : bottom + picture.shape[0], left : left + picture.shape[1]] = picture
        spacing, centre = self._frames.spacing_mm, self._frames.centre_ras
        corner = centre - spacing * (right * (left + (picture.shape[1] - 1) / 2))
        corner = corner - spacing * (up * (bottom + (picture.shape[0] - 1) / 2))
        was_modifying = self.node.StartModify()
        columns = (right * spacing, up * spacing, towards * _THICK_MM, corner)
        self.node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(_matrix(*columns)))
        slicer.util.arrayFromVolumeModified(self.node)
        self.node.EndModify(was_modifying)
        plane = self._widget.mrmlSliceNode()
        was_modifying = plane.StartModify()
        matrix = slicer.util.vtkMatrixFromArray(_matrix(right, up, towards, centre + _AHEAD_MM * towards))
        plane.GetSliceToRAS().DeepCopy(matrix)
        plane.UpdateMatrices()
        plane.EndModify(was_modifying)
        self._turned()

    def find_point(self, on_plane: tuple[float, float, float]) -> tuple[float, float, float] | None:
        """The point (RAS) of the maximum behind a point of the view; None beside the frame."""
        return self._frames.find_point(self._number, np.asarray(on_plane)) if self._frames is not None else None

    def fit(self) -> None:
        """Let the whole frame be seen."""
        if self._frames is None:
            return
        node = self._widget.mrmlSliceNode()
        width, height, _depth = node.GetDimensions()
        rows, columns = self._frames.picture(0).shape
        scale = self._frames.spacing_mm * max(columns / max(width, 1), rows / max(height, 1))
        node.SetFieldOfView(scale * width, scale * height, node.GetFieldOfView()[2])
        node.SetXYZOrigin(0.0, 0.0, 0.0)

    def _lay_layers(self) -> None:
        """Show this volume alone; other parts of Slicer lay volumes into all views at once."""
        composite = self._widget.sliceLogic().GetSliceCompositeNode()
        if composite.GetBackgroundVolumeID() != self._node.GetID():
            composite.SetBackgroundVolumeID(self._node.GetID())
        for layer in ("Foreground", "Label"):
            if getattr(composite, f"Get{layer}VolumeID")() is not None:
                getattr(composite, f"Set{layer}VolumeID")(None)

    def _tick(self) -> None:
        if self.node is None or not self._widget.visible:
            self.pause()
        else:
            self.turn(1)

    def _observe_mouse(self) -> None:
        interactor = self._widget.sliceView().interactor()
        for event, react in (
            (vtk.vtkCommand.LeftButtonPressEvent, self._press),
            (vtk.vtkCommand.LeftButtonReleaseEvent, self._release),
            (vtk.vtkCommand.MouseWheelForwardEvent, lambda *_: self._wheel(1)),
            (vtk.vtkCommand.MouseWheelBackwardEvent, lambda *_: self._wheel(-1)),
        ):
            # Before Slicer's own reaction, which for the wheel would be to move the plane.
            tag = interactor.AddObserver(event, react, 2.0)
            self._tags[tag] = lambda interactor=interactor, tag=tag: interactor.RemoveObserver(tag)

    def _leave_mouse(self) -> None:
        for remove in self._tags.values():
            remove()
        self._tags.clear()

    def _position(self) -> tuple[int, int]:
        x, y = self._widget.sliceView().interactor().GetEventPosition()
        return x, y

    def _press(self, *_ignored: Any) -> None:
        interactor = self._widget.sliceView().interactor()
        plain = not interactor.GetShiftKey() and not interactor.GetControlKey()
        self._pressed = self._position() if plain else None

    def _release(self, *_ignored: Any) -> None:
        pressed, self._pressed = self._pressed, None
        if pressed is None:
            return
        x, y = self._position()
        if max(abs(x - pressed[0]), abs(y - pressed[1])) > _CLICK_PIXELS:
            return
        view = self._widget.sliceView()
        point = self.find_point(tuple(view.convertXYZToRAS(view.convertDeviceToXYZ([x, y]))))
        if point is not None:
            self._picked(point)

    def _wheel(self, frames: int) -> None:
        interactor = self._widget.sliceView().interactor()
        if interactor.GetControlKey():  # Slicer zooms
            return
        for tag in self._tags:
            interactor.GetCommand(tag).SetAbortFlag(1)
        self.pause()
        self.turn(frames)


def _matrix(*columns: np.ndarray) -> np.ndarray:
    matrix = np.eye(4)
    for index, column in enumerate(columns):
        matrix[:3, index] = column
    return matrix
