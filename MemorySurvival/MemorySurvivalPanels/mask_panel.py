"""Masks: have them made, correct them, see what that changes, accept them; corrections are never replaced unasked."""

from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from MemorySurvivalPanels.accepted import (
    DOUBT,
    Standing,
    accept_mask,
    has_accepted,
    mask_missing,
    mask_standing,
    read_acceptance,
)
from MemorySurvivalPanels.box_overlay import BoxOverlay
from MemorySurvivalPanels.desk import Desk
from MemorySurvivalPanels.errors import UserError
from MemorySurvivalPanels.mask_check import Checked, MaskChecker, describe_prompts
from MemorySurvivalPanels.mask_editor import MaskEditor
from MemorySurvivalPanels.mask_generation import FROM_FILE, CheckJob, MaskJob, SegmentJob
from MemorySurvivalPanels.mask_jobs import is_segmentation
from MemorySurvivalPanels.mask_question import Answer, AskCallback, ask_about_edits
from MemorySurvivalPanels.mask_source import MaskSourceChoice
from MemorySurvivalPanels.mask_state import mask_fingerprint
from MemorySurvivalPanels.parameters import ScoreParameters
from MemorySurvivalPanels.part import Part
from MemorySurvivalPanels.segmentations import describe_makers, edited_segments, generated_segments
from MemorySurvivalPanels.step import Step, StepState

__all__ = ["Answer", "MaskPanel", "ask_about_edits"]


class MaskPanel(Part):
    """The step "Masks". It takes turns with the score job on the one worker."""

    def __init__(self, desk: Desk, ask: AskCallback = ask_about_edits) -> None:
        self._desk = desk
        ui = self._ui = desk.ui
        self.ask = ask
        self.source = MaskSourceChoice(desk)
        self.checker = MaskChecker(desk, desk.changed)
        self.editor = MaskEditor(ui)
        self.overlay = BoxOverlay()
        self._job: MaskJob | None = None
        self._shown_boxes: Any = None
        ui.generateButton.clicked.connect(self._on_generate)
        ui.checkButton.clicked.connect(self._on_check)
        ui.acceptButton.clicked.connect(self._on_accept)
        ui.maskCancelButton.clicked.connect(self._on_cancel)
        desk.run_panel.watch(self.update)

    def bind(self, parameters: ScoreParameters | None) -> None:
        """Show and use `parameters` from now on."""
        super().bind(parameters)
        self.editor.show(parameters)

    def enter(self) -> None:
        """Look for segmenters."""
        self.source.ask()

    def leave(self) -> None:
        """Leave views and keys to the other module; the boxes too are ours alone."""
        self.source.forget()
        self._show_boxes(())

    def close(self) -> None:
        """Let go of everything."""
        self.checker.close()
        self.editor.show(None)
        self._show_boxes(())

    def scene_closed(self) -> None:
        """The nodes are gone."""
        self._job = None
        self.checker.forget()
        self.editor.scene_closed()
        self._show_boxes(())

    def find_heading(self, ui: Any) -> tuple[Any, Any] | None:
        """The section "Masks"."""
        return ui.maskSection, ui.maskNextLabel

    def step(self) -> Step | None:
        """Whether there is a mask that a person has looked at."""
        parameters = self.parameters
        if parameters is None:
            return None
        if self._job is not None:
            return Step(StepState.BUSY)
        if parameters.roi is None:
            if parameters.score_without_accepting:
                return Step(
                    StepState.TO_DO, _("Scoring makes a mask by itself. Generate masks to see and correct them first.")
                )
            return Step(
                StepState.TO_DO, _('Generate masks, look at them and accept one; or tick "Score without accepting".')
            )
        if is_segmentation(parameters.roi) and self._segment() is None:
            return Step(StepState.ATTENTION, _("Choose a segment of the segmentation."))
        answer = self.checker.answer
        if answer is not None and answer.problem:
            return Step(StepState.ATTENTION, answer.problem)
        if parameters.roi.GetAttribute(DOUBT):
            return Step(StepState.ATTENTION, mask_missing(parameters) or "")
        standing = mask_standing(parameters)
        if standing is Standing.ACCEPTED:
            return Step(StepState.DONE)
        if standing is Standing.CHANGED:
            return Step(
                StepState.STALE, _("The mask was changed since it was accepted; look at it and accept it again.")
            )
        if answer is not None and answer.stray:
            return Step(StepState.ATTENTION, _("There are stray pieces: erase them, or accept the mask as it is."))
        return Step(StepState.TO_DO, _("Look at the mask, correct it where it is wrong, and accept it."))

    def update(self) -> None:
        """Show what can be done with the chosen mask, who made it, and what an edit changed."""
        parameters, idle = self.parameters, not self._desk.run_panel.running
        self.source.show(parameters)
        self.checker.watch(parameters)
        self.editor.show(parameters)
        missing = self._missing_for_generating()
        self._ui.generateButton.enabled = idle and missing is None
        self._ui.generateButton.toolTip = missing or _("Make masks of spine and skeleton, to be corrected and accepted")
        ready = parameters is not None and parameters.roi is not None and parameters.ct is not None
        ready = ready and (self._segment() is not None or not is_segmentation(parameters.roi))
        self._ui.checkButton.enabled = idle and ready
        for widget in (self._ui.maskProgressBar, self._ui.maskStageLabel, self._ui.maskCancelButton):
            widget.visible = self._job is not None
        answer = self.checker.answer if ready else None
        self._show_accepting(ready)
        self._say(self._describe(answer))
        self._show_prompts(answer)
        show = parameters is not None and parameters.show_boxes and answer is not None
        self._show_boxes(answer.placed if show else ())

    def _missing_for_generating(self) -> str | None:
        if self.parameters is None or self.parameters.ct is None:
            return _("Choose the CT volume.")
        return self.source.hindrance()

    def _show_accepting(self, ready: bool) -> None:
        """The button and what it would do; it needs something that can be looked at."""
        button = self._ui.acceptButton
        if not ready or mask_fingerprint(self.parameters) is None:
            button.enabled, button.toolTip = False, _("There is no mask to accept yet")
            return
        accepted = mask_standing(self.parameters) is Standing.ACCEPTED and not self.parameters.roi.GetAttribute(DOUBT)
        button.enabled = not accepted and self._job is None
        button.toolTip = (
            _("The mask is accepted as it is")
            if accepted
            else _("Say that you have looked at this mask and that the case may be scored with it")
        )

    def _describe(self, answer: Checked | None) -> tuple[str, ...]:
        parameters = self.parameters
        if parameters is None or parameters.roi is None:
            if parameters is not None and not parameters.score_without_accepting:
                return (_("No mask is chosen."),)
            return (_("No mask is chosen: scoring makes one by itself. Generate masks to correct them first."),)
        said = (*answer.sentences,) if answer is not None and answer.sentences else self._describe_maker()
        accepted = read_acceptance(parameters)
        if accepted is None or mask_standing(parameters) is not Standing.ACCEPTED:
            return said
        when = qt.QDateTime.fromString(accepted.when, qt.Qt.ISODate).toLocalTime()
        shown = qt.QLocale().toString(when, qt.QLocale.ShortFormat)
        if accepted.reviewer:
            return (*said, _("Accepted by {reviewer}, {when}.").format(reviewer=accepted.reviewer, when=shown))
        return (*said, _("Accepted {when}.").format(when=shown))

    def _describe_maker(self) -> tuple[str, ...]:
        segment = self._segment()
        if segment is None:
            return ()
        makers = describe_makers(segment)
        if makers is None:
            return (_("It is not known who made this mask."),)
        return (_("Made by {makers}.").format(makers=makers),)

    def _show_prompts(self, answer: Checked | None) -> None:
        text = "" if answer is None else describe_prompts(answer.prompts, self.checker.compares_with_accepted)
        self._ui.maskPromptLabel.text = text
        self._ui.maskPromptLabel.visible = bool(text)

    def _show_boxes(self, placed: Any) -> None:
        if placed is self._shown_boxes:
            return
        self._shown_boxes = placed
        self.overlay.show(placed)

    def _segment(self) -> Any:
        roi = self.parameters.roi if self.parameters is not None else None
        if roi is None or not is_segmentation(roi):
            return None
        return roi.GetSegmentation().GetSegment(self.parameters.segment_id)

    def _say(self, sentences: tuple[str, ...]) -> None:
        bullet = "•  " if len(sentences) > 1 else ""
        self._ui.maskStatusLabel.text = "\n".join(f"{bullet}{sentence}" for sentence in sentences)
        self._ui.maskStatusLabel.visible = bool(sentences)

    def _on_generate(self, *_ignored: Any) -> None:
        target, answer, edited = self._own_segmentation(), Answer.REPLACE, []
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
        self._run(SegmentJob(self._desk, self.parameters, self._ended, target, agreed))

    def _on_check(self, *_ignored: Any) -> None:
        self._run(CheckJob(self._desk, self.parameters, self._ended, self.checker))

    def _on_accept(self, *_ignored: Any) -> None:
        if self.parameters is not None and accept_mask(self.parameters, self.parameters.reviewer):
            self.checker.note_accepted()
            self._desk.changed()

    def _on_cancel(self, *_ignored: Any) -> None:
        self._desk.worker().cancel()

    def _run(self, job: MaskJob) -> None:
        self._job = job
        job.start()

    def _ended(self) -> None:
        self._job = None

    def _own_segmentation(self) -> slicer.vtkMRMLSegmentationNode | None:
        """The chosen segmentation where it was generated here and nobody accepted any of it.

        Masks from elsewhere are never a target, nor is what a person has said is right.
        """
        roi = self.parameters.roi
        if not is_segmentation(roi) or not generated_segments(roi):
            return None
        return None if roi.GetAttribute(FROM_FILE) or has_accepted(roi) else roi


def segment_names(node: slicer.vtkMRMLSegmentationNode, segment_ids: list[str]) -> list[str]:
    """The names of segments as the user sees them."""
    return [node.GetSegmentation().GetSegment(each).GetName() for each in segment_ids]
