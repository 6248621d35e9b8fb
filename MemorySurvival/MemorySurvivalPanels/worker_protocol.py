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
    """Why a job failed, in one sentence; the error's class and what a panel may ask for, where the library says so.

    `log` holds the last lines that the worker wrote, oldest first; empty where no worker had been started.
    """

    sentence: str
    kind: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)
    log: tuple[str, ...] = ()


class JobListener(Protocol):
    """Is told how one job goes; exactly one of the last three is called, once."""

    def job_progressed(self, progress: Progress) -> None: ...

    def job_noted(self, text: str) -> None: ...

    def job_finished(self, result: Mapping[str, Any], files: Mapping[str, str | None]) -> None: ...

    def job_failed(self, failure: Failure) -> None: ...

    def job_cancelled(self) -> None: ...


class WorkerProtocol(Protocol):
    """Does jobs one after the other, in the order they came; background jobs while nothing else is to be done."""

    @property
    def busy(self) -> bool:
        """Whether a job that the user waits for runs or waits."""

    def submit(
        self, job: str, parameters: Mapping[str, Any], listener: JobListener, *, background: bool = False
    ) -> None:
        """Do the job when those before it are done.

        A background job runs only while no other job waits. One that comes interrupts it; it then starts over later,
        which its listener does not notice.
        """

    def cancel(self) -> None:
        """Stop the jobs that the user waits for; each listener is told when its job has ended, within a second."""

    def cancel_background(self) -> None:
        """The same for the background jobs."""

    def cancel_job(self, listener: JobListener) -> None:
        """The same for the jobs of one listener, wherever they stand."""

    def close(self) -> None:
        """Stop every job now; nobody is told."""


@dataclass(frozen=True)
class WorkerCommand:
    """The command line of the worker process, what is set in its environment, and where it runs.

    `folder` is the process's own: it is removed with everything in it when the process has ended.
    """

    program: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    folder: Path | None = None
