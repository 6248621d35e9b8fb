"""Loading a scripted module the way Slicer's module factory does, and ending it the way Slicer's exit does."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import slicer
from PySide6 import QtCore, QtWidgets

from slicer_host.application import CoreModule
from slicer_host.dialect import speak_pythonqt
from slicer_host.mrml_widgets import qMRMLWidget


class ModuleRepresentation(qMRMLWidget):
    """The widget that Slicer puts into its module panel; the scripted widget fills it."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._module_name = name
        self._entered = False
        self.setLayout(QtWidgets.QVBoxLayout())
        self.layout().setContentsMargins(0, 0, 0, 0)
        self.setMRMLScene(slicer.mrmlScene)

    @property
    def isEntered(self) -> bool:
        """Whether the user sees this module."""
        return self._entered

    def reload(self) -> None:
        """Build the scripted widget anew from the module that is imported now."""
        python = sys.modules[self._module_name]
        widget = getattr(python, f"{self._module_name}Widget")(self)
        widget.setup()
        setattr(slicer.modules, f"{self._module_name}Widget", widget)

    def select(self) -> None:
        """The user opens the module."""
        self._entered = True
        getattr(slicer.modules, f"{self._module_name}Widget").enter()

    def leave(self) -> None:
        """The user opens another module."""
        self._entered = False
        getattr(slicer.modules, f"{self._module_name}Widget").exit()


speak_pythonqt(ModuleRepresentation)


def load_module(path: Path) -> tuple[ModuleType, Any, ModuleRepresentation]:
    """Import a scripted module and build its panel: (Python module, scripted widget, representation)."""
    name = path.stem
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(name, path)
    python = importlib.util.module_from_spec(spec)
    sys.modules[name] = python
    spec.loader.exec_module(python)
    core = CoreModule(path=str(path))
    setattr(slicer.modules, name.lower(), core)
    parent = SimpleNamespace(path=str(path))
    setattr(slicer.modules, f"{name}Instance", getattr(python, name)(parent))
    representation = ModuleRepresentation(name)
    core.setWidgetRepresentation(representation)
    representation.reload()
    return python, getattr(slicer.modules, f"{name}Widget"), representation


def unload_module(name: str) -> None:
    """Tell the module that it is about to be unloaded, as Slicer does on exit."""
    slicer.app.moduleManager().moduleAboutToBeUnloaded.emit(name)


def delete_now(widget: Any = None) -> None:
    """Delete a widget, and whatever else said deleteLater: without a running event loop nobody else does.

    A panel that lives on follows the scene and makes every later one slower.
    """
    if widget is not None:
        widget.deleteLater()
    QtCore.QCoreApplication.sendPostedEvents(None, QtCore.QEvent.Type.DeferredDelete.value)
