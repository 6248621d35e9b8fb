"""The application around the scene: slicer.app, slicer.modules and the logics that they hand out."""

from __future__ import annotations

import atexit
import shutil
import sys
import tempfile
import types
from pathlib import Path
from typing import Any

import slicer
from PySide6 import QtCore, QtWidgets

from slicer_host.ctk_widgets import install_ctk
from slicer_host.dialect import install_qt, speak_pythonqt
from slicer_host.dicom_database import DicomDatabase
from slicer_host.layout_manager import LayoutManager
from slicer_host.real_checkout import chosen_checkout, use_checkout

_LOGICS = {
    "segmentations": "vtkSlicerSegmentationsModuleLogic",
    "volumes": "vtkSlicerVolumesLogic",
    "colors": "vtkSlicerColorLogic",
}


class _ModuleManager(QtCore.QObject):
    moduleAboutToBeUnloaded = QtCore.Signal(str)


class _Application(QtCore.QObject):
    """Only what the module, its stand-in base classes and slicer.util ask for."""

    startupCompleted = QtCore.Signal()

    def __init__(self) -> None:
        super().__init__()
        self._manager = _ModuleManager()
        self._layout_manager: LayoutManager | None = None
        self._logic = slicer.vtkSlicerApplicationLogic()
        self._logic.SetMRMLScene(slicer.mrmlScene)
        self._temporary = tempfile.mkdtemp(prefix="slicer-host-")
        atexit.register(shutil.rmtree, self._temporary, ignore_errors=True)
        _write_colours(Path(self._temporary) / "share" / "ColorFiles")
        self._logic.SetHomeDirectory(self._temporary)
        self._logic.SetShareDirectory("share")

    def _get_temporary(self) -> str:
        return self._temporary

    temporaryPath = QtCore.Property(str, _get_temporary)

    def applicationLogic(self) -> Any:
        return self._logic

    def mrmlScene(self) -> Any:
        return slicer.mrmlScene

    def topLevelWidgets(self) -> list[Any]:
        return QtWidgets.QApplication.topLevelWidgets()

    def moduleManager(self) -> _ModuleManager:
        return self._manager

    def layoutManager(self) -> LayoutManager:
        """The views, made when first asked for."""
        if self._layout_manager is None:
            self._layout_manager = LayoutManager()
        return self._layout_manager

    def processEvents(self) -> None:
        QtWidgets.QApplication.processEvents()

    def translate(self, context: str, text: str) -> str:
        return text


def _write_colours(folder: Path) -> None:
    """The colour file that label maps look for; without it MRML complains at every label map."""
    folder.mkdir(parents=True)
    (folder / "GenericColors.txt").write_text("0 background 0 0 0 0\n1 region 128 174 128 255\n", encoding="utf-8")


class CoreModule:
    """What slicer.modules.<name> is: a logic, a path, a widget."""

    def __init__(self, logic: Any = None, path: str = "") -> None:
        self._logic = logic
        self._widget: Any = None
        self.path = path

    def logic(self) -> Any:
        return self._logic

    def widgetRepresentation(self) -> Any:
        return self._widget

    def setWidgetRepresentation(self, widget: Any) -> None:
        self._widget = widget


def start() -> QtWidgets.QApplication:
    """Bring the host up once per process; later calls return the same application."""
    application = QtWidgets.QApplication.instance() or QtWidgets.QApplication(sys.argv[:1])
    if hasattr(slicer, "app"):
        return application
    qt = install_qt()
    install_ctk()
    from slicer_host.dicom_lib import install_dicom_lib
    from slicer_host.mrml_widgets import install_mrml_widgets
    from slicer_host.segment_editor import install_segment_editor
    from slicer_host.ui_loader import QUiLoader

    install_mrml_widgets()
    install_dicom_lib()
    install_segment_editor()
    qt.QUiLoader = QUiLoader
    checkout = chosen_checkout()
    if checkout is None:
        slicer.__path__.append(str(Path(__file__).parent / "stand_ins"))
    else:
        use_checkout(checkout)
    slicer.mrmlScene = slicer.vtkMRMLScene()
    for cls in (_ModuleManager, _Application):
        speak_pythonqt(cls)
    slicer.app = _Application()
    slicer.modules = types.SimpleNamespace()
    slicer.dicomDatabase = DicomDatabase()
    for name, cls_name in _LOGICS.items():
        logic = getattr(slicer, cls_name)()
        logic.SetMRMLApplicationLogic(slicer.app.applicationLogic())
        logic.SetMRMLScene(slicer.mrmlScene)
        slicer.app.applicationLogic().SetModuleLogic(name.capitalize(), logic)
        setattr(slicer.modules, name, CoreModule(logic))
    return application
