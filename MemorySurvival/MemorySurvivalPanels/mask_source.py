"""Where masks come from: the choice of a segmenter or a file, whether it can be used here, and on what terms."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from MemorySurvivalPanels.desk import Desk
from MemorySurvivalPanels.parameters import MaskSource, ScoreParameters
from MemorySurvivalPanels.worker_protocol import Failure, Progress


class MaskSourceChoice:
    """The rows "Made by", "File" and "Its labels". What is installed is asked once each time the module is opened."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._ui = desk.ui
        self._parameters: ScoreParameters | None = None
        self._known: dict[str, Mapping[str, Any]] = {}
        self._asked: Any = None
        self._ui.maskFilePath.currentPathChanged.connect(self._on_file)

    def ask(self) -> None:
        """Have the worker look for the segmenters, while nothing else is to be done."""
        worker = self._desk.worker()
        if self._asked is not worker:
            self._asked = worker
            worker.submit("segmenters", {}, self, background=True)

    def forget(self) -> None:
        """Ask again next time: a person may have installed one."""
        self._asked = None

    def show(self, parameters: ScoreParameters | None) -> None:
        """Show what belongs to the chosen source."""
        self._parameters = parameters
        file = parameters is not None and parameters.mask_source is MaskSource.FILE
        for widget in (
            self._ui.maskFileLabel,
            self._ui.maskFilePath,
            self._ui.maskLabelsLabel,
            self._ui.maskLabelsCombo,
        ):
            widget.visible = file
        if parameters is not None and self._ui.maskFilePath.currentPath != parameters.mask_file:
            self._ui.maskFilePath.currentPath = parameters.mask_file
        self._ui.generateButton.text = _("Load masks") if file else _("Generate masks")
        text = self._describe()
        self._ui.maskSourceInfoLabel.text = text
        self._ui.maskSourceInfoLabel.visible = bool(text)

    def hindrance(self) -> str | None:
        """Why the chosen source cannot make masks, in one sentence; None where it can, as far as is known."""
        parameters = self._parameters
        if parameters is None:
            return None
        if parameters.mask_source is not MaskSource.FILE:
            described = self._known.get(parameters.mask_source.value)
            return None if described is None or described["found"] else str(described["reason"])
        if not parameters.mask_file:
            return _("Choose the file that holds the segmentation.")
        if not Path(parameters.mask_file).exists():
            return _('There is no file "{name}"; choose another.').format(name=Path(parameters.mask_file).name)
        return None

    def _describe(self) -> str:
        parameters = self._parameters
        if parameters is None:
            return ""
        if parameters.mask_source is MaskSource.FILE:
            return _("Slicer's .seg.nrrd, DICOM SEG or RTSTRUCT, or a NIfTI, NRRD or MHA label map or mask.")
        described = self._known.get(parameters.mask_source.value)
        if described is None:
            return ""
        if described["found"]:
            return str(described["terms"])
        return _("Not available. {reason}").format(reason=described["reason"])

    def _on_file(self, path: str) -> None:
        if self._parameters is not None and self._parameters.mask_file != path.strip():
            self._parameters.mask_file = path.strip()

    def job_progressed(self, progress: Progress) -> None:
        """It is over at once."""

    def job_noted(self, text: str) -> None:
        """It has nothing to say on the way."""

    def job_finished(self, result: Mapping[str, Any], files: Mapping[str, str | None]) -> None:
        """The worker has looked."""
        self._known = {str(each["name"]): each for each in result.get("segmenters") or []}
        self._desk.changed()

    def job_failed(self, failure: Failure) -> None:
        """A run says the same and more when somebody asks for it."""

    def job_cancelled(self) -> None:
        """Ask again the next time."""
        self._asked = None
