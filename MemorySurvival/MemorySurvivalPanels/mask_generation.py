"""The two mask jobs that a person asks for and waits for: making masks, and checking the chosen one."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from MemorySurvivalPanels.accepted import DOUBT
from MemorySurvivalPanels.desk import Desk
from MemorySurvivalPanels.errors import UserError
from MemorySurvivalPanels.mask_check import Checked, MaskChecker
from MemorySurvivalPanels.mask_jobs import check_mask_job, segment_job
from MemorySurvivalPanels.mask_state import mask_state
from MemorySurvivalPanels.panel_job import PanelJob
from MemorySurvivalPanels.parameters import MaskSource, ScoreParameters
from MemorySurvivalPanels.patient import read_patient
from MemorySurvivalPanels.run_panel import describe_progress
from MemorySurvivalPanels.segmentations import (
    edited_segments,
    fill_segmentation,
    generated_segments,
    read_stamp,
    show_segmentation,
)
from MemorySurvivalPanels.worker_protocol import Progress

FROM_FILE = "MemorySurvival.from_file"
"""Node attribute of a segmentation that was read from a person's file: masks are never made again in its place."""


class MaskJob(PanelJob):
    """Shows its progress in the section "Masks" too. `ended` is called when it is over, whatever came of it."""

    def __init__(self, desk: Desk, parameters: ScoreParameters, ended: Callable[[], None]) -> None:
        super().__init__(desk)
        self.parameters = parameters
        self._ended = ended

    def start(self) -> None:
        """Hand it to the worker."""
        self._show_progress(_("Starting…"), 0, 0)
        super().start()

    def job_progressed(self, progress: Progress) -> None:
        """One step further."""
        self._show_progress(describe_progress(progress), progress.done, max(progress.total, 0))
        super().job_progressed(progress)

    def _show_progress(self, stage: str, done: int, total: int) -> None:
        ui = self.desk.ui
        ui.maskProgressBar.maximum = total
        ui.maskProgressBar.value = done
        ui.maskStageLabel.text = stage

    def _clean(self) -> None:
        super()._clean()
        self._ended()


class SegmentJob(MaskJob):
    """Has masks made: into `target` where that is still as agreed when they come, else into a new segmentation."""

    kind = "segment"

    def __init__(
        self,
        desk: Desk,
        parameters: ScoreParameters,
        ended: Callable[[], None],
        target: slicer.vtkMRMLSegmentationNode | None,
        agreed: set[str],
    ) -> None:
        super().__init__(desk, parameters, ended)
        self._ct = parameters.ct
        self._file = Path(parameters.mask_file) if parameters.mask_source is MaskSource.FILE else None
        self._target = target
        self._agreed = agreed

    def describe(self, folder: Path) -> dict[str, Any]:
        """The CT, and what makes the masks."""
        job = segment_job(self.parameters, folder)
        self.names = {job["ct"]: self._ct.GetName()}
        if self._file is not None:
            self.names[job["existing"]] = self._file.name
        return job

    def finish(self, result: Mapping[str, Any], files: Mapping[str, str | None]) -> str:
        """Show the masks."""
        record = Path(files["structures"] or "")
        chosen = self.parameters.segment_id  # replacing segments unchooses it
        try:
            if self._may_fill_target():
                node = self._target
                fill_segmentation(node, record)
            else:
                node = show_segmentation(record, self._ct, self._name())
        except (OSError, RuntimeError, UserError) as error:
            raise UserError(_("The masks cannot be read; generate them again.")) from error
        if self._file is not None:
            node.SetAttribute(FROM_FILE, "1")
        node.SetAttribute(DOUBT, self._doubt(result.get("origin") or {}))
        notes = [self.named(str(note)) for note in result.get("notes") or []]
        if self.parameters.ct is self._ct:
            choose_masks(self.parameters, node, chosen)
        else:
            notes.insert(
                0, _('The masks are in "{name}"; another CT was chosen meanwhile.').format(name=node.GetName())
            )
        return " ".join(notes) or _("The masks are ready; check them before scoring.")

    def _name(self) -> str:
        if self._file is not None:
            return self._file.name.partition(".")[0]
        return _("Regions of {ct}").format(ct=self._ct.GetName())

    def _may_fill_target(self) -> bool:
        """The person may have removed or corrected the target while the worker was busy."""
        if self._target is None or self._target.GetScene() is None:
            return False
        return set(edited_segments(self._target)) <= self._agreed

    def _doubt(self, origin: Mapping[str, str]) -> str | None:
        """Why the masks may not be this patient's; None where nothing speaks for it."""
        theirs = str(origin.get("PatientID") or "").strip()
        ours = read_patient(self._ct).patient_id if self._ct.GetScene() is not None else ""
        if not theirs or not ours or theirs.casefold() == ours.casefold():
            return None
        return _("The segmentation states the patient ID {theirs}, the CT {ours}.").format(theirs=theirs, ours=ours)


def choose_masks(parameters: ScoreParameters, node: slicer.vtkMRMLSegmentationNode, chosen: str) -> None:
    """Make new masks the chosen ones: the segment `chosen` where it is among them, else the first region."""
    made = generated_segments(node)
    parameters.roi = node
    if chosen in made:
        parameters.segment_id = chosen
    elif made and (read_stamp(node.GetSegmentation().GetSegment(made[0])) or {}).get("kind"):
        parameters.segment_id = made[0]
    else:  # structures alone: which of them is the region is for the person to say
        parameters.segment_id = ""


class CheckJob(MaskJob):
    """Asks the library about the chosen mask at once, and gives what it says to the checker."""

    kind = "check_mask"

    def __init__(
        self, desk: Desk, parameters: ScoreParameters, ended: Callable[[], None], checker: MaskChecker
    ) -> None:
        super().__init__(desk, parameters, ended)
        self._checker = checker
        self._state = ""

    def describe(self, folder: Path) -> dict[str, Any]:
        """The mask and the CT's place."""
        job = check_mask_job(self.parameters, folder)
        job["before"] = self._checker.boxes_before(kept_generated=job["generated"] is not None)
        self.names = {job["mask"]: self.parameters.roi.GetName()}
        self._state = mask_state(self.parameters)
        return job

    def finish(self, result: Mapping[str, Any], files: Mapping[str, str | None]) -> str:
        """Show the sentences under the mask, if that is still the one."""
        if self.parameters.roi is not None and mask_state(self.parameters) == self._state:
            self._checker.remember(Checked.from_result(result))
        return ""
