"""A client of the trial worker for the tests of the worker's life, and what they ask of processes."""

from __future__ import annotations

import importlib
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

TRIAL_WORKER = Path(__file__).with_name("trial_worker.py")


class Listener:
    """Writes down what it is told, and when."""

    def __init__(self) -> None:
        self.progress: list[Any] = []
        self.notes: list[str] = []
        self.outcomes: list[str] = []
        self.result: Mapping[str, Any] = {}
        self.failure: Any = None
        self.ended_at: float | None = None

    def job_progressed(self, progress: Any) -> None:
        self.progress.append(progress)

    def job_noted(self, text: str) -> None:
        self.notes.append(text)

    def job_finished(self, result: Mapping[str, Any], files: Mapping[str, str | None]) -> None:
        self.result = result
        self._end("finished")

    def job_failed(self, failure: Any) -> None:
        self.failure = failure
        self._end("failed")

    def job_cancelled(self) -> None:
        self._end("cancelled")

    def _end(self, how: str) -> None:
        self.outcomes.append(how)
        self.ended_at = time.monotonic()

    @property
    def children(self) -> list[int]:
        """The processes that a job says it started."""
        return [int(number) for note in self.notes if note.startswith("children") for number in note.split()[1:]]


def trial_client(new_folder: Callable[[], Path] | None = None) -> Any:
    """A WorkerClient of the trial worker."""
    client = importlib.import_module("MemorySurvivalPanels.worker_client")
    protocol = importlib.import_module("MemorySurvivalPanels.worker_protocol")
    version = importlib.import_module("MemorySurvivalLib").__version__

    def command() -> Any:
        folder = new_folder() if new_folder is not None else None
        return protocol.WorkerCommand(sys.executable, (str(TRIAL_WORKER),), {"OMP_NUM_THREADS": "1"}, folder)

    return client.WorkerClient(command, version)


def is_running(pid: int) -> bool:
    """Whether a process still does something; a zombie that nobody reaps does not."""
    try:
        os.kill(pid, 0)
        status = Path(f"/proc/{pid}/stat")
        return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False
