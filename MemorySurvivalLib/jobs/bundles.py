"""The job that lists the model bundles."""

from __future__ import annotations

from typing import Any

from MemorySurvivalLib.bundle.archive import read_archive
from MemorySurvivalLib.bundle.registry import list_bundles
from MemorySurvivalLib.jobs.context import JobContext, JobOutput


def list_for_panel(parameters: dict[str, Any], context: JobContext) -> JobOutput:
    """Name, status, title and path of every bundle that the registry knows."""
    found = []
    for name, path in list_bundles().items():
        manifest = read_archive(path).manifest
        found.append({"name": name, "status": manifest.status, "title": manifest.title, "path": str(path)})
    return JobOutput({"bundles": found})
