"""The step "Explain": which tissue raised or lowered the log-risk; made in the background, shown over the grey CT."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from MemorySurvivalPanels import display
from MemorySurvivalPanels.desk import Desk
from MemorySurvivalPanels.errors import UserError
from MemorySurvivalPanels.explain_estimate import Estimates
from MemorySurvivalPanels.explain_job import ExplainJob, HandedCase
from MemorySurvivalPanels.explain_settings import LARGEST_MM, explanation_settings, millimetres
from MemorySurvivalPanels.explain_texts import describe_stage
from MemorySurvivalPanels.explanation import ATTRIBUTE, CT_ROLE, FUSED, read_explanation, sisters
from MemorySurvivalPanels.heatmap_controls import HeatmapControls
from MemorySurvivalPanels.hotspots import HotspotTable, describe_hotspots, describe_perspective
from MemorySurvivalPanels.localised import DecimalKeys
from MemorySurvivalPanels.parameters import ScoreParameters
from MemorySurvivalPanels.part import Part
from MemorySurvivalPanels.result_panel import ResultPanel
from MemorySurvivalPanels.score_run import ScoreRun
from MemorySurvivalPanels.scored_inputs import ScoredInputs, read_inputs
from MemorySurvivalPanels.stability_panel import StabilityPanel
from MemorySurvivalPanels.step import Step, StepState
from MemorySurvivalPanels.worker_protocol import Failure, Progress


class ExplainPanel(Part):
    """Runs explanations and shows the chosen one. What it shows is read from the heatmap's node, never remembered."""

    def __init__(self, desk: Desk, score: ScoreRun, result_panel: ResultPanel, stability: StabilityPanel) -> None:
        self._desk = desk
        self._score = score
        self._result_panel = result_panel
        self._stability = stability
        self._watchers: list[Callable[[Any, Path], None]] = []
        ui = self._ui = desk.ui
        self._handed = HandedCase(desk.scratch)
        self._job: ExplainJob | None = None
        self._estimates = Estimates(desk, self._handed, self._to_estimate)
        self._message = ""
        self._problem = False
        self._shown: tuple[str, str] | None = None
        self._late: tuple[ExplainJob, Any] | None = None
        self._updating = False
        self.controls = HeatmapControls(ui)
        self.table = HotspotTable(ui.hotspotTable)
        for spin in (ui.patchSpinBox, ui.strideSpinBox):
            spin.minimum, spin.maximum, spin.decimals, spin.singleStep = 0.0, LARGEST_MM, 1, 5.0
            spin.specialValueText = _("As the model says")  # shown for 0
        self._decimal_keys = [DecimalKeys(spin) for spin in (ui.patchSpinBox, ui.strideSpinBox)]
        ui.patchSpinBox.connect("valueChanged(double)", lambda value: self._set_length("explain_patch_mm", value))
        ui.strideSpinBox.connect("valueChanged(double)", lambda value: self._set_length("explain_stride_mm", value))
        ui.explainButton.clicked.connect(self._on_explain)
        ui.explainCancelButton.clicked.connect(self.cancel)
        ui.heatmapCombo.connect("currentIndexChanged(int)", self._choose_heatmap)
        ui.nextHotspotButton.clicked.connect(lambda *_ignored: self.table.step(1))
        ui.previousHotspotButton.clicked.connect(lambda *_ignored: self.table.step(-1))
        ui.explainSection.connect("contentsCollapsed(bool)", lambda *_ignored: self._desk.changed())
        self._refresh_timer = qt.QTimer()
        self._refresh_timer.setSingleShot(True)
        self._refresh_timer.timeout.connect(desk.changed)
        scene = slicer.mrmlScene
        events = (scene.NodeAddedEvent, scene.NodeRemovedEvent)
        self._observers = [scene.AddObserver(event, self._on_scene_changed) for event in events]
        desk.shortcuts.add("N", _("Next hotspot"), lambda: self.table.step(1))
        desk.shortcuts.add("P", _("Previous hotspot"), lambda: self.table.step(-1))
        desk.shortcuts.add("H", _("Heatmap on or off"), self.controls.toggle)
        desk.shortcuts.add("M", _("Mask on or off"), self._toggle_mask)
        desk.run_panel.watch(self.update)
        self._end_progress()

    # --- what the widget tells every part -------------------------------------------------------------------------

    def update(self) -> None:
        """Show what is so now."""
        if self._updating:
            return
        self._updating = True
        try:
            self._take_late()
            self._show_run()
            self._show_heatmap()
        finally:
            self._updating = False
        self._estimates.want()

    def find_heading(self, ui: Any) -> tuple[Any, Any] | None:
        """The section "Explain"."""
        return ui.explainSection, ui.explainNextLabel

    def step(self) -> Step | None:
        """Where explaining stands."""
        if self.parameters is None:
            return None
        if self._job is not None:
            return Step(StepState.BUSY, _('Explaining "{case}".').format(case=self._job.case_name))
        if self._problem:
            return Step(StepState.ATTENTION)
        explanation = read_explanation(self.parameters.heatmap)
        if explanation is not None and self.stale:
            return Step(StepState.STALE, _("This heatmap is of an earlier choice."))
        if explanation is not None and explanation.hotspots is not None:
            return Step(StepState.DONE)
        return Step(
            StepState.TO_DO,
            self.obstacle() or _("Explain maps which tissue raised or lowered the risk; it runs in the background."),
        )

    def scene_closed(self) -> None:
        """The nodes are gone, and so are the worker and its files."""
        self._handed.forget()
        self._job = self._shown = self._late = None
        self._message, self._problem = "", False
        self._estimates.stop()
        self._estimates.forget()
        self._end_progress()

    def close(self) -> None:
        """Let go of the scene and the timers."""
        self._estimates.stop()
        self._refresh_timer.stop()
        for tag in self._observers:
            slicer.mrmlScene.RemoveObserver(tag)
        self._observers = []
        self._handed.forget()

    # --- what can be done now -------------------------------------------------------------------------------------

    def watch(self, callback: Callable[[Any, Path], None]) -> None:
        """Call back, with its CT and its folder, whenever an explanation became part of a result."""
        self._watchers.append(callback)

    @property
    def running(self) -> bool:
        """Whether an explanation is under way."""
        return self._job is not None

    @property
    def stale(self) -> bool:
        """Whether the heatmap is of something else than what is chosen now."""
        node = self.parameters.heatmap if self.parameters is not None else None
        if node is None:
            return False
        told = read_explanation(node)
        known = told is not None and bool(told.inputs)
        return not heatmap_is_of(node, self.parameters) or (self._score.stale and not known)

    def obstacle(self) -> str | None:
        """Why the case cannot be explained now, as one sentence."""
        if self.parameters is None:
            return _("There is no case.")
        if self._job is not None:
            return _('"{case}" is being explained; wait or cancel it first.').format(case=self._job.case_name)
        if self._desk.run_panel.running:
            return _("Wait until the running job has ended.")
        if self._stability.running:  # both change the result, and the second would lose what the first added
            return _("A stability is being checked; wait or cancel it first.")
        score = self._score.step()
        if score is None or score.state not in (StepState.DONE, StepState.STALE):
            missing = score.sentence if score is not None else ""
            return missing or _("Score the case first: what is explained is its result.")
        if score.state is StepState.STALE:
            return _("Something else is chosen than what was scored; score again first.")
        try:
            explanation_settings(self.parameters)
        except UserError as error:
            return str(error)
        return None

    def _to_estimate(self) -> ScoreParameters | None:
        """The case to estimate, where that makes sense."""
        return None if self._ui.explainSection.collapsed or self.obstacle() is not None else self.parameters

    # --- running --------------------------------------------------------------------------------------------------

    def _on_explain(self, *_ignored: Any) -> None:
        """Explain the case that was scored, or go on where an explanation was interrupted."""
        obstacle = self.obstacle()
        if obstacle is not None:
            self._say(obstacle, problem=True)
            return
        self._estimates.stop()
        scored = self._result_panel.case
        job = ExplainJob(self._desk, self.parameters, scored, self._progressed, self._ended, self._kept)
        self._say("")
        self._job = job
        self._ui.explainStageLabel.text = _("Starting…")
        self._ui.explainProgressBar.maximum = self._ui.explainProgressBar.value = 0
        try:
            job.start(self._handed, self.parameters)
        except UserError as error:
            self._ended(job, None, str(error), Failure(str(error)))
        else:
            self._desk.changed()

    def cancel(self, *_ignored: Any) -> None:
        """Stop the explanation; what was finished of it is kept for the next time."""
        if self._job is not None:
            self._ui.explainCancelButton.enabled = False
            self._desk.worker().cancel_job(self._job)

    def _progressed(self, progress: Progress) -> None:
        self._ui.explainProgressBar.maximum = max(progress.total, 0)
        self._ui.explainProgressBar.value = progress.done
        self._ui.explainStageLabel.text = describe_stage(progress)

    def _kept(self, ct: Any, folder: Path) -> None:
        for tell in self._watchers:
            tell(ct, folder)

    def _ended(self, job: ExplainJob, node: Any, sentence: str, failure: Failure | None) -> None:
        """The job is over; the case that it is of may not be the one that is chosen now."""
        if job is not self._job:  # of a scene that was closed
            return
        self._job = None
        self._estimates.forget()
        self._end_progress()
        self._say(sentence, problem=failure is not None)
        if failure is not None and failure.kind == "IdentityMismatch" and not self._handed.confirmed:
            differences = [str(each) for each in failure.details.get("differences") or [failure.sentence]]
            # Asked when the worker's signal is over: a dialog has an event loop of its own.
            qt.QTimer.singleShot(0, lambda: self._ask_and_explain(job, differences))
        if node is not None and self.parameters is None:  # another module is open
            self._late = job, node
        elif node is not None:
            self._take(job, node)
        self._desk.changed()

    def _take_late(self) -> None:
        """Show what came while another module was open, if it was not removed there."""
        if self._late is not None and self.parameters is not None:
            (job, node), self._late = self._late, None
            if node.GetScene() is not None:
                self._take(job, node)

    def _take(self, job: ExplainJob, node: Any) -> None:
        """Show the new heatmap, but never over a case that it is not of."""
        current = self.parameters is not None and heatmap_is_of(node, self.parameters)
        if current:
            self.parameters.heatmap = node
            self.controls.lay_over(node)
        else:
            self._say(
                _('"{case}" was explained; its heatmap is in the scene, but something else is chosen now.').format(
                    case=job.case_name
                )
            )

    def _ask_and_explain(self, job: ExplainJob, differences: list[str]) -> None:
        """Go on without the doubt if the user says so and nothing was changed meanwhile."""
        same = self.parameters is not None and job.inputs == read_inputs(self.parameters).as_json()
        if same and self.obstacle() is None and self._score.ask_identity(differences) and self.obstacle() is None:
            self._handed.confirmed = True
            self._on_explain()

    # --- what is shown --------------------------------------------------------------------------------------------

    def _show_run(self) -> None:
        ui, parameters = self._ui, self.parameters
        obstacle = self.obstacle()
        ui.explainButton.enabled = obstacle is None
        ui.explainButton.toolTip = obstacle or _("Replace the region's tissue piece by piece and see what it did")
        ui.explainCancelButton.enabled = self.running
        ui.explainProgressBar.visible = ui.explainStageLabel.visible = self.running
        ui.estimateLabel.visible = obstacle is None and bool(ui.estimateLabel.text)
        if self.running and self._desk.run_panel.running:
            ui.explainStageLabel.text = _("Another job goes first; explaining goes on where it was.")
        if parameters is not None:
            for spin, text in (
                (ui.patchSpinBox, parameters.explain_patch_mm),
                (ui.strideSpinBox, parameters.explain_stride_mm),
            ):
                length = millimetres(text) or 0.0
                if spin.value != length:
                    spin.value = length

    def _show_heatmap(self) -> None:
        ui = self._ui
        node = self.parameters.heatmap if self.parameters is not None else None
        explanation = read_explanation(node)
        self._list_heatmaps(node if explanation is not None else None)
        ui.explanationFrame.visible = explanation is not None
        self.controls.show(node if explanation is not None else None)
        if explanation is None:
            if self._shown is not None:
                self._shown = None
                self.table.show(())
            return
        key = (node.GetID(), repr((explanation.hotspots, explanation.log_risk)))
        ui.simulatedLabel.text = explanation.label
        ui.simulatedLabel.visible = bool(explanation.label)
        ui.staleHeatmapLabel.visible = self.stale
        ui.hotspotLabel.text = describe_hotspots(explanation)
        ui.hotspotLabel.toolTip = "\n".join(explanation.summary)
        several = bool(explanation.hotspots)
        ui.nextHotspotButton.visible = ui.previousHotspotButton.visible = several
        ui.perspectiveLabel.text = "\n".join(f"•  {line}" for line in describe_perspective(explanation))
        ui.perspectiveLabel.visible = bool(ui.perspectiveLabel.text)
        if key != self._shown:  # not at every change: the chosen row would be lost
            self._shown = key
            self.table.show(explanation.hotspots or ())

    def _list_heatmaps(self, chosen: Any) -> None:
        """Offer the heatmaps of the scene, one for each explanation; the case's own and those of other cases."""
        found = [each for each in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode") if is_main_map(each)]
        combo = self._ui.heatmapCombo
        entries = [(each.GetID(), each.GetName()) for each in found]
        if [(combo.itemData(index), combo.itemText(index)) for index in range(combo.count)] != entries:
            combo.clear()
            for identifier, name in entries:
                combo.addItem(name, identifier)
        combo.currentIndex = combo.findData(chosen.GetID()) if chosen is not None else -1
        self._ui.heatmapChoiceCaption.visible = combo.visible = bool(entries) and (len(entries) > 1 or chosen is None)

    def _choose_heatmap(self, index: int) -> None:
        """The user looks at another explanation: of this case, or of another one that is in the scene."""
        identifier = self._ui.heatmapCombo.itemData(index)
        node = slicer.mrmlScene.GetNodeByID(identifier) if identifier else None
        if self._updating or node is None or self.parameters is None:
            return
        self.parameters.heatmap = node
        self.controls.lay_over(node)
        self.update()

    def _set_length(self, name: str, value: float) -> None:
        text = f"{value:g}" if value > 0 else ""
        if self.parameters is not None and not self._updating and getattr(self.parameters, name) != text:
            setattr(self.parameters, name, text)

    def _toggle_mask(self) -> None:
        """The chosen region on or off in the views."""
        roi = self.parameters.roi if self.parameters is not None else None
        shown = roi.GetDisplayNode() if roi is not None else None
        if roi is None:
            return
        if roi.IsA("vtkMRMLSegmentationNode"):
            if shown is not None:
                shown.SetVisibility(not shown.GetVisibility())
            return
        views = display.heatmap_views()
        visible = any(view.GetLabelVolumeID() == roi.GetID() for view in views)
        for view in views:
            view.SetLabelVolumeID(None if visible else roi.GetID())

    def _end_progress(self) -> None:
        self._ui.explainProgressBar.visible = self._ui.explainStageLabel.visible = False
        self._say(self._message, self._problem)

    def _say(self, sentence: str, problem: bool = False) -> None:
        self._message, self._problem = sentence, problem
        self._ui.explainMessageLabel.text = sentence
        self._ui.explainMessageLabel.visible = bool(sentence)
        colour = "#c0392b" if problem else "#5b7083"
        self._ui.explainMessageLabel.styleSheet = f"border: 1px solid {colour}; border-radius: 3px; padding: 4px 8px;"

    def _on_scene_changed(self, *_ignored: Any) -> None:
        """A heatmap may have come or gone; a scene being read brings many nodes, so look once when it is over."""
        self._refresh_timer.start(0)


def heatmap_is_of(node: slicer.vtkMRMLNode, parameters: ScoreParameters) -> bool:
    """Whether a heatmap was made from what is chosen now; one of a scoring run knows only its CT."""
    if node.GetNodeReference(CT_ROLE) is not parameters.ct:
        return False
    explanation = read_explanation(node)
    if explanation is None or not explanation.inputs:
        return True
    try:
        made_from = ScoredInputs.from_json(explanation.inputs)
    except (KeyError, TypeError, ValueError):  # edited by hand
        return False
    return not made_from.changes(read_inputs(parameters))


def is_main_map(node: slicer.vtkMRMLNode) -> bool:
    """Whether a volume is the map by which an explanation is chosen."""
    return node.GetAttribute(ATTRIBUTE) is not None and sisters(node).get(FUSED, node) is node
