"""The form of the visual reading: a row for each question with what is suggested, the answer, and the tick."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import qt
from slicer.i18n import tr as _

if TYPE_CHECKING:
    from MemorySurvivalLib.clinical.record import ReadingItem, ReadingValue, VisualReading

_COLUMNS = 2
"""Choices that can be combined stand in this many columns, so that a narrow panel holds them."""

_SUGGESTED = "font-style: italic;"
_NONE = "none"


class FindingsForm:
    """Makes the rows inside `container` when a form is first shown.

    `answered(key, answer)` is told what the user chose (None for nothing), `ticked(key, confirmed)` what they
    confirmed, `seen()` that one more row has been on the screen.
    """

    def __init__(
        self,
        container: Any,
        answered: "Callable[[str, ReadingValue], None]",
        ticked: Callable[[str, bool], None],
        seen: Callable[[], None],
    ) -> None:
        self._container = container
        self._answered, self._ticked, self._told_seen = answered, ticked, seen
        self._rows: dict[str, _Row] = {}
        self._cleared: set[str] = set()
        self.seen: set[str] = set()
        container.setLayout(qt.QVBoxLayout())
        container.layout().setContentsMargins(0, 0, 0, 0)

    def row(self, key: str) -> "_Row":
        """The widgets of one question."""
        return self._rows[key]

    def begin(self) -> None:
        """Another case: nothing of it was on the screen yet."""
        self._cleared.clear()
        self.seen.clear()
        for row in self._rows.values():
            row.widget.update()  # what is on the screen anyway is drawn anew, and counts as seen then

    def show(self, reading: "VisualReading") -> None:
        """Show a form; rows are made once, because the questions are always the same."""
        if not self._rows:
            for item in reading.items:
                row = _Row(item, self._choose, self._ticked, self._see)
                self._rows[item.key] = row
                self._container.layout().addWidget(row.widget)
        for item in reading.items:
            self._rows[item.key].show(item, self.shown(item))

    def shown(self, item: "ReadingItem") -> "ReadingValue":
        """The answer, or else what is suggested, unless the user took that away."""
        if item.answer is not None:
            return item.answer
        return None if item.key in self._cleared else item.suggested

    def _choose(self, key: str, answer: "ReadingValue") -> None:
        (self._cleared.discard if answer is not None else self._cleared.add)(key)
        self._answered(key, answer)

    def _see(self, key: str) -> None:
        if key not in self.seen:
            self.seen.add(key)
            self._told_seen()


class _SeenFilter(qt.QObject):
    """Tells when a row was drawn: what is folded away or scrolled out of sight is not."""

    def __init__(self, key: str, see: Callable[[str], None]) -> None:
        qt.QObject.__init__(self)
        self._key, self._see = key, see

    def eventFilter(self, watched: Any, event: Any) -> bool:
        """Called by Qt before the row gets an event; False lets it pass."""
        if event.type() == qt.QEvent.Paint:
            self._see(self._key)
        return False


class _Row:
    """One question: title, tick, editor, and the basis of what is suggested."""

    def __init__(
        self,
        item: "ReadingItem",
        choose: "Callable[[str, ReadingValue], None]",
        ticked: Callable[[str, bool], None],
        see: Callable[[str], None],
    ) -> None:
        self._key, self._choices, self._choose = item.key, item.choices, choose
        self._updating = False
        self.widget = qt.QWidget()
        layout = qt.QVBoxLayout(self.widget)
        layout.setContentsMargins(0, 0, 0, 6)
        layout.setSpacing(2)
        top = qt.QHBoxLayout()
        title = _label(describe_title(item))
        self.tick = qt.QCheckBox(_("Confirm"))
        self.tick.objectName = f"reading_{item.key}_confirm"
        self.tick.toolTip = _("The answer below is yours")
        self.tick.accessibleName = _("Confirm {title}").format(title=item.title)
        self.tick.toggled.connect(lambda on: None if self._updating else ticked(item.key, bool(on)))
        top.addWidget(title, 1)
        top.addWidget(self.tick)
        layout.addLayout(top)
        self.combo: Any = None
        self.boxes: dict[str, Any] = {}
        if item.multiple:
            self._add_boxes(item, layout)
        else:
            self._add_combo(item, layout)
            title.setBuddy(self.combo)
        self.basis = _label("")
        layout.addWidget(self.basis)
        self._filter = _SeenFilter(item.key, see)
        self.widget.installEventFilter(self._filter)

    def show(self, item: "ReadingItem", value: "ReadingValue") -> None:
        """Show an item with the value that stands in its editor."""
        self._updating = True
        try:
            only_suggested = item.answer is None and value is not None
            if self.combo is not None:
                for index, choice in enumerate(self._choices, start=1):
                    text = describe_choice(choice)
                    marked = _("{text} (suggested)").format(text=text) if choice == item.suggested else text
                    if self.combo.itemText(index) != marked:
                        self.combo.setItemText(index, marked)
                self.combo.currentIndex = 0 if value is None else 1 + self._choices.index(value)
                self.combo.styleSheet = _SUGGESTED if only_suggested else ""
            suggested = item.suggested if isinstance(item.suggested, tuple) else ()
            for choice, box in self.boxes.items():
                text = describe_choice(choice)
                box.text = _("{text} (suggested)").format(text=text) if choice in suggested else text
                box.checked = value is not None and choice in value
                box.styleSheet = _SUGGESTED if only_suggested else ""
            self.tick.checked = item.confirmed
            self.tick.enabled = value is not None
            self.basis.text = item.basis
            self.basis.visible = bool(item.basis)
        finally:
            self._updating = False

    def _add_combo(self, item: "ReadingItem", layout: Any) -> None:
        self.combo = qt.QComboBox()
        self.combo.objectName = f"reading_{item.key}"
        self.combo.toolTip = item.definition
        self.combo.addItem(_("not answered"))
        for choice in item.choices:
            self.combo.addItem(describe_choice(choice))
        self.combo.setFocusPolicy(qt.Qt.StrongFocus)
        self.combo.currentIndexChanged.connect(self._on_combo)
        self._wheel = _NoWheel()
        self.combo.installEventFilter(self._wheel)
        layout.addWidget(self.combo)

    def _add_boxes(self, item: "ReadingItem", layout: Any) -> None:
        grid = qt.QGridLayout()
        grid.setHorizontalSpacing(12)
        for index, choice in enumerate(item.choices):
            box = qt.QCheckBox(describe_choice(choice))
            box.objectName = f"reading_{item.key}_{choice}"
            box.toolTip = item.definition
            box.accessibleName = f"{item.title}: {describe_choice(choice)}"
            box.toggled.connect(lambda on, choice=choice: self._on_box(choice, bool(on)))
            grid.addWidget(box, index // _COLUMNS, index % _COLUMNS)
            self.boxes[choice] = box
        layout.addLayout(grid)

    def _on_combo(self, *_ignored: Any) -> None:
        if not self._updating:
            index = self.combo.currentIndex
            self._choose(self._key, self._choices[index - 1] if index > 0 else None)

    def _on_box(self, choice: str, on: bool) -> None:
        if self._updating:
            return
        ticked = [each for each in self._choices if self.boxes[each].checked]
        if on:  # "none" and a place exclude each other; the later click wins
            ticked = [each for each in ticked if (each == _NONE) == (choice == _NONE)]
        self._choose(self._key, tuple(ticked) or None)


class _NoWheel(qt.QObject):
    """Keeps the wheel, which scrolls the panel, from changing an answer on the way."""

    def eventFilter(self, watched: Any, event: Any) -> bool:
        """Called by Qt before the list gets an event; True where it need not have it."""
        if event.type() != qt.QEvent.Wheel:
            return False
        event.ignore()
        return True


def describe_title(item: "ReadingItem") -> str:
    """The question."""
    return f"{item.title}:"


def describe_choice(choice: str) -> str:
    """A choice in the user's language; numbers are what they are."""
    return {
        "none": _("none"),
        "skull": _("skull"),
        "spine": _("spine"),
        "extraspinal": _("extraspinal"),
        "nodal": _("nodal"),
        "extranodal": _("extranodal"),
    }.get(choice, choice)


def _label(text: str) -> Any:
    label = qt.QLabel(text)
    label.textFormat = qt.Qt.PlainText
    label.wordWrap = True
    return label
