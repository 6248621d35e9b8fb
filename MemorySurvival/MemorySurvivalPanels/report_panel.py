"""The section "Report": see it, export it for others to a folder or a DICOM node, or keep all that belongs to it."""

import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from MemorySurvivalPanels.desk import Desk
from MemorySurvivalPanels.dicom_source import dicom_file
from MemorySurvivalPanels.errors import UserError
from MemorySurvivalPanels.part import Part
from MemorySurvivalPanels.report_choices import ExportChoices, ExportFacts, describe_done
from MemorySurvivalPanels.report_dialog import ExportDialog, forget_patient
from MemorySurvivalPanels.report_job import ExportJob, add_heatmap
from MemorySurvivalPanels.report_outbox import OutboxLine
from MemorySurvivalPanels.result_panel import ResultPanel
from MemorySurvivalPanels.scored_cases import CT, HEATMAP, ScoredCase
from MemorySurvivalPanels.step import Step, StepState


class ReportPanel(Part):
    """The report of the result that is shown. Slicer has a web widget in most builds; else the browser is enough.

    `findings` gives the physician's findings as plain values, to stand on an exported report.
    """

    def __init__(
        self,
        desk: Desk,
        result_panel: ResultPanel,
        findings: Callable[[], Mapping[str, Any] | None] = lambda: None,
    ) -> None:
        self._desk = desk
        self._ui = ui = desk.ui
        self._result_panel = result_panel
        self._findings = findings
        self._window: Any = None
        self._choices = ExportChoices()
        self._folder = ""
        self._exported_of: Any = None
        self.dialog: ExportDialog | None = None
        self.outbox = OutboxLine(desk)
        ui.exportButton.clicked.connect(self._on_export)
        ui.reportFolderButton.clicked.connect(self._on_folder)
        self._show_done("", "")
        desk.run_panel.watch(self.update)
        ui.previewButton.clicked.connect(self._on_preview)
        ui.reportButton.clicked.connect(self._on_open)
        ui.saveButton.clicked.connect(self._on_save)
        self.update()

    def update(self) -> None:
        """Offer what there is."""
        case = self._result_panel.case
        there = case is not None and case.files.get("report") is not None
        if self._exported_of is not None and (case is None or case.node is not self._exported_of):
            self._show_done("", "")  # what was written of another patient does not stand beside this one
        for button in (self._ui.previewButton, self._ui.reportButton, self._ui.saveButton):
            button.enabled = there
        self._ui.exportButton.enabled = there and not self._desk.run_panel.running
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

    def enter(self) -> None:
        """See what waits in the outbox."""
        self.outbox.ask()

    def scene_closed(self) -> None:
        """Windows about a patient who is gone go, too."""
        if self._window is not None:
            self._window.close()
            self._window = None
        if self.dialog is not None:
            self.dialog.close()
            self.dialog = None
        self._show_done("", "")

    def close(self) -> None:
        """Nothing is left open."""
        self.scene_closed()
        self.outbox.close()

    def export(self, choices: ExportChoices, *, overwrite: bool = False) -> None:
        """Write and send the result that is shown; the choices are kept while Slicer runs."""
        case = self._result_panel.case
        self._choices = forget_patient(choices)
        try:
            report = self._report()
        except UserError as error:
            self._desk.run_panel.show_problem(str(error))
            return
        if case is not None:
            self._show_done("", "")
            self._exported_of = case.node
            found = self._findings()
            ExportJob(self._desk, case, report, choices, found, self._exported, overwrite=overwrite).start()

    def copy_results(self, target: Path) -> Path:
        """Write every file of the result into a folder of its own inside `target`. UserError where that cannot be."""
        path = self._report()
        place = target / time.strftime("MemorySurvival-%Y%m%d-%H%M%S")
        try:
            shutil.copytree(path.parent, place)
            case = self._result_panel.case
            if case is not None:
                add_heatmap(case, place)
        except OSError as error:
            raise UserError(
                _("The results cannot be saved in {folder}; choose another folder.").format(folder=target)
            ) from error
        return place

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

    def _on_export(self, *_ignored: Any) -> None:
        """Ask what is to be exported."""
        case = self._result_panel.case
        if case is None:
            return
        if self.dialog is not None:
            self.dialog.close()
        self.dialog = ExportDialog(self._desk, find_facts(case), self._choices, self._start)
        self.dialog.show()

    def _start(self, choices: ExportChoices, overwrite: bool) -> None:
        self.dialog = None
        self.export(choices, overwrite=overwrite)

    def _exported(self, result: dict[str, Any]) -> None:
        """What an export wrote and sent; nothing where it failed."""
        case = self._result_panel.case
        if case is not None and case.node is self._exported_of:
            self._show_done(describe_done(result), str(result.get("folder") or ""))
        else:  # another case was opened meanwhile
            self._desk.run_panel.show_note(describe_done(result))
        self.outbox.ask()

    def _show_done(self, text: str, folder: str) -> None:
        self._folder = folder
        if not text:
            self._exported_of = None
        self._ui.reportDoneLabel.text = text
        self._ui.reportDoneLabel.visible = bool(text)
        self._ui.reportFolderButton.visible = bool(folder)

    def _on_folder(self, *_ignored: Any) -> None:
        if self._folder:
            qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(self._folder))

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


def find_facts(case: ScoredCase) -> ExportFacts:
    """What this result allows to be exported."""
    bundle = case.result.get("bundle") or {}
    labels = " ".join(str(case.result.get(key) or "") for key in ("label", "labels"))
    return ExportFacts(
        dicom=dicom_file(case.of(CT)) is not None,
        demonstration=bundle.get("status") == "demonstration" or "SIMULATED MODEL" in labels,
        heatmap=case.of(HEATMAP) is not None or case.files.get("heatmap") is not None,
        measured=bool(case.result.get("measurements")),
    )


def describe_inside(case: ScoredCase) -> str:
    """What "Save results" writes, and what of it may name the patient."""
    titles = {
        "report": _("the report"),
        "result": _("all numbers, inputs, settings and versions"),
        "heatmap": _("the heatmap"),
        "heatmap_PET": _("the heatmap of the PET alone"),
        "heatmap_CT": _("the heatmap of the CT alone"),
        "agreement": _("where other fills agree with the heatmap"),
        "gradient": _("the gradient map"),
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
