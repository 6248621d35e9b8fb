"""A short question to the worker in the background, with the answer to one function."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from MemorySurvivalPanels.worker_protocol import Failure, Progress


@dataclass
class BackgroundAsk:
    """One short question to the worker while the user goes on; a JobListener.

    `done` is given the result; `failed` the sentence. Neither is called where the job was given up.
    """

    done: Callable[[Mapping[str, Any]], None]
    failed: Callable[[str], None] = lambda sentence: None

    def job_progressed(self, progress: Progress) -> None:
        """Too short to show."""

    def job_noted(self, text: str) -> None:
        """Nothing to show it in."""

    def job_finished(self, result: Mapping[str, Any], files: Mapping[str, str | None]) -> None:
        """The answer."""
        self.done(result)

    def job_failed(self, failure: Failure) -> None:
        """No answer."""
        self.failed(failure.sentence)

    def job_cancelled(self) -> None:
        """Nobody wants to know any more."""
