"""What every control owes its user: a tip, a name, a translation, a place in the tab order, a size that can grow."""

from __future__ import annotations

import ast
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

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


# What the built panel shows


@pytest.fixture
def german(application: Any) -> Iterator[None]:
    """A German user's computer, from before the panel is built."""
    import qt

    before = qt.QLocale()
    qt.QLocale.setDefault(qt.QLocale("de_DE"))
    yield
    qt.QLocale.setDefault(before)


@pytest.fixture
def full(german: None, panel: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Every section unfolded and in use."""
    from made_explanation import make_explanation
    from scenes import CT_IJK_TO_RAS
    from whole_panel import fill_panel

    monkeypatch.setenv("MEMORYSURVIVAL_FAKE_EXPLANATION", str(make_explanation(tmp_path / "made", CT_IJK_TO_RAS)))
    panel.representation.select()
    panel.worker = fill_panel(panel.widget, tmp_path, panel.application.processEvents)
    lay_out(panel)
    return panel


def lay_out(panel: Any) -> None:
    """As high as Slicer's scroll area makes it."""
    for _round in range(4):
        panel.application.processEvents()
        panel.representation.resize(460, max(900, panel.representation.layout().heightForWidth(460)))


def seen(panel: Any, *kinds: str) -> list[Any]:
    """The named controls on screen."""
    found = [each for each in vars(panel.ui).values() if any(each.inherits(kind) for kind in kinds)]
    return [each for each in found if each.isVisible()]


def texts_on_screen(panel: Any) -> list[tuple[str, str]]:
    """Every label and every cell of a table, with the name of its widget."""
    found = [(each.name, each.text) for each in seen(panel, "QLabel")]
    for table in seen(panel, "QTableWidget"):
        cells = [table.item(row, column) for row in range(table.rowCount) for column in range(table.columnCount)]
        found += [(table.name, cell.text()) for cell in cells if cell is not None]
    return found


LIBRARY_WORDS = {"bundleAboutLabel", "warningsLabel", "notesLabel", "maskCheckLabel", "caseWarningsLabel"}
"""Whole sentences of the library, in English as it says them; their numbers are written in English too."""


def test_numbers_on_screen_are_in_the_users_locale(full: Any) -> None:
    texts = texts_on_screen(full)
    assert sum(bool(re.search(r"\d,\d", text)) for _name, text in texts) > 15
    dates = r"\b\d\d\.\d\d\.\d\d"
    english = [
        (name, text)
        for name, text in texts
        if name not in LIBRARY_WORDS and re.search(r"\d\.\d", re.sub(dates, "", text))
    ]
    assert english == []


def test_jobs_and_scenes_stay_in_c_locale(full: Any, tmp_path: Path) -> None:
    import json
    import zipfile

    from mrml_bundles import save_bundle

    ui, worker = full.ui, full.worker
    editor = full.widget.parts.covariates.form.editors["haemoglobin_g_dl"]
    editor.text = "11,5"
    editor.editingFinished.emit()
    ui.patchSpinBox.value = 32.5
    assert ui.patchSpinBox.text.startswith("32,5")
    ui.scoreButton.click()
    job = next(each for each in worker.waiting if each.kind == "score")
    told = json.dumps(job.parameters)
    assert not re.search(r"\d,\d", told)
    assert "11.5" in told
    save_bundle(tmp_path / "case.mrb")
    with zipfile.ZipFile(tmp_path / "case.mrb") as bundle:
        scene = next(bundle.read(name).decode() for name in bundle.namelist() if name.endswith(".mrml"))
    assert "32.5" in scene
    assert "32,5" not in scene
    assert "11,5" not in scene


@pytest.mark.parametrize("text", ["350,5", "350.5"])
def test_typed_numbers_may_have_a_comma_or_a_point(panel: Any, text: str) -> None:
    from MemorySurvivalPanels.covariate_values import read_number
    from MemorySurvivalPanels.pet_values import PET_VALUES, read_value

    panel.widget._parameters.pet_dose_mbq = text
    assert read_value(panel.widget._parameters, PET_VALUES[0]) == 350.5e6
    assert read_number(text) == "350.5"


@pytest.mark.parametrize("text", ["32,5", "32.5"])
def test_lengths_may_be_typed_with_a_comma_or_a_point(german: None, panel: Any, text: str) -> None:
    from PySide6 import QtTest

    spin = panel.ui.patchSpinBox
    spin.selectAll()
    QtTest.QTest.keyClicks(spin, text)
    spin.interpretText()
    assert spin.value == 32.5
    assert panel.widget._parameters.explain_patch_mm == "32.5"


def test_the_tab_key_goes_down_the_panel(full: Any) -> None:
    """Section by section, and in each from top to bottom and from left to right."""
    import qt

    top = full.representation
    named = {id(each): each for each in seen(full, *CONTROLS) if not each.inherits("QProgressBar")}
    chain, each = [], top.nextInFocusChain()
    while each is not top:
        owner = each
        while owner is not None and owner is not top and owner not in named.values():
            owner = owner.parentWidget()
        if owner is not None and owner is not top and owner not in chain:
            chain.append(owner)
        each = each.nextInFocusChain()
    fields = [each for each in chain if not each.inherits("ctkCollapsibleButton")]
    assert len(fields) > 50

    def place(widget: Any) -> tuple[int, int]:
        point = widget.mapTo(top, qt.QPoint(0, 0))
        return point.y() + widget.height // 2, point.x()

    wrong = []
    for before, after in pairwise(fields):
        (y, x), (next_y, next_x) = place(before), place(after)
        if next_y < y - 6 or (abs(next_y - y) <= 6 and next_x < x):
            wrong.append((before.name, after.name))
    assert wrong == []


def test_no_two_controls_are_called_the_same(full: Any) -> None:
    """In one section; Cancel stands in several of them and cancels what is under way in each."""
    names: dict[tuple[str, str], list[str]] = {}
    for each in seen(full, "QAbstractButton"):
        section = each.parentWidget()
        while not section.inherits("ctkCollapsibleButton"):
            section = section.parentWidget()
        names.setdefault((section.name, each.accessibleName or each.text), []).append(each.name)
    assert all(text for _section, text in names)
    assert {key: found for key, found in names.items() if len(found) > 1} == {}


@pytest.mark.parametrize("factor", [1.0, 1.25, 2.0])
def test_nothing_is_cut_off_with_larger_letters(full: Any, factor: float) -> None:
    import qt

    top = full.representation
    font = qt.QFont(top.font)
    font.setPointSizeF(font.pointSizeF() * factor)
    top.setFont(font)
    for _round in range(4):
        full.application.processEvents()
        width = max(460, top.minimumSizeHint.width())
        top.resize(width, max(900, top.layout().heightForWidth(width)))
    cut = []
    for each in seen(full, "QLabel", "QAbstractButton", "QComboBox"):
        least = each.minimumSizeHint
        least = least if isinstance(least, qt.QSize) else least()
        if each.width < least.width() or each.height < least.height():
            cut.append(each.name)
    assert cut == []
    # A panel of Slicer's is about 500 pixels wide, and grows with the letters.
    assert top.minimumSizeHint.width() <= 500 * factor


# Colours


def contrast(first: str, second: str) -> float:
    """WCAG 2.1's ratio of two colours such as "#c0392b"."""

    def luminance(colour: str) -> float:
        parts = [int(colour[index : index + 2], 16) / 255 for index in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def style_texts() -> Iterator[tuple[str, str]]:
    """Every style sheet in the .ui files and in the code, with the file it stands in."""
    for file in UI_FILES:
        for _widget, told in widgets(file):
            if "styleSheet" in told:
                yield file.name, told["styleSheet"]
    for file in PANEL_FILES:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            text = node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
            if re.search(r"(^|[\s;\"'])(color|background(-color)?): *[^;]+;", text):
                yield file.name, text


def test_text_is_readable_in_light_and_dark_themes() -> None:
    """Whoever gives a text a colour gives it a ground as well, and the two differ enough."""
    checked = 0
    for file, style in style_texts():
        ink = re.search(r"(?<![-\w])color: *(#[0-9a-f]{6})", style)
        ground = re.search(r"background(?:-color)?: *(#[0-9a-f]{6})", style)
        if ink is None and "color:" not in re.sub(r"[-\w]+-color:", "", style):
            continue
        assert ink and ground, (file, style)
        assert contrast(ink[1], ground[1]) >= 4.5, (file, style)
        checked += 1
    assert checked >= 2


def test_contrast_is_that_of_wcag() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)
