"""The jobs that lay results beside each other: two of one patient, and a whole folder."""

from __future__ import annotations

from typing import Any

import msgspec

from MemorySurvivalLib.compare.overview import OverviewRequest, write_overview
from MemorySurvivalLib.compare.writing import CompareRequest, compare_to_file
from MemorySurvivalLib.jobs.context import JobContext, JobOutput, convert


def compare(parameters: dict[str, Any], context: JobContext) -> JobOutput:
    """Two results of one patient; the page is written where `out` is given."""
    request = convert(parameters, CompareRequest)
    comparison = compare_to_file(request)
    return JobOutput(msgspec.to_builtins(comparison), {"page": str(request.out) if request.out else None})


def overview(parameters: dict[str, Any], context: JobContext) -> JobOutput:
    """A folder of results as one page."""
    request = convert(parameters, OverviewRequest)
    cohort = write_overview(request, context.progress)
    counts = {"results": len(cohort.cases), "failed": len(cohort.failed), "unread": len(cohort.unread)}
    return JobOutput({**counts, "labels": list(cohort.labels)}, {"page": str(request.out)})
