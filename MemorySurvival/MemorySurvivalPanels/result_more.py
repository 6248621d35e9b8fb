"""What else can be done with the result that is shown: compare it with another one, run it again."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from MemorySurvivalPanels.desk import Desk
from MemorySurvivalPanels.errors import UserError
from MemorySurvivalPanels.part import Part
from MemorySurvivalPanels.result_jobs import CompareJob, ReplayJob
from MemorySurvivalPanels.result_panel import ResultPanel, describe_choice
from MemorySurvivalPanels.scored_cases import RESULT, ScoredCase, read_result

MOST_LISTED = 15
"""More results of one scene than fit into a menu are compared by their folders."""


class ResultMore(Part):
    """The button "More" of the section "Result". `ask_same` is asked when results may be of two patients."""

    def __init__(self, desk: Desk, result_panel: ResultPanel) -> None:
        self._desk = desk
        self._ui = ui = desk.ui
        self._result_panel = result_panel
        self._replayed = ("", "")
        """What running a result again has shown, after the identifier of its node."""
        self.menu: Any = None
        self.ask_same: Callable[[Sequence[str]], bool] = ask_about_patient
        ui.resultMoreButton.clicked.connect(self._open)
        desk.run_panel.watch(self.update)
        self.update()

    def update(self) -> None:
        """Offer what there is."""
        case = self._result_panel.case
        self._ui.resultMoreButton.enabled = case is not None and not self._desk.run_panel.running
        about, said = self._replayed
        self._ui.resultMoreLabel.text = said if case is not None and case.node.GetID() == about else ""
        self._ui.resultMoreLabel.visible = bool(self._ui.resultMoreLabel.text)

    def scene_closed(self) -> None:
        """The results are gone."""
        self._replayed = ("", "")
        self._close_menu()
        self.update()

    def close(self) -> None:
        """Nothing is left open."""
        self._close_menu()

    def others(self) -> list[ScoredCase]:
        """The other results of the scene, the newest first; one that cannot be read is left out."""
        case, found = self._result_panel.case, []
        for node in slicer.util.getNodesByClass("vtkMRMLTextNode"):
            if node.GetAttribute(RESULT) is None or case is None or node.GetID() == case.node.GetID():
                continue
            try:
                found.append(read_result(node))
            except UserError:  # where it is shown, it says why
                continue
        return sorted(found, key=lambda each: each.created, reverse=True)[:MOST_LISTED]

    def compare(self, other: ScoredCase | Path, *, confirmed: bool = False) -> None:
        """Lay another result beside the one that is shown, and show the page."""
        case = self._result_panel.case
        if case is None or self._desk.run_panel.running:
            return
        names = (_("Other result"), _("This result"))

        def doubted(differences: list[str]) -> None:
            # Asked when the worker's signal is over: a dialog has an event loop of its own.
            qt.QTimer.singleShot(0, lambda: self._ask_and_compare(case, other, differences))

        CompareJob(self._desk, case, other, names, self._show_page, doubted, confirmed=confirmed).start()

    def replay(self, *_ignored: Any) -> None:
        """Run the result that is shown again, and say whether the same comes out."""
        case = self._result_panel.case
        if case is None or self._desk.run_panel.running:
            return
        self._replayed = ("", "")

        def done(text: str) -> None:
            self._replayed = (case.node.GetID() if case.node.GetScene() is not None else "", text)
            self.update()

        ReplayJob(self._desk, case, done).start()

    def _open(self, *_ignored: Any) -> None:
        """Show the menu below its button; it does not stop the event loop."""
        self._close_menu()
        button = self._ui.resultMoreButton
        self.menu = menu = qt.QMenu(button)
        menu.setToolTipsVisible(True)
        again = menu.addAction(_("Run again and compare"))
        again.setToolTip(_("Score the same images anew with the same settings, and see whether the same comes out"))
        again.triggered.connect(self.replay)
        menu.addSeparator()
        tip = _("What differs, on one page in the web browser: the other result first, this one second")
        for other in self.others():
            action = menu.addAction(_("Compare with {result}").format(result=describe_choice(other.node)))
            action.setToolTip(tip)
            action.triggered.connect(lambda *_ignored, other=other: self.compare(other))
        folder = menu.addAction(_("Compare with a result folder…"))
        folder.setToolTip(tip)
        folder.triggered.connect(self._on_folder)
        menu.popup(button.mapToGlobal(qt.QPoint(0, button.height)))

    def _close_menu(self) -> None:
        if self.menu is not None:
            self.menu.close()
            self.menu.deleteLater()
            self.menu = None

    def _on_folder(self, *_ignored: Any) -> None:
        chosen = qt.QFileDialog.getExistingDirectory(
            self._ui.resultMoreButton, _("Folder of the result to compare with")
        )
        if chosen:
            self.compare(Path(chosen))

    def _ask_and_compare(self, case: ScoredCase, other: ScoredCase | Path, differences: Sequence[str]) -> None:
        """Compare all the same, if the user says so and the same result is still shown."""
        if self._still(case) and self.ask_same(differences) and self._still(case):
            self.compare(other, confirmed=True)

    def _still(self, case: ScoredCase) -> bool:
        shown = self._result_panel.case
        return shown is not None and shown.node is case.node and not self._desk.run_panel.running

    def _show_page(self, page: Path) -> None:
        qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(str(page)))


def ask_about_patient(differences: Sequence[str]) -> bool:
    """Ask in a dialog whether two results are of one patient; no is the default and what closing it means."""
    box = qt.QMessageBox()
    box.setIcon(qt.QMessageBox.Warning)
    box.setWindowTitle(_("Are these results of one patient?"))
    box.setText("\n".join(differences))
    box.setInformativeText(_("If they are, they are compared, and the page says that you confirmed it."))
    same = box.addButton(_("They are of one patient"), qt.QMessageBox.AcceptRole)
    stop = box.addButton(_("Do not compare"), qt.QMessageBox.RejectRole)
    box.setDefaultButton(stop)
    box.setEscapeButton(stop)
    box.exec_()
    return bool(box.clickedButton() == same)
