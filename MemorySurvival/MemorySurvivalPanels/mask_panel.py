"""Masks: have them made, see who made them, check them; a person's corrections are never replaced unasked."""

import enum
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from MemorySurvivalPanels.desk import Desk
from MemorySurvivalPanels.errors import UserError
from MemorySurvivalPanels.mask_jobs import check_mask_job, segment_job
from MemorySurvivalPanels.panel_job import PanelJob
from MemorySurvivalPanels.parameters import ScoreParameters
from MemorySurvivalPanels.part import Part
from MemorySurvivalPanels.segmentations import (
    describe_makers,
    edited_segments,
    fill_segmentation,
    generated_segments,
    show_segmentation,
)
from MemorySurvivalPanels.step import Step, StepState


class Answer(enum.Enum):
    """What to do with a segmentation that a person corrected when masks are made again."""

    NEW = "new"
    REPLACE = "replace"
    CANCEL = "cancel"


AskCallback = Callable[[str, list[str]], Answer]
"""Is given the segmentation's name and the names of its corrected segments."""


def ask_about_edits(name: str, segments: list[str]) -> Answer:
    """Ask in a dialog; keeping the corrections is the default, and what closing the dialog comes closest to."""
    box = qt.QMessageBox()
    box.setIcon(qt.QMessageBox.Warning)
    box.setWindowTitle(_("Corrected masks"))
    box.setText(
        _('You corrected {segments} in "{name}". Keep it and put the new masks into another segmentation?').format(
            segments=", ".join(segments), name=name
        )
    )
    keep = box.addButton(_("Keep mine"), qt.QMessageBox.AcceptRole)
    replace = box.addButton(_("Replace my corrections"), qt.QMessageBox.DestructiveRole)
    cancel = box.addButton(_("Cancel"), qt.QMessageBox.RejectRole)
    box.setDefaultButton(keep)
    box.setEscapeButton(cancel)
    box.exec_()
    clicked = box.clickedButton()
    if clicked == keep:
        return Answer.NEW
    return Answer.REPLACE if clicked == replace else Answer.CANCEL


class MaskPanel(Part):
    """The step "Masks". It takes turns with the score job on the one worker, and shows progress in the run panel."""

    def __init__(self, desk: Desk, ask: AskCallback = ask_about_edits) -> None:
        self._desk = desk
        ui = self._ui = desk.ui
        self.ask = ask
        self._checked: tuple[str, ...] = ()
        self._shown: tuple[str, str] | None = None
        ui.generateButton.clicked.connect(self._on_generate)
        ui.checkButton.clicked.connect(self._on_check)
        desk.run_panel.watch(self.update)

    def bind(self, parameters: ScoreParameters | None) -> None:
        """Show and use `parameters` from now on."""
        self._shown = None
        super().bind(parameters)

    def find_heading(self, ui: Any) -> tuple[Any, Any] | None:
        """The section "Masks"."""
        return ui.maskSection, ui.maskNextLabel

    def step(self) -> Step | None:
        """Whether there is a mask to score with."""
        if self.parameters is None:
            return None
        if self.parameters.roi is None:
            return Step(
                StepState.TO_DO, _("Scoring makes a mask by itself. Generate masks to see and correct them first.")
            )
        return Step(StepState.DONE)

    def update(self) -> None:
        """Show what can be done with the chosen mask and who made it."""
        parameters, idle = self.parameters, not self._desk.run_panel.running
        self._ui.generateButton.enabled = idle and parameters is not None and parameters.ct is not None
        segment = self._segment()
        chosen = parameters is not None and parameters.roi is not None
        ready = chosen and (segment is not None or parameters.roi.IsA("vtkMRMLLabelMapVolumeNode"))
        self._ui.checkButton.enabled = idle and ready and parameters.ct is not None
        key = (parameters.roi.GetID(), parameters.segment_id) if chosen else ("", "")
        if key != self._shown:
            self._shown = key
            self._checked = ()
        self._say(self._checked or self._describe(segment))

    def show_check(self, sentences: tuple[str, ...]) -> None:
        """Show what the worker said about the chosen mask, until another is chosen."""
        self._checked = sentences
        self.update()

    def _describe(self, segment: Any) -> tuple[str, ...]:
        if self.parameters is None or self.parameters.roi is None:
            return (_("No mask is chosen: scoring makes one by itself. Generate masks to correct them first."),)
        if segment is None:
            return ()
        makers = describe_makers(segment)
        if makers is None:
            return (_("It is not known who made this mask."),)
        return (_("Made by {makers}.").format(makers=makers),)

    def _segment(self) -> Any:
        roi = self.parameters.roi if self.parameters is not None else None
        if roi is None or not roi.IsA("vtkMRMLSegmentationNode"):
            return None
        return roi.GetSegmentation().GetSegment(self.parameters.segment_id)

    def _say(self, sentences: tuple[str, ...]) -> None:
        bullet = "•  " if len(sentences) > 1 else ""
        self._ui.maskStatusLabel.text = "\n".join(f"{bullet}{sentence}" for sentence in sentences)
        self._ui.maskStatusLabel.visible = bool(sentences)

    def _on_generate(self, *_ignored: Any) -> None:
        target, answer = self._own_segmentation(), Answer.REPLACE
        try:
            if target is not None:
                edited = edited_segments(target)
                if edited:
                    answer = self.ask(target.GetName(), segment_names(target, edited))
        except UserError as error:
            self._desk.run_panel.show_idle(str(error), problem=True)
            return
        if answer is Answer.CANCEL:
            return
        if answer is Answer.NEW:
            target = None
        agreed = set(edited) if target is not None else set()
        SegmentJob(self._desk, self, target, agreed).start()

    def _on_check(self, *_ignored: Any) -> None:
        CheckJob(self._desk, self).start()

    def _own_segmentation(self) -> slicer.vtkMRMLSegmentationNode | None:
        """The chosen segmentation where it was generated here; masks from elsewhere are never a target."""
        roi = self.parameters.roi
        if roi is None or not roi.IsA("vtkMRMLSegmentationNode") or not generated_segments(roi):
            return None
        return roi

    @property
    def chosen_segment(self) -> str:
        """Identifier of the segment that is chosen now; replacing segments unchooses it."""
        return self.parameters.segment_id if self.parameters is not None else ""

    def choose(self, node: slicer.vtkMRMLSegmentationNode, segment_id: str) -> None:
        """Make the new masks the chosen ones, with this segment where it is among them."""
        if self.parameters is None:
            return
        regions = generated_segments(node)
        self.parameters.roi = node
        self.parameters.segment_id = segment_id if segment_id in regions else regions[0]


class SegmentJob(PanelJob):
    """Has masks made: into `target` where that is still as agreed when they come, else into a new segmentation."""

    kind = "segment"

    def __init__(
        self, desk: Desk, panel: MaskPanel, target: slicer.vtkMRMLSegmentationNode | None, agreed: set[str]
    ) -> None:
        super().__init__(desk)
        self._panel = panel
        self._ct = panel.parameters.ct
        self._target = target
        self._agreed = agreed

    def describe(self, folder: Path) -> dict[str, Any]:
        """The CT."""
        job = segment_job(self._panel.parameters, folder)
        self.names = {job["ct"]: self._ct.GetName()}
        return job

    def finish(self, result: Mapping[str, Any], files: Mapping[str, str | None]) -> str:
        """Show the masks."""
        record = Path(files["structures"] or "")
        chosen = self._panel.chosen_segment
        try:
            if self._may_fill_target():
                node = self._target
                fill_segmentation(node, record)
            else:
                node = show_segmentation(record, self._ct, _("Regions of {ct}").format(ct=self._ct.GetName()))
        except (OSError, RuntimeError, UserError) as error:
            raise UserError(_("The masks cannot be read; generate them again.")) from error
        self._panel.choose(node, chosen)
        notes = [str(note) for note in result.get("notes") or []]
        return " ".join(notes) or _("The masks are ready; check them before scoring.")

    def _may_fill_target(self) -> bool:
        """The person may have removed or corrected the target while the worker was busy."""
        if self._target is None or self._target.GetScene() is None:
            return False
        return set(edited_segments(self._target)) <= self._agreed


class CheckJob(PanelJob):
    """Shows what the library says about the chosen mask."""

    kind = "check_mask"

    def __init__(self, desk: Desk, panel: MaskPanel) -> None:
        super().__init__(desk)
        self._panel = panel

    def describe(self, folder: Path) -> dict[str, Any]:
        """The mask beside the CT."""
        parameters = self._panel.parameters
        job = check_mask_job(parameters, folder)
        self.names = {job["ct"]: parameters.ct.GetName(), job["mask"]: parameters.roi.GetName()}
        return job

    def finish(self, result: Mapping[str, Any], files: Mapping[str, str | None]) -> str:
        """Show the sentences under the mask."""
        self._panel.show_check(tuple(str(each) for each in result.get("sentences") or []))
        return ""


def segment_names(node: slicer.vtkMRMLSegmentationNode, segment_ids: list[str]) -> list[str]:
    """The names of segments as the user sees them."""
    return [node.GetSegmentation().GetSegment(each).GetName() for each in segment_ids]
