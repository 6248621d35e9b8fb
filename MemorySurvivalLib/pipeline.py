"""The one line from images to a reported case: prepare, segment, embed, score, explain, report."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from MemorySurvivalLib import RESEARCH_USE
from MemorySurvivalLib.bundle.bundle import ModelBundle
from MemorySurvivalLib.devices import OUT_OF_MEMORY_NOTE, DeviceName, choose_device, describe_device, is_out_of_memory
from MemorySurvivalLib.explain.heatmap import MEANING, UNIT, Heatmap, make_heatmap
from MemorySurvivalLib.explain.occlusion import fill_values, occluded_log_risks
from MemorySurvivalLib.explain.plan import ExplainConfig, FillName, plan_patches
from MemorySurvivalLib.files import atomic_folder
from MemorySurvivalLib.imaging.acquisition import Alignment
from MemorySurvivalLib.imaging.case import Case, prepare_case
from MemorySurvivalLib.imaging.intake import ImageRequest, take_in
from MemorySurvivalLib.imaging.pet_quality import check_uptake
from MemorySurvivalLib.imaging.reading import write_volume
from MemorySurvivalLib.imaging.suv_supplied import Supplied
from MemorySurvivalLib.imaging.volume import Volume
from MemorySurvivalLib.imaging.window import MODALITIES, Modality, Window
from MemorySurvivalLib.measure.measuring import Measurements, measure_case, write_measurements
from MemorySurvivalLib.memory.cache import MemoryCache
from MemorySurvivalLib.memory.engine import MemoryEngine
from MemorySurvivalLib.memory.propagation import Pass, propagate
from MemorySurvivalLib.models import Models
from MemorySurvivalLib.progress import ProgressCallback, ignore_progress
from MemorySurvivalLib.report.html import write_report
from MemorySurvivalLib.report.record import (
    BundleRecord,
    CaseRecord,
    HeatmapRecord,
    HotspotRecord,
    MemoryRecord,
    RoiRecord,
    software_versions,
)
from MemorySurvivalLib.risk.covariates import Covariates, find_patient_id, read_covariates
from MemorySurvivalLib.roi.boxes import prompt_boxes
from MemorySurvivalLib.roi.region import BUILT_IN, Region, RegionRequest, prepare_region
from MemorySurvivalLib.roi.roi import Roi, RoiKind
from MemorySurvivalLib.scoring import RiskResult, score_states

Result = TypeVar("Result")
NoteCallback = Callable[[str], None]


def ignore_note(text: str) -> None:
    """The note callback for callers that only read the record."""


@dataclass(frozen=True)
class ScoreRequest:
    """What to score and how.

    Images: `study`, a DICOM folder that holds both, or `ct` and `pet`; the fields up to `alignment` are those of
    `ImageRequest` and `Alignment`. Region: without `roi` the `segmenter` makes one of the bundle's kind; the fields
    from `roi` to `allow_other_roi` are those of `RegionRequest`. `patch_mm`, `stride_mm` and `fill` None take the
    bundle's defaults.
    """

    out: Path
    ct: Path | None = None
    pet: Path | None = None
    study: Path | None = None
    ct_series: str | None = None
    pet_series: str | None = None
    confirm_identity: bool = False
    supplied: Supplied = field(default_factory=Supplied)
    alignment: Alignment = "check"
    roi: Path | None = None
    roi_kind: RoiKind | None = None
    roi_segment: str | None = None
    roi_labels: str | None = None
    roi_generated: Path | None = None
    segmenter: str = BUILT_IN
    allow_other_roi: bool = False
    covariates: Path | None = None
    bundle: str = "demonstration"
    explain: bool = False
    measure: bool = False
    device: DeviceName = "auto"
    patch_mm: float | None = None
    stride_mm: float | None = None
    fill: FillName | None = None
    overwrite: bool = False
    use_cache: bool = True
    notes: tuple[str, ...] = ()
    """What the caller knows of the images and the record should say."""

    def images(self, values: Covariates | None) -> ImageRequest:
        """Which images, and whose covariates go with them."""
        return ImageRequest(
            ct=self.ct,
            pet=self.pet,
            study=self.study,
            ct_series=self.ct_series,
            pet_series=self.pet_series,
            supplied=self.supplied,
            confirm_identity=self.confirm_identity,
            covariates_patient_id=find_patient_id(values) if values else None,
        )

    def region(self) -> RegionRequest:
        """Which region."""
        return RegionRequest(
            mask=self.roi,
            kind=self.roi_kind,
            segment=self.roi_segment,
            labels=self.roi_labels,
            generated=self.roi_generated,
            segmenter=self.segmenter,
            allow_other=self.allow_other_roi,
        )


@dataclass(frozen=True, eq=False)
class ScoreOutput:
    """The record of a run and the files it left in its folder."""

    record: CaseRecord
    files: Mapping[str, Path]


@dataclass
class _Run:
    """What accumulates while a request is worked on."""

    request: ScoreRequest
    models: Models
    bundle: ModelBundle
    device: torch.device
    progress: ProgressCallback
    tell: NoteCallback
    notes: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    def note(self, *texts: str) -> None:
        """Keep sentences for the user and pass them on at once."""
        for text in texts:
            self.notes.append(text)
            self.tell(text)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure a stage of the line."""
        start = time.monotonic()
        yield
        self.seconds[name] = round(time.monotonic() - start, 3)

    def on_device(self, work: Callable[[MemoryEngine], Result]) -> Result:
        """Run `work` on the chosen device; when a GPU has no memory left, on the CPU, and say so."""
        try:
            return work(self.models.engine(self.bundle, self.device))
        except RuntimeError as error:
            if self.device.type == "cpu" or not is_out_of_memory(error):
                raise
        self.note(OUT_OF_MEMORY_NOTE)
        self.device = torch.device("cpu")
        return work(self.models.engine(self.bundle, self.device))


def score_case(
    request: ScoreRequest,
    models: Models | None = None,
    progress: ProgressCallback = ignore_progress,
    tell: NoteCallback = ignore_note,
) -> ScoreOutput:
    """Score one case and write its folder: report.html, result.json, the mask used, and the heatmap and the
    measurements when asked for.

    The folder appears whole or not at all; an exception (bad input, Ctrl-C) leaves nothing behind. Raises
    MemorySurvivalError with one sentence for anything the user can put right.
    """
    models = models or Models()
    with atomic_folder(request.out, overwrite=request.overwrite, ours="result.json") as folder:
        bundle = models.bundle(request.bundle)
        run = _Run(request, models, bundle, choose_device(request.device), progress, tell)
        run.note(*request.notes)
        cache = MemoryCache() if request.use_cache else None
        values = read_covariates(request.covariates) if request.covariates else None
        with run.stage("prepare"):
            limits = bundle.manifest.pet_limits
            intake = take_in(request.images(values), limits, progress)
            case = prepare_case(intake, request.alignment, limits)
            run.note(*case.notes)
        with run.stage("segment"):
            region = prepare_region(
                request.region(),
                case.ct,
                bundle.manifest.roi,
                bundle.manifest.propagation.slice_step,
                progress,
                config=bundle.manifest.roi_config,
                identity=intake.identity,
                confirmed=request.confirm_identity,
            )
            roi = region.roi
            run.note(*region.notes)
        with run.stage("embed"):
            passes = run.on_device(lambda engine: embed_case(engine, bundle, case, roi, progress, cache))
            if cache is not None and cache.trouble:
                run.note(cache.trouble)
        with run.stage("score"):
            risk = _score(bundle, case, roi, passes, values)
            run.note(*risk.notes)
        heatmap, encoded = None, 0
        if request.explain:
            with run.stage("explain"):
                config = _explain_config(run)
                heatmap, encoded = run.on_device(
                    lambda engine: explain_case(engine, bundle, case, roi, passes, risk, config, progress)
                )
        measurements = None
        if request.measure:
            with run.stage("measure"):
                measurements = _measure(run, case, region)
        with run.stage("report"):
            files = _write_images(folder, case, region, heatmap)
            if measurements is not None:
                files |= write_measurements(measurements, case, folder)
        record = _make_record(run, case, region, passes, risk, heatmap, encoded)
        if measurements is not None:
            record = replace(record, measurements=measurements.record)
        record.write(folder / "result.json")
        report = write_report(record, case, roi, heatmap, folder)
    names = {"report": report.name, "result": "result.json", **files}
    return ScoreOutput(record, {key: request.out / name for key, name in names.items()})


def embed_case(
    engine: MemoryEngine,
    bundle: ModelBundle,
    case: Case,
    roi: Roi,
    progress: ProgressCallback = ignore_progress,
    cache: MemoryCache | None = None,
) -> dict[Modality, Pass]:
    """Prompt every used slice of each modality the bundle needs and keep the memories; `cache` spares what it knows."""
    manifest = bundle.manifest
    boxes = prompt_boxes(roi.mask, manifest.propagation.slice_step)
    windows: dict[Modality, Window] = {"PET": manifest.windows.PET, "CT": manifest.windows.CT}
    return {
        modality: propagate(
            engine,
            case.image(modality),
            modality,
            windows[modality],
            boxes,
            manifest.propagation,
            progress,
            mask=roi.mask,
            cache=cache,
        )
        for modality in MODALITIES
        if any(modality in head.spec.modalities for head in manifest.heads)
    }


def explain_case(
    engine: MemoryEngine,
    bundle: ModelBundle,
    case: Case,
    roi: Roi,
    passes: Mapping[Modality, Pass],
    risk: RiskResult,
    config: ExplainConfig,
    progress: ProgressCallback = ignore_progress,
) -> tuple[Heatmap, int]:
    """The occlusion heatmap and how many slices had to be encoded for it."""
    head = bundle.heads[risk.head]
    used = {modality: passes[modality] for modality in head.spec.modalities}
    patches = plan_patches(roi, config)
    fills = fill_values(case, roi, config.fill)
    before = engine.encoded_slices
    vector = risk.covariates.vector if risk.covariates else ()
    occluded = occluded_log_risks(engine, case, used, head, vector, patches, fills, progress)
    limit = bundle.manifest.explain.display_limit
    heatmap = make_heatmap(roi, config, fills, patches, risk.log_risk - occluded, limit)
    return heatmap, engine.encoded_slices - before


def _measure(run: _Run, case: Case, region: Region) -> Measurements:
    """Measure the case; a liver that is out of range says that the SUV may be wrong."""
    segmentation = region.segmentation
    if segmentation is None:
        # The segmenter's morphology packages load only when it runs.
        from MemorySurvivalLib.roi.automatic import segment_case

        segmentation = segment_case(case.ct, run.progress)
    measured = measure_case(case, segmentation, region.roi, progress=run.progress)
    liver = measured.record.references.liver
    if liver is not None:
        limits = run.bundle.manifest.pet_limits
        run.note(*(flag.sentence for flag in check_uptake(case.pet, None, liver.suv_mean, limits)))
    return measured


def _score(
    bundle: ModelBundle, case: Case, roi: Roi, passes: Mapping[Modality, Pass], values: Covariates | None
) -> RiskResult:
    states = {modality: one_pass.readout.state() for modality, one_pass in passes.items()}
    return score_states(bundle, states, values, simulated_case=case.simulated, other_roi=roi.kind == "other")


def _explain_config(run: _Run) -> ExplainConfig:
    defaults, request = run.bundle.manifest.explain, run.request
    patch_mm = request.patch_mm or defaults.patch_mm
    stride_mm = request.stride_mm or min(defaults.stride_mm, patch_mm)
    return ExplainConfig(patch_mm, stride_mm, request.fill or defaults.fill)


def _write_images(folder: Path, case: Case, region: Region, heatmap: Heatmap | None) -> dict[str, str]:
    """Mask and heatmap as files that run along the original CT's axes."""
    mask = region.roi.mask.with_voxels(region.roi.mask.voxels.astype(np.uint8)).reoriented(case.orientation)
    # The stamp goes along unchanged, so that an edit of this file, or one made before, is recognised.
    attributes = {**region.attributes, "research_use": RESEARCH_USE}
    write_volume(Volume(mask.voxels, mask.affine, attributes), folder / "roi.nrrd")
    if heatmap is None:
        return {"roi": "roi.nrrd"}
    effect = heatmap.effect.reoriented(case.orientation)
    attributes = {**effect.attributes, "research_use": RESEARCH_USE}
    write_volume(Volume(effect.voxels, effect.affine, attributes), folder / "heatmap.nrrd")
    return {"roi": "roi.nrrd", "heatmap": "heatmap.nrrd"}


def _make_record(
    run: _Run,
    case: Case,
    region: Region,
    passes: Mapping[Modality, Pass],
    risk: RiskResult,
    heatmap: Heatmap | None,
    encoded: int,
) -> CaseRecord:
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
        ),
        memory=tuple(_memory_record(one_pass, manifest.propagation.readout) for one_pass in passes.values()),
        risk=risk,
        heatmap=_heatmap_record(heatmap, encoded) if heatmap else None,
        notes=tuple(run.notes),
        device=describe_device(run.device),
        threads=torch.get_num_threads(),
        seconds=run.seconds,
        seed=manifest.provenance.seed,
        software=software_versions(),
    )


def _memory_record(one_pass: Pass, readout: str) -> MemoryRecord:
    state = one_pass.readout.state()
    digest = hashlib.sha256(state.numpy().tobytes()).hexdigest()
    return MemoryRecord(one_pass.modality, readout, tuple(state.shape), digest)


def _heatmap_record(heatmap: Heatmap, encoded: int) -> HeatmapRecord:
    voxels = heatmap.effect.voxels
    return HeatmapRecord(
        file="heatmap.nrrd",
        unit=UNIT,
        meaning=MEANING,
        patch_mm=heatmap.config.patch_mm,
        stride_mm=heatmap.config.stride_mm,
        fill=heatmap.config.fill,
        fill_values=heatmap.fills,
        patches=heatmap.patches,
        covered=heatmap.covered,
        encoded_slices=encoded,
        minimum=float(voxels.min()),
        maximum=float(voxels.max()),
        limit=heatmap.display_limit,
        hotspots=tuple(
            HotspotRecord(
                h.position_lps_mm, (-h.position_lps_mm[0], -h.position_lps_mm[1], h.position_lps_mm[2]), h.effect
            )
            for h in heatmap.hotspots
        ),
    )
