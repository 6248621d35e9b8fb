"""The worker's job that makes the rotating view, in the background: whatever the user asks for comes before it."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from MemorySurvivalPanels.desk import Desk
from MemorySurvivalPanels.dicom_source import pet_file
from MemorySurvivalPanels.errors import UserError
from MemorySurvivalPanels.mip_frames import MipFrames, read_frames
from MemorySurvivalPanels.parameters import ScoreParameters
from MemorySurvivalPanels.pet_values import supplied_values
from MemorySurvivalPanels.volumes import volume_file
from MemorySurvivalPanels.worker_protocol import Failure, Progress


class MipJob:
    """One PET's frames, from the question to the answer; a JobListener. After `abandon` nobody hears of it.

    `done` is told the frames, what the PET's unit is in SUV (None where that cannot be told), and why; `failed` a
    sentence.
    """

    def __init__(
        self, desk: Desk, done: Callable[[MipFrames, float | None, str], None], failed: Callable[[str], None]
    ) -> None:
        self._desk, self._done, self._failed = desk, done, failed
        self._folder: Path | None = None
        self._names: dict[str, str] = {}
        self._wanted = True

    def start(self, parameters: ScoreParameters) -> None:
        """Ask the worker. Raises UserError for a PET that cannot be handed over."""
        self._folder = self._desk.scratch.new_folder()
        try:
            dicom = pet_file(parameters.pet)
            job = {
                "pet": str(volume_file(parameters.pet, "PET", self._folder)),
                "out": str(self._folder),
                "dicom": str(dicom) if dicom is not None else None,
                "supplied": supplied_values(parameters),
            }
        except UserError:
            self._clean()
            raise
        self._names = {job["pet"]: f'"{parameters.pet.GetName()}"'}
        self._desk.worker().submit("mip", job, self, background=True)

    def abandon(self) -> None:
        """Nobody waits for the result any more."""
        self._wanted = False

    def job_progressed(self, progress: Progress) -> None:
        """Some seconds in the background; a bar would say more than it is worth."""

    def job_noted(self, text: str) -> None:
        """Nothing to be noted of a picture."""

    def job_finished(self, result: Mapping[str, Any], files: Mapping[str, str | None]) -> None:
        """The frames are there."""
        try:
            frames = read_frames(result, files)
        except UserError as error:
            sentence = str(error)
            self._end(lambda: self._failed(sentence))
            return
        factor = result.get("suv_per_unit")
        known = float(factor) if isinstance(factor, int | float) and factor > 0 else None
        self._end(lambda: self._done(frames, known, str(result.get("why_no_suv") or "")))

    def job_failed(self, failure: Failure) -> None:
        """The worker said why, or died."""
        sentence = failure.sentence
        for path, name in self._names.items():
            sentence = sentence.replace(path, name)
        self._end(lambda: self._failed(sentence))

    def job_cancelled(self) -> None:
        """Every background job was stopped."""
        self._end(lambda: self._failed(""))

    def _end(self, tell: Callable[[], None]) -> None:
        self._clean()
        if self._wanted:
            self._wanted = False
            tell()

    def _clean(self) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
