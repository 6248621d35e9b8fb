"""Stands before the worker in a reader study: no job that could tell a score runs before the own estimate."""

from collections.abc import Callable, Mapping
from typing import Any

from slicer.i18n import tr as _

from MemorySurvivalPanels.worker_protocol import Failure, JobListener, WorkerProtocol

ALLOWED = frozenset(
    {
        *(
            "bundles",
            "import_bundle",
            "covariates",
            "devices",
            "estimate",
            "inspect",
            "weights_fetch",
            "weights_import",
        ),
        *("check_mask", "choose_series", "mark_case", "prepare_case", "mip", "segment", "segmenters", "worklist"),
        *("prior", "staging"),
        *("reader_state", "reader_open", "reader_estimate", "reader_reveal", "reader_leave"),
    }
)
"""Jobs that tell nothing of a score; a job that is not named here waits for the estimate."""

OF_OTHERS = frozenset({"compare", "overview"})
"""Jobs that tell scores of other cases, which have no estimate yet; they wait until the study is switched off."""


class ReaderGate:
    """A WorkerProtocol that hands jobs on to another, but for those that the reader must not have yet."""

    def __init__(
        self, worker: WorkerProtocol, covered: Callable[[], bool], on: Callable[[], bool] = lambda: False
    ) -> None:
        self.worker = worker
        self._covered = covered
        self._on = on

    @property
    def busy(self) -> bool:
        """Whether a job that the user waits for runs or waits."""
        return self.worker.busy

    def submit(
        self, job: str, parameters: Mapping[str, Any], listener: JobListener, *, background: bool = False
    ) -> None:
        """Do the job, or tell the listener at once why not."""
        if self._covered() and job not in ALLOWED:
            listener.job_failed(Failure(waiting_sentence(), "ReaderStudy"))
            return
        if job in OF_OTHERS and self._on():
            listener.job_failed(Failure(others_sentence(), "ReaderStudy"))
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


def waiting_sentence() -> str:
    """Why nothing is shown."""
    return _("Reader study: lock in your own estimate first, then the score is shown.")


def others_sentence() -> str:
    """Why scores of several cases are not shown."""
    return _("Reader study: this would show scores of other cases; switch the study off first.")
