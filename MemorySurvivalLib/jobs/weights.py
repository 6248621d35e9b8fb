"""The jobs about backbone weights: which there are, fetch a published release, or take in a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from MemorySurvivalLib.errors import WeightsError
from MemorySurvivalLib.jobs.context import JobContext, JobOutput, convert


@dataclass(frozen=True)
class FetchRequest:
    """Which release, the licence that the user accepted in the panel, and another address of the same file."""

    name: str
    licence: str
    url: str | None = None


@dataclass(frozen=True)
class ImportRequest:
    """A checkpoint file, the hash that a bundle asks for, what to call it, and the licence that the user accepted."""

    file: Path
    sha256: str
    name: str
    licence: str | None = None


def list_for_panel(parameters: dict[str, Any], context: JobContext) -> JobOutput:
    """Every published release, then the user's own weights, as `WeightsNeed` in plain values."""
    from MemorySurvivalLib.bundle.manifest import BackboneEntry
    from MemorySurvivalLib.bundle.summary import find_need
    from MemorySurvivalLib.memory.backbone import MEDSAM2
    from MemorySurvivalLib.memory.weights import WeightsStore

    store = WeightsStore()
    known = {release.sha256: release.name for release in store.releases}
    known.update({record.sha256: record.name for record in store.records() if record.sha256 not in known})
    found = [
        find_need(BackboneEntry(MEDSAM2.architecture, MEDSAM2.image_size, "external", sha256, name), store)
        for sha256, name in known.items()
    ]
    return JobOutput({"weights": msgspec.to_builtins(found)})


def fetch(parameters: dict[str, Any], context: JobContext) -> JobOutput:
    """Download a release, or continue a download; the record of what is stored."""
    from MemorySurvivalLib.memory.weights import accept_licence, fetch_weights

    request = convert(parameters, FetchRequest)
    agree = accept_licence(request.licence)
    return JobOutput(_plain(fetch_weights(request.name, agree, url=request.url, progress=context.progress)))


def take_file(parameters: dict[str, Any], context: JobContext) -> JobOutput:
    """Copy a checkpoint into the store where it is the very file that a bundle asks for; the record of it."""
    from MemorySurvivalLib.memory.weights import WeightsStore, accept_licence, import_weights
    from MemorySurvivalLib.memory.weights_store import hash_file

    request = convert(parameters, ImportRequest)
    if not request.file.is_file():
        raise WeightsError(f"The checkpoint {request.file} does not exist; check the path.")
    found = hash_file(request.file, f"read {request.file.name}", context.progress)
    if found != request.sha256:
        raise WeightsError(
            f"{request.file} is not the file that the model bundle was made with ({request.name}): its sha256 begins "
            f"with {found[:12]}, expected {request.sha256[:12]}; get that very file."
        )
    release = any(one.sha256 == found for one in WeightsStore().releases)
    record = import_weights(
        request.file,
        accept_licence(request.licence),
        name=None if release else request.name,
        progress=context.progress,
    )
    return JobOutput(_plain(record))


def _plain(record: object) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(record)
    return {name: plain[name] for name in ("name", "file", "sha256", "size_bytes", "licence", "origin")}
