"""The module's keys: they work while it is open, not while one types, and never take one of Slicer's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture
def window(application: Any) -> Iterator[Any]:
    """A main window with a text field, as Slicer has one."""
    import qt

    window = qt.QMainWindow()
    window.objectName = "qSlicerMainWindow"
    window.setCentralWidget(qt.QLineEdit())
    window.show()
    window.activateWindow()
    window.setFocus()
    application.processEvents()
    yield window
    window.close()
    window.deleteLater()


def press(window: Any, key: str) -> None:
    """Press a key where the focus is, as a person does."""
    from PySide6 import QtGui, QtTest

    QtTest.QTest.keySequence(window.focusWidget() or window, QtGui.QKeySequence(key))


@pytest.fixture
def heard(panel: Any) -> list[str]:
    heard: list[str] = []
    panel.widget.parts.shortcuts.add("U", "say u", lambda: heard.append("U"))
    panel.widget.parts.shortcuts.add("Shift+F5", "say f", lambda: heard.append("Shift+F5"))
    return heard


def pressed(panel: Any, key: str) -> None:
    shortcuts = panel.widget.parts.shortcuts
    shortcuts.press(next(each for each in shortcuts.listed if each.key == key))


def test_keys_work_while_the_module_is_open(panel: Any, heard: list[str]) -> None:
    pressed(panel, "U")
    assert heard == []
    panel.representation.select()
    pressed(panel, "U")
    pressed(panel, "Shift+F5")
    assert heard == ["U", "Shift+F5"]
    panel.representation.leave()
    pressed(panel, "U")
    assert heard == ["U", "Shift+F5"]
    panel.representation.select()
    panel.widget.parts.shortcuts.add("F10", "late", lambda: heard.append("late"))
    pressed(panel, "F10")
    assert heard[-1] == "late"


def test_a_letter_belongs_to_the_text_field_that_has_the_focus(
    panel: Any, heard: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import qt

    panel.representation.select()
    monkeypatch.setattr(qt.QApplication, "focusWidget", lambda: panel.ui.petDoseEdit)
    pressed(panel, "U")
    assert heard == []
    pressed(panel, "Shift+F5")
    assert heard == ["Shift+F5"]


def test_real_key_presses(window: Any, panel: Any, heard: list[str]) -> None:
    panel.representation.select()
    press(window, "U")
    press(window, "Shift+F5")
    assert heard == ["U", "Shift+F5"]
    window.centralWidget().setFocus()
    press(window, "U")
    assert window.centralWidget().text == "u"
    assert heard == ["U", "Shift+F5"]
    window.setFocus()
    panel.representation.leave()
    press(window, "U")
    assert heard == ["U", "Shift+F5"]


def test_no_key_is_given_twice_or_taken_from_slicer(panel: Any, heard: list[str]) -> None:
    shortcuts = panel.widget.parts.shortcuts
    for key in ("U", "G", "Z", "Ctrl+S", "Space"):
        with pytest.raises(ValueError, match="taken"):
            shortcuts.add(key, "again", lambda: None)
    keys = [each.key for each in shortcuts.listed]
    assert len(keys) == len(set(keys))


def test_the_keys_go_away_with_the_module(panel: Any, heard: list[str]) -> None:
    panel.representation.select()
    panel.widget.parts.shortcuts.close()
    assert panel.widget.parts.shortcuts.listed == ()
