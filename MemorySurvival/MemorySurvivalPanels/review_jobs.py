"""The worker's jobs about a review list."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from MemorySurvivalPanels.desk import Desk
from MemorySurvivalPanels.panel_job import PanelJob
from MemorySurvivalPanels.worker_protocol import Failure, Progress

Finished = Callable[[Mapping[str, Any], Mapping[str, str | None]], str]


class ListJob(PanelJob):
    """Reads the list, finds a study's series, or scores all: `finished` gets what came out and returns a sentence."""

    def __init__(
        self, desk: Desk, kind: str, parameters: Mapping[str, Any], finished: Finished, ended: Callable[[], None]
    ) -> None:
        super().__init__(desk)
        self.kind = kind
        self._parameters = dict(parameters)
        self._finished = finished
        self._ended = ended

    def describe(self, folder: Path) -> dict[str, Any]:
        """What the panel said."""
        return self._parameters

    def finish(self, result: Mapping[str, Any], files: Mapping[str, str | None]) -> str:
        """Hand it to the panel."""
        return self._finished(result, files)

    def stop(self, failure: Failure | None) -> None:
        """The job ended without a result."""
        self._ended()


class QuietJob:
    """A job that nobody waits for: `done` is told how it ended, with None where it did not end well."""

    def __init__(self, done: Callable[[Mapping[str, Any] | None, Mapping[str, str | None], str], None]) -> None:
        self._done = done

    def job_progressed(self, progress: Progress) -> None:
        """Nobody waits for it."""

    def job_noted(self, text: str) -> None:
        """What there is to know will be said when the case is opened."""

    def job_finished(self, result: Mapping[str, Any], files: Mapping[str, str | None]) -> None:
        """It is done."""
        self._done(result, files, "")

    def job_failed(self, failure: Failure) -> None:
        """It will fail again, with its sentence, when a person asks for it."""
        self._done(None, {}, failure.sentence)

    def job_cancelled(self) -> None:
        """The list was left."""
        self._done(None, {}, _("Cancelled."))
