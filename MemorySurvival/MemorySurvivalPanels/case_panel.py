"""The step "Case": the images, what is to be known of them, and the choices that a .ui property cannot bind."""

from collections.abc import Callable
from typing import Any

import slicer
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

from MemorySurvivalPanels.case_warnings import CaseWarnings
from MemorySurvivalPanels.desk import Desk
from MemorySurvivalPanels.dicom_source import describe_pet
from MemorySurvivalPanels.parameters import ScoreParameters
from MemorySurvivalPanels.part import Part
from MemorySurvivalPanels.score_job import image_problem
from MemorySurvivalPanels.step import Step, StepState

_SEGMENT_EVENTS = ("SegmentAdded", "SegmentRemoved", "SegmentModified")


class CasePanel(Part, VTKObservationMixin):
    """Keeps two widgets and the parameter node in step; the others are bound by SlicerParameterName."""

    def __init__(self, desk: Desk) -> None:
        VTKObservationMixin.__init__(self)
        ui = self._ui = desk.ui
        self._updating = False
        ui.segmentCombo.currentIndexChanged.connect(self._choose_segment)
        self._entered = False
        self.warnings = CaseWarnings(desk, ui.caseFindingsLabel)

    def bind(self, parameters: ScoreParameters | None) -> None:
        """Show and change `parameters` from now on."""
        self.removeObservers(self._fill_segments)
        if parameters is None:
            self.warnings.stop()
        super().bind(parameters)

    def enter(self) -> None:
        """From now on the worker may be asked about the images."""
        self._entered = True
        self.update()

    def leave(self) -> None:
        """Nobody looks: ask nothing."""
        self._entered = False

    def close(self) -> None:
        """Let go of the segmentation."""
        self.removeObservers()
        self.warnings.stop()

    def scene_closed(self) -> None:
        """The images are gone."""
        self.warnings.stop()

    def find_heading(self, ui: Any) -> tuple[Any, Any] | None:
        """The section "Case"."""
        return ui.caseSection, ui.caseNextLabel

    def step(self) -> Step | None:
        """Whether both images are chosen and can be used."""
        if self.parameters is None:
            return None
        problem = image_problem(self.parameters)
        if problem is None:
            if self.warnings.warned:
                return Step(StepState.ATTENTION, _("The images can be scored; see what is said about them."))
            return Step(StepState.DONE)
        chosen = self.parameters.ct is not None and self.parameters.pet is not None
        return Step(StepState.ATTENTION if chosen else StepState.TO_DO, problem)

    def update(self) -> None:
        """Show what the parameter node says."""
        if self.parameters is None or self._updating:
            return
        self._updating = True
        try:
            self._observe_segmentation()
            self._fill_segments()
            self._show_pet_source()
            self.warnings.follow(self.parameters, ask=self._entered)
        finally:
            self._updating = False

    def _segmentation(self) -> slicer.vtkMRMLSegmentationNode | None:
        roi = self.parameters.roi if self.parameters is not None else None
        return roi if roi is not None and roi.IsA("vtkMRMLSegmentationNode") else None

    def _observe_segmentation(self) -> None:
        node = self._segmentation()
        self.removeObservers(self._fill_segments)
        if node is not None:
            for event in _SEGMENT_EVENTS:
                self.addObserver(node.GetSegmentation(), getattr(slicer.vtkSegmentation, event), self._fill_segments)

    def _fill_segments(self, caller: Any = None, event: Any = None) -> None:
        was_updating, self._updating = self._updating, True
        try:
            node = self._segmentation()
            combo = self._ui.segmentCombo
            combo.clear()
            identifiers = []
            if node is not None:
                segmentation = node.GetSegmentation()
                for index in range(segmentation.GetNumberOfSegments()):
                    identifiers.append(segmentation.GetNthSegmentID(index))
                    combo.addItem(segmentation.GetNthSegment(index).GetName(), identifiers[-1])
                if self.parameters.segment_id not in identifiers:
                    self.parameters.segment_id = identifiers[0] if len(identifiers) == 1 else ""
                self._select(combo, self.parameters.segment_id)
            combo.enabled = bool(identifiers)
            self._ui.segmentLabel.enabled = bool(identifiers)
        finally:
            self._updating = was_updating

    def _show_pet_source(self) -> None:
        text = describe_pet(self.parameters.pet if self.parameters is not None else None)
        self._ui.petSourceLabel.text = text
        self._ui.petSourceLabel.visible = bool(text)

    def _select(self, combo: Any, data: str) -> None:
        combo.currentIndex = combo.findData(data)

    def _choose(self, change: Callable[[ScoreParameters], None]) -> None:
        if self.parameters is not None and not self._updating:
            change(self.parameters)

    # Under Qt 5 a combo box says that its choice changed with a number or with a text, so both are ignored.
    def _choose_segment(self, *_ignored: Any) -> None:
        chosen = self._ui.segmentCombo.itemData(self._ui.segmentCombo.currentIndex) or ""
        self._choose(lambda parameters: setattr(parameters, "segment_id", chosen))
