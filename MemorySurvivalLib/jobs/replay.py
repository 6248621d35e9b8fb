"""The job that runs a result again and compares."""

from __future__ import annotations

from typing import Any

from MemorySurvivalLib.jobs.context import JobContext, JobOutput, convert
from MemorySurvivalLib.replay.rebuild import ReplayRequest
from MemorySurvivalLib.replay.replaying import replay_result


def replay(parameters: dict[str, Any], context: JobContext) -> JobOutput:
    """The comparison as plain values."""
    request = convert(parameters, ReplayRequest)
    record = replay_result(request, context.warm.models, context.progress, context.tell)
    return JobOutput(record.as_builtins(), {"out": str(request.out) if request.out else None})
