"""From a request to a case's stability: the run's device, model and prepared case put together."""

from __future__ import annotations

import torch

from MemorySurvivalLib.devices import choose_device
from MemorySurvivalLib.models import Models
from MemorySurvivalLib.preparing import NoteCallback, PreparedCase, Run, ScoreRequest, ignore_note, read_values
from MemorySurvivalLib.progress import ProgressCallback, ignore_progress
from MemorySurvivalLib.recent import RecentCase
from MemorySurvivalLib.risk.covariates import Covariates
from MemorySurvivalLib.stability.measuring import Readings, judge_readings, read_changes
from MemorySurvivalLib.stability.record import StabilityRecord


def measure_prepared(run: Run, prepared: PreparedCase, values: Covariates | None) -> StabilityRecord:
    """The stability of a case that a run has prepared; when a GPU has no memory left, measured on the CPU.

    What takes time is kept with the run's last case, so that another covariate does not read the case anew.
    """
    bundle, case, roi = run.bundle, prepared.case, prepared.region.roi
    key = f"{prepared.key} {bundle.archive.sha256} {run.device} {torch.get_num_threads()}"
    readings: Readings | None = run.recent.find("stability", key)
    with run.stage("stability"):
        if readings is None:
            readings = run.on_device(lambda engine: read_changes(engine, bundle, case, roi, progress=run.progress))
            run.recent.keep("stability", key, readings)
        return judge_readings(bundle, case, roi, readings, values)


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
