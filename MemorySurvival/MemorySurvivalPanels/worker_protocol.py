"""How the panel speaks to whatever does the work, so that tests need no process."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

PROTOCOL_VERSION = 1


@dataclass(frozen=True)
class Progress:
    """`done` of `total` steps of `stage` are finished; `eta_s` seconds are left (None while unknown)."""

    stage: str
    done: int
    total: int
    eta_s: float | None


@dataclass(frozen=True)
class Failure:
    """Why a job failed, in one sentence; the error's class and what a panel may ask for, where the library says so."""

    sentence: str
    kind: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)


class JobListener(Protocol):
    """Is told how one job goes; exactly one of the last three is called, once."""

    def job_progressed(self, progress: Progress) -> None: ...

    def job_noted(self, text: str) -> None: ...

    def job_finished(self, result: Mapping[str, Any], files: Mapping[str, str | None]) -> None: ...

    def job_failed(self, failure: Failure) -> None: ...

    def job_cancelled(self) -> None: ...


class WorkerProtocol(Protocol):
    """Does jobs one after the other, in the order they came."""

    @property
    def busy(self) -> bool:
        """Whether a job runs or waits."""

    def submit(self, job: str, parameters: Mapping[str, Any], listener: JobListener) -> None:
        """Do the job when those before it are done."""

    def cancel(self) -> None:
        """Stop every job now; the listeners are told. The next job starts afresh."""

    def close(self) -> None:
        """Stop every job now; nobody is told."""


@dataclass(frozen=True)
class WorkerCommand:
    """The command line of the worker process, what is set in its environment, and where it runs."""

    program: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    folder: Path | None = None
