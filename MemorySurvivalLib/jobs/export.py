"""The job behind the panel's dialog "Export": files, DICOM objects, a node, in one go."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from MemorySurvivalLib.exporting import ExportRequest, export_result
from MemorySurvivalLib.jobs.context import JobContext, JobOutput, convert
from MemorySurvivalLib.jobs.sending import tell_parcel
from MemorySurvivalLib.sending.nodes import NodeBook


@dataclass(frozen=True)
class ExportJob(ExportRequest):
    """The request, and the name of the node that the objects are sent to; the token is not kept."""

    node: str | None = None
    token: str | None = None


def export(parameters: Mapping[str, Any], context: JobContext) -> JobOutput:
    """Export a result; what was written, what was left out, and what the node took."""
    job = convert(parameters, ExportJob)
    made = export_result(
        job,
        node=None if job.node is None else NodeBook().find(job.node),
        token=job.token,
        progress=context.progress,
    )
    return JobOutput(
        {
            "folder": None if made.folder is None else str(made.folder),
            "files": list(made.files),
            "left_out": list(made.left_out),
            "notes": list(made.notes),
            "subject": msgspec.to_builtins(made.subject),
            "sent": None if made.parcel is None else tell_parcel(made.parcel),
        }
    )
