"""Loading of .ui files with the stand-in widgets; a property that a widget does not have is an error."""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ET
from typing import Any

import slicer
from PySide6 import QtCore, QtUiTools, QtWidgets

from slicer_host.dialect import adopt, has_qt_property


class QUiLoader(QtUiTools.QUiLoader):
    """Slicer's slicer.util.loadUI calls this; connections between MRML widgets are made in Python."""

    def createWidget(self, name: str, parent: Any = None, label: str = "") -> Any:
        """One widget of the file."""
        return adopt(super().createWidget(name, parent, label))

    def load(self, file: QtCore.QFile, parent: Any = None) -> QtWidgets.QWidget:
        """The widget tree of an open .ui file."""
        tree = ET.parse(file.fileName())
        file.close()
        for element in tree.iter("widget"):
            cls = widget_class(element.get("class", ""))
            _check_properties(element, cls)
            if not cls.__module__.startswith("PySide6"):
                self.registerCustomWidget(cls)
        links = _take_connections(tree)
        buffer = QtCore.QBuffer()
        buffer.setData(ET.tostring(tree.getroot()))
        buffer.open(QtCore.QIODevice.OpenModeFlag.ReadOnly)
        widget = super().load(buffer, parent)
        if widget is None:
            raise RuntimeError(f"{file.fileName()}: {self.errorString()}")
        for sender, signal, receiver, slot in links:
            getattr(_named(widget, sender), signal).connect(getattr(_named(widget, receiver), slot))
        return widget


def widget_class(name: str) -> type:
    """The class that stands for a class name in a .ui file."""
    for source in (QtWidgets, sys.modules["ctk"], slicer):
        if hasattr(source, name):
            return getattr(source, name)
    raise LookupError(f"the host has no widget {name}; add a stand-in for it")


def _check_properties(element: ET.Element, cls: type) -> None:
    for each in element.findall("property"):
        name = each.get("name", "")
        if each.get("stdset") == "0":  # a dynamic property such as SlicerParameterName
            continue
        if name == "buddy" and cls is QtWidgets.QLabel:  # of the file format, not of the class
            continue
        if not has_qt_property(cls, name):
            raise AttributeError(f"{element.get('name')}: {cls.__name__} has no property {name!r}")
        flags = each.find("set")
        if flags is not None and not cls.__module__.startswith("PySide6"):
            # Qt resolves flags through the class's C++ enums, which a Python stand-in has not.
            number = 0
            for flag in (flags.text or "").split("|"):
                number |= getattr(cls, flag.rpartition("::")[2])
            each.remove(flags)
            ET.SubElement(each, "number").text = str(number)


def _take_connections(tree: ET.ElementTree) -> list[tuple[str, str, str, str]]:
    section = tree.getroot().find("connections")
    links = []
    for link in list(section) if section is not None else []:
        sender, signal, receiver, slot = (link.findtext(part, "") for part in ("sender", "signal", "receiver", "slot"))
        links.append((sender, signal.partition("(")[0], receiver, slot.partition("(")[0]))
        section.remove(link)
    return links


def _named(top: QtWidgets.QWidget, name: str) -> Any:
    found = top if top.property("objectName") == name else top.findChild(QtCore.QObject, name)
    if found is None:
        raise LookupError(f"a connection names {name}, which the file does not have")
    return found
