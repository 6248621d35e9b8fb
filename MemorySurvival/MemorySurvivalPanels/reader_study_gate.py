"""Stands before the worker in a reader study: no job that could tell a score runs before the own estimate."""

from collections.abc import Callable

from slicer.i18n import tr as _

from MemorySurvivalPanels.worker_gate import WorkerGate
from MemorySurvivalPanels.worker_protocol import Failure, WorkerProtocol

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
            "weights",
            "rebuild_estimate",
            "rebuild_bundle",
        ),
        *("check_mask", "choose_series", "mark_case", "prepare_case", "mip", "segment", "segmenters", "worklist"),
        *("prior", "reading_prefill", "staging"),
        *("reader_state", "reader_open", "reader_estimate", "reader_reveal", "reader_leave"),
    }
)
"""Jobs that tell nothing of a score; a job that is not named here waits for the estimate.

"reading_prefill" is handed the measurements alone, so it can tell nothing of a score either; while a case is covered,
its form is, too, since it comes with the result.
"""

OF_OTHERS = frozenset({"compare", "overview"})
"""Jobs that tell scores of other cases, which have no estimate yet; they wait until the study is switched off."""


class ReaderGate(WorkerGate):
    """Refuses the jobs that the reader must not have yet; `covered` and `on` say where the reader stands."""

    def __init__(
        self, worker: WorkerProtocol, covered: Callable[[], bool], on: Callable[[], bool] = lambda: False
    ) -> None:
        super().__init__(worker)
        self._covered = covered
        self._on = on

    def refuse(self, job: str) -> Failure | None:
        """Why a score would be told too early."""
        if self._covered() and job not in ALLOWED:
            return Failure(waiting_sentence(), "ReaderStudy")
        if job in OF_OTHERS and self._on():
            return Failure(others_sentence(), "ReaderStudy")
        return None


def waiting_sentence() -> str:
    """Why nothing is shown."""
    return _("Reader study: lock in your own estimate first, then the score is shown.")


def others_sentence() -> str:
    """Why scores of several cases are not shown."""
    return _("Reader study: this would show scores of other cases; switch the study off first.")
