"""The step "Prior study": an earlier study, registered by the spine, shown and measured beside this one."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import qt
from slicer.i18n import tr as _

from MemorySurvivalPanels.desk import Desk
from MemorySurvivalPanels.dicom_source import dicom_file, pet_file
from MemorySurvivalPanels.errors import UserError
from MemorySurvivalPanels.identity_question import ask_about_identity
from MemorySurvivalPanels.panel_job import PanelJob
from MemorySurvivalPanels.part import Part
from MemorySurvivalPanels.prior_result import (
    ROLES,
    describe_comparison,
    describe_lesion,
    describe_value,
    find_comparison,
    lesion_titles,
    prior_to_current_ras,
    read_comparison,
    store_comparison,
    value_titles,
)
from MemorySurvivalPanels.prior_views import PriorViews
from MemorySurvivalPanels.step import Step, StepState
from MemorySurvivalPanels.views import jump_views
from MemorySurvivalPanels.volumes import volume_file
from MemorySurvivalPanels.worker_protocol import Failure


class PriorPanel(Part):
    """Compares two studies and shows them beside each other. `ask_identity` is asked when they seem of two patients."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        ui = self._ui = desk.ui
        self.views = PriorViews()
        self.ask_identity: Callable[[Sequence[str]], bool] = ask_about_identity
        self._result: dict[str, Any] | None = None
        self._shown: tuple[Any, ...] = ()
        for table, titles in ((ui.priorValuesTable, value_titles()), (ui.priorLesionTable, lesion_titles())):
            table.setColumnCount(len(titles))
            table.setHorizontalHeaderLabels(titles)
            table.verticalHeader().hide()
            table.horizontalHeader().setSectionResizeMode(qt.QHeaderView.ResizeToContents)
            table.horizontalHeader().setStretchLastSection(True)
        ui.priorCompareButton.clicked.connect(lambda *_: self.compare())
        ui.priorViewsButton.clicked.connect(self._on_views)
        ui.priorLesionTable.cellClicked.connect(self._go_to_row)
        desk.run_panel.watch(self.update)

    def find_heading(self, ui: Any) -> tuple[Any, Any] | None:
        """The section "Prior study"."""
        return ui.priorSection, ui.priorNextLabel

    def step(self) -> Step | None:
        """Nothing has to be done here; where a prior study is chosen, whether it was compared."""
        if self.parameters is None or (self.parameters.prior_ct is None and self.parameters.prior_pet is None):
            return None
        problem = self._problem()
        if problem is not None:
            return Step(StepState.ATTENTION, problem)
        if self._result is None:
            return Step(StepState.TO_DO, _("The prior study is not compared yet."))
        doubtful = self._result["match"].get("doubtful")
        return Step(StepState.ATTENTION if doubtful else StepState.DONE)

    def update(self) -> None:
        """Show the comparison of the chosen images, where there is one."""
        if self.parameters is None:
            return
        nodes = self._nodes()
        stored = find_comparison(nodes)
        key = (*(None if nodes[role] is None else nodes[role].GetID() for role in ROLES), stored)
        if key != self._shown:
            self._shown = key
            self._show(read_comparison(stored))
        ready = self._problem() is None and not self._desk.run_panel.running
        self._ui.priorCompareButton.enabled = ready
        self._ui.priorViewsButton.enabled = self._result is not None or self.views.shown
        if self._ui.priorViewsButton.checked != self.views.shown:
            self._ui.priorViewsButton.checked = self.views.shown

    def leave(self) -> None:
        """The layout stays; the user reads in it while another module is open."""

    def scene_closed(self) -> None:
        """The nodes are gone."""
        self.views.leave()
        self._shown = ()
        self._show(None)

    def close(self) -> None:
        """Leave the user's own views behind."""
        self.views.leave()

    def compare(self, *, confirm_identity: bool = False) -> None:
        """Have both studies registered and measured."""
        PriorJob(self._desk, self, self._nodes(), confirm_identity=confirm_identity).start()

    def compared(self, nodes: Mapping[str, Any], result: Mapping[str, Any]) -> str:
        """A comparison is there; a sentence. Raises UserError where the images are gone."""
        if any(node is None or node.GetScene() is None for node in nodes.values()):
            raise UserError(_("One of the studies was removed meanwhile; the comparison is lost."))
        store_comparison(nodes, result, _("Prior study of {ct}").format(ct=nodes["ct"].GetName()))
        self._shown = ()
        self._desk.changed()
        return _("The prior study is compared.")

    def doubted(self, nodes: Mapping[str, Any], differences: Sequence[str]) -> None:
        """The studies seem to be of two patients: compare again if the user says that they are not."""
        if nodes == self._nodes() and self.ask_identity(differences) and nodes == self._nodes():
            self.compare(confirm_identity=True)

    def _nodes(self) -> dict[str, Any]:
        return {role: getattr(self.parameters, role) for role in ROLES}

    def _problem(self) -> str | None:
        nodes = self._nodes()
        if nodes["ct"] is None or nodes["pet"] is None:
            return _("Choose the current CT and PET first.")
        if nodes["prior_ct"] is None or nodes["prior_pet"] is None:
            return _("Choose the CT and the PET of the prior study.")
        if len({node.GetID() for node in nodes.values()}) < len(ROLES):
            return _("The same volume is chosen twice; a prior study has a CT and a PET of its own.")
        return None

    def _show(self, result: dict[str, Any] | None) -> None:
        self._result = result
        notes = describe_comparison(result) if result is not None else []
        self._ui.priorNotesLabel.text = "\n".join(f"•  {note}" for note in notes)
        self._ui.priorNotesLabel.visible = bool(notes)
        comparison = result["comparison"] if result is not None else {"values": [], "lesions": []}
        _fill(self._ui.priorValuesTable, [describe_value(value) for value in comparison["values"]], 1)
        _fill(self._ui.priorLesionTable, [describe_lesion(lesion) for lesion in comparison["lesions"]], 2)
        if result is None and self.views.shown:
            self.views.leave()

    def _on_views(self, *_ignored: Any) -> None:
        if self.views.shown:
            self.views.leave()
        elif self._result is not None:
            nodes = self._nodes()
            current, prior = (nodes["ct"], nodes["pet"]), (nodes["prior_ct"], nodes["prior_pet"])
            self.views.show(current, prior, prior_to_current_ras(self._result))
        self._desk.changed()

    def _go_to_row(self, row: int, *_ignored: Any) -> None:
        lesions = self._result["comparison"]["lesions"] if self._result is not None else []
        if 0 <= row < len(lesions):
            x, y, z = lesions[row]["position_lps_mm"]
            jump_views((-x, -y, z))


class PriorJob(PanelJob):
    """Hands both studies to the worker."""

    kind = "prior"

    def __init__(self, desk: Desk, panel: PriorPanel, nodes: Mapping[str, Any], *, confirm_identity: bool) -> None:
        super().__init__(desk)
        self._panel = panel
        self._nodes = dict(nodes)
        self._confirm = confirm_identity

    def describe(self, folder: Path) -> dict[str, Any]:
        """The images as files: DICOM where they are from DICOM, else as they lie in the world."""
        files = {}
        for role, node in self._nodes.items():
            image = "CT" if role.endswith("ct") else "PET"
            found = dicom_file(node) if image == "CT" else pet_file(node)
            files[role] = str(found or volume_file(node, image, folder))
            self.names[files[role]] = node.GetName()
        return {
            "current": {"ct": files["ct"], "pet": files["pet"]},
            "prior": {"ct": files["prior_ct"], "pet": files["prior_pet"]},
            "confirm_identity": self._confirm,
        }

    def finish(self, result: Mapping[str, Any], files: Mapping[str, str | None]) -> str:
        """Keep and show the comparison."""
        notes = [self.named(str(note)) for note in result.get("notes") or []]
        return self._panel.compared(self._nodes, {**result, "notes": notes})

    def stop(self, failure: Failure | None) -> None:
        """Whom the library doubts can be confirmed, once the worker's signal is over: a dialog has an event loop."""
        if failure is not None and failure.kind == "IdentityMismatch":
            differences = [str(each) for each in failure.details.get("differences") or [failure.sentence]]
            qt.QTimer.singleShot(0, lambda: self._panel.doubted(self._nodes, differences))


def _fill(table: Any, rows: Sequence[Sequence[str]], first_number: int) -> None:
    table.setRowCount(len(rows))
    for row, cells in enumerate(rows):
        for column, text in enumerate(cells):
            cell = qt.QTableWidgetItem(text)
            if column >= first_number:
                cell.setTextAlignment(qt.Qt.AlignRight | qt.Qt.AlignVCenter)
            table.setItem(row, column, cell)
    table.visible = bool(rows)
