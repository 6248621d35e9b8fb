"""One row a clinical value: its name and unit, a field with the range, and where the value is from."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import qt
from slicer.i18n import tr as _

from MemorySurvivalPanels.covariate_values import (
    DICOM,
    FILE,
    TYPED,
    FormValue,
    field_problem,
    read_number,
    show_number,
)

if TYPE_CHECKING:
    from MemorySurvivalLib.risk.covariate_fields import CovariateField

_WRONG = "border: 1px solid #c0392b;"
_WRONG_TEXT = "font-weight: 600;"


class CovariatesForm:
    """Makes the rows for a bundle's fields inside `container`; `changed(name, text)` is told what the user typed."""

    def __init__(self, container: Any, changed: Callable[[str, str], None]) -> None:
        self._container = container
        self._changed = changed
        self._fields: tuple[CovariateField, ...] = ()
        self._inside: Any = None
        self._updating = False
        self.editors: dict[str, Any] = {}
        self.origins: dict[str, Any] = {}
        container.setLayout(qt.QVBoxLayout())
        container.layout().setContentsMargins(0, 0, 0, 0)

    def set_fields(self, fields: "Sequence[CovariateField]") -> None:
        """Ask for these values; nothing is rebuilt where they are the same as before."""
        if tuple(fields) == self._fields:
            return
        self._fields = tuple(fields)
        if self._inside is not None:
            self._container.layout().removeWidget(self._inside)
            self._inside.setParent(None)
            self._inside.deleteLater()
            self._inside = None
        self.editors, self.origins = {}, {}
        if not self._fields:
            return
        self._inside = qt.QWidget()
        grid = qt.QGridLayout(self._inside)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setColumnStretch(0, 3)
        grid.setColumnStretch(1, 2)
        grid.setColumnStretch(2, 2)
        for row, field in enumerate(self._fields):
            self._add_row(grid, row, field)
        self._container.layout().addWidget(self._inside)

    def show(self, values: Mapping[str, FormValue]) -> None:
        """Show these values; a field in which the same is typed already is left alone."""
        self._updating = True
        try:
            for field in self._fields:
                self._show_field(field, values.get(field.name))
        finally:
            self._updating = False

    def _add_row(self, grid: Any, row: int, field: "CovariateField") -> None:
        unit = f" ({field.unit})" if field.unit else ""
        label = qt.QLabel(f"{field.title}{unit}:")
        label.textFormat = qt.Qt.PlainText
        label.wordWrap = True
        hint = _("{range}. In files the column is {name}.").format(range=field.range_text, name=field.name)
        if field.levels:
            editor = qt.QComboBox()
            editor.addItem(_("not given"), "")
            for level in field.levels:
                editor.addItem(level.replace("_", " "), level)
            editor.currentIndexChanged.connect(lambda *_ignored, name=field.name: self._on_chosen(name))
        else:
            editor = qt.QLineEdit()
            editor.placeholderText = _("not given")
            editor.textChanged.connect(lambda text, name=field.name: self._on_typed(name, text))
        editor.toolTip = hint
        editor.objectName = f"covariate_{field.name}"
        label.setBuddy(editor)
        origin = qt.QLabel()
        origin.textFormat = qt.Qt.PlainText
        origin.wordWrap = True
        grid.addWidget(label, row, 0)
        grid.addWidget(editor, row, 1)
        grid.addWidget(origin, row, 2)
        self.editors[field.name], self.origins[field.name] = editor, origin

    def _show_field(self, field: "CovariateField", value: FormValue | None) -> None:
        editor, origin = self.editors[field.name], self.origins[field.name]
        text = value.text if value is not None else ""
        problem = field_problem(field, text) if text else None
        if field.levels:
            self._select_level(editor, field, text)
        elif editor.text != show_number(text) and read_number(editor.text) != text:
            editor.text = show_number(text)
        editor.styleSheet = _WRONG if problem else ""
        origin.styleSheet = _WRONG_TEXT if problem else ""
        origin.text = self._describe(field, value, problem)
        origin.toolTip = problem or ""

    def _select_level(self, editor: Any, field: "CovariateField", text: str) -> None:
        from MemorySurvivalLib.risk.covariate_fields import find_level

        level = find_level(field, text) if text else ""
        if level is None and editor.findData(text) < 0:  # an unknown word is shown, so that it can be put right
            editor.addItem(text, text)
        index = editor.findData(text if level is None else level)
        if editor.currentIndex != index:
            editor.currentIndex = index

    def _describe(self, field: "CovariateField", value: FormValue | None, problem: str | None) -> str:
        if value is None or not value.text:
            return ""
        if problem:
            return _("⚠ not {range}").format(range=field.range_text)
        return {TYPED: _("typed"), DICOM: _("DICOM"), FILE: _("file")}.get(value.source, value.source)

    def _on_typed(self, name: str, text: str) -> None:
        if not self._updating:
            self._changed(name, read_number(text))

    def _on_chosen(self, name: str) -> None:
        editor = self.editors.get(name)
        if editor is not None and not self._updating:
            self._changed(name, editor.itemData(editor.currentIndex) or "")
