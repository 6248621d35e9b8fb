"""The one line from images to a reported case: prepare, segment, embed, score, explain, report."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch

from MemorySurvivalLib import RESEARCH_USE
from MemorySurvivalLib.clinical.findings import make_findings
from MemorySurvivalLib.devices import choose_device, describe_device
from MemorySurvivalLib.explain.case import explain_scored
from MemorySurvivalLib.explain.explanation import Explanation
from MemorySurvivalLib.explain.files import heatmap_record, write_heatmaps
from MemorySurvivalLib.files import atomic_folder
from MemorySurvivalLib.imaging.case import Case
from MemorySurvivalLib.imaging.pet_quality import check_uptake
from MemorySurvivalLib.imaging.reading import write_volume
from MemorySurvivalLib.imaging.volume import Volume
from MemorySurvivalLib.measure.measuring import Measurements, measure_case, write_measurements
from MemorySurvivalLib.memory.cache import MemoryCache
from MemorySurvivalLib.memory.propagation import Pass
from MemorySurvivalLib.models import Models
from MemorySurvivalLib.preparing import NoteCallback as NoteCallback
from MemorySurvivalLib.preparing import (
    PreparedCase,
    Run,
    ScoredCase,
    ScoreRequest,
    covariate_notes,
    embed_case,
    given_covariates,
    ignore_note,
    read_values,
)
from MemorySurvivalLib.progress import ProgressCallback, ignore_progress
from MemorySurvivalLib.recent import RecentCase
from MemorySurvivalLib.report.model import FILE_NAME
from MemorySurvivalLib.report.record import (
    BundleRecord,
    CaseRecord,
    MemoryRecord,
    RoiRecord,
    software_versions,
)
from MemorySurvivalLib.report.writing import write_report
from MemorySurvivalLib.roi.region import Region
from MemorySurvivalLib.stability.request import measure_prepared

__all__ = ["ScoreOutput", "ScoreRequest", "embed_case", "ignore_note", "score_case"]


@dataclass(frozen=True, eq=False)
class ScoreOutput:
    """The record of a run and the files it left in its folder."""

    record: CaseRecord
    files: Mapping[str, Path]


def score_case(
    request: ScoreRequest,
    models: Models | None = None,
    progress: ProgressCallback = ignore_progress,
    tell: NoteCallback = ignore_note,
    recent: RecentCase | None = None,
) -> ScoreOutput:
    """Score one case and write its folder: report.html with report.json and pictures, result.json, the mask used, and
    the heatmap and the measurements when asked for.

    The folder appears whole or not at all; an exception (bad input, Ctrl-C) leaves nothing behind. `recent` keeps the
    prepared case for the next call. Raises MemorySurvivalError with one sentence for anything the user can put right.
    """
    models = models or Models()
    with atomic_folder(request.out, overwrite=request.overwrite, ours="result.json") as folder:
        bundle = models.bundle(request.bundle)
        run = Run(request, models, bundle, choose_device(request.device), progress, tell, recent or RecentCase())
        run.note(*request.notes, *covariate_notes(request))
        given = given_covariates(request)
        # First of all, so that a value that cannot be true is told before an hour of work.
        findings = make_findings({name: one.value for name, one in given.items()} if given else None)
        cache = MemoryCache() if request.use_cache else None
        values = read_values(request)
        scored = run.score(values, cache)
        prepared = scored.prepared
        case, region = prepared.case, prepared.region
        explanation = None
        if request.explain:
            with run.stage("explain"):
                explanation = explain_scored(run, scored, run.explain_choice(), cache)
        measurements = None
        if request.measure:
            with run.stage("measure"):
                measurements = _measure(run, prepared)
        # Its stage is its own: what takes time is kept with the last case.
        stability = measure_prepared(run, prepared, values) if request.stability else None
        with run.stage("report"):
            files = {"roi": _write_roi(folder, case, region)}
            if explanation is not None:
                files |= write_heatmaps(folder, case, explanation)
            if measurements is not None:
                files |= write_measurements(measurements, case, folder)
        record = replace(
            _make_record(run, scored, explanation),
            measurements=measurements.record if measurements is not None else None,
            stability=stability,
        )
        record.write(folder / "result.json")
        heatmap = explanation.heatmap if explanation else None
        report = write_report(record, case, region.roi, heatmap, folder, findings=findings)
    names = {"report": report.name, "report_data": FILE_NAME, "result": "result.json", **files}
    return ScoreOutput(record, {key: request.out / name for key, name in names.items()})


def _measure(run: Run, prepared: PreparedCase) -> Measurements:
    """Measure the case; a liver that is out of range says that the SUV may be wrong."""
    case, roi = prepared.case, prepared.region.roi
    measured = measure_case(case, run.structures(prepared), roi, progress=run.progress)
    liver = measured.record.references.liver
    if liver is not None:
        limits = run.bundle.manifest.pet_limits
        run.note(*(flag.sentence for flag in check_uptake(case.pet, None, liver.suv_mean, limits)))
    return measured


def _write_roi(folder: Path, case: Case, region: Region) -> str:
    """The mask as a file that runs along the original CT's axes."""
    mask = region.roi.mask.with_voxels(region.roi.mask.voxels.astype(np.uint8)).reoriented(case.orientation)
    # The stamp goes along unchanged, so that an edit of this file, or one made before, is recognised.
    attributes = {**region.attributes, "research_use": RESEARCH_USE}
    write_volume(Volume(mask.voxels, mask.affine, attributes), folder / "roi.nrrd")
    return "roi.nrrd"


def _make_record(run: Run, scored: ScoredCase, explanation: Explanation | None) -> CaseRecord:
    case, region = scored.prepared.case, scored.prepared.region
    passes, risk = scored.passes, scored.risk
    roi, review = region.roi, region.review
    manifest = run.bundle.manifest
    entry = next(head for head in manifest.heads if head.name == risk.head)
    first = next(iter(passes.values()))
    return CaseRecord(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        request={key: str(value) if isinstance(value, Path) else value for key, value in asdict(run.request).items()},
        inputs=case.sources,
        simulated_case=case.simulated,
        acquisition=case.acquisition,
        roi=RoiRecord(
            kind=roi.kind,
            made_by=roi.made_by,
            sha256=roi.mask.sha256(),
            volume_ml=round(roi.volume_ml, 3),
            slices_with_roi=int(roi.mask.voxels.any(axis=(1, 2)).sum()),
            slices_used=len(first.boxes),
            provenance=review.provenance.sentence,
            edited=review.provenance.edited,
            parts=review.provenance.parts,
            edit=review.edit,
            boxes=review.boxes,
            stray=review.stray,
        ),
        bundle=BundleRecord(
            name=manifest.name,
            title=manifest.title,
            version=manifest.version,
            status=manifest.status,
            sha256=run.bundle.archive.sha256,
            licence=manifest.licence,
            backbone=manifest.backbone,
            windows=manifest.windows,
            propagation=manifest.propagation,
            head=entry.name,
            head_spec=entry.spec,
            provenance=manifest.provenance,
            pet_limits=manifest.pet_limits,
            roi_config=manifest.roi_config,
            metrics=entry.metrics,
        ),
        memory=tuple(_memory_record(one_pass, manifest.propagation.readout) for one_pass in passes.values()),
        risk=risk,
        heatmap=heatmap_record(explanation) if explanation else None,
        notes=tuple(run.notes),
        device=describe_device(run.device),
        threads=torch.get_num_threads(),
        seconds=run.seconds,
        seed=manifest.provenance.seed,
        given=given_covariates(run.request),
        software=software_versions(),
    )


def _memory_record(one_pass: Pass, readout: str) -> MemoryRecord:
    state = one_pass.readout.state()
    digest = hashlib.sha256(state.numpy().tobytes()).hexdigest()
    return MemoryRecord(one_pass.modality, readout, tuple(state.shape), digest)
