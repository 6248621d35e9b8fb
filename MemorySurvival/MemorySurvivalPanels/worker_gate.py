"""A gate before the worker: every job passes but those that it refuses, and everything else is handed on."""

from collections.abc import Mapping
from typing import Any

from MemorySurvivalPanels.worker_protocol import Failure, JobListener, WorkerProtocol


class WorkerGate:
    """A WorkerProtocol that hands jobs on to another one, which may be a gate too. A kind of gate says `refuse`."""

    def __init__(self, worker: WorkerProtocol) -> None:
        self.worker = worker

    def refuse(self, job: str) -> Failure | None:
        """Why this job may not be done now; None where it may."""
        raise NotImplementedError

    @property
    def busy(self) -> bool:
        """Whether a job that the user waits for runs or waits."""
        return self.worker.busy

    def submit(
        self, job: str, parameters: Mapping[str, Any], listener: JobListener, *, background: bool = False
    ) -> None:
        """Do the job, or tell the listener at once why not."""
        failure = self.refuse(job)
        if failure is not None:
            listener.job_failed(failure)
            return
        self.worker.submit(job, parameters, listener, background=background)

    def cancel(self) -> None:
        """Stop the jobs that the user waits for."""
        self.worker.cancel()

    def cancel_background(self) -> None:
        """Stop the background jobs."""
        self.worker.cancel_background()

    def cancel_job(self, listener: JobListener) -> None:
        """Stop the jobs of this listener."""
        self.worker.cancel_job(listener)

    def close(self) -> None:
        """Stop every job now; nobody is told."""
        self.worker.close()
