"""The job that says how far a case's score moves when choices change that should not matter."""

from __future__ import annotations

from typing import Any

from MemorySurvivalLib.jobs.context import JobContext, JobOutput, convert
from MemorySurvivalLib.jobs.score import choose_shown
from MemorySurvivalLib.preparing import ScoreRequest
from MemorySurvivalLib.stability.request import measure_request


def measure(parameters: dict[str, Any], context: JobContext) -> JobOutput:
    """The badge of the case that the score job's parameters name; `out` may be missing, for nothing is written."""
    chosen, notes = choose_shown({"out": ".", **parameters}, context.progress)
    request = convert({**chosen, "notes": notes}, ScoreRequest)
    warm = context.warm
    record = measure_request(request, warm.models, context.progress, context.tell, warm.recent)
    return JobOutput(record.as_builtins())
