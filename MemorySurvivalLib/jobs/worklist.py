"""The jobs about many cases: read a worklist, change where a case stands, work ahead on one, score all unattended."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec

from MemorySurvivalLib.imaging.dicom_scan import scan
from MemorySurvivalLib.imaging.study import choose_study
from MemorySurvivalLib.jobs.context import JobContext, JobOutput, convert
from MemorySurvivalLib.worklist.batch import BatchOptions, run_batch, write_table
from MemorySurvivalLib.worklist.items import folder_name, read_worklist
from MemorySurvivalLib.worklist.prepare import PrepareRequest, prepare_ahead
from MemorySurvivalLib.worklist.status import State, read_status, write_status


@dataclass(frozen=True)
class WorklistRequest:
    """Where the list is, where its results go, and of which bundle masks may lie beside the images."""

    worklist: Path
    out: Path
    bundle: str = "demonstration"


@dataclass(frozen=True)
class MarkRequest:
    """A person's word on one case."""

    worklist: Path
    out: Path
    case: str
    state: State
    reviewer: str = ""
    log_risk: float | None = None
    sentence: str = ""


@dataclass(frozen=True)
class BatchRequest:
    """A list to score unattended."""

    worklist: Path
    out: Path
    options: BatchOptions = field(default_factory=BatchOptions)


@dataclass(frozen=True)
class StudyRequest:
    """A DICOM folder that holds the images of one study."""

    study: Path


def read(parameters: dict[str, Any], context: JobContext) -> JobOutput:
    """The cases with their files and where each stands."""
    request = convert(parameters, WorklistRequest)
    kind = context.warm.models.bundle(request.bundle).manifest.roi
    items, status = read_worklist(request.worklist, kind), read_status(request.out)
    cases = [
        {
            "case": item.case,
            "files": {name: str(path) for name, path in item.files.named.items()},
            "problem": item.problem,
            "folder": str(request.out / folder_name(item.case)),
            **msgspec.to_builtins(status.of(item.case)),
        }
        for item in items
    ]
    return JobOutput({"cases": cases})


def mark(parameters: dict[str, Any], context: JobContext) -> JobOutput:
    """Keep what a person said of a case."""
    request = convert(parameters, MarkRequest)
    status = read_status(request.out)
    changed = replace(
        status.of(request.case),
        state=request.state,
        reviewer=request.reviewer,
        log_risk=request.log_risk,
        sentence=request.sentence,
    )
    status = status.with_case(request.case, changed)
    write_status(request.out, status)
    write_table(read_worklist(request.worklist), status, request.out)
    return JobOutput({"case": request.case, **msgspec.to_builtins(status.of(request.case))})


def prepare(parameters: dict[str, Any], context: JobContext) -> JobOutput:
    """Masks and embedding of a case that nobody has opened yet."""
    prepared = prepare_ahead(convert(parameters, PrepareRequest), context.warm.models, context.progress)
    record = prepared.mask.with_name("structures.json")
    files = {"structures": str(record) if record.is_file() else None, "mask": str(prepared.mask)}
    return JobOutput({"slices": prepared.slices, "region_ml": prepared.region_ml}, files)


def choose_series(parameters: dict[str, Any], context: JobContext) -> JobOutput:
    """Which series of a DICOM folder are the CT and the PET, by their Series Instance UIDs."""
    request = convert(parameters, StudyRequest)
    choice = choose_study(scan(request.study, context.progress), confirmed=True)  # whose they are is asked when scored
    chosen = {"ct": choice.ct, "pet": choice.pet}
    # A series of several stacks has a key such as "1.2.3#2"; a viewer loads series.
    series = {name: one.key.partition("#")[0] for name, one in chosen.items()}
    return JobOutput({"series": series, "notes": list(choice.notes)})


def batch(parameters: dict[str, Any], context: JobContext) -> JobOutput:
    """Score a list unattended."""
    request = convert(parameters, BatchRequest)
    models = context.warm.models
    kind = models.bundle(request.options.bundle).manifest.roi
    items = read_worklist(request.worklist, kind)
    output = run_batch(items, request.out, request.options, models, context.progress, context.tell)
    result = {"done": output.done, "failed": output.failed, "skipped": output.skipped}
    return JobOutput(result, {"table": str(output.table)})
