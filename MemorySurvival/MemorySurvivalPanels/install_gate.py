"""Stands before the worker: no job goes to it before the packages that it needs are there."""

from collections.abc import Mapping
from typing import Any

from slicer.i18n import tr as _

from MemorySurvivalPanels.install_panel import InstallPanel
from MemorySurvivalPanels.worker_protocol import Failure, JobListener, WorkerProtocol

ASKED_FOR = {"batch", "explain", "import_bundle", "prior", "score", "segment", "weights_fetch", "weights_import"}
"""Jobs that a person has just asked for with a click: only these open the question."""


class InstallGate:
    """A WorkerProtocol that hands jobs on to another.

    Where packages are missing a job that the user asked for opens the one question; every other job fails quietly with
    kind "NotInstalled", so that opening the module asks nothing.
    """

    def __init__(self, worker: WorkerProtocol, panel: InstallPanel) -> None:
        self.worker = worker
        self._panel = panel

    @property
    def busy(self) -> bool:
        """Whether a job that the user waits for runs or waits."""
        return self.worker.busy

    def submit(
        self, job: str, parameters: Mapping[str, Any], listener: JobListener, *, background: bool = False
    ) -> None:
        """Do the job, or tell the listener at once why not."""
        if not self._panel.ready:
            if job in ASKED_FOR:
                sentence = self._panel.ensure()
            else:
                sentence = _("Python packages are missing; see Installation.")
            if sentence is not None:
                listener.job_failed(Failure(sentence, "NotInstalled"))
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
