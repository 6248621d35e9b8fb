"""What came out, as the scene keeps it: the result of the chosen CT and PET, and what to keep in mind about it."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from MemorySurvivalPanels.desk import Desk
from MemorySurvivalPanels.errors import UserError
from MemorySurvivalPanels.localised import show_number, show_percent
from MemorySurvivalPanels.measurement_panel import MeasurementPanel, measurement_notes
from MemorySurvivalPanels.part import Part
from MemorySurvivalPanels.result_card import describe_heatmap, describe_position, draw_card, heatmap_limit
from MemorySurvivalPanels.result_warnings import list_flags, list_warnings, show_flags, without_warnings
from MemorySurvivalPanels.scored_cases import (
    HEATMAP,
    LESIONS,
    RESULT,
    ScoredCase,
    find_results,
    read_result,
    restore_files,
)
from MemorySurvivalPanels.scored_inputs import read_inputs
from MemorySurvivalPanels.step import Step, StepState

__all__ = ["ResultPanel", "describe_choice", "describe_run", "heatmap_limit"]


class ResultPanel(Part):
    """Shows the newest result of the chosen CT and PET, another that the user picks, or none.

    Rows whose value the bundle may not show, or does not have, are hidden. While a case is scored nothing is shown.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._ui = ui = desk.ui
        self._shown: tuple[Any, ...] = ()
        self._problem = ""
        self._held = False
        self._without_images: tuple[tuple[str, str], ScoredCase] | None = None
        self._picked = ""
        self._files: dict[str, str | None] | None = None
        self._changes: list[str] = []
        self.case: ScoredCase | None = None
        self.measurements = MeasurementPanel(ui)
        ui.lesionsButton.clicked.connect(self._on_show_lesions)
        ui.resultCombo.activated.connect(self._pick)
        self._show_nothing()

    @property
    def stale(self) -> bool:
        """Whether what is chosen now is no longer what this result was made from."""
        return bool(self._changes)

    @property
    def scored_ct(self) -> slicer.vtkMRMLScalarVolumeNode | None:
        """The CT that the shown result lies on, if it is still in the scene."""
        return None if self.case is None else self.case.of("ct")

    @property
    def report(self) -> Path | None:
        """The report of the result that is shown; None where it cannot be had."""
        try:
            path = self.files().get("report")
        except UserError:
            return None
        return None if path is None else Path(path)

    def files(self) -> Mapping[str, str | None]:
        """The files of the result that is shown, written from the scene when first asked for; UserError if gone."""
        if self.case is None:
            return {}
        known = self._files or {}
        if self._files is None or any(path is not None and not Path(path).is_file() for path in known.values()):
            self._files = restore_files(self.case, self._desk.scratch.new_folder())
        return self._files

    def hold(self) -> None:
        """A case is being scored: no earlier number may be taken for its result."""
        self._held, self._without_images = True, None
        self._shown = ()
        self._show_nothing()

    def release(self) -> None:
        """The job is over."""
        self._held = False
        self._picked = ""

    def show_without_images(self, case: ScoredCase) -> None:
        """Show a result whose images were removed while it was made, until something else is chosen."""
        self._without_images = (self._chosen(), case)

    def scene_closed(self) -> None:
        """The results went with the scene."""
        self._files, self._without_images, self._held, self._picked, self._shown = None, None, False, "", ()
        self._show_nothing()

    def update(self) -> None:
        """Show the result of what is chosen now, and whether it is still of it."""
        if self._held or self.parameters is None:
            return
        nodes = find_results(self.parameters.ct, self.parameters.pet)
        if self._without_images is not None and (nodes or self._without_images[0] != self._chosen()):
            self._without_images = None
        node = next((each for each in nodes if each.GetID() == self._picked), nodes[0] if nodes else None)
        lost = None if self._without_images is None else self._without_images[1]
        key: tuple[Any, ...] = () if lost is None else (lost.node.GetID(),)
        if node is not None:
            told = hash((node.GetText(), node.GetAttribute(RESULT)))
            key = (node.GetID(), told, *(each.GetID() for each in nodes))
        if key != self._shown or (self.case is None and not self._problem and key):
            self._shown = key
            self._take(node, lost, nodes)
        self._judge()
        if self.case is not None and self.case.of(HEATMAP) is None and not self._changes:
            self.case.attach(HEATMAP, self.parameters.heatmap)  # made later, by an explanation of its own

    def find_heading(self, ui: Any) -> tuple[Any, Any] | None:
        """The section "Result"."""
        return ui.resultSection, ui.resultNextLabel

    def step(self) -> Step | None:
        """Whether there is a result, and whether something speaks against it."""
        if self.parameters is None or self._held:
            return None
        if self._problem:
            return Step(StepState.ATTENTION)
        if self.case is None:
            return Step(StepState.TO_DO)
        if self.stale:
            return Step(StepState.STALE)
        warned = bool(list_warnings(self.case.result))
        return Step(StepState.ATTENTION, _("Read the warnings.")) if warned else Step(StepState.DONE)

    def _chosen(self) -> tuple[str, str]:
        nodes = () if self.parameters is None else (self.parameters.ct, self.parameters.pet)
        names = ["" if node is None else node.GetID() for node in nodes]
        return (names[0], names[1]) if names else ("", "")

    def _take(self, node: Any, lost: ScoredCase | None, nodes: list[Any]) -> None:
        try:
            case = lost if node is None else read_result(node)
        except UserError as error:
            self._show_nothing(str(error))
        else:
            if case is None:
                self._show_nothing()
            else:
                self._show(case)
        self._fill_combo(nodes, node)

    def _show_nothing(self, problem: str = "") -> None:
        self.case, self._files, self._changes, self._problem = None, None, [], problem
        self.measurements.clear()
        self._ui.resultFrame.visible = False
        self._ui.noResultLabel.visible = True
        self._ui.noResultLabel.text = problem or _("No result yet.")
        self._ui.resultCombo.visible = False

    def _show(self, case: ScoredCase) -> None:
        self.case, self._files, self._problem = case, None, ""
        result, ui = case.result, self._ui
        ui.noResultLabel.visible = False
        ui.resultFrame.visible = True
        label = str(result.get("label") or "")
        ui.modelLabel.text = label
        ui.modelLabel.visible = bool(label)
        log_risk = result.get("log_risk")
        given = isinstance(log_risk, int | float)
        self._row("logRisk", show_number(log_risk, 3, sign=True) if given else _("not given"))
        self._row("position", describe_position(result))
        self._row("riskGroup", result.get("risk_group"))
        self._row("gate", describe_gate(result.get("gate_pet")))
        self._row("heatmap", describe_heatmap(result.get("heatmap")))
        draw_card(ui, result)
        warnings = list_warnings(result)
        ui.warningsLabel.text = "\n".join(f"⚠  {warning}" for warning in warnings)
        ui.warningsLabel.visible = bool(warnings)
        show_flags(ui.chipsLabel, list_flags(result))
        said = [*(result.get("notes") or []), *measurement_notes(result.get("measurements"))]
        notes = without_warnings([str(note) for note in said], warnings)
        ui.notesLabel.text = "\n".join(f"•  {note}" for note in notes)
        ui.notesLabel.visible = bool(notes)
        ui.runLabel.text = describe_run(case)
        self.measurements.show(result.get("measurements"), self._lesions_at_hand(case))
        if self.parameters is not None and self.parameters.heatmap is None and case.of(HEATMAP) is not None:
            self.parameters.heatmap = case.of(HEATMAP)

    def _lesions_at_hand(self, case: ScoredCase) -> bool:
        return case.files.get("lesion_labels") is not None or case.of(LESIONS) is not None

    def _judge(self) -> None:
        """Whether the result is still of what is chosen, and what is not."""
        comparable = self.case is not None and self._without_images is None and self.parameters is not None
        self._changes = self.case.inputs.changes(read_inputs(self.parameters)) if comparable else []
        self._ui.staleLabel.visible = bool(self._changes)
        said = _("This result is of an earlier choice: {changes}").format(changes=" ".join(self._changes))
        self._ui.staleLabel.text = said if self._changes else ""

    def _fill_combo(self, nodes: list[Any], chosen: Any) -> None:
        combo = self._ui.resultCombo
        combo.clear()  # only a click of the user is listened to ("activated")
        for node in nodes:
            combo.addItem(describe_choice(node), node.GetID())
        combo.currentIndex = -1 if chosen is None else combo.findData(chosen.GetID())
        combo.visible = len(nodes) > 1

    def _pick(self, *_ignored: Any) -> None:
        """The user wants to see another result of this case."""
        self._picked = self._ui.resultCombo.itemData(self._ui.resultCombo.currentIndex) or ""
        self._desk.changed()

    def _on_show_lesions(self, *_ignored: Any) -> None:
        """Load the outlined lesions and the reference spheres as a segmentation, once."""
        if self.case is None:
            return
        try:
            node = self.measurements.show_segmentation(self.case.of(LESIONS), self.files, self.scored_ct)
        except UserError as error:
            self._desk.run_panel.show_problem(str(error))
        else:
            self.case.attach(LESIONS, node)

    def _row(self, name: str, text: str | None) -> None:
        caption, value = getattr(self._ui, f"{name}Caption"), getattr(self._ui, f"{name}Value")
        caption.visible = value.visible = bool(text)
        value.text = text or ""


def describe_gate(gate_pet: float | None) -> str | None:
    """How PET and CT were weighed, such as "PET 63 %, CT 37 %"."""
    if not isinstance(gate_pet, int | float):
        return None
    return _("PET {pet}, CT {ct}").format(pet=show_percent(gate_pet), ct=show_percent(1 - gate_pet))


def describe_run(case: ScoredCase) -> str:
    """When and with what the result was made, such as "22.11.2026 08:10 · demonstration 1 · MemorySurvival 0.1.0"."""
    bundle = case.result.get("bundle") or {}
    software = case.result.get("software") or {}
    version = software.get("memory-survival")
    parts = [
        _local_time(case.created),
        " ".join(str(bundle[key]) for key in ("name", "version") if bundle.get(key)),
        f"MemorySurvival {version}" if version else "",
    ]
    return "  ·  ".join(part for part in parts if part)


def describe_choice(node: Any) -> str:
    """A result in the list, such as "22.11.2026 08:10  Result of CT"."""
    return f"{_local_time(node.GetAttribute('MemorySurvival.Created') or '')}  {node.GetName()}".strip()


def _local_time(text: str) -> str:
    try:
        moment = datetime.fromisoformat(text).astimezone()
    except ValueError:
        return text
    shown = qt.QDateTime.fromString(moment.strftime("%Y-%m-%dT%H:%M:%S"), "yyyy-MM-ddTHH:mm:ss")
    return qt.QLocale().toString(shown, qt.QLocale.ShortFormat)
