"""Finds names of ctk, Slicer and Qt objects in the module's source that the real objects would not have."""

from __future__ import annotations

import ast
import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

LIST = json.loads(Path(__file__).with_name("api_allow_list.json").read_text(encoding="utf-8"))
CLASSES: Mapping[str, Mapping[str, Any]] = LIST["classes"]
FUNCTIONS: Mapping[str, list[str]] = LIST["functions"]

_STAND_INS = {
    "_Application": "qSlicerApplication",
    "_ModuleManager": "qSlicerModuleManager",
    "DicomDatabase": "ctkDICOMDatabase",
    "LayoutManager": "qSlicerLayoutManager",
    "SliceViewWidget": "qMRMLSliceView",
    "SliceWidget": "qMRMLSliceWidget",
}
"""Stand-ins that are not named after what they stand for."""

_DRIVEN = {("DicomDatabase", "add"), ("LayoutManager", "description")}
"""What tests drive a stand-in with: the module must not use it."""

_KNOWN = {
    "slicer.app": "qSlicerApplication",
    "slicer.dicomDatabase": "ctkDICOMDatabase",
    "slicer.util.mainWindow()": "qSlicerMainWindow",
}
_SHADOWED = {("QTimer", "singleShot")}
"""Where PythonQt's static function wins over the property of the same name."""


def qt_class(name: str) -> type | None:
    """PySide6's class of this name."""
    from PySide6 import QtCore, QtGui, QtWidgets

    return next((getattr(each, name) for each in (QtWidgets, QtGui, QtCore) if hasattr(each, name)), None)


def lineage(name: str) -> Iterator[str]:
    """The class and those that it inherits from, as far as they are in the list, then the first Qt class."""
    yield name
    for base in CLASSES[name]["bases"] if name in CLASSES else ():
        yield from lineage(base)


def has_property(name: str, attribute: str) -> bool:
    """Whether objects of the class have this Qt property."""
    for each in lineage(name):
        if attribute in CLASSES.get(each, {}).get("properties", ()):
            return True
        cls = None if each in CLASSES else qt_class(each)
        if hasattr(cls, "staticMetaObject") and cls.staticMetaObject.indexOfProperty(attribute) >= 0:
            return True
    return False


def has_name(name: str, attribute: str) -> bool:
    """Whether Python sees this name on objects of the class; whatever is asked of a class that is not known."""
    for each in lineage(name):
        if each in CLASSES:
            api = CLASSES[each]
            if any(attribute in api.get(kind, ()) for kind in ("constants", "methods", "properties", "signals")):
                return True
        else:
            cls = qt_class(each)
            if cls is None or hasattr(cls, attribute) or has_property(each, attribute):
                return True
    # What PythonQt itself puts on every object.
    return attribute in ("connect", "disconnect", "delete", "className", "name", "inherits")


def returned_class(name: str, method: str) -> str | None:
    """The class of what a method returns."""
    for each in lineage(name):
        found = CLASSES.get(each, {}).get("methods", {}).get(method)
        if found in CLASSES:
            return str(found)
    return None


def read_ui_files(paths: Iterable[Path]) -> dict[str, str]:
    """The class of every named widget. A name that stands for two classes is left out."""
    found: dict[str, set[str]] = {}
    for path in paths:
        for element in ET.parse(path).iter("widget"):
            found.setdefault(element.get("name", ""), set()).add(element.get("class", ""))
    return {name: classes.pop() for name, classes in found.items() if len(classes) == 1}


def wrong_in_ui_file(path: Path) -> list[str]:
    """Classes, properties and connections of a .ui file that are unknown."""
    wrong = []
    tree = ET.parse(path)
    widgets = {element.get("name", ""): element.get("class", "") for element in tree.iter("widget")}
    for element in tree.iter("widget"):
        cls = element.get("class", "")
        if cls not in CLASSES and qt_class(cls) is None:
            wrong.append(f"{path.name}: no class {cls}; add it to collect_api.py")
            continue
        for each in element.findall("property"):
            if each.get("name") == "buddy" and cls == "QLabel":  # of the file format: uic calls setBuddy
                wrong += (
                    [] if each.findtext("cstring") in widgets else [f"{path.name}: no buddy {each.findtext('cstring')}"]
                )
            elif each.get("stdset") != "0" and not has_property(cls, each.get("name", "")):
                wrong.append(f"{path.name}: {element.get('name')}: {cls} has no property {each.get('name')}")
    for link in tree.iter("connection"):
        for end, kind in (("sender", "signal"), ("receiver", "slot")):
            cls, name = widgets.get(link.findtext(end, ""), ""), link.findtext(kind, "").partition("(")[0]
            if not cls or not has_name(cls, name):
                wrong.append(f"{path.name}: {link.findtext(end)} has no {kind} {name}")
    return wrong


def wrong_in_stand_ins(path: Path) -> list[str]:
    """Public names of stand-ins that the class which they stand for does not have."""
    wrong = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.ClassDef):
            continue
        real = _STAND_INS.get(node.name, node.name)
        if real not in CLASSES:
            continue
        for each in node.body:
            names = [each.name] if isinstance(each, ast.FunctionDef) else []
            if isinstance(each, ast.Assign):
                names = [one.id for target in each.targets for one in ast.walk(target) if isinstance(one, ast.Name)]
            wrong += [
                f"{path.name}:{each.lineno}: {real} has no {name}"
                for name in names
                if not name.startswith("_") and (node.name, name) not in _DRIVEN and not has_name(real, name)
            ]
    return wrong


class SourceCheck(ast.NodeVisitor):
    """Follows what a file makes and is given, as far as that is plain, and looks every attribute of it up."""

    def __init__(self, name: str, text: str, widgets: Mapping[str, str]) -> None:
        self._name = name
        self._widgets = widgets
        self._locals: list[dict[str, str | None]] = [{}]
        self._members: dict[str, str | None] = {}
        self._called: set[int] = set()
        self.wrong: list[str] = []
        self.looked_up = 0
        tree = ast.parse(text)
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign) and len(node.targets) == 1:
                self._learn_member(node.targets[0], node.value)
        self.visit(tree)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._locals.append({})
        self.generic_visit(node)
        self._locals.pop()

    def visit_Assign(self, node: ast.Assign) -> None:
        self.generic_visit(node)
        if len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            self._locals[-1][node.targets[0].id] = self._class_of(node.value)

    def visit_Call(self, node: ast.Call) -> None:
        self._called.add(id(node.func))
        self._check_keywords(node)
        self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self.generic_visit(node)
        if re.fullmatch(r"ctk\.ctk\w+|slicer\.q(MRML|Slicer)\w+", ast.unparse(node)) and node.attr not in CLASSES:
            self._report(node, f"no class {node.attr}; add it to collect_api.py")
        cls = self._class_of(node.value) or self._class_named(node.value)
        if cls is None:
            return
        self.looked_up += 1
        if isinstance(node.value, ast.Attribute | ast.Name) and self._is_ui(node.value):
            return
        is_property = has_property(cls, node.attr)
        if not has_name(cls, node.attr):
            self._report(node, f"{cls} has no {node.attr}")
        elif isinstance(node.ctx, ast.Store) and not is_property:
            self._report(node, f"{cls}.{node.attr} is no property and cannot be set")
        elif id(node) in self._called and is_property and (cls, node.attr) not in _SHADOWED:
            self._report(node, f"{cls}.{node.attr} is a property: its value, not a function")

    def _check_keywords(self, node: ast.Call) -> None:
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        for name, parameters in FUNCTIONS.items():
            if name.rpartition(".")[2] == called:
                for each in node.keywords:
                    if each.arg is not None and each.arg not in parameters:
                        self._report(node, f"{name} has no parameter {each.arg}")

    def _report(self, node: ast.expr, text: str) -> None:
        self.wrong.append(f"{self._name}:{node.lineno}: {text}")

    def _learn_member(self, target: ast.expr, value: ast.expr) -> None:
        if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name) and target.value.id == "self":
            cls = self._class_of(value)
            known = self._members.get(target.attr, cls)
            self._members[target.attr] = cls if known == cls else None

    def _is_ui(self, node: ast.expr) -> bool:
        name = node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
        return name in ("ui", "_ui")

    def _class_named(self, node: ast.expr) -> str | None:
        """The class that an expression such as ctk.ctkPathLineEdit names."""
        text = ast.unparse(node)
        found = re.fullmatch(r"(?:ctk|slicer|qt)\.((?:ctk|q[A-Z]|Q)\w+)", text)
        return found.group(1) if found and (found.group(1) in CLASSES or qt_class(found.group(1))) else None

    def _class_of(self, node: ast.expr) -> str | None:
        """The class of the object that an expression stands for; None where that is not plain."""
        text = ast.unparse(node)
        if text in _KNOWN:
            return _KNOWN[text]
        if isinstance(node, ast.Name):
            return next((scope[node.id] for scope in reversed(self._locals) if node.id in scope), None)
        if isinstance(node, ast.Attribute):
            if self._is_ui(node.value):
                return self._widgets.get(node.attr)
            if isinstance(node.value, ast.Name) and node.value.id == "self":
                return self._members.get(node.attr)
        if isinstance(node, ast.Call):
            made = self._class_named(node.func)
            if made is not None:
                return made
            if isinstance(node.func, ast.Attribute) and (owner := self._class_of(node.func.value)) is not None:
                return returned_class(owner, node.func.attr)
        return None
