"""The job that says how far a case's score moves when choices change that should not matter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from MemorySurvivalLib.amending import add_stability
from MemorySurvivalLib.jobs.context import JobContext, JobOutput, convert
from MemorySurvivalLib.jobs.score import choose_shown
from MemorySurvivalLib.preparing import ScoreRequest
from MemorySurvivalLib.stability.request import measure_request


def measure(parameters: dict[str, Any], context: JobContext) -> JobOutput:
    """The badge of the case that the score job's parameters name; `out` may be missing.

    `result` is the folder of a result of this very case, which then holds the stability, too; without it nothing is
    written.
    """
    chosen, notes = choose_shown({"out": ".", **parameters}, context.progress)
    request = convert({**chosen, "notes": notes}, ScoreRequest)
    warm = context.warm
    record = measure_request(request, warm.models, context.progress, context.tell, warm.recent)
    folder = parameters.get("result")
    if folder is not None:
        add_stability(Path(folder), record)
    return JobOutput(record.as_builtins(), {"result": None if folder is None else str(folder)})
