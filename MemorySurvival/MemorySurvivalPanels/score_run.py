"""From a click on Score to a result: what is asked first, the job, and what is done when it ends."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from MemorySurvivalPanels.desk import Desk
from MemorySurvivalPanels.display import add_map, show_heatmap
from MemorySurvivalPanels.errors import UserError
from MemorySurvivalPanels.explanation import explanation_of_result
from MemorySurvivalPanels.identity_question import ask_about_identity
from MemorySurvivalPanels.parameters import ScoreParameters
from MemorySurvivalPanels.part import Part
from MemorySurvivalPanels.patient import PatientBanner
from MemorySurvivalPanels.pet_values_panel import PetValuesPanel
from MemorySurvivalPanels.result_panel import ResultPanel, heatmap_limit
from MemorySurvivalPanels.score_job import chosen_inputs, chosen_run, missing_choice, name_files, score_job
from MemorySurvivalPanels.scored_cases import HEATMAP, ScoredCase, store_result
from MemorySurvivalPanels.scored_inputs import ScoredInputs, read_inputs
from MemorySurvivalPanels.step import Step, StepState
from MemorySurvivalPanels.worker_protocol import Failure, Progress


@dataclass(frozen=True)
class Scored:
    """What was scored: the nodes, their content and the choices, to tell whether they are still the same."""

    ct: slicer.vtkMRMLScalarVolumeNode
    pet: slicer.vtkMRMLScalarVolumeNode
    roi: slicer.vtkMRMLNode | None
    inputs: tuple[str, ...]
    run: tuple[str, ...]
    content: ScoredInputs

    @classmethod
    def chosen(cls, parameters: ScoreParameters) -> "Scored":
        """What is chosen now."""
        return cls(
            parameters.ct,
            parameters.pet,
            parameters.roi,
            chosen_inputs(parameters),
            chosen_run(parameters),
            read_inputs(parameters),
        )

    @property
    def there(self) -> bool:
        """Whether both images are still in the scene."""
        return all(node is not None and node.GetScene() is not None for node in (self.ct, self.pet))


ScoredCallback = Callable[[Any, Mapping[str, Any], Mapping[str, str | None]], None]
"""Is told the CT that was scored, the result, and its files, which are gone afterwards."""


class ScoreRun(Part):
    """The step "Score", and the listener of its job. `ask_identity` is asked when images may not belong together."""

    def __init__(
        self, desk: Desk, banner: PatientBanner, pet_values: PetValuesPanel, result_panel: ResultPanel
    ) -> None:
        self._desk = desk
        self._run_panel = desk.run_panel
        self._banner = banner
        self._pet_values = pet_values
        self._result_panel = result_panel
        self._job_folder: Path | None = None
        self._node_names: dict[str, str] = {}
        self._problem = ""
        self._confirmed: tuple[str, ...] = ()
        self.scored: Scored | None = None
        self.ask_identity: Callable[[Sequence[str]], bool] = ask_about_identity
        self._watchers: list[ScoredCallback] = []
        desk.ui.scoreButton.clicked.connect(self._on_score)
        desk.ui.cancelButton.clicked.connect(self.cancel)

    def watch(self, callback: ScoredCallback) -> None:
        """Call back whenever a result is there."""
        self._watchers.append(callback)

    def update(self) -> None:
        """Say what is missing."""
        if self.parameters is not None:
            self._run_panel.set_missing_choice(missing_choice(self.parameters))

    @property
    def stale(self) -> bool:
        """Whether the result that is shown is no longer of what is chosen."""
        return self._result_panel.stale

    def step(self) -> Step | None:
        """Where scoring stands."""
        if self.parameters is None:
            return None
        if self._run_panel.running:
            return Step(StepState.BUSY)
        missing = missing_choice(self.parameters)
        if missing is not None:
            return Step(StepState.TO_DO)  # what is missing stands below the button
        if self._problem:
            return Step(StepState.ATTENTION)
        if self._result_panel.case is not None:
            return Step(StepState.STALE if self.stale else StepState.DONE)
        return Step(StepState.TO_DO)

    def find_heading(self, ui: Any) -> tuple[Any, Any] | None:
        """The section "Score"."""
        return ui.scoreSection, ui.scoreNextLabel

    def _on_score(self, *_ignored: Any) -> None:
        """Hand the case to the worker; first ask about a doubt that the library cannot have."""
        differences = self._banner.own_doubts(self.parameters)
        if not differences or self.ask_identity(differences):
            self.score(confirmed=differences)
        else:
            self._run_panel.show_problem(" ".join(differences))

    def score(self, *, confirm_identity: bool = False, confirmed: Sequence[str] = ()) -> None:
        """Write the case to files and hand it to the worker.

        `confirm_identity` holds for this run alone: a person has just said that the images belong together. `confirmed`
        are the panel's own doubts that the person set aside.
        """
        self._problem = ""
        self._result_panel.hold()
        self._run_panel.show_running()
        try:
            self._submit(confirm_identity, (*self._confirmed, *confirmed) if confirm_identity else confirmed)
        except UserError as error:
            self._end(str(error), problem=True)

    def _submit(self, confirm_identity: bool, confirmed: Sequence[str]) -> None:
        parameters = self.parameters
        self._confirmed = tuple(confirmed)  # a run that is asked about again keeps what was said before
        self._remove_job()
        self._job_folder = self._desk.scratch.new_folder()
        inputs = self._job_folder / "inputs"
        inputs.mkdir()
        result = self._job_folder / "result"
        job = score_job(parameters, inputs, result, confirm_identity=confirm_identity, confirmed=confirmed)
        self.scored = Scored.chosen(parameters)
        self._node_names = name_files(job, parameters)
        self._desk.worker().submit("score", job, self)

    def cancel(self, *_ignored: Any) -> None:
        """Stop the job, with every process that it started."""
        self._desk.worker().cancel()

    def forget(self) -> None:
        """The scene is gone, and so are the files."""
        self.scored, self._job_folder, self._problem = None, None, ""
        self._run_panel.show_idle()

    scene_closed = forget

    def job_progressed(self, progress: Progress) -> None:
        """One step further."""
        self._run_panel.show_progress(progress)

    def job_noted(self, text: str) -> None:
        """The worker wants the user to know something."""
        self._run_panel.show_note(self.with_node_names(text))

    def job_finished(self, result: Mapping[str, Any], files: Mapping[str, str | None]) -> None:
        """Keep the result in the scene, show it where its images are still chosen, and load the heatmap."""
        scored = self.scored
        if scored is None:
            return
        notes = [self.with_node_names(str(note)) for note in result.get("notes") or []]
        told = {**result, "notes": notes}
        name = scored.ct.GetName() if scored.there else ""
        nodes = {"ct": scored.ct, "pet": scored.pet, "roi": scored.roi}
        try:
            case = store_result(nodes, scored.content, told, files, _("Result of {ct}").format(ct=name).strip())
        except UserError as error:
            self._end(str(error), problem=True)
            return
        sentence = self._load_heatmap(case, files.get("heatmap"))
        for tell in self._watchers:
            tell(scored.ct, told, files)
        self._remove_job()  # the scene has it all
        if not scored.there:
            self._result_panel.show_without_images(case)
            sentence = sentence or _("The CT or the PET was removed while it was scored; the result is of that image.")
        elif self.parameters is not None and not self._still_shown():
            sentence = sentence or _('The result of "{ct}" is ready: choose its CT and PET to see it.').format(ct=name)
            self._end(sentence, problem=False)
            return
        self._end(sentence, problem=bool(sentence))

    def _load_heatmap(self, case: ScoredCase, path: str | None) -> str:
        """Lay the heatmap over the CT, or only load it where another case is looked at; a sentence if it cannot be."""
        if not path or self.scored is None or self.scored.ct is None:
            return ""
        result = case.result
        label, limit = str(result.get("label") or ""), heatmap_limit(result.get("heatmap") or {})
        try:
            if self._still_shown() or not self.scored.there:
                node = show_heatmap(Path(path), self.scored.ct, limit, _("Change of log-risk"), label, result)
            else:
                told = {**result, "heatmap": {**(result.get("heatmap") or {}), "limit": limit}}
                node = add_map(Path(path), self.scored.ct, explanation_of_result(told), title=_("Change of log-risk"))
        except (OSError, RuntimeError):
            return _("The heatmap cannot be read; the report has it.")
        case.attach(HEATMAP, node)
        if self.parameters is not None and self._still_shown():
            self.parameters.heatmap = node
        return ""

    def _still_shown(self) -> bool:
        """Whether the very CT and PET are chosen that were scored."""
        return (
            self.parameters is not None
            and self.scored is not None
            and chosen_inputs(self.parameters)[:2] == self.scored.inputs[:2]
        )

    def job_failed(self, failure: Failure) -> None:
        """The worker said why, or died; what it lacks can be filled in, and whom it doubts can be confirmed."""
        self._end(self.with_node_names(failure.sentence), problem=True, log=failure.log)
        if not self._still_chosen():
            return
        if failure.kind == "MissingPetTags":
            self._pet_values.show_missing(failure.details.get("missing") or [])
        elif failure.kind == "IdentityMismatch":
            differences = [str(each) for each in failure.details.get("differences") or [failure.sentence]]
            # Asked when the worker's signal is over: a dialog has an event loop of its own.
            qt.QTimer.singleShot(0, lambda: self._ask_and_score(differences))

    def job_cancelled(self) -> None:
        """The user changed their mind."""
        self._end(_("Cancelled."), problem=False)
        self._remove_job()

    def _end(self, sentence: str, *, problem: bool, log: Sequence[str] = ()) -> None:
        """The job is over: its copies of the images are not needed any more."""
        if self._job_folder is not None:
            shutil.rmtree(self._job_folder / "inputs", ignore_errors=True)
        self._problem = sentence if problem else ""
        self._result_panel.release()
        self._run_panel.show_idle(sentence, problem=problem, log=log)
        self._desk.changed()

    def _ask_and_score(self, differences: Sequence[str]) -> None:
        """Score again, this once without the doubt, if the user says so and nothing was changed meanwhile."""
        if self._may_score_again() and self.ask_identity(differences) and self._may_score_again():
            self.score(confirm_identity=True)

    def _may_score_again(self) -> bool:
        return self._still_chosen() and not self._run_panel.running and missing_choice(self.parameters) is None

    def _still_chosen(self) -> bool:
        """Whether the panel shows the very case that was handed to the worker."""
        return (
            self.parameters is not None
            and self.scored is not None
            and self.scored.inputs == chosen_inputs(self.parameters)
        )

    def with_node_names(self, sentence: str) -> str:
        """The worker names files; the user knows their volumes by name."""
        for path, name in self._node_names.items():
            sentence = sentence.replace(path, f'"{name}"')
        return sentence

    def _remove_job(self) -> None:
        if self._job_folder is not None:
            shutil.rmtree(self._job_folder, ignore_errors=True)
            self._job_folder = None
