"""What every control owes its user: a tip, a name, a translation, a place in the tab order, a size that can grow."""

from __future__ import annotations

import ast
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
UI_FILES = sorted((ROOT / "Resources" / "UI").glob("*.ui"))
PANEL_FILES = sorted((ROOT / "MemorySurvival").rglob("*.py"))

CONTROLS = {
    *("QPushButton", "QToolButton", "QCheckBox", "QRadioButton", "QComboBox", "QLineEdit", "QSpinBox"),
    *("QDoubleSpinBox", "QSlider", "QTableWidget", "QTextBrowser", "QPlainTextEdit", "QListWidget", "QProgressBar"),
    *("qMRMLNodeComboBox", "ctkPathLineEdit", "ctkCollapsibleButton"),
}
NEED_LABEL = CONTROLS - {"QPushButton", "QToolButton", "QCheckBox", "QRadioButton", "QProgressBar"}
NEED_LABEL -= {"ctkCollapsibleButton"}

SHOWN = {
    "text",
    "toolTip",
    "title",
    "windowTitle",
    "placeholderText",
    "noneDisplay",
    "suffix",
    "specialValueText",
    "accessibleName",
}
"""Qt properties whose value a person reads."""

TELLING_CALLS = {
    *("setText", "setToolTip", "setTitle", "setWindowTitle", "setInformativeText", "setPlaceholderText"),
    *("setHorizontalHeaderLabels", "setVerticalHeaderLabels", "setItemText", "setAccessibleName", "addItem", "QLabel"),
    *("addButton", "UserError", "show_problem", "show_note", "show_idle", "QTableWidgetItem", "QPushButton"),
}
"""Calls whose texts a person reads."""


def widgets(file: Path) -> Iterator[tuple[ET.Element, dict[str, str]]]:
    """Every widget of a .ui file with the texts of its properties."""
    for widget in ET.parse(file).iter("widget"):
        yield widget, {each.get("name", ""): "".join(each.itertext()).strip() for each in widget.findall("property")}


# What the .ui files say


@pytest.mark.parametrize("file", UI_FILES, ids=lambda file: file.stem)
def test_every_control_has_a_tool_tip(file: Path) -> None:
    without = [
        widget.get("name")
        for widget, told in widgets(file)
        if widget.get("class") in CONTROLS and not told.get("toolTip")
    ]
    assert without == []


@pytest.mark.parametrize("file", UI_FILES, ids=lambda file: file.stem)
def test_every_text_can_be_translated_and_nothing_else(file: Path) -> None:
    """lupdate takes what is not marked notr, in the context that the file's class names."""
    tree = ET.parse(file).getroot()
    assert tree.findtext("class") == tree.find("widget").get("name")
    wrong = []
    for widget in tree.iter("widget"):
        for each in widget.findall("property"):
            string = each.find("string")
            if string is None or not string.text:
                continue
            hidden, name = string.get("notr") == "true", each.get("name")
            if hidden == (name in SHOWN) or (name == "styleSheet" and not hidden):
                wrong.append((widget.get("name"), name))
    assert wrong == []


@pytest.mark.parametrize("file", UI_FILES, ids=lambda file: file.stem)
def test_no_size_is_fixed_in_pixels(file: Path) -> None:
    """A size that fits one font cuts the text of another: at 200 % or in another language."""
    fixed = []
    for widget, told in widgets(file):
        bare = widget.get("class") == "QProgressBar" and told.get("textVisible") == "false"  # nothing to be cut off
        for name, text in told.items():
            if name in ("maximumSize", "maximumHeight", "maximumWidth", "fixedSize") and not bare:
                fixed.append((widget.get("name"), name, text))
            if name == "minimumSize" and max(int(each) for each in text.split()) > 48:
                fixed.append((widget.get("name"), name, text))
            if name == "styleSheet" and re.search(r"font-size:\s*\d+px", text):
                fixed.append((widget.get("name"), name, text))
    assert fixed == []


@pytest.mark.parametrize("file", UI_FILES, ids=lambda file: file.stem)
def test_every_field_has_a_label_that_is_its_buddy_or_a_name(file: Path) -> None:
    """A screen reader says the label's text when the field gets the focus."""
    found = list(widgets(file))
    buddies = {told.get("buddy") for _widget, told in found}
    nameless = [
        widget.get("name")
        for widget, told in found
        if widget.get("class") in NEED_LABEL and widget.get("name") not in buddies and not told.get("accessibleName")
    ]
    assert nameless == []
    assert buddies - {None} <= {widget.get("name") for widget, _told in found}


# What the Python files say


def literals(node: ast.expr) -> list[str]:
    """Texts of letters in an expression that do not go through `_()`; a space, a sign or a number needs no language."""
    if isinstance(node, ast.Call):
        name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        if name in ("_", "translate"):
            return []
        if name == "format" and isinstance(node.func, ast.Attribute):
            return literals(node.func.value)
        if name == "join" and isinstance(node.func, ast.Attribute):
            return [text for argument in node.args for text in literals(argument)]
        return []
    if isinstance(node, ast.Constant):
        text = node.value if isinstance(node.value, str) else ""
        return [text] if re.search(r"[^\W\d_]{2,}", re.sub(r"<[^>]*>|[a-z-]+:\s*[^;]+;", "", text)) else []
    if isinstance(node, ast.JoinedStr):
        return [text for part in node.values if isinstance(part, ast.Constant) for text in literals(part)]
    if isinstance(node, ast.IfExp):
        return [*literals(node.body), *literals(node.orelse)]
    if isinstance(node, ast.BoolOp | ast.List | ast.Tuple):
        parts = node.values if isinstance(node, ast.BoolOp) else node.elts
        return [text for part in parts for text in literals(part)]
    if isinstance(node, ast.BinOp):
        return [*literals(node.left), *literals(node.right)]
    if isinstance(node, ast.ListComp | ast.GeneratorExp):
        return literals(node.elt)
    return []


def untranslated(tree: ast.Module) -> list[tuple[int, str]]:
    """Texts that a person reads and no translator sees."""
    found: list[tuple[int, str]] = []
    for node in ast.walk(tree):
        told: list[ast.expr] = []
        if isinstance(node, ast.Assign):
            if any(isinstance(target, ast.Attribute) and target.attr in SHOWN for target in node.targets):
                told = [node.value]
        elif isinstance(node, ast.Call):
            name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            if name in TELLING_CALLS:
                told = node.args
        elif isinstance(node, ast.FunctionDef) and (node.name.startswith("describe") or node.name == "label"):
            told = [each.value for each in ast.walk(node) if isinstance(each, ast.Return) and each.value is not None]
        found += [(node.lineno, text) for each in told for text in literals(each)]
    return found


@pytest.mark.parametrize("file", PANEL_FILES, ids=lambda file: file.stem)
def test_every_text_of_the_code_goes_through_translation(file: Path) -> None:
    assert untranslated(ast.parse(file.read_text(encoding="utf-8"))) == []


def test_the_search_for_texts_finds_them() -> None:
    code = """
label.text = "Score"
label.text = f"{n} lesions"
label.toolTip = problem or "Score this case"
box.setText(_("Keep it") if a else "Lose it")
raise UserError("No PET.")
label.text = _("{n} s").format(n=3) + " left"
label.text = f"{a} / {b}"
label.text = "•  " + _("fine")
label.styleSheet = "font-weight: 600;"
"""
    assert sorted(text.strip() for _line, text in untranslated(ast.parse(code))) == [
        "Lose it",
        "No PET.",
        "Score",
        "Score this case",
        "left",
        "lesions",
    ]
