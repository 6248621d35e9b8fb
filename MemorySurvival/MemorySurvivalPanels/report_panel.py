"""The section "Report": see it in Slicer or in the browser, and save everything that belongs to the result."""

import shutil
import time
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from MemorySurvivalPanels.desk import Desk
from MemorySurvivalPanels.errors import UserError
from MemorySurvivalPanels.part import Part
from MemorySurvivalPanels.result_panel import ResultPanel
from MemorySurvivalPanels.scored_cases import HEATMAP, ScoredCase
from MemorySurvivalPanels.step import Step, StepState
from MemorySurvivalPanels.volumes import ijk_to_world, write_image


class ReportPanel(Part):
    """The report of the result that is shown. Slicer has a web widget in most builds; else the browser is enough."""

    def __init__(self, desk: Desk, result_panel: ResultPanel) -> None:
        self._desk = desk
        self._ui = ui = desk.ui
        self._result_panel = result_panel
        self._window: Any = None
        ui.previewButton.clicked.connect(self._on_preview)
        ui.reportButton.clicked.connect(self._on_open)
        ui.saveButton.clicked.connect(self._on_save)
        self.update()

    def update(self) -> None:
        """Offer what there is."""
        case = self._result_panel.case
        there = case is not None and case.files.get("report") is not None
        for button in (self._ui.previewButton, self._ui.reportButton, self._ui.saveButton):
            button.enabled = there
        self._ui.previewButton.visible = hasattr(slicer, "qSlicerWebWidget")
        self._ui.reportInsideLabel.text = describe_inside(case) if there else ""
        self._ui.reportInsideLabel.visible = there

    def find_heading(self, ui: Any) -> tuple[Any, Any] | None:
        """The section "Report"."""
        return ui.reportSection, ui.reportNextLabel

    def step(self) -> Step | None:
        """Whether there is a report, and whether it is of what is chosen."""
        if self.parameters is None:
            return None
        if self._result_panel.case is None:
            return Step(StepState.TO_DO, _("The report comes with the result."))
        if self._result_panel.stale:
            return Step(StepState.STALE, _("This report is of an earlier choice; score again for a new one."))
        return Step(StepState.DONE)

    def scene_closed(self) -> None:
        """A window with a report of a patient that is gone goes, too."""
        if self._window is not None:
            self._window.close()
            self._window = None

    close = scene_closed

    def copy_results(self, target: Path) -> Path:
        """Write every file of the result into a folder of its own inside `target`. UserError where that cannot be."""
        path = self._report()
        place = target / time.strftime("MemorySurvival-%Y%m%d-%H%M%S")
        try:
            shutil.copytree(path.parent, place)
            self._add_heatmap(place)
        except OSError as error:
            raise UserError(
                _("The results cannot be saved in {folder}; choose another folder.").format(folder=target)
            ) from error
        return place

    def _add_heatmap(self, place: Path) -> None:
        """A heatmap that was too large to be kept as a file is written from its volume."""
        case = self._result_panel.case
        node = None if case is None else case.of(HEATMAP)
        name = None if case is None else case.files.get("heatmap")
        if case is None or node is None or name is None or (place / name).is_file() or node.GetImageData() is None:
            return
        written = write_image(slicer.util.arrayFromVolume(node), ijk_to_world(node, _("heatmap")), place)
        written.rename(place / name)

    def _report(self) -> Path:
        """The report's file. UserError where the scene no longer has it."""
        found = self._result_panel.files().get("report")
        if found is None:
            raise UserError(_("The report is no longer there; score the case again."))
        return Path(found)

    def _on_preview(self, *_ignored: Any) -> None:
        """Show the report in a window of Slicer; scripts of the report do not run outside of it."""
        try:
            path = self._report()
        except UserError as error:
            self._desk.run_panel.show_problem(str(error))
            return
        if self._window is None:
            self._window = slicer.qSlicerWebWidget()
            row = self._ui.previewButton.fontMetrics()
            self._window.resize(110 * row.averageCharWidth(), 50 * row.height())
        self._window.setWindowTitle(_("Report, research use only"))
        self._window.setUrl(qt.QUrl.fromLocalFile(str(path)).toString())
        self._window.show()
        self._window.raise_()

    def _on_open(self, *_ignored: Any) -> None:
        """Show the report in the web browser."""
        try:
            path = self._report()
        except UserError as error:
            self._desk.run_panel.show_problem(str(error))
        else:
            qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(str(path)))

    def _on_save(self, *_ignored: Any) -> None:
        """Copy the results to a folder of the user's choice."""
        chosen = qt.QFileDialog.getExistingDirectory(self._ui.saveButton, _("Save the results in"))
        if not chosen:
            return
        try:
            place = self.copy_results(Path(chosen))
        except UserError as error:
            self._desk.run_panel.show_problem(str(error))
        else:
            self._desk.run_panel.show_note(_("Saved in {place}.").format(place=place))


def describe_inside(case: ScoredCase) -> str:
    """What "Save results" writes, and what of it may name the patient."""
    titles = {
        "report": _("the report"),
        "result": _("all numbers, inputs, settings and versions"),
        "heatmap": _("the heatmap"),
        "roi": _("the mask that was used"),
        "measurements": _("the measurements"),
        "lesions": _("the lesion table"),
        "segments": _("the segment table"),
        "lesion_labels": _("the lesions' outlines"),
        "references": _("the reference spheres"),
    }
    files = [
        f"{path} ({titles[name]})" if name in titles else str(path)
        for name, path in case.files.items()
        if path is not None
    ]
    text = _("Inside: {files}.").format(files=", ".join(files))
    return text + " " + _("It is also kept in the scene. File and folder names in it may name the patient.")
