"""What came out: the log-risk, where it stands, what to keep in mind, and the way to the report."""

import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from MemorySurvivalPanels.desk import Desk
from MemorySurvivalPanels.errors import UserError
from MemorySurvivalPanels.measurement_panel import MeasurementPanel, measurement_notes
from MemorySurvivalPanels.part import Part
from MemorySurvivalPanels.result_warnings import list_warnings, without_warnings


class ResultPanel(Part):
    """Shows one result or none. Rows whose value the bundle may not show, or does not have, are hidden."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._ui = ui = desk.ui
        self._report: Path | None = None
        self.measurements = MeasurementPanel(ui)
        self.scored_ct: slicer.vtkMRMLScalarVolumeNode | None = None
        ui.reportButton.clicked.connect(self._open_report)
        ui.saveButton.clicked.connect(self._on_save)
        ui.lesionsButton.clicked.connect(self._on_show_lesions)
        self.clear()

    @property
    def report(self) -> Path | None:
        """The report of the result that is shown."""
        return self._report

    def clear(self) -> None:
        """Show that there is no result yet."""
        self._report = None
        self.scored_ct = None
        self.measurements.clear()
        self._ui.resultFrame.visible = False
        self._ui.noResultLabel.visible = True

    def show(
        self,
        result: Mapping[str, Any],
        files: Mapping[str, str | None],
        ct: slicer.vtkMRMLScalarVolumeNode | None = None,
    ) -> None:
        """Show the content of a result.json, offer its files, and remember the CT that it lies on."""
        self.scored_ct = ct
        self._ui.noResultLabel.visible = False
        self._ui.resultFrame.visible = True
        label = str(result.get("label") or "")
        self._ui.modelLabel.text = label
        self._ui.modelLabel.visible = bool(label)
        log_risk = result.get("log_risk")
        self._row("logRisk", f"{log_risk:+.3f}" if isinstance(log_risk, int | float) else _("not given"))
        self._row("position", describe_position(result))
        self._row("riskGroup", result.get("risk_group"))
        self._row("gate", describe_gate(result.get("gate_pet")))
        self._row("heatmap", describe_heatmap(result.get("heatmap")))
        warnings = list_warnings(result)
        self._ui.warningsLabel.text = "\n".join(f"⚠  {warning}" for warning in warnings)
        self._ui.warningsLabel.visible = bool(warnings)
        said = [*(result.get("notes") or []), *measurement_notes(result.get("measurements"))]
        notes = without_warnings([str(note) for note in said], warnings)
        self._ui.notesLabel.text = "\n".join(f"•  {note}" for note in notes)
        self._ui.notesLabel.visible = bool(notes)
        self.measurements.show(result.get("measurements"), files)
        report = files.get("report")
        self._report = Path(report) if report else None
        self._ui.reportButton.enabled = self._report is not None
        self._ui.saveButton.enabled = self._report is not None

    def set_stale(self, stale: bool) -> None:
        """Say whether something else is chosen now than what this result is of."""
        self._ui.staleLabel.visible = stale

    def copy_results(self, target: Path) -> Path:
        """Copy the folder with the report, result.json and the heatmap into `target`, under a name of its own."""
        if self._report is None or not self._report.is_file():
            raise UserError(_("The report is no longer there; score the case again."))
        place = target / time.strftime("MemorySurvival-%Y%m%d-%H%M%S")
        try:
            shutil.copytree(self._report.parent, place)
        except OSError as error:
            raise UserError(
                _("The results cannot be saved in {folder}; choose another folder.").format(folder=target)
            ) from error
        return place

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

    def _on_show_lesions(self, *_ignored: Any) -> None:
        """Load the outlined lesions and the reference spheres as a segmentation."""
        try:
            self.measurements.show_segmentation(self.scored_ct)
        except UserError as error:
            self._desk.run_panel.show_problem(str(error))

    def _row(self, name: str, text: str | None) -> None:
        caption, value = getattr(self._ui, f"{name}Caption"), getattr(self._ui, f"{name}Value")
        caption.visible = value.visible = bool(text)
        value.text = text or ""

    def _open_report(self, *_ignored: Any) -> None:
        if self._report is not None:
            qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(str(self._report)))


def describe_position(result: Mapping[str, Any]) -> str | None:
    """Such as "higher than 62 % of the simulated reference cases"; None where no position is given."""
    position = result.get("position")
    if not isinstance(position, int | float):
        return None
    reference = result.get("position_reference") or _("the reference cases")
    return _("higher than {percent} % of {reference}").format(percent=f"{100 * position:.0f}", reference=reference)


def describe_gate(gate_pet: float | None) -> str | None:
    """How PET and CT were weighed, such as "PET 63 %, CT 37 %"."""
    if not isinstance(gate_pet, int | float):
        return None
    return f"PET {100 * gate_pet:.0f} %, CT {100 * (1 - gate_pet):.0f} %"


def describe_heatmap(heatmap: Mapping[str, Any] | None) -> str | None:
    """What the colours mean and how far they reach, short enough for one line."""
    if not heatmap:
        return None
    return _("red raised, blue lowered log-risk (±{limit})").format(limit=f"{heatmap_limit(heatmap):.2g}")


def heatmap_limit(heatmap: Mapping[str, Any]) -> float:
    """The symmetric display range; 1 where a heatmap of zeros has none."""
    limit = heatmap.get("limit")
    return float(limit) if isinstance(limit, int | float) and limit > 0 else 1.0
