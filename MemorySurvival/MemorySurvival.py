"""The Slicer module: what Slicer calls and who answers it; everything else is in MemorySurvivalPanels."""

import logging
import sys
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

from MemorySurvivalPanels import locations, self_test
from MemorySurvivalPanels.errors import UserError
from MemorySurvivalPanels.older_scenes import repair_parameters
from MemorySurvivalPanels.panel_layout import load_panel
from MemorySurvivalPanels.panel_parts import PanelParts
from MemorySurvivalPanels.parameters import ScoreParameters
from MemorySurvivalPanels.sample_data import register_sample_data
from MemorySurvivalPanels.score_job import missing_choice
from MemorySurvivalPanels.scratch import ScratchFolder
from MemorySurvivalPanels.worker_client import WorkerClient, library_worker_command
from MemorySurvivalPanels.worker_protocol import WorkerCommand, WorkerProtocol


class MemorySurvival(ScriptedLoadableModule):
    """What the module is, for Slicer's menus."""

    def __init__(self, parent: Any) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("Memory Survival")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Nuclear Medicine")]
        parent.dependencies = ["Segmentations", "SegmentEditor"]
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
        slicer.app.connect("startupCompleted()", register_sample_data)


class MemorySurvivalWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """Builds the panel, binds its parts to the parameter node, and has them show what is so now."""

    def __init__(self, parent: Any = None) -> None:
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic: MemorySurvivalLogic | None = None
        self.ui: Any = None
        self.parts: PanelParts | None = None
        self._parameters: ScoreParameters | None = None
        self._observed: list[Any] = []
        self._gui_tag: int | None = None

    def resourcePath(self, filename: str) -> str:
        """The shipped file, which lies beside the library and not beside this module."""
        return str(locations.locate_resource(filename))

    def setup(self) -> None:
        """Build the panel when the user first opens it."""
        try:
            panel, self.ui = load_panel()
            self.logic = MemorySurvivalLogic()
        except UserError as error:
            sentence = qt.QLabel(str(error))
            sentence.wordWrap = True
            self.layout.addWidget(sentence)
            return
        ScriptedLoadableModuleWidget.setup(self)
        self.layout.addWidget(panel)
        self.parts = PanelParts(self.ui, lambda: self.logic.worker, self.logic.scratch, self.onParametersChanged)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onSceneEndClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartImportEvent, self.onSceneStartImport)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndImportEvent, self.onSceneEndImport)
        self.initializeParameterNode()

    def cleanup(self) -> None:
        """The module is unloaded or reloaded: leave no process and no file behind."""
        if self.logic is not None:
            self.logic.close()
            self.setParameterNode(None)
            self.parts.close()
        self.removeObservers()

    def enter(self) -> None:
        """The user opens the module: ask for the bundles once, which also warms the worker up."""
        if self.logic is not None:
            self.initializeParameterNode()
            self.parts.enter()

    def exit(self) -> None:
        """The user opens another module; a running job goes on."""
        if self.logic is not None:
            self.parts.leave()
            self.setParameterNode(None)

    def onReload(self) -> None:
        """Read every file again, those of both packages too."""
        locations.purge_packages()
        ScriptedLoadableModuleWidget.onReload(self)

    def onSceneStartClose(self, caller: Any, event: Any) -> None:
        """The nodes go away: so do the job that reads them and its files."""
        self.logic.close()
        self.setParameterNode(None)
        self.parts.scene_closed()

    def onSceneEndClose(self, caller: Any, event: Any) -> None:
        """Start again with an empty choice."""
        if self.parent.isEntered:
            self.initializeParameterNode()

    def onSceneStartImport(self, caller: Any, event: Any) -> None:
        """A scene comes in: its choices may be of another version, which only initializeParameterNode() can read."""
        self.setParameterNode(None)

    def onSceneEndImport(self, caller: Any, event: Any) -> None:
        """A scene was opened: show its choices and its results, now that every node is there."""
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
            self.removeObserver(self._parameters.parameterNode, vtk.vtkCommand.ModifiedEvent, self.onParametersChanged)
        self._parameters = parameters
        self._gui_tag = None
        self._observe_images()
        self.parts.bind(parameters)
        if parameters is not None:
            self._gui_tag = parameters.connectGui(self.ui)
            # Not the wrapper: VTKObservationMixin would keep it alive, and it reads all of the node at every change.
            self.addObserver(parameters.parameterNode, vtk.vtkCommand.ModifiedEvent, self.onParametersChanged)
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
        """The user or a script chose something, or changed what is chosen; or a part did."""
        # In mid-import references lead nowhere yet: what is shown and remembered then would be wrong.
        if self._parameters is not None and self.parts is not None and not slicer.mrmlScene.IsImporting():
            self._observe_images()
            self.parts.update()


class MemorySurvivalLogic(ScriptedLoadableModuleLogic):
    """Holds the worker and the private folder; usable without the panel. `worker` may be a stand-in."""

    def __init__(self, worker: WorkerProtocol | None = None) -> None:
        ScriptedLoadableModuleLogic.__init__(self)
        locations.import_library()
        self.scratch = ScratchFolder(Path(slicer.app.temporaryPath))
        self.worker = worker or WorkerClient(self._worker_command, locations.library_version())

    def getParameterNode(self) -> ScoreParameters:
        """The choices, typed; what an older scene says that is no longer understood takes its default."""
        node = super().getParameterNode()
        repair_parameters(node)
        return ScoreParameters(node)

    def close(self) -> None:
        """Stop the worker and remove every file."""
        self.worker.close()
        self.scratch.clear()

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
        reason = self_test.reason_to_skip()
        if reason is not None:
            logging.warning("The simulated patient is not scored: %s.", reason)
            return
        self.setUp()
        self.test_simulated_patient()

    def test_simulated_patient(self) -> None:
        """A simulated patient is scored and explained by the real worker; takes minutes."""
        logic = MemorySurvivalLogic()
        try:
            self_test.score_simulated_patient(logic)
        finally:
            logic.close()

    def test_score_waits_for_ct_and_pet(self) -> None:
        """Nothing can be scored before both images are chosen."""
        logic = MemorySurvivalLogic()
        parameters = logic.getParameterNode()
        self.assertIsNotNone(missing_choice(parameters))
        parameters.ct = slicer.util.addVolumeFromArray(np.zeros((4, 5, 6), np.int16), name="CT")
        parameters.pet = slicer.util.addVolumeFromArray(np.ones((4, 5, 6), np.float32), name="PET")
        parameters.score_without_accepting = True
        self.assertIsNone(missing_choice(parameters))
        logic.close()
