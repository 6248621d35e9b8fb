"""Stands before the worker: no job goes to it before the packages that it needs are there."""

from slicer.i18n import tr as _

from MemorySurvivalPanels.install_panel import InstallPanel
from MemorySurvivalPanels.worker_gate import WorkerGate
from MemorySurvivalPanels.worker_protocol import Failure, WorkerProtocol

ASKED_FOR = {"batch", "explain", "import_bundle", "prior", "score", "segment", "weights_fetch", "weights_import"}
"""Jobs that a person has just asked for with a click: only these open the question."""


class InstallGate(WorkerGate):
    """Where packages are missing a job that the user asked for opens the one question.

    Every other job fails quietly with kind "NotInstalled", so that opening the module asks nothing.
    """

    def __init__(self, worker: WorkerProtocol, panel: InstallPanel) -> None:
        super().__init__(worker)
        self._panel = panel

    def refuse(self, job: str) -> Failure | None:
        """Whether the packages are there, or come in now because the user says so."""
        if self._panel.ready:
            return None
        sentence = self._panel.ensure() if job in ASKED_FOR else _("Python packages are missing; see Installation.")
        return None if sentence is None else Failure(sentence, "NotInstalled")
