"""From a request to a case's stability: the run's device, model and prepared case put together."""

from __future__ import annotations

from MemorySurvivalLib.devices import choose_device
from MemorySurvivalLib.memory.engine import MemoryEngine
from MemorySurvivalLib.models import Models
from MemorySurvivalLib.preparing import NoteCallback, PreparedCase, Run, ScoreRequest, ignore_note, read_values
from MemorySurvivalLib.progress import ProgressCallback, ignore_progress
from MemorySurvivalLib.recent import RecentCase
from MemorySurvivalLib.risk.covariates import Covariates
from MemorySurvivalLib.stability.measuring import measure_stability
from MemorySurvivalLib.stability.record import StabilityRecord


def measure_prepared(run: Run, prepared: PreparedCase, values: Covariates | None) -> StabilityRecord:
    """The stability of a case that a run has prepared; when a GPU has no memory left, measured on the CPU."""

    def measure(engine: MemoryEngine) -> StabilityRecord:
        case, roi = prepared.case, prepared.region.roi
        return measure_stability(engine, run.bundle, case, roi, values, progress=run.progress)

    with run.stage("stability"):
        return run.on_device(measure)


def measure_request(
    request: ScoreRequest,
    models: Models | None = None,
    progress: ProgressCallback = ignore_progress,
    tell: NoteCallback = ignore_note,
    recent: RecentCase | None = None,
) -> StabilityRecord:
    """The stability of the case that `request` names; nothing is written, and `request.out` does not matter.

    A case that `recent` knows is not prepared again. Raises MemorySurvivalError with one sentence for anything the
    user can put right.
    """
    models = models or Models()
    bundle, device = models.bundle(request.bundle), choose_device(request.device)
    run = Run(request, models, bundle, device, progress, tell, recent or RecentCase(), names_matter=False)
    run.note(*request.notes)
    values = read_values(request)
    return measure_prepared(run, run.prepare(values), values)
