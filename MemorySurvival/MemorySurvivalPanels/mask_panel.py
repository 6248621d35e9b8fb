"""Masks: have them made, see who made them, check them; a person's corrections are never replaced unasked."""

import enum
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from MemorySurvivalPanels.errors import UserError
from MemorySurvivalPanels.mask_jobs import check_mask_job, segment_job
from MemorySurvivalPanels.parameters import ScoreParameters
from MemorySurvivalPanels.run_panel import RunPanel
from MemorySurvivalPanels.scratch import ScratchFolder
from MemorySurvivalPanels.segmentations import (
    describe_makers,
    edited_segments,
    fill_segmentation,
    generated_segments,
    show_segmentation,
)
from MemorySurvivalPanels.worker_protocol import Failure, Progress, WorkerProtocol


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


class MaskPanel:
    """The section "Masks". It takes turns with the score job on the one worker, and shows progress in the run panel."""

    def __init__(
        self,
        ui: Any,
        run_panel: RunPanel,
        worker: Callable[[], WorkerProtocol],
        scratch: ScratchFolder,
        ask: AskCallback = ask_about_edits,
    ) -> None:
        self._ui = ui
        self._run_panel = run_panel
        self._worker = worker
        self._scratch = scratch
        self.ask = ask
        self._parameters: ScoreParameters | None = None
        self._checked: tuple[str, ...] = ()
        self._shown: tuple[str, str] | None = None
        ui.generateButton.clicked.connect(self._on_generate)
        ui.checkButton.clicked.connect(self._on_check)
        run_panel.watch(self.update)

    def bind(self, parameters: ScoreParameters | None) -> None:
        """Show and use `parameters` from now on."""
        self._parameters = parameters
        self._shown = None
        self.update()

    def update(self) -> None:
        """Show what can be done with the chosen mask and who made it."""
        parameters, idle = self._parameters, not self._run_panel.running
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
        if self._parameters is None or self._parameters.roi is None:
            return (_("No mask is chosen: scoring makes one by itself. Generate masks to correct them first."),)
        if segment is None:
            return ()
        makers = describe_makers(segment)
        if makers is None:
            return (_("It is not known who made this mask."),)
        return (_("Made by {makers}.").format(makers=makers),)

    def _segment(self) -> Any:
        roi = self._parameters.roi if self._parameters is not None else None
        if roi is None or not roi.IsA("vtkMRMLSegmentationNode"):
            return None
        return roi.GetSegmentation().GetSegment(self._parameters.segment_id)

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
            self._run_panel.show_idle(str(error), problem=True)
            return
        if answer is Answer.CANCEL:
            return
        if answer is Answer.NEW:
            target = None
        agreed = set(edited) if target is not None else set()
        self._start("segment", _SegmentListener(self, self._parameters.ct, target, agreed))

    def _on_check(self, *_ignored: Any) -> None:
        self._start("check_mask", _CheckListener(self))

    def _own_segmentation(self) -> slicer.vtkMRMLSegmentationNode | None:
        """The chosen segmentation where it was generated here; masks from elsewhere are never a target."""
        roi = self._parameters.roi
        if roi is None or not roi.IsA("vtkMRMLSegmentationNode") or not generated_segments(roi):
            return None
        return roi

    def _start(self, kind: str, listener: "_MaskJob") -> None:
        self._run_panel.show_running()
        try:
            job = listener.prepare(self._parameters, self._scratch.new_folder())
        except UserError as error:
            listener.job_failed(Failure(str(error)))
            return
        self._worker().submit(kind, job, listener)

    def job_ended(self, sentence: str = "", problem: bool = False) -> None:
        """A job of this section is over."""
        self._run_panel.show_idle(sentence, problem)

    def progressed(self, progress: Progress) -> None:
        """One step further."""
        self._run_panel.show_progress(progress)

    def noted(self, text: str) -> None:
        """The worker wants the user to know something."""
        self._run_panel.show_note(text)

    @property
    def chosen_segment(self) -> str:
        """Identifier of the segment that is chosen now; replacing segments unchooses it."""
        return self._parameters.segment_id if self._parameters is not None else ""

    def choose(self, node: slicer.vtkMRMLSegmentationNode, segment_id: str) -> None:
        """Make the new masks the chosen ones, with this segment where it is among them."""
        if self._parameters is None:
            return
        regions = generated_segments(node)
        self._parameters.roi = node
        self._parameters.segment_id = segment_id if segment_id in regions else regions[0]


class _MaskJob:
    """What the jobs of this section share: a folder of their own, removed at the end, and the way back to idle."""

    def __init__(self, panel: MaskPanel) -> None:
        self._panel = panel
        self._folder: Path | None = None
        self._names: dict[str, str] = {}

    def prepare(self, parameters: ScoreParameters, folder: Path) -> dict[str, Any]:
        """Write the inputs; the parameters of the job."""
        self._folder = folder
        job = self._job(parameters, folder)
        nodes = {"ct": parameters.ct, "mask": parameters.roi}
        self._names = {job[key]: node.GetName() for key, node in nodes.items() if job.get(key)}
        return job

    def _job(self, parameters: ScoreParameters, folder: Path) -> dict[str, Any]:
        raise NotImplementedError

    def job_progressed(self, progress: Progress) -> None:
        """One step further."""
        self._panel.progressed(progress)

    def job_noted(self, text: str) -> None:
        """A sentence for the user."""
        self._panel.noted(self._named(text))

    def job_failed(self, failure: Failure) -> None:
        """The worker said why, or died."""
        self._clean()
        self._panel.job_ended(self._named(failure.sentence), problem=True)

    def job_cancelled(self) -> None:
        """The user changed their mind."""
        self._clean()
        self._panel.job_ended(_("Cancelled."))

    def _clean(self) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _named(self, sentence: str) -> str:
        for path, name in self._names.items():
            sentence = sentence.replace(path, f'"{name}"')
        return sentence


class _SegmentListener(_MaskJob):
    """Loads the masks that were made: into `target` where that is still as agreed, else into a new segmentation."""

    def __init__(
        self,
        panel: MaskPanel,
        ct: slicer.vtkMRMLScalarVolumeNode,
        target: slicer.vtkMRMLSegmentationNode | None,
        agreed: set[str],
    ) -> None:
        super().__init__(panel)
        self._ct = ct
        self._target = target
        self._agreed = agreed

    def _job(self, parameters: ScoreParameters, folder: Path) -> dict[str, Any]:
        return segment_job(parameters, folder)

    def job_finished(self, result: Mapping[str, Any], files: Mapping[str, str | None]) -> None:
        """Show the masks."""
        record = Path(files["structures"] or "")
        chosen = self._panel.chosen_segment
        try:
            if self._may_fill_target():
                node = self._target
                fill_segmentation(node, record)
            else:
                node = show_segmentation(record, self._ct, _("Regions of {ct}").format(ct=self._ct.GetName()))
        except (OSError, RuntimeError, UserError):
            self._clean()
            self._panel.job_ended(_("The masks cannot be read; generate them again."), problem=True)
            return
        self._clean()
        self._panel.choose(node, chosen)
        notes = [str(note) for note in result.get("notes") or []]
        self._panel.job_ended(" ".join(notes) or _("The masks are ready; check them before scoring."))

    def _may_fill_target(self) -> bool:
        """The person may have removed or corrected the target while the worker was busy."""
        if self._target is None or self._target.GetScene() is None:
            return False
        return set(edited_segments(self._target)) <= self._agreed


class _CheckListener(_MaskJob):
    """Shows what the library says about the chosen mask."""

    def _job(self, parameters: ScoreParameters, folder: Path) -> dict[str, Any]:
        return check_mask_job(parameters, folder)

    def job_finished(self, result: Mapping[str, Any], files: Mapping[str, str | None]) -> None:
        """Show the sentences under the mask."""
        self._clean()
        self._panel.job_ended()
        self._panel.show_check(tuple(str(each) for each in result.get("sentences") or []))


def segment_names(node: slicer.vtkMRMLSegmentationNode, segment_ids: list[str]) -> list[str]:
    """The names of segments as the user sees them."""
    return [node.GetSegmentation().GetSegment(each).GetName() for each in segment_ids]
