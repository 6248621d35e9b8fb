"""The job that writes a scored case's report in the formats that a person asked for."""

from __future__ import annotations

from typing import Any

from MemorySurvivalLib.jobs.context import JobContext, JobOutput, convert
from MemorySurvivalLib.reporting import ReportRequest, load_report, write_saved


def render(parameters: dict[str, Any], context: JobContext) -> JobOutput:
    """The parameters are those of a `ReportRequest`; the files are named by their formats.

    `identity` says whom the report names: "none" unless asked for, for null what an exported result names.
    """
    request = convert(parameters, ReportRequest)
    files = write_saved(request)
    named: dict[str, str | None] = {name: str(path) for name, path in files.items()}
    return JobOutput(
        {"formats": list(files), "identity": request.identity or load_report(request).subject.choice}, named
    )
