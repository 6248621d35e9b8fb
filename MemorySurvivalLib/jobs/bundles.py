"""The jobs about model bundles: list them with all that is to be known of each, and take in a file."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from MemorySurvivalLib.bundle.importing import import_bundle
from MemorySurvivalLib.bundle.summary import summarize_bundles, summarize_file
from MemorySurvivalLib.jobs.context import JobContext, JobOutput, convert
from MemorySurvivalLib.memory.weights_store import WeightsStore


@dataclass(frozen=True)
class ImportRequest:
    """The bundle file to take in."""

    file: Path


@dataclass(frozen=True)
class ListRequest:
    """`file` is a bundle elsewhere that a scene names; it is listed too, under its path."""

    file: Path | None = None


def list_for_panel(parameters: dict[str, Any], context: JobContext) -> JobOutput:
    """Every bundle that the registry knows, as `BundleSummary` or `DamagedBundle` in plain values."""
    file = convert(parameters, ListRequest).file
    found = summarize_bundles()
    if file is not None:
        found.append(replace(summarize_file(file, WeightsStore()), name=str(file)))
    return JobOutput({"bundles": msgspec.to_builtins(found)})


def import_file(parameters: dict[str, Any], context: JobContext) -> JobOutput:
    """Verify and copy a bundle file; its name, and the list as it is then."""
    target = import_bundle(convert(parameters, ImportRequest).file)
    return JobOutput({"name": target.stem, "bundles": msgspec.to_builtins(summarize_bundles())})
