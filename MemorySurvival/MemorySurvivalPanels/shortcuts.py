"""The keys of the module: a registry that every part adds to; they work while it is open, not in text fields."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import qt
import slicer

TAKEN_BY_SLICER = frozenset(
    # Slice views: labels, foreground, slice by slice, visibility, volumes, field of view; a markups point under the
    # mouse. Segment Editor: effects, off, last effect, undo, redo, segments, intensity mask, drawing.
    ["G", "T", "F", "B", "V", "Shift+V", "[", "]", "{", "}", "R", "S", "Left", "Right", "Up", "Down"]
    + [f"{shift}{digit}" for shift in ("", "Shift+") for digit in range(10)]
    + ["Esc", "Space", "Z", "Y", "Q", "W", "/", "*", ",", ".", ">", "<", "I", "A", "X", "Return"]
    + [f"Ctrl+{key}" for key in "OSWZYXCVHF0123456789"]
    + ["Ctrl+`", "Ctrl+Left", "Ctrl+Right"]
)
"""Keys of Slicer 5.12's main window, slice views and Segment Editor: a key that is asked for twice goes to nobody."""

_TEXT_WIDGETS = ("QLineEdit", "QTextEdit", "QPlainTextEdit", "QAbstractSpinBox")


@dataclass(frozen=True)
class Shortcut:
    """A key such as "N" or "F5", what it does in a few words for the table in the panel, and the function it calls."""

    key: str
    text: str
    callback: Callable[[], None]


class Shortcuts:
    """The keys in the order in which they were added; `home` is a widget of the panel, for want of a main window."""

    def __init__(self, home: Any) -> None:
        self._home = home
        self._listed: list[Shortcut] = []
        self._made: list[tuple[Shortcut, Any]] = []
        self._active = False

    @property
    def listed(self) -> tuple[Shortcut, ...]:
        """Every key, for the table in the panel."""
        return tuple(self._listed)

    def add(self, key: str, text: str, callback: Callable[[], None]) -> None:
        """From now on `key` calls `callback` while the module is open.

        Raises ValueError for a key that Slicer uses itself or that another part has added.
        """
        if key in TAKEN_BY_SLICER or any(each.key == key for each in self._listed):
            raise ValueError(f"The key {key} is taken; choose another.")
        shortcut = Shortcut(key, text, callback)
        self._listed.append(shortcut)
        if self._active:
            self._make(shortcut)

    def activate(self) -> None:
        """The user opens the module."""
        self._active = True
        for shortcut in self._listed[len(self._made) :]:
            self._make(shortcut)
        for _shortcut, made in self._made:
            made.enabled = True

    def deactivate(self) -> None:
        """The user opens another module: its keys are its own."""
        self._active = False
        for _shortcut, made in self._made:
            made.enabled = False

    def close(self) -> None:
        """The module goes away, and its keys with it."""
        self.deactivate()
        for _shortcut, made in self._made:
            made.setParent(None)
            made.deleteLater()
        self._made.clear()
        self._listed.clear()

    def press(self, shortcut: Shortcut) -> None:
        """What pressing the key does: nothing while the user types a text, of which a letter is a part."""
        focus = qt.QApplication.focusWidget()
        typing = focus is not None and any(focus.inherits(name) for name in _TEXT_WIDGETS)
        if self._active and not (typing and len(shortcut.key) == 1):
            shortcut.callback()

    def _make(self, shortcut: Shortcut) -> None:
        made = qt.QShortcut(qt.QKeySequence(shortcut.key), slicer.util.mainWindow() or self._home)
        made.connect("activated()", lambda: self.press(shortcut))
        self._made.append((shortcut, made))
