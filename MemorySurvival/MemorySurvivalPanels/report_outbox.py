"""The lines about the outbox: what a node has not taken yet, sending it again, or giving it up."""

from collections.abc import Callable, Mapping
from typing import Any

import qt
from slicer.i18n import tr as _

from MemorySurvivalPanels.background_ask import BackgroundAsk
from MemorySurvivalPanels.desk import Desk
from MemorySurvivalPanels.report_job import ResendJob


def ask_to_discard(count: int) -> bool:
    """Ask whether what waits is given up; no is the default and what closing means."""
    box = qt.QMessageBox()
    box.setIcon(qt.QMessageBox.Warning)
    box.setWindowTitle(_("Give up sending?"))
    box.setText(_("{count} objects that no node has taken are deleted from the outbox.").format(count=count))
    box.setInformativeText(_("The result in the scene and exported folders stay."))
    yes = box.addButton(_("Give up"), qt.QMessageBox.AcceptRole)
    no = box.addButton(_("Keep"), qt.QMessageBox.RejectRole)
    box.setDefaultButton(no)
    box.setEscapeButton(no)
    box.exec_()
    return box.clickedButton() == yes


class OutboxLine:
    """Shows what waits, whosever patient it is of; it names places and numbers, no patient."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._waiting: list[dict[str, Any]] = []
        self._closed = False
        self.ask_to_discard: Callable[[int], bool] = ask_to_discard
        desk.ui.resendButton.clicked.connect(self._on_resend)
        desk.ui.discardButton.clicked.connect(self._on_discard)
        desk.run_panel.watch(self._show)
        self._show([])

    def ask(self) -> None:
        """Ask the worker what waits."""
        self._desk.worker().submit("outbox", {}, BackgroundAsk(self.take), background=True)

    def close(self) -> None:
        """Answers that are still to come are of no use."""
        self._closed = True

    def take(self, result: Mapping[str, Any]) -> None:
        """This is what waits."""
        self._waiting = [dict(each) for each in result.get("waiting") or []]
        if not self._closed:
            self._show([str(each) for each in result.get("problems") or []])

    def _show(self, problems: list[str] | None = None) -> None:
        if self._closed:
            return
        ui, waiting = self._desk.ui, self._waiting
        lines = [*(str(each["sentence"]) for each in waiting), *(problems or [])]
        if problems is not None or not waiting:
            ui.reportOutboxLabel.text = "\n".join(lines)
            ui.reportOutboxLabel.visible = bool(lines)
        for button in (ui.resendButton, ui.discardButton):
            button.visible = bool(waiting)
            button.enabled = not self._desk.run_panel.running

    def _on_resend(self, *_ignored: Any) -> None:
        ResendJob(self._desk, self.ask).start()

    def _on_discard(self, *_ignored: Any) -> None:
        if self._waiting and self.ask_to_discard(sum(int(each["left"]) for each in self._waiting)):
            ids = [each["id"] for each in self._waiting]
            ask = BackgroundAsk(self.take, self._desk.run_panel.show_problem)
            self._desk.worker().submit("discard_send", {"ids": ids}, ask, background=True)
