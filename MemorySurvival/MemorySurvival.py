"""The Slicer module: what Slicer calls and who answers it; everything else is in MemorySurvivalPanels."""

import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import qt
import slicer
import vtk
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

# In a source tree the library lies one folder up; an installed Slicer keeps it here, on the path already.
if (Path(__file__).resolve().parents[1] / "MemorySurvivalLib" / "__init__.py").is_file():
    _ROOT = str(Path(__file__).resolve().parents[1])
    if _ROOT not in sys.path:
        sys.path.insert(0, _ROOT)

from MemorySurvivalPanels import locations
from MemorySurvivalPanels.case_panel import CasePanel
from MemorySurvivalPanels.display import show_heatmap
from MemorySurvivalPanels.errors import UserError
from MemorySurvivalPanels.identity_question import ask_about_identity
from MemorySurvivalPanels.mask_panel import MaskPanel
from MemorySurvivalPanels.parameters import ScoreParameters
from MemorySurvivalPanels.patient import PatientBanner
from MemorySurvivalPanels.pet_values_panel import PetValuesPanel
from MemorySurvivalPanels.result_panel import ResultPanel, heatmap_limit
from MemorySurvivalPanels.run_panel import RunPanel
from MemorySurvivalPanels.score_job import chosen_inputs, chosen_run, missing_choice, name_files, score_job
from MemorySurvivalPanels.scratch import ScratchFolder
from MemorySurvivalPanels.worker_client import WorkerClient, library_worker_command
from MemorySurvivalPanels.worker_protocol import Failure, JobListener, Progress, WorkerCommand, WorkerProtocol


class MemorySurvival(ScriptedLoadableModule):
    """What the module is, for Slicer's menus."""

    def __init__(self, parent: Any) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("Memory Survival")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Nuclear Medicine")]
        parent.dependencies = []
        parent.contributors = ["MemorySurvival contributors"]
        parent.helpText = _(
            "Scores the risk of progression in multiple myeloma from whole-body FDG-PET/CT and shows which tissue "
            "raised or lowered it.<br><br><b>Research use only, not a medical device.</b>"
        )
        parent.acknowledgementText = _(
            "The method follows Guinea-Perez et al.; the backbone is SAM 2.1 by Meta, with MedSAM2 weights where "
            "the user has them."
        )
        try:
            parent.icon = qt.QIcon(str(locations.locate_resource("Icons/MemorySurvival.png")))
        except UserError as error:
            parent.helpText += f"<br><br>{error}"


class MemorySurvivalWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """Builds the panel and passes events between its parts and the logic; it listens to the score job."""

    def __init__(self, parent: Any = None) -> None:
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic: MemorySurvivalLogic | None = None
        self.ui: Any = None
        self._parameters: ScoreParameters | None = None
        self._observed: list[Any] = []
        self._gui_tag: int | None = None
        self.ask_identity: Callable[[Sequence[str]], bool] = ask_about_identity

    def resourcePath(self, filename: str) -> str:
        """The shipped file, which lies beside the library and not beside this module."""
        return str(locations.locate_resource(filename))

    def setup(self) -> None:
        """Build the panel when the user first opens it."""
        try:
            panel = slicer.util.loadUI(self.resourcePath("UI/MemorySurvival.ui"))
            logic = MemorySurvivalLogic()
        except UserError as error:
            sentence = qt.QLabel(str(error))
            sentence.wordWrap = True
            self.layout.addWidget(sentence)
            return
        ScriptedLoadableModuleWidget.setup(self)
        self.layout.addWidget(panel)
        self.ui = slicer.util.childWidgetVariables(panel)
        panel.setMRMLScene(slicer.mrmlScene)
        self.logic = logic
        self.banner = PatientBanner(self.ui)
        self.case_panel = CasePanel(self.ui)
        self.pet_values_panel = PetValuesPanel(self.ui)
        self.run_panel = RunPanel(self.ui)
        self.mask_panel = MaskPanel(self.ui, self.run_panel, lambda: logic.worker, logic.scratch)
        self.result_panel = ResultPanel(self.ui)
        self.ui.scoreButton.clicked.connect(self.onScore)
        self.ui.cancelButton.clicked.connect(self.onCancel)
        self.ui.saveButton.clicked.connect(self.onSave)
        self.ui.lesionsButton.clicked.connect(self.onShowLesions)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onSceneEndClose)
        self.initializeParameterNode()
        self.case_panel.set_bundles(locations.shipped_bundles())

    def cleanup(self) -> None:
        """The module is unloaded or reloaded: leave no process and no file behind."""
        if self.logic is not None:
            self.logic.close()
            self.case_panel.removeObservers()
            self.setParameterNode(None)
        self.removeObservers()

    def enter(self) -> None:
        """The user opens the module: ask for the bundles once, which also warms the worker up."""
        if self.logic is None:
            return
        self.initializeParameterNode()
        if not self.logic.asked_for_bundles:
            self.logic.list_bundles(self.case_panel)

    def exit(self) -> None:
        """The user opens another module; a running job goes on."""
        if self.logic is not None:
            self.setParameterNode(None)

    def onReload(self) -> None:
        """Read every file again, those of both packages too."""
        locations.purge_packages()
        ScriptedLoadableModuleWidget.onReload(self)

    def onSceneStartClose(self, caller: Any, event: Any) -> None:
        """The nodes go away: so do the job that reads them and its files."""
        self.logic.close()
        self.setParameterNode(None)
        self.result_panel.clear()
        self.run_panel.show_idle()

    def onSceneEndClose(self, caller: Any, event: Any) -> None:
        """Start again with an empty choice."""
        if self.parent.isEntered:
            self.initializeParameterNode()

    def initializeParameterNode(self) -> None:
        """Make sure that there is a parameter node and that the panel shows it."""
        self.setParameterNode(self.logic.getParameterNode())

    def setParameterNode(self, parameters: ScoreParameters | None) -> None:
        """Show and observe another parameter node, or none."""
        if self._parameters is not None:
            if self._gui_tag is not None:
                self._parameters.disconnectGui(self._gui_tag)
            self.removeObserver(self._parameters, vtk.vtkCommand.ModifiedEvent, self.onParametersChanged)
        self._parameters = parameters
        self._gui_tag = None
        self._observe_images()
        self.case_panel.bind(parameters)
        self.mask_panel.bind(parameters)
        self.pet_values_panel.bind(parameters)
        self.banner.update(parameters)
        if parameters is not None:
            self._gui_tag = parameters.connectGui(self.ui)
            self.addObserver(parameters, vtk.vtkCommand.ModifiedEvent, self.onParametersChanged)
            self.onParametersChanged()

    def _observe_images(self) -> None:
        """Follow the chosen images: their DICOM attributes come late, and a transform may be put over them."""
        nodes = [] if self._parameters is None else [self._parameters.ct, self._parameters.pet]
        nodes = [node for index, node in enumerate(nodes) if node is not None and node not in nodes[:index]]
        if nodes == self._observed:
            return
        for event in (vtk.vtkCommand.ModifiedEvent, slicer.vtkMRMLTransformableNode.TransformModifiedEvent):
            for node in self._observed:
                self.removeObserver(node, event, self.onParametersChanged)
            for node in nodes:
                self.addObserver(node, event, self.onParametersChanged)
        self._observed = nodes

    def onParametersChanged(self, caller: Any = None, event: Any = None) -> None:
        """The user or a script chose something, or changed what is chosen."""
        if self._parameters is not None:
            self._observe_images()
            cleared = self.pet_values_panel.update()
            self.banner.update(self._parameters)
            self.case_panel.update()
            self.mask_panel.update()
            self.run_panel.set_missing_choice(missing_choice(self._parameters))
            self.result_panel.set_stale(self.logic.scored_run not in (None, chosen_run(self._parameters)))
            if cleared is not None:
                self.run_panel.show_note(cleared)

    def onScore(self, *_ignored: Any) -> None:
        """Hand the case to the worker; first ask about a doubt that the library cannot have."""
        differences = self.banner.own_doubts(self._parameters)
        if not differences or self.ask_identity(differences):
            self._score(confirm_identity=False)
        else:
            self.run_panel.show_problem(" ".join(differences))

    def _score(self, confirm_identity: bool) -> None:
        self.result_panel.clear()
        self.run_panel.show_running()
        try:
            self.logic.score(self._parameters, self, confirm_identity=confirm_identity)
        except UserError as error:
            self.run_panel.show_idle(str(error), problem=True)

    def onCancel(self, *_ignored: Any) -> None:
        """End the worker with everything it started."""
        self.logic.cancel()

    def onSave(self, *_ignored: Any) -> None:
        """Copy the results to a folder of the user's choice."""
        chosen = qt.QFileDialog.getExistingDirectory(self.parent, _("Save the results in"))
        if not chosen:
            return
        try:
            place = self.result_panel.copy_results(Path(chosen))
        except UserError as error:
            self.run_panel.show_problem(str(error))
        else:
            self.run_panel.show_note(_("Saved in {place}.").format(place=place))

    def onShowLesions(self, *_ignored: Any) -> None:
        """Load the outlined lesions and the reference spheres as a segmentation."""
        try:
            self.result_panel.measurements.show_segmentation(self.logic.scored_ct)
        except UserError as error:
            self.run_panel.show_problem(str(error))

    def job_progressed(self, progress: Progress) -> None:
        """One step further."""
        self.run_panel.show_progress(progress)

    def job_noted(self, text: str) -> None:
        """The worker wants the user to know something."""
        self.run_panel.show_note(self.logic.with_node_names(text))

    def job_finished(self, result: Mapping[str, Any], files: Mapping[str, str | None]) -> None:
        """Show the result and lay the heatmap over the CT."""
        self.logic.remove_inputs()
        self.run_panel.show_idle()
        notes = [self.logic.with_node_names(str(note)) for note in result.get("notes") or []]
        self.result_panel.show({**result, "notes": notes}, files)
        self.onParametersChanged()
        heatmap = files.get("heatmap")
        if heatmap and self.logic.scored_ct is not None:
            try:
                node = show_heatmap(
                    Path(heatmap),
                    self.logic.scored_ct,
                    heatmap_limit(result.get("heatmap") or {}),
                    _("Change of log-risk"),
                    str(result.get("label") or ""),
                )
            except (OSError, RuntimeError):
                self.run_panel.show_idle(_("The heatmap cannot be read; the report has it."), problem=True)
                return
            if self._parameters is not None:
                self._parameters.heatmap = node

    def job_failed(self, failure: Failure) -> None:
        """The worker said why, or died; what it lacks can be filled in, and whom it doubts can be confirmed."""
        self.logic.remove_inputs()
        self.run_panel.show_idle(self.logic.with_node_names(failure.sentence), problem=True)
        if not self._still_chosen():
            return
        if failure.kind == "MissingPetTags":
            self.pet_values_panel.show_missing(failure.details.get("missing") or [])
        elif failure.kind == "IdentityMismatch":
            differences = [str(each) for each in failure.details.get("differences") or [failure.sentence]]
            # Asked when the worker's signal is over: a dialog has an event loop of its own.
            qt.QTimer.singleShot(0, lambda: self._ask_and_score(differences))

    def _ask_and_score(self, differences: Sequence[str]) -> None:
        """Score again, this once without the doubt, if the user says so and nothing was changed meanwhile."""
        if self._may_score_again() and self.ask_identity(differences) and self._may_score_again():
            self._score(confirm_identity=True)

    def _may_score_again(self) -> bool:
        return self._still_chosen() and not self.run_panel.running and missing_choice(self._parameters) is None

    def _still_chosen(self) -> bool:
        """Whether the panel shows the very case that was handed to the worker."""
        return self._parameters is not None and self.logic.scored_inputs == chosen_inputs(self._parameters)

    def job_cancelled(self) -> None:
        """The user changed their mind."""
        self.logic.remove_inputs()
        self.run_panel.show_idle(_("Cancelled."))


class MemorySurvivalLogic(ScriptedLoadableModuleLogic):
    """Holds the worker and the private folder; usable without the panel. `worker` may be a stand-in."""

    def __init__(self, worker: WorkerProtocol | None = None) -> None:
        ScriptedLoadableModuleLogic.__init__(self)
        locations.import_library()
        self.scratch = ScratchFolder(Path(slicer.app.temporaryPath))
        self.worker = worker or WorkerClient(self._worker_command, locations.library_version())
        self.asked_for_bundles = False
        self.scored_ct: slicer.vtkMRMLScalarVolumeNode | None = None
        self.scored_inputs: tuple[str, ...] | None = None
        self.scored_run: tuple[str, ...] | None = None
        self._job_folder: Path | None = None
        self._node_names: dict[str, str] = {}

    def getParameterNode(self) -> ScoreParameters:
        """The choices, typed."""
        return ScoreParameters(super().getParameterNode())

    def list_bundles(self, listener: JobListener) -> None:
        """Ask the library which model bundles there are."""
        self.asked_for_bundles = True
        self.worker.submit("bundles", {}, listener)

    def score(self, parameters: ScoreParameters, listener: JobListener, *, confirm_identity: bool = False) -> None:
        """Write the case to files and hand it to the worker; raises UserError before anything was started.

        `confirm_identity` holds for this run alone: a person has just said that the images belong together.
        """
        self._remove_job()
        self._job_folder = self.scratch.new_folder()
        inputs = self._job_folder / "inputs"
        inputs.mkdir()
        job = score_job(parameters, inputs, self._job_folder / "result", confirm_identity=confirm_identity)
        self.scored_ct = parameters.ct
        self.scored_inputs = chosen_inputs(parameters)
        self.scored_run = chosen_run(parameters)
        self._node_names = name_files(job, parameters)
        self.worker.submit("score", job, listener)

    def with_node_names(self, sentence: str) -> str:
        """The worker names files; the user knows their volumes by name."""
        for path, name in self._node_names.items():
            sentence = sentence.replace(path, f'"{name}"')
        return sentence

    def cancel(self) -> None:
        """Stop the job, with every process that it started."""
        self.worker.cancel()
        self._remove_job()

    def remove_inputs(self) -> None:
        """The job is over: its copies of the images are not needed any more."""
        if self._job_folder is not None:
            shutil.rmtree(self._job_folder / "inputs", ignore_errors=True)

    def close(self) -> None:
        """Stop the worker and remove every file."""
        self.worker.close()
        self.scratch.clear()
        self.scored_ct = None
        self.scored_inputs = self.scored_run = None
        self._job_folder = None

    def _remove_job(self) -> None:
        if self._job_folder is not None:
            shutil.rmtree(self._job_folder, ignore_errors=True)
            self._job_folder = None

    def _worker_command(self) -> WorkerCommand:
        return library_worker_command(locations.library_root(), self.scratch.new_folder())


class MemorySurvivalTest(ScriptedLoadableModuleTest):
    """The self-test that Slicer's developers see; the project's own tests are under Testing/."""

    def setUp(self) -> None:
        """Start with an empty scene."""
        slicer.mrmlScene.Clear()

    def runTest(self) -> None:
        """All of it, in order."""
        self.setUp()
        self.test_score_waits_for_ct_and_pet()

    def test_score_waits_for_ct_and_pet(self) -> None:
        """Nothing can be scored before both images are chosen."""
        logic = MemorySurvivalLogic()
        parameters = logic.getParameterNode()
        self.assertIsNotNone(missing_choice(parameters))
        parameters.ct = slicer.util.addVolumeFromArray(np.zeros((4, 5, 6), np.int16), name="CT")
        parameters.pet = slicer.util.addVolumeFromArray(np.ones((4, 5, 6), np.float32), name="PET")
        self.assertIsNone(missing_choice(parameters))
        logic.close()
