"""The job that lays a prior study beside the current one."""

from __future__ import annotations

from typing import Any

import msgspec

from MemorySurvivalLib.followup.prior_study import PriorRequest, compare_with_prior
from MemorySurvivalLib.jobs.context import JobContext, JobOutput, convert


def compare(parameters: dict[str, Any], context: JobContext) -> JobOutput:
    """Register by the spine, measure both, and compare."""
    request = convert(parameters, PriorRequest)
    record = compare_with_prior(request, context.progress)
    plain = msgspec.to_builtins(record)
    for row, value in zip(plain["comparison"]["values"], record.comparison.values, strict=True):
        row["change_percent"] = value.change_percent
    plain["match"]["doubtful"] = record.match.doubtful
    return JobOutput(plain, {"record": str(request.out) if request.out else None})
