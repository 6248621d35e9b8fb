"""Stand-ins for the ctk widgets that the panel uses, as the module `ctk`."""

from __future__ import annotations

import sys
import types

from PySide6 import QtCore, QtGui, QtWidgets

from slicer_host.dialect import speak_pythonqt

_HEADER_HEIGHT = 26


_WANTED = "visibilityToParent"


class ctkCollapsibleButton(QtWidgets.QWidget):
    """A titled section that folds away."""

    contentsCollapsed = QtCore.Signal(bool)

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._text = ""
        self._collapsed = False
        self.setContentsMargins(0, _HEADER_HEIGHT, 0, 0)

    def _get_text(self) -> str:
        return self._text

    def _set_text(self, text: str) -> None:
        self._text = text
        self.update()

    def _get_collapsed(self) -> bool:
        return self._collapsed

    def _set_collapsed(self, collapsed: bool) -> None:
        self._collapsed = bool(collapsed)
        for child in self.findChildren(QtWidgets.QWidget, options=QtCore.Qt.FindChildOption.FindDirectChildrenOnly):
            self._show_child(child)
        self.contentsCollapsed.emit(self._collapsed)

    def _show_child(self, child: QtWidgets.QWidget) -> None:
        """A child is seen when the section is unfolded and nobody has hidden it."""
        child.setVisible(not self._collapsed and child.property(_WANTED) is not False)

    def _want_child(self, child: QtWidgets.QWidget, visible: bool) -> None:
        """Somebody shows or hides a child: as with ctk, what is shown while the section is folded waits.

        The dialect calls this, where ctk watches the events of its children.
        """
        child.setProperty(_WANTED, visible)
        self._show_child(child)

    def showEvent(self, event: QtGui.QShowEvent) -> None:
        """A section that a .ui file folds away was told so before it had any content."""
        if self._collapsed:
            self._set_collapsed(True)

    text = QtCore.Property(str, _get_text, _set_text)
    collapsed = QtCore.Property(bool, _get_collapsed, _set_collapsed)

    def paintEvent(self, event: QtGui.QPaintEvent) -> None:
        """Draw the header the way ctk does: a button's bar with an arrow."""
        painter = QtGui.QPainter(self)
        palette = self.property("palette")
        bar = QtCore.QRect(0, 0, self.property("width"), _HEADER_HEIGHT - 4)
        painter.fillRect(bar, palette.color(QtGui.QPalette.ColorRole.Button))
        painter.setPen(palette.color(QtGui.QPalette.ColorRole.ButtonText))
        arrow = "▸" if self._collapsed else "▾"
        bar.adjust(8, 0, 0, 0)
        painter.drawText(bar, QtCore.Qt.AlignmentFlag.AlignVCenter, f"{arrow}  {self._text}")
        painter.end()

    def mousePressEvent(self, event: QtGui.QMouseEvent) -> None:
        """A click on the header folds or unfolds."""
        if event.position().y() < _HEADER_HEIGHT:
            self._set_collapsed(not self._collapsed)


class ctkPathLineEdit(QtWidgets.QWidget):
    """A line for a path, with a button to browse."""

    currentPathChanged = QtCore.Signal(str)

    # ctk's own numbers, QDir's filters.
    Dirs, Files, Readable, Writable = 0x001, 0x002, 0x010, 0x020

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._filters = self.Files
        self._name_filters: list[str] = []
        self._line = QtWidgets.QLineEdit()
        self._button = QtWidgets.QToolButton()
        self._button.setText("…")
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._line)
        row.addWidget(self._button)
        self._line.textChanged.connect(self.currentPathChanged)

    def _get_path(self) -> str:
        return str(self._line.property("text"))

    def _set_path(self, path: str) -> None:
        self._line.setText(path)

    def _get_filters(self) -> int:
        return self._filters

    def _set_filters(self, filters: int) -> None:
        self._filters = filters

    def _get_name_filters(self) -> list[str]:
        return self._name_filters

    def _set_name_filters(self, name_filters: list[str]) -> None:
        self._name_filters = name_filters

    currentPath = QtCore.Property(str, _get_path, _set_path)
    filters = QtCore.Property(int, _get_filters, _set_filters)
    nameFilters = QtCore.Property("QStringList", _get_name_filters, _set_name_filters)


def install_ctk() -> types.ModuleType:
    """Make the stand-ins importable as `ctk`."""
    ctk = types.ModuleType("ctk")
    for cls in (ctkCollapsibleButton, ctkPathLineEdit):
        setattr(ctk, cls.__name__, speak_pythonqt(cls))
    sys.modules["ctk"] = ctk
    return ctk
