"""What the library says of the chosen mask, asked in the background whenever the mask has become another."""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import qt
import slicer
import vtk
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

from MemorySurvivalPanels.desk import Desk
from MemorySurvivalPanels.errors import UserError
from MemorySurvivalPanels.mask_jobs import check_mask_job, image_grid, is_segmentation
from MemorySurvivalPanels.mask_state import describe_hindrance, mask_state
from MemorySurvivalPanels.parameters import ScoreParameters
from MemorySurvivalPanels.worker_protocol import Failure, Progress

PATIENCE_MS = 1500
"""After the last change: a person who paints is not interrupted by every stroke."""

_SEGMENT_EVENTS = ("SourceRepresentationModified", "RepresentationModified", "SegmentAdded", "SegmentRemoved")

BoxKey = tuple[str, ...]


@dataclass(frozen=True)
class Checked:
    """One answer: the library's sentences, stray pieces, boxes in the patient, and how prompts compare (or None)."""

    sentences: tuple[str, ...] = ()
    stray: tuple[str, ...] = ()
    placed: tuple[Mapping[str, Any], ...] = ()
    boxes: tuple[Mapping[str, Any], ...] = ()
    prompts: Mapping[str, Any] | None = None
    problem: str = ""
    """Why the mask cannot be used, where that is so; all else is empty then."""

    @classmethod
    def from_result(cls, result: Mapping[str, Any]) -> "Checked":
        """From a finished job; what an older library does not say stays empty."""
        return cls(
            tuple(str(each) for each in result.get("sentences") or []),
            tuple(str(each) for each in result.get("stray_sentences") or []),
            tuple(result.get("placed_boxes") or []),
            tuple(result.get("prompt_boxes") or []),
            result.get("prompts"),
        )


@dataclass
class _Reference:
    """Boxes to compare with, of one mask: as it was first seen here, and as it was last accepted."""

    first: tuple[Mapping[str, Any], ...] | None = None
    accepted: tuple[Mapping[str, Any], ...] | None = None
    by_state: dict[str, tuple[Mapping[str, Any], ...]] = field(default_factory=dict)


class MaskChecker(VTKObservationMixin):
    """Watches the chosen mask; `changed` is called when it may have become another, and when an answer has come."""

    def __init__(self, desk: Desk, changed: Callable[[], None]) -> None:
        VTKObservationMixin.__init__(self)
        self._desk = desk
        self._changed = changed
        self._parameters: ScoreParameters | None = None
        self._watched: Any = None
        self._references: dict[BoxKey, _Reference] = {}
        self._answers: dict[BoxKey, Checked] = {}
        self._under_way: BoxKey | None = None
        self._asked: Any = None
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(PATIENCE_MS)
        self._timer.timeout.connect(self.check)

    def watch(self, parameters: ScoreParameters | None) -> None:
        """Follow the mask that is chosen there; None follows nothing."""
        self._parameters = parameters
        roi = parameters.roi if parameters is not None else None
        if roi is not self._watched:
            self.removeObservers()
            self._watched = roi
            if roi is not None:
                self._observe(roi)
        if roi is None:
            self._timer.stop()
        elif not self._timer.isActive() and not self._asking() and self._wanted() is not None:
            self._timer.start()

    @property
    def answer(self) -> Checked | None:
        """What is known of the mask as it is now; None while nothing is."""
        key = self._key()
        return None if key is None else self._answers.get(key)

    @property
    def pending(self) -> bool:
        """Whether an answer about the mask as it is now is on its way or will be asked for."""
        return self._wanted() is not None

    def note_accepted(self) -> None:
        """The mask as it is now is what later edits are compared with."""
        key = self._key()
        if key is not None:
            reference = self._reference(key)
            reference.accepted = reference.by_state.get(key[-1])

    def remember(self, checked: Checked) -> None:
        """An answer that was asked for in another way, about the mask as it is now."""
        key = self._key()
        if key is not None:
            self._take(key, checked)

    def check(self, *_ignored: Any) -> None:
        """Ask now, unless the answer is known or another question is under way; while a job runs, later.

        Handing volumes over takes the viewer's own time, and whoever waits for a score should not see it stand still.
        """
        if self._desk.run_panel.running:
            self._timer.start()
            return
        self._changed()  # the mask may be another: what stands beside it has to say so, with or without an answer
        wanted = self._wanted()
        if wanted is None or self._asking():
            return
        hindrance = describe_hindrance(self._parameters)
        if hindrance is not None:
            self._take(wanted, Checked(problem=hindrance))
            return
        folder = None
        try:
            folder = self._desk.scratch.new_folder()
            job = check_mask_job(self._parameters, folder)
        except UserError as error:
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)
            self._take(wanted, Checked(problem=str(error)))
            return
        job["before"] = self.boxes_before(kept_generated=job["generated"] is not None)
        self._under_way, self._asked = wanted, self._desk.worker()
        names = {job["mask"]: self._parameters.roi.GetName()}
        self._asked.submit("check_mask", job, _Question(self, wanted, folder, names), background=True)

    def boxes_before(self, *, kept_generated: bool) -> list[Mapping[str, Any]] | None:
        """The boxes to compare those of the chosen mask with; None leaves it to the mask as it was generated."""
        key = self._key()
        if key is None:
            return None
        reference = self._reference(key)
        before = reference.accepted or (None if kept_generated else reference.first)
        return None if before is None else list(before)

    @property
    def compares_with_accepted(self) -> bool:
        """Whether edits are compared with the mask that was accepted."""
        key = self._key()
        return key is not None and self._reference(key).accepted is not None

    def forget(self) -> None:
        """The scene is gone, and the worker with it: nobody will answer any more."""
        self.watch(None)
        self._answers.clear()
        self._references.clear()
        self._under_way = None

    def close(self) -> None:
        """Let go of observers and timer."""
        self._timer.stop()
        self.removeObservers()
        self._parameters = self._watched = None

    def answered(self, key: BoxKey, checked: Checked | None) -> None:
        """A question has ended, with an answer or without one."""
        if self._under_way != key:  # it was forgotten meanwhile
            return
        self._under_way = None
        # Without an answer nothing is asked again until something changes: the same would happen.
        self._take(key, checked if checked is not None else Checked())
        if self._wanted() is not None and not self._timer.isActive():
            self._timer.start()

    def _asking(self) -> bool:
        """Whether a question is under way; a worker that was exchanged since will not answer."""
        return self._under_way is not None and self._asked is self._desk.worker()

    def _take(self, key: BoxKey, checked: Checked) -> None:
        self._answers[key] = checked
        reference = self._reference(key)
        if checked.boxes:
            reference.by_state[key[-1]] = checked.boxes
            reference.first = reference.first or checked.boxes
        for kept in (self._answers, reference.by_state):
            while len(kept) > 32:
                kept.pop(next(iter(kept)))
        self._changed()

    def _reference(self, key: BoxKey) -> _Reference:
        return self._references.setdefault(key[:-1], _Reference())

    def _wanted(self) -> BoxKey | None:
        """What to ask about; None where nothing is chosen or the answer is there."""
        key = self._key()
        return None if key is None or key in self._answers else key

    def _key(self) -> BoxKey | None:
        """Mask, CT's place and model, and last the mask's state; None where they are not all chosen."""
        parameters = self._parameters
        if parameters is None or parameters.roi is None or parameters.ct is None or not parameters.bundle:
            return None
        if is_segmentation(parameters.roi) and not parameters.segment_id:
            return None
        try:
            grid = str(image_grid(parameters.ct))
        except UserError:  # the step "Case" says so
            return None
        chosen = (parameters.roi.GetID(), parameters.segment_id, parameters.bundle, grid)
        return (*chosen, mask_state(parameters))

    def _observe(self, roi: Any) -> None:
        moved = slicer.vtkMRMLTransformableNode.TransformModifiedEvent
        self.addObserver(roi, moved, self._on_edited)
        if not is_segmentation(roi):
            self.addObserver(roi, slicer.vtkMRMLVolumeNode.ImageDataModifiedEvent, self._on_edited)
            self.addObserver(roi, vtk.vtkCommand.ModifiedEvent, self._on_edited)
            return
        for name in _SEGMENT_EVENTS:
            self.addObserver(roi.GetSegmentation(), getattr(slicer.vtkSegmentation, name), self._on_edited)

    def _on_edited(self, caller: Any = None, event: Any = None) -> None:
        self._timer.start()  # again from the beginning


class _Question:
    """One job in the background; a JobListener. It shows nothing by itself."""

    def __init__(self, checker: MaskChecker, key: BoxKey, folder: Path, names: Mapping[str, str]) -> None:
        self._checker = checker
        self._key = key
        self._folder = folder
        self._names = names

    def job_progressed(self, progress: Progress) -> None:
        """Nobody waits for it."""

    def job_noted(self, text: str) -> None:
        """The sentences at the end say it all."""

    def job_finished(self, result: Mapping[str, Any], files: Mapping[str, str | None]) -> None:
        """The library has looked at the mask."""
        self._end(Checked.from_result(result))

    def job_failed(self, failure: Failure) -> None:
        """What is wrong with the mask is for the person; trouble of the worker shows when they ask for something."""
        sentence = failure.sentence
        for path, name in self._names.items():
            sentence = sentence.replace(path, f'"{name}"')
        self._end(Checked(problem=sentence) if failure.kind == "InputError" else None)

    def job_cancelled(self) -> None:
        """No answer."""
        self._end(None)

    def _end(self, checked: Checked | None) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        self._checker.answered(self._key, checked)


def describe_prompts(prompts: Mapping[str, Any] | None, accepted: bool) -> str:
    """What an edit means for the model, in one sentence; empty where there is nothing to compare with.

    `accepted`: the boxes that were given to compare with are those of the accepted mask.
    """
    if prompts is None:
        return ""
    if prompts["same_risk"]:
        return _("No prompt changed: the risk is identical.")
    if prompts["changed"] == 0:
        return _("No prompt box changed, but this model also reads the mask itself: the risk can change.")
    since = _("it was generated") if prompts["since"] == "generated" else _("it was first seen here")
    if accepted and prompts["since"] == "before":
        since = _("it was accepted")
    return _(
        "Prompt boxes changed since {since}: {changed} ({prompted} slices are prompted). The risk can change."
    ).format(changed=prompts["changed"], since=since, prompted=prompts["prompted"])
