"""The choices that a .ui property cannot bind by itself: segment, covariates file and model bundle."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

from MemorySurvivalPanels.dicom_source import describe_pet
from MemorySurvivalPanels.parameters import ScoreParameters
from MemorySurvivalPanels.worker_protocol import Failure, Progress

_SEGMENT_EVENTS = ("SegmentAdded", "SegmentRemoved", "SegmentModified")


class CasePanel(VTKObservationMixin):
    """Keeps three widgets and the parameter node in step; the others are bound by SlicerParameterName.

    It is also the listener of the job that lists the bundles; where that fails, the shipped ones remain.
    """

    def __init__(self, ui: Any) -> None:
        super().__init__()
        self._ui = ui
        self._parameters: ScoreParameters | None = None
        self._updating = False
        ui.segmentCombo.currentIndexChanged.connect(self._choose_segment)
        ui.covariatesPath.currentPathChanged.connect(self._choose_covariates)
        ui.bundleCombo.currentIndexChanged.connect(self._choose_bundle)

    def bind(self, parameters: ScoreParameters | None) -> None:
        """Show and change `parameters` from now on."""
        self.removeObservers(self._fill_segments)
        self._parameters = parameters
        if parameters is not None:
            self.update()

    def update(self) -> None:
        """Show what the parameter node says."""
        if self._parameters is None or self._updating:
            return
        self._updating = True
        try:
            self._observe_segmentation()
            self._fill_segments()
            if self._ui.covariatesPath.currentPath != self._parameters.covariates:
                self._ui.covariatesPath.currentPath = self._parameters.covariates
            self._show_bundle()
            self._show_pet_source()
        finally:
            self._updating = False

    def set_bundles(self, names: list[str], statuses: Mapping[str, str] | None = None) -> None:
        """Offer these model bundles; each shows its status where that is known."""
        combo = self._ui.bundleCombo
        was_updating, self._updating = self._updating, True
        try:
            combo.clear()
            for name in names:
                status = (statuses or {}).get(name)
                combo.addItem(f"{name} ({status})" if status and status != name else name, name)
            self._show_bundle()
        finally:
            self._updating = was_updating

    def job_progressed(self, progress: Progress) -> None:
        """Listing bundles takes no time worth showing."""

    def job_noted(self, text: str) -> None:
        """Nothing to add to the list."""

    def job_finished(self, result: Mapping[str, Any], files: Mapping[str, str | None]) -> None:
        """Offer what the library's registry found."""
        found = [each for each in result.get("bundles", []) if each.get("name")]
        if found:
            self.set_bundles(
                [str(each["name"]) for each in found],
                {str(each["name"]): str(each.get("status") or "") for each in found},
            )

    def job_failed(self, failure: Failure) -> None:
        """The shipped bundles stay on offer; Score will say what is wrong."""

    def job_cancelled(self) -> None:
        """The shipped bundles stay on offer."""

    def _segmentation(self) -> slicer.vtkMRMLSegmentationNode | None:
        roi = self._parameters.roi if self._parameters is not None else None
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
                if self._parameters.segment_id not in identifiers:
                    self._parameters.segment_id = identifiers[0] if len(identifiers) == 1 else ""
                self._select(combo, self._parameters.segment_id)
            combo.enabled = bool(identifiers)
            self._ui.segmentLabel.enabled = bool(identifiers)
        finally:
            self._updating = was_updating

    def _show_bundle(self) -> None:
        """Select the chosen bundle; a saved scene or a script may name one that is not in the list."""
        combo = self._ui.bundleCombo
        chosen = self._parameters.bundle if self._parameters is not None else ""
        if chosen and combo.findData(chosen) < 0:
            there = Path(chosen).is_file()
            combo.addItem(Path(chosen).name if there else _("{name} (not installed)").format(name=chosen), chosen)
        self._select(combo, chosen)

    def _show_pet_source(self) -> None:
        text = describe_pet(self._parameters.pet if self._parameters is not None else None)
        self._ui.petSourceLabel.text = text
        self._ui.petSourceLabel.visible = bool(text)

    def _select(self, combo: Any, data: str) -> None:
        combo.currentIndex = combo.findData(data)

    def _choose(self, change: Callable[[ScoreParameters], None]) -> None:
        if self._parameters is not None and not self._updating:
            change(self._parameters)

    # Under Qt 5 a combo box says that its choice changed with a number or with a text, so both are ignored.
    def _choose_segment(self, *_ignored: Any) -> None:
        chosen = self._ui.segmentCombo.itemData(self._ui.segmentCombo.currentIndex) or ""
        self._choose(lambda parameters: setattr(parameters, "segment_id", chosen))

    def _choose_covariates(self, path: str) -> None:
        self._choose(lambda parameters: setattr(parameters, "covariates", path.strip()))

    def _choose_bundle(self, *_ignored: Any) -> None:
        chosen = self._ui.bundleCombo.itemData(self._ui.bundleCombo.currentIndex) or ""
        self._choose(lambda parameters: setattr(parameters, "bundle", chosen))
