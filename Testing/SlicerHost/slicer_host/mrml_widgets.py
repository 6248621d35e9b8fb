"""Stand-ins for Slicer's own widgets over the real MRML scene: a widget that has a scene, and a node selector."""

from __future__ import annotations

from typing import Any

import slicer
from PySide6 import QtCore, QtWidgets

from slicer_host.dialect import speak_pythonqt


class qMRMLWidget(QtWidgets.QWidget):
    """A widget with a scene."""

    mrmlSceneChanged = QtCore.Signal(object)

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._scene: Any = None

    def mrmlScene(self) -> Any:
        """The scene, or None."""
        return self._scene

    def setMRMLScene(self, scene: Any) -> None:
        """Use this scene."""
        self._scene = scene
        self.mrmlSceneChanged.emit(scene)


class qMRMLNodeComboBox(qMRMLWidget):
    """Lists the scene's nodes of certain classes and selects one of them, or none."""

    currentNodeChanged = QtCore.Signal(object)

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._choices: dict[str, Any] = {
            "nodeTypes": [],
            "showChildNodeTypes": True,
            "noneEnabled": False,
            "addEnabled": True,
            "removeEnabled": True,
            "noneDisplay": "None",
        }
        self._id: str | None = None
        self._observed: list[tuple[Any, int]] = []
        self._combo = QtWidgets.QComboBox()
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._combo)
        self._combo.activated.connect(self._activate)
        observed = self._observed
        self.destroyed.connect(lambda: _stop_observing(observed))

    @staticmethod
    def _choice(name: str, kind: Any) -> QtCore.Property:
        def read(self: qMRMLNodeComboBox) -> Any:
            return self._choices[name]

        def write(self: qMRMLNodeComboBox, value: Any) -> None:
            self._choices[name] = value
            self._fill()

        return QtCore.Property(kind, read, write)

    nodeTypes = _choice("nodeTypes", "QStringList")
    showChildNodeTypes = _choice("showChildNodeTypes", bool)
    noneEnabled = _choice("noneEnabled", bool)
    addEnabled = _choice("addEnabled", bool)
    removeEnabled = _choice("removeEnabled", bool)
    noneDisplay = _choice("noneDisplay", str)

    def setMRMLScene(self, scene: Any) -> None:
        """Follow this scene's nodes."""
        _stop_observing(self._observed)
        for event in (scene.NodeAddedEvent, scene.NodeRemovedEvent, scene.EndCloseEvent) if scene else ():
            self._observed.append((scene, scene.AddObserver(event, lambda *_: self._fill())))
        super().setMRMLScene(scene)
        self._fill()

    def currentNode(self) -> Any:
        """The selected node, or None."""
        return self._scene.GetNodeByID(self._id) if self._scene is not None and self._id else None

    def setCurrentNode(self, node: Any) -> None:
        """Select this node, or none, as for a node that is not listed."""
        chosen = node.GetID() if node is not None and node in self._nodes() else None
        self._combo.setCurrentIndex(max(self._combo.findData(chosen), 0))
        self._take(chosen)

    def _nodes(self) -> list[Any]:
        if self._scene is None:
            return []
        found = []
        for kind in self._choices["nodeTypes"]:
            for index in range(self._scene.GetNumberOfNodesByClass(kind)):
                node = self._scene.GetNthNodeByClass(index, kind)
                exact = self._choices["showChildNodeTypes"] or node.GetClassName() == kind
                if exact and not node.GetHideFromEditors():
                    found.append(node)
        return found

    def _fill(self) -> None:
        nodes = self._nodes()
        self._combo.blockSignals(True)
        self._combo.clear()
        if self._choices["noneEnabled"] or not nodes:
            self._combo.addItem(self._choices["noneDisplay"], None)
        for node in nodes:
            self._combo.addItem(node.GetName(), node.GetID())
        names = [node.GetID() for node in nodes]
        kept = self._id if self._id in names else None
        if kept is None and names and not self._choices["noneEnabled"]:
            kept = names[0]
        self._combo.setCurrentIndex(max(self._combo.findData(kept), 0))
        self._combo.blockSignals(False)
        self._take(kept)

    def _activate(self, index: int) -> None:
        self._take(self._combo.itemData(index))

    def _take(self, chosen: str | None) -> None:
        if chosen != self._id:
            self._id = chosen
            self.currentNodeChanged.emit(self.currentNode())


def _stop_observing(observed: list[tuple[Any, int]]) -> None:
    while observed:
        scene, tag = observed.pop()
        scene.RemoveObserver(tag)


def install_mrml_widgets() -> None:
    """Put the stand-ins where Slicer has its widgets."""
    for cls in (qMRMLWidget, qMRMLNodeComboBox):
        setattr(slicer, cls.__name__, speak_pythonqt(cls))
