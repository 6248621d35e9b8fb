"""The stability of the result that is shown: its badge, and the button that measures it later."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from MemorySurvivalPanels.desk import Desk
from MemorySurvivalPanels.errors import UserError
from MemorySurvivalPanels.part import Part
from MemorySurvivalPanels.result_panel import ResultPanel
from MemorySurvivalPanels.run_panel import describe_progress
from MemorySurvivalPanels.score_job import missing_choice
from MemorySurvivalPanels.scored_cases import CT, PET
from MemorySurvivalPanels.stability_job import StabilityJob
from MemorySurvivalPanels.stability_words import BORDERS, describe_stability, explain_stability, read_stability
from MemorySurvivalPanels.worker_protocol import Progress

AmendedCallback = Callable[[Any, Path], None]
"""Is told the CT of a result that was amended, and the folder with its files, which is gone afterwards."""


class StabilityPanel(Part):
    """Has to come after the result's own part, whose choice it follows."""

    def __init__(self, desk: Desk, result_panel: ResultPanel) -> None:
        self._desk = desk
        self._ui = ui = desk.ui
        self._result_panel = result_panel
        self._job: StabilityJob | None = None
        self._stage = ""
        self._said = ("", "")
        """What was said last, after the identifier of the result that it is about."""
        self._watchers: list[AmendedCallback] = []
        self._explaining: Callable[[], bool] = lambda: False
        ui.stabilityButton.clicked.connect(self.check)
        ui.stabilityCancelButton.clicked.connect(self.cancel)
        desk.run_panel.watch(self._show)

    def wait_for(self, explaining: Callable[[], bool]) -> None:
        """Say what else may change the result; measured meanwhile, one of the two would be lost."""
        self._explaining = explaining

    def watch(self, callback: AmendedCallback) -> None:
        """Call back whenever a result was amended."""
        self._watchers.append(callback)

    @property
    def running(self) -> bool:
        """Whether a stability is being measured."""
        return self._job is not None

    def update(self) -> None:
        """Show the badge of the result; a job whose result is gone or covered is given up."""
        if self._job is not None and not self._job.there:
            self.cancel()
        self._show()

    def scene_closed(self) -> None:
        """The nodes are gone, and so are the worker and its files."""
        self._job, self._stage, self._said = None, "", ("", "")
        self._show()

    def obstacle(self) -> str | None:
        """Why the stability cannot be measured now, as one sentence."""
        case, parameters = self._result_panel.case, self.parameters
        if case is None or parameters is None:
            return _("Score the case first.")
        if self._job is not None:
            return _("A stability is being checked; wait or cancel it first.")
        if self._explaining():
            return _("The case is being explained; wait or cancel it first.")
        if self._desk.run_panel.running:
            return _("Wait until the running job has ended.")
        chosen = parameters.ct is not None and parameters.ct is case.of(CT) and parameters.pet is case.of(PET)
        if not chosen or self._result_panel.stale:
            return _("Something else is chosen than what was scored; score again first.")
        return missing_choice(parameters)

    def check(self, *_ignored: Any) -> None:
        """Measure the stability of the result that is shown, in the background."""
        case = self._result_panel.case
        if case is None or self.obstacle() is not None:
            return
        self._said = ("", "")
        self._stage = _("Starting…")
        self._job = job = StabilityJob(self._desk, case, self._progressed, self._ended, self._kept)
        try:
            job.start(self.parameters)
        except UserError as error:
            self._ended(job, str(error), True)
        self._desk.changed()  # explaining has to wait

    def cancel(self, *_ignored: Any) -> None:
        """Stop measuring."""
        if self._job is not None:
            self._desk.worker().cancel_job(self._job)

    def _progressed(self, progress: Progress) -> None:
        self._stage = describe_progress(progress)
        self._show()

    def _kept(self, ct: Any, folder: Path) -> None:
        for tell in self._watchers:
            tell(ct, folder)

    def _ended(self, job: StabilityJob, sentence: str, problem: bool) -> None:
        """The job is over; another result may be shown now."""
        if job is not self._job:  # of a scene that was closed
            return
        self._job, self._stage = None, ""
        if job.there:
            self._said = (job.case.node.GetID(), f"⚠  {sentence}" if problem else sentence)
        self._desk.changed()

    def _show(self) -> None:
        ui, case = self._ui, self._result_panel.case
        stability = None if case is None else read_stability(case.result)
        ui.stabilityLabel.visible = stability is not None
        ui.stabilityLabel.text = "" if stability is None else describe_stability(stability)
        told = "" if stability is None else explain_stability(stability)
        ui.stabilityLabel.toolTip = told
        ui.stabilityLabel.setAccessibleDescription(told)
        if stability is not None:
            border = BORDERS.get(str(stability["verdict"]), "#5b7083")
            ui.stabilityLabel.styleSheet = f"border: 1px solid {border}; border-radius: 3px; padding: 3px 8px;"
        mine = case is not None and self._job is not None and self._job.case.node is case.node
        obstacle = self.obstacle()
        ui.stabilityButton.visible = case is not None and stability is None
        ui.stabilityButton.enabled = obstacle is None
        ui.stabilityButton.toolTip = obstacle or _(
            "Read the case again under small changes of boxes, mask, slices and registration, in the background; about "
            "three times as long as scoring it"
        )
        ui.stabilityCancelButton.visible = mine
        stage = self._stage if mine else ""
        if stage and self._desk.run_panel.running:
            stage = _("Another job goes first; the stability is checked after it.")
        about, said = self._said
        ui.stabilityStageLabel.text = stage or (said if case is not None and case.node.GetID() == about else "")
        ui.stabilityStageLabel.visible = bool(ui.stabilityStageLabel.text)
