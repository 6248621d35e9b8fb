"""The button "Overview" of the review list: all results of its folder on one page."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import qt
from slicer.i18n import tr as _

from MemorySurvivalPanels.desk import Desk
from MemorySurvivalPanels.part import Part
from MemorySurvivalPanels.reader_study_gate import others_sentence
from MemorySurvivalPanels.result_jobs import OverviewJob

PAGE = "overview.html"


class ReviewOverview(Part):
    """Writes the page into the list's folder of results and shows it. `ask_overwrite` guards an earlier one."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._ui = ui = desk.ui
        self.ask_overwrite: Callable[[Path], bool] = ask_about_page
        ui.reviewOutcomesPath.currentPathChanged.connect(self._choose)
        ui.reviewOverviewButton.clicked.connect(self.write)
        desk.run_panel.watch(self.update)

    def update(self) -> None:
        """Offer the page where there is a folder; never in a reader study, whose other cases it would tell of."""
        parameters, ui = self.parameters, self._ui
        if parameters is None:
            return
        if ui.reviewOutcomesPath.currentPath != parameters.worklist_outcomes:
            ui.reviewOutcomesPath.currentPath = parameters.worklist_outcomes
        obstacle = others_sentence() if parameters.reader_study else None
        if obstacle is None and not parameters.worklist_out:
            obstacle = _("Choose the folder of the results first.")
        ui.reviewOverviewButton.enabled = obstacle is None and not self._desk.run_panel.running
        ui.reviewOverviewButton.toolTip = obstacle or _(
            "All results of the folder on one page: a table, the log-risks, and the observed survival where outcomes "
            "are given"
        )

    def write(self, *_ignored: Any) -> None:
        """Write the page and show it; an earlier one is asked about."""
        if self.parameters is None or not self._ui.reviewOverviewButton.enabled:
            return
        out = Path(self.parameters.worklist_out)
        page, outcomes = out / PAGE, self.parameters.worklist_outcomes
        there = page.exists()
        if there and not self.ask_overwrite(page):
            return
        job = {"folder": str(out), "out": str(page), "outcomes": outcomes or None, "overwrite": there}
        OverviewJob(self._desk, job, _show_page, self._desk.changed).start()

    def _choose(self, path: str) -> None:
        if self.parameters is not None and self.parameters.worklist_outcomes != path.strip():
            self.parameters.worklist_outcomes = path.strip()


def _show_page(page: Path) -> None:
    qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(str(page)))


def ask_about_page(page: Path) -> bool:
    """Whether an earlier overview is to be replaced; no is the default."""
    box = qt.QMessageBox()
    box.setIcon(qt.QMessageBox.Question)
    box.setWindowTitle(_("Overview"))
    box.setText(_("{page} exists already.").format(page=page))
    replace = box.addButton(_("Replace"), qt.QMessageBox.AcceptRole)
    keep = box.addButton(_("Keep"), qt.QMessageBox.RejectRole)
    box.setDefaultButton(keep)
    box.setEscapeButton(keep)
    box.exec_()
    return bool(box.clickedButton() == replace)
