"""A request to a folder with the explanation of a case, and an estimate of how long that takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import torch

from MemorySurvivalLib import RESEARCH_USE
from MemorySurvivalLib.amending import check_same_case
from MemorySurvivalLib.devices import choose_device, describe_device
from MemorySurvivalLib.explain.case import choose_config, explain_scored, make_subject, patches_to_do
from MemorySurvivalLib.explain.explanation import Explanation
from MemorySurvivalLib.explain.files import heatmap_record, write_heatmaps
from MemorySurvivalLib.explain.plan import ExplainChoice
from MemorySurvivalLib.files import atomic_file, atomic_folder
from MemorySurvivalLib.memory.cache import MemoryCache
from MemorySurvivalLib.memory.engine import MemoryEngine
from MemorySurvivalLib.memory.speed import seconds_per_slice
from MemorySurvivalLib.models import Models
from MemorySurvivalLib.preparing import NoteCallback, Run, ScoredCase, ScoreRequest, ignore_note, read_values
from MemorySurvivalLib.progress import ProgressCallback, ignore_progress
from MemorySurvivalLib.recent import RecentCase
from MemorySurvivalLib.report.record import CaseRecord, HeatmapRecord

SCHEMA = "memory-survival-explanation"
SCHEMA_VERSION = 1
RECORD_FILE = "explanation.json"

MAPS = ("heatmap", "heatmap_PET", "heatmap_CT", "agreement", "gradient")
"""What an explanation may leave as images."""


@dataclass(frozen=True)
class ExplanationRecord:
    """What explanation.json holds: the map in numbers, the score that is explained, and how it was made."""

    heatmap: HeatmapRecord
    log_risk: float
    label: str
    head: str
    bundle: str
    bundle_sha256: str
    notes: tuple[str, ...]
    device: str
    threads: int
    seconds: Mapping[str, float]
    research_use: str = RESEARCH_USE
    schema: str = SCHEMA
    schema_version: int = SCHEMA_VERSION

    def as_json(self) -> bytes:
        """The record as indented UTF-8 JSON."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1)

    def as_builtins(self) -> dict[str, Any]:
        """The record as plain dictionaries and lists."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return plain


@dataclass(frozen=True, eq=False)
class ExplainOutput:
    """The record and the files of an explanation, by name; the case, its maps, and what explaining alone noted, from
    which it can be put into a saved result (amending.py)."""

    record: ExplanationRecord
    files: Mapping[str, Path]
    scored: ScoredCase
    explanation: Explanation
    noted: tuple[str, ...] = ()


@dataclass(frozen=True)
class Estimate:
    """How long a map will take: patches, slices to encode, seconds on this device, and the patches already finished.

    `how` says how the seconds were estimated.
    """

    patches: int
    encoded_slices: int
    seconds: float
    resumable: int
    how: str


def explain_to_folder(
    request: ScoreRequest,
    choice: ExplainChoice,
    models: Models | None = None,
    progress: ProgressCallback = ignore_progress,
    tell: NoteCallback = ignore_note,
    recent: RecentCase | None = None,
    *,
    thorough: bool = True,
    of: CaseRecord | None = None,
) -> ExplainOutput:
    """Explain one case and write its folder: explanation.json and the maps; less of them where not `thorough`.

    The folder appears whole or not at all. Patches that are finished when the work is stopped are kept in the cache's
    folder, and the same request goes on from there. A case that `recent` knows is not prepared again. A case that is
    not the one of the record `of`, where that is given, is refused before it is explained. Raises
    MemorySurvivalError with one sentence for anything the user can put right.
    """
    with atomic_folder(request.out, overwrite=request.overwrite, ours=RECORD_FILE) as folder:
        run = _start(request, choice, models, progress, tell, recent)
        cache = MemoryCache() if request.use_cache else None
        scored = run.score(read_values(request), cache)
        if of is not None:
            check_same_case(of, scored, run.bundle.archive.sha256)
        before = len(run.notes)
        with run.stage("explain"):
            explanation = explain_scored(run, scored, choice, cache, thorough=thorough)
        files = write_heatmaps(folder, scored.prepared.case, explanation, every=True)
        record = ExplanationRecord(
            heatmap=heatmap_record(explanation),
            log_risk=scored.risk.log_risk,
            label="; ".join(scored.risk.labels),
            head=scored.risk.head,
            bundle=run.bundle.manifest.name,
            bundle_sha256=run.bundle.archive.sha256,
            notes=tuple(run.notes),
            device=describe_device(run.device),
            threads=torch.get_num_threads(),
            seconds=run.seconds,
        )
        with atomic_file(folder / RECORD_FILE) as path:
            path.write_bytes(record.as_json())
    names = {"explanation": RECORD_FILE, **files}
    paths = {key: request.out / name for key, name in names.items()}
    return ExplainOutput(record, paths, scored, explanation, tuple(run.notes[before:]))


def estimate_explanation(
    request: ScoreRequest,
    choice: ExplainChoice,
    models: Models | None = None,
    progress: ProgressCallback = ignore_progress,
    tell: NoteCallback = ignore_note,
    recent: RecentCase | None = None,
) -> Estimate:
    """How long `explain_to_folder` will take on this device; nothing is written. `request.out` does not matter.

    The case has to be scored for that, which costs nothing where `recent` or the cache knows it.
    """
    run = _start(request, choice, models, progress, tell, recent)
    cache = MemoryCache() if request.use_cache else None
    scored = run.score(read_values(request), cache)
    config = choose_config(run, choice)

    def measure(engine: MemoryEngine) -> Estimate:
        subject = make_subject(run, scored, engine, config)
        work = patches_to_do(subject, scored.prepared.region.roi, config, cache)
        # A coarse map looks at one slice of one image at a time, and where slices look back they take turns too.
        at_once = len(subject.modalities) if subject.mode == "boxed" and not config.coarse else 1
        each_s = seconds_per_slice(engine, run.bundle.manifest.backbone.sha256, passes=at_once)
        how = f"{each_s:.2g} s a slice, measured on this device ({describe_device(run.device)})"
        return Estimate(work.patches, work.encodings, round(each_s * work.effort, 1), work.resumable, how)

    return run.on_device(measure)


def _start(
    request: ScoreRequest,
    choice: ExplainChoice,
    models: Models | None,
    progress: ProgressCallback,
    tell: NoteCallback,
    recent: RecentCase | None,
) -> Run:
    models = models or Models()
    bundle = models.bundle(request.bundle)
    device = choose_device(request.device)
    run = Run(request, models, bundle, device, progress, tell, recent or RecentCase(), names_matter=False)
    choose_config(run, choice)  # mistyped numbers are told before any work
    run.note(*request.notes)
    return run
