"""The lesions of a result as a list with a tick for each that a person has looked at."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import qt
from slicer.i18n import tr as _

from MemorySurvivalPanels.measurement_panel import describe_lesion
from MemorySurvivalPanels.views import jump_views

_SHOWN = 4
"""How many columns of the measurements' list stand here: number, bone, kind, SUVmax."""
_FIRST_NUMBER = 3
_MOST_ROWS = 8


class ReviewedLesions:
    """A row leads every view to its lesion; `changed(numbers)` is told which are ticked."""

    def __init__(self, table: Any, changed: Callable[[tuple[int, ...]], None]) -> None:
        self._table, self._changed = table, changed
        self._lesions: list[Mapping[str, Any]] = []
        self._updating = False
        titles = [_("Reviewed"), _("Bone"), _("Kind"), _("SUVmax")]
        table.setColumnCount(len(titles))
        table.setHorizontalHeaderLabels(titles)
        table.verticalHeader().hide()
        table.horizontalHeader().setSectionResizeMode(qt.QHeaderView.ResizeToContents)
        table.verticalHeader().setDefaultSectionSize(round(1.5 * table.fontMetrics().height()))
        table.visible = False
        table.itemChanged.connect(self._on_changed)
        table.currentCellChanged.connect(self._go_to_row)
        table.cellClicked.connect(self._go_to_row)

    @property
    def numbers(self) -> tuple[int, ...]:
        """The numbers of the lesions in the list."""
        return tuple(int(row["lesion"]["number"]) for row in self._lesions)

    @property
    def focal(self) -> tuple[int, ...]:
        """The numbers of those that are counted as lesions."""
        return tuple(int(row["lesion"]["number"]) for row in self._lesions if row["lesion"].get("kind") == "focal")

    def show(self, rows: Sequence[Mapping[str, Any]], reviewed: Sequence[int]) -> None:
        """Show lesions as the record has them; what is the same as before keeps its place."""
        self._updating = True
        try:
            if list(rows) != self._lesions:
                self._fill(rows)
            for index, number in enumerate(self.numbers):
                wanted = qt.Qt.Checked if number in reviewed else qt.Qt.Unchecked
                if self._table.item(index, 0).checkState() != wanted:
                    self._table.item(index, 0).setCheckState(wanted)
        finally:
            self._updating = False

    def _fill(self, rows: Sequence[Mapping[str, Any]]) -> None:
        table = self._table
        self._lesions = []
        table.setRowCount(len(rows))
        for index, row in enumerate(rows):
            for column, text in enumerate(describe_lesion(row)[:_SHOWN]):
                cell = qt.QTableWidgetItem(text)
                if column == 0:
                    cell.setFlags(qt.Qt.ItemIsEnabled | qt.Qt.ItemIsSelectable | qt.Qt.ItemIsUserCheckable)
                    cell.setCheckState(qt.Qt.Unchecked)
                if column >= _FIRST_NUMBER:
                    cell.setTextAlignment(qt.Qt.AlignRight | qt.Qt.AlignVCenter)
                table.setItem(index, column, cell)
        table.visible = bool(rows)
        lines = min(max(len(rows), 1), _MOST_ROWS) + 1.5  # and the header
        height = round(lines * table.verticalHeader().defaultSectionSize)
        table.setMinimumHeight(height)
        table.setMaximumHeight(height)
        table.setCurrentCell(-1, -1)
        self._lesions = list(rows)

    def _on_changed(self, cell: Any) -> None:
        if self._updating or cell.column() != 0:
            return
        ticked = [self._table.item(index, 0).checkState() == qt.Qt.Checked for index in range(len(self._lesions))]
        self._changed(tuple(number for number, on in zip(self.numbers, ticked, strict=True) if on))

    def _go_to_row(self, row: int, *_ignored: Any) -> None:
        if not self._updating and 0 <= row < len(self._lesions):
            x, y, z = self._lesions[row]["lesion"]["suv_max_lps_mm"]
            jump_views((-x, -y, z))  # LPS in the record, RAS in Slicer
