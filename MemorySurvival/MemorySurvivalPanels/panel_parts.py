"""All parts of the panel, from its top to its bottom, and the steps in their headings."""

from collections.abc import Callable
from typing import Any

from MemorySurvivalPanels import busy
from MemorySurvivalPanels.case_memory import CaseMemory
from MemorySurvivalPanels.case_panel import CasePanel
from MemorySurvivalPanels.covariates_panel import CovariatesPanel
from MemorySurvivalPanels.desk import Desk
from MemorySurvivalPanels.explain_panel import ExplainPanel
from MemorySurvivalPanels.findings_panel import FindingsPanel
from MemorySurvivalPanels.input_watch import InputWatch
from MemorySurvivalPanels.install_gate import InstallGate
from MemorySurvivalPanels.install_panel import InstallPanel
from MemorySurvivalPanels.mask_panel import MaskPanel
from MemorySurvivalPanels.model_panel import ModelPanel
from MemorySurvivalPanels.parameters import ScoreParameters
from MemorySurvivalPanels.part import Part
from MemorySurvivalPanels.patient import PatientBanner
from MemorySurvivalPanels.pet_values_panel import PetValuesPanel
from MemorySurvivalPanels.prior_panel import PriorPanel
from MemorySurvivalPanels.reader_study_gate import ReaderGate
from MemorySurvivalPanels.reader_study_panel import ReaderStudyPanel
from MemorySurvivalPanels.reading_panel import ReadingPanel
from MemorySurvivalPanels.report_panel import ReportPanel
from MemorySurvivalPanels.result_more import ResultMore
from MemorySurvivalPanels.result_panel import ResultPanel
from MemorySurvivalPanels.review_overview import ReviewOverview
from MemorySurvivalPanels.review_panel import ReviewPanel
from MemorySurvivalPanels.run_panel import RunPanel
from MemorySurvivalPanels.score_run import ScoreRun
from MemorySurvivalPanels.scratch import ScratchFolder
from MemorySurvivalPanels.shortcuts import Shortcuts
from MemorySurvivalPanels.stability_panel import StabilityPanel
from MemorySurvivalPanels.step import StepHeader
from MemorySurvivalPanels.worker_protocol import WorkerProtocol


class PanelParts:
    """Makes the parts and passes on what the widget is told; the order is that of the work."""

    def __init__(
        self, ui: Any, worker: Callable[[], WorkerProtocol], scratch: ScratchFolder, changed: Callable[[], None]
    ) -> None:
        self._desk_changed = changed
        self.run_panel = RunPanel(ui)
        self.shortcuts = Shortcuts(ui.researchUseLabel)
        self._worker = worker
        self._gate: InstallGate | None = None
        self._reader_gate: ReaderGate | None = None
        desk = Desk(ui, self.run_panel, self._gated_worker, scratch, changed, self.shortcuts)
        self.install = InstallPanel(desk, installed=self._ask_again)
        self.memory = CaseMemory()
        self.watch = InputWatch(desk)
        self.banner = PatientBanner(ui)
        self.pet_values = PetValuesPanel(desk)
        self.case = CasePanel(desk)
        self.covariates = CovariatesPanel(desk)
        self.reading = ReadingPanel(desk)
        self.masks = MaskPanel(desk)
        self.model = ModelPanel(desk)
        self.result = ResultPanel(desk)
        self.stability = StabilityPanel(desk, self.result)
        self.more = ResultMore(desk, self.result)
        self.score = ScoreRun(desk, self.banner, self.pet_values, self.result)
        self.explain = ExplainPanel(desk, self.score, self.result, self.stability)
        self.stability.wait_for(lambda: self.explain.running)
        self.findings = FindingsPanel(desk, self.result)
        self.report = ReportPanel(desk, self.result, self.findings.findings)
        self.review = ReviewPanel(desk)
        self.overview = ReviewOverview(desk)
        self.score.watch(self.review.case_scored)
        self.stability.watch(self.review.result_amended)
        self.explain.watch(self.review.result_amended)
        self.reader_study = ReaderStudyPanel(desk, self.score, self.review)
        self.prior = PriorPanel(desk)
        self.all: tuple[Part, ...] = (
            self.memory,
            self.reader_study,  # before all that shows a result
            self.watch,
            self.banner,
            self.pet_values,
            self.case,
            self.covariates,
            self.reading,
            self.masks,
            self.model,
            self.score,
            self.result,
            self.stability,
            self.more,
            self.explain,
            self.findings,
            self.report,
            self.review,
            self.overview,
            self.prior,
            self.install,
        )
        headings = [(part, part.find_heading(ui)) for part in self.all]
        self._headers = [(part, StepHeader(*heading)) for part, heading in headings if heading is not None]
        self.run_panel.watch(self._show_steps)
        self._end_watch = busy.watch(self.run_panel.show_phase)

    def _gated_worker(self) -> WorkerProtocol:
        """The worker, behind the question whether what it needs may be installed, and behind what a reader study
        refuses; the same object as long as the worker is the same, since questions are asked anew of another one."""
        worker = self._worker()
        if self._gate is None or self._reader_gate is None or self._gate.worker is not worker:
            self._gate = InstallGate(worker, self.install)
            self._reader_gate = ReaderGate(self._gate, lambda: self.reader_study.covered, lambda: self.reader_study.on)
        return self._reader_gate

    def _ask_again(self) -> None:
        """Packages have come in: what could not be asked of the worker is asked now."""
        self.model.ask_again()
        self._desk_changed()

    def bind(self, parameters: ScoreParameters | None) -> None:
        """Show and change these parameters from now on."""
        for part in self.all:
            part.bind(parameters)
        self._show_steps()

    def update(self) -> None:
        """Show what is so now."""
        for part in self.all:
            part.update()
        self._show_steps()

    def enter(self) -> None:
        """The user opens the module."""
        for part in self.all:
            part.enter()
        self.shortcuts.activate()

    def leave(self) -> None:
        """The user opens another module."""
        self.shortcuts.deactivate()
        for part in self.all:
            part.leave()

    def scene_closed(self) -> None:
        """The nodes are gone."""
        for part in self.all:
            part.scene_closed()

    def close(self) -> None:
        """The module goes away."""
        self._end_watch()
        self.shortcuts.close()
        for part in self.all:
            part.close()

    def _show_steps(self) -> None:
        for part, header in self._headers:
            header.show(part.step())
