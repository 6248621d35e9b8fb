"""The rows of the review list: what the library says of each case, and the table that shows them."""

from collections.abc import Mapping, Sequence
from typing import Any

import qt
from slicer.i18n import tr as _

from MemorySurvivalPanels.localised import show_number

FINISHED = ("reviewed",)
_CASE, _STATE, _RISK, _REVIEWER, _NOTE = range(5)


class ReviewTable:
    """Cases in the order of the list; the open one is marked with an arrow."""

    def __init__(self, table: Any) -> None:
        self._table = table
        self.cases: list[dict[str, Any]] = []
        titles = [_("Case"), _("State"), _("Log-risk"), _("Reviewer"), _("Note")]
        table.setColumnCount(len(titles))
        table.setHorizontalHeaderLabels(titles)
        table.verticalHeader().hide()
        table.horizontalHeader().setSectionResizeMode(qt.QHeaderView.ResizeToContents)
        table.horizontalHeader().setStretchLastSection(True)

    def show(self, cases: Sequence[Mapping[str, Any]], current: str) -> None:
        """Show these cases."""
        self.cases = [dict(each) for each in cases]
        self._table.setRowCount(len(self.cases))
        for row, case in enumerate(self.cases):
            self._fill(row, case, current)
        self._table.visible = bool(self.cases)

    def change(self, name: str, current: str, **values: Any) -> None:
        """Something about one case is known now."""
        for row, case in enumerate(self.cases):
            if case["case"] == name:
                case.update(values)
                self._fill(row, case, current)

    def mark(self, current: str) -> None:
        """Show which case is open, and select it."""
        for row, case in enumerate(self.cases):
            self._fill(row, case, current)
            if case["case"] == current:
                self._table.selectRow(row)

    @property
    def selected(self) -> dict[str, Any] | None:
        """The case of the selected row."""
        row = self._table.currentRow()
        return self.cases[row] if 0 <= row < len(self.cases) else None

    def find(self, name: str) -> dict[str, Any] | None:
        """A case by its name."""
        return next((case for case in self.cases if case["case"] == name), None)

    def next_after(self, name: str) -> dict[str, Any] | None:
        """The next case that can be opened and is not finished, round the end of the list; None when all are."""
        names = [case["case"] for case in self.cases]
        start = names.index(name) + 1 if name in names else 0
        round_the_end = self.cases[start:] + self.cases[:start]
        waiting = (case for case in round_the_end if case["case"] != name and not case.get("problem"))
        return next((case for case in waiting if case["state"] not in FINISHED), None)

    def describe(self) -> str:
        """Such as "12 of 30 reviewed, 2 failed"."""
        states = [case["state"] for case in self.cases]
        counted = _("{n} of {total} reviewed").format(n=states.count("reviewed"), total=len(states))
        failed = states.count("failed")
        return _("{counted}, {n} failed").format(counted=counted, n=failed) if failed else counted

    def _fill(self, row: int, case: Mapping[str, Any], current: str) -> None:
        opened = case["case"] == current
        risk = case.get("log_risk")
        texts = (
            f"▶ {case['case']}" if opened else str(case["case"]),
            describe_state(str(case["state"]), bool(case.get("problem"))),
            show_number(risk, 3, sign=True) if isinstance(risk, int | float) else "",
            str(case.get("reviewer") or ""),
            str(case.get("problem") or case.get("sentence") or ""),
        )
        for column, text in enumerate(texts):
            cell = qt.QTableWidgetItem(text)
            cell.setToolTip(text)
            if column == _RISK:
                cell.setTextAlignment(qt.Qt.AlignRight | qt.Qt.AlignVCenter)
            self._table.setItem(row, column, cell)


def describe_state(state: str, problem: bool) -> str:
    """A state's word with its sign."""
    if problem:
        return _("⚠ cannot be opened")
    return {
        "to do": _("○ to do"),
        "prepared": _("◔ prepared"),
        "scored": _("◑ scored"),
        "reviewed": _("✓ reviewed"),
        "failed": _("⚠ failed"),
    }.get(state, state)
