"""A picture of the window as a person sees it: the panel, and beside it the layout's views with their bars."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import slicer
from PySide6 import QtCore, QtGui
from vtk.util.numpy_support import vtk_to_numpy

_BAR = 20
_GAP = 3
_EDGE = 6
_LETTERS = (("R", "L"), ("A", "P"), ("S", "I"))
"""What lies towards + and - of the axes of RAS."""


def draw_window(
    path: Path,
    panel: Any = None,
    *,
    first: Any = None,
    width: int = 1600,
    height: int = 900,
    panel_width: int = 460,
) -> None:
    """Write a PNG of the views of the current layout, with the panel on their left where one is given.

    The panel is scrolled so that the widget `first` (a section) is at its top, as far as there is something below.
    """
    left = 0 if panel is None else panel_width + _GAP
    window = QtGui.QImage(width, height, QtGui.QImage.Format.Format_RGB32)
    window.fill(QtGui.QColor("#202326"))
    painter = QtGui.QPainter(window)
    if panel is not None:
        grabbed = _grab_panel(panel, panel_width, height)
        top = 0 if first is None else first.mapTo(panel, QtCore.QPoint(0, 0)).y() - _GAP
        top = max(min(top, grabbed.height() - height), 0)
        painter.drawImage(0, 0, grabbed.copy(0, top, panel_width, height))
    draw_views(painter, QtCore.QRect(left, 0, width - left, height))
    painter.end()
    if not window.save(str(path)):
        raise OSError(f"{path} cannot be written")


def _grab_panel(panel: Any, width: int, height: int) -> QtGui.QImage:
    for _round in range(5):  # sections that grow pass their new height on one event at a time
        QtCore.QCoreApplication.processEvents()
        panel.resize(width, max(height, panel.layout().heightForWidth(width)))
    return panel.grab().toImage()


def draw_views(painter: QtGui.QPainter, area: QtCore.QRect) -> None:
    """Paint every view of the current layout into its place."""
    manager = slicer.app.layoutManager()
    places = place_views(manager.description(), area)
    for name, place in places.items():  # sizes first: views of a row follow each other
        widget = manager.sliceWidget(name)
        if widget is not None:
            widget.resize(place.width(), place.height() - _BAR)
    for name, place in places.items():
        _draw_view(painter, place, manager.sliceWidget(name))


def settle_views(width: int = 1137, height: int = 900) -> None:
    """Give the views the sizes that they will have in a picture, as a shown window does."""
    manager = slicer.app.layoutManager()
    for name, place in place_views(manager.description(), QtCore.QRect(0, 0, width, height)).items():
        if manager.sliceWidget(name) is not None:
            manager.sliceWidget(name).resize(place.width(), place.height() - _BAR)


def place_views(layout: ET.Element, area: QtCore.QRect) -> dict[str, QtCore.QRect]:
    """Where each view of a layout description lies inside an area; names are the views' singleton tags."""
    items = layout.findall("item")
    weights = [float(item.get("splitSize", 1)) for item in items]
    across = layout.get("type") == "horizontal"
    room = (area.width() if across else area.height()) - _GAP * (len(items) - 1)
    places: dict[str, QtCore.QRect] = {}
    start = 0.0
    for item, weight in zip(items, weights, strict=True):
        size = room * weight / sum(weights)
        if across:
            inner = QtCore.QRect(area.left() + round(start), area.top(), round(size), area.height())
        else:
            inner = QtCore.QRect(area.left(), area.top() + round(start), area.width(), round(size))
        start += size + _GAP
        for child in item:
            if child.tag == "layout":
                places.update(place_views(child, inner))
            elif child.tag == "view":
                places[child.get("singletontag", "")] = inner
    return places


def _draw_view(painter: QtGui.QPainter, place: QtCore.QRect, widget: Any) -> None:
    inside = place.adjusted(0, _BAR, 0, 0)
    painter.fillRect(inside, QtGui.QColor("black"))
    bar = QtCore.QRect(place.left(), place.top(), place.width(), _BAR)
    if widget is None:
        painter.fillRect(bar, QtGui.QColor("#8c8c8c"))
        return
    node = widget.mrmlSliceNode()
    image = _to_image(widget.grab())
    painter.drawImage(inside.topLeft(), image)
    colour = QtGui.QColor.fromRgbF(*node.GetLayoutColor())
    painter.fillRect(bar, colour)
    painter.setPen(QtGui.QColor("black"))
    text = f" {node.GetLayoutLabel()}   {node.GetOrientation()}   {node.GetSliceOffset():.1f} mm"
    painter.drawText(bar, QtCore.Qt.AlignmentFlag.AlignVCenter, text)
    _draw_letters(painter, inside, node, image)


def _draw_letters(painter: QtGui.QPainter, inside: QtCore.QRect, node: Any, image: QtGui.QImage) -> None:
    """Where the patient's right, front and head are, at the four edges; Slicer shows them as a marker or not at all."""
    matrix = slicer.util.arrayFromVTKMatrix(node.GetSliceToRAS())
    edge = inside.adjusted(_EDGE, _EDGE, -_EDGE, -_EDGE)
    flags = QtCore.Qt.AlignmentFlag
    centre, middle = flags.AlignHCenter, flags.AlignVCenter
    for direction, where in (
        (-matrix[:3, 0], flags.AlignLeft | middle),
        (matrix[:3, 0], flags.AlignRight | middle),
        (matrix[:3, 1], flags.AlignTop | centre),
        (-matrix[:3, 1], flags.AlignBottom | centre),
    ):
        axis = int(np.abs(direction).argmax())
        letter = _LETTERS[axis][0 if direction[axis] > 0 else 1]
        # Dark letters with a light rim, because PET is white and CT is black there.
        outline = QtGui.QPainterPath()
        metrics = QtGui.QFontMetrics(painter.font())
        box = metrics.boundingRect(edge, int(where), letter)
        outline.addText(box.left(), box.bottom() - metrics.descent(), painter.font(), letter)
        painter.setRenderHint(QtGui.QPainter.RenderHint.Antialiasing)
        painter.strokePath(outline, QtGui.QPen(QtGui.QColor("black"), 3))
        painter.fillPath(outline, QtGui.QColor("#ffd54f"))


def _to_image(picture: Any) -> QtGui.QImage:
    width, height, _depth = picture.GetDimensions()
    pixels = vtk_to_numpy(picture.GetPointData().GetScalars()).reshape(height, width, -1)[::-1, :, :3]
    pixels = np.ascontiguousarray(pixels)
    return QtGui.QImage(pixels.data, width, height, 3 * width, QtGui.QImage.Format.Format_RGB888).copy()
