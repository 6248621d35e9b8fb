"""From a request to a prepared, embedded and scored case: what scoring and explaining have in common."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import torch

from MemorySurvivalLib.bundle.bundle import ModelBundle
from MemorySurvivalLib.devices import OUT_OF_MEMORY_NOTE, DeviceName, is_out_of_memory
from MemorySurvivalLib.errors import MemorySurvivalError
from MemorySurvivalLib.explain.plan import ExplainChoice, FillName
from MemorySurvivalLib.imaging.acquisition import Alignment
from MemorySurvivalLib.imaging.case import Case, prepare_case
from MemorySurvivalLib.imaging.intake import ImageRequest, take_in
from MemorySurvivalLib.imaging.suv_supplied import Supplied
from MemorySurvivalLib.imaging.window import MODALITIES, Modality, Window
from MemorySurvivalLib.measure.statistics import measure_statistics
from MemorySurvivalLib.memory.cache import MemoryCache
from MemorySurvivalLib.memory.engine import MemoryEngine
from MemorySurvivalLib.memory.propagation import Pass, propagate
from MemorySurvivalLib.models import Models
from MemorySurvivalLib.progress import ProgressCallback, ignore_progress
from MemorySurvivalLib.recent import RecentCase, fingerprint
from MemorySurvivalLib.risk.covariate_fields import is_missing, plain_name
from MemorySurvivalLib.risk.covariate_sources import GivenCovariate, gather_covariates
from MemorySurvivalLib.risk.covariates import PATIENT_ID_COLUMNS, Covariates, find_patient_id
from MemorySurvivalLib.roi.region import BUILT_IN, Region, RegionRequest, prepare_region
from MemorySurvivalLib.roi.roi import Roi, RoiKind
from MemorySurvivalLib.roi.segments import Segmentation
from MemorySurvivalLib.scoring import RiskResult, choose_covariates, needed_statistics, score_states

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
    covariate_values: dict[str, GivenCovariate] = field(default_factory=dict)
    """By name: what a person gave beside the file, or instead of one; it wins over the file."""
    bundle: str = "demonstration"
    explain: bool = False
    measure: bool = False
    stability: bool = False
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
class PreparedCase:
    """Images on one grid and the region, as a request asks for them.

    `key` is the fingerprint of what they came from, `names` are the files it came from.
    """

    key: str
    names: tuple[str, ...]
    case: Case
    region: Region
    notes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class ScoredCase:
    """A prepared case with its passes and its score."""

    prepared: PreparedCase
    passes: Mapping[Modality, Pass]
    risk: RiskResult


@dataclass
class Run:
    """What accumulates while a request is worked on."""

    request: ScoreRequest
    models: Models
    bundle: ModelBundle
    device: torch.device
    progress: ProgressCallback
    tell: NoteCallback
    recent: RecentCase = field(default_factory=RecentCase)
    names_matter: bool = True
    """Whether a case that was prepared from equal files of other names will not do, because a record names them."""
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

    def prepare(self, values: Covariates | None) -> PreparedCase:
        """Images and region, from the last run where it had the same ones."""
        key = self._key(values)
        self.recent.make_room("case", key)
        known: PreparedCase | None = self.recent.find("case", key)
        names = tuple(str(path) for path in (self.request.ct, self.request.pet, self.request.study, self.request.roi))
        if known is not None and (known.names == names or not self.names_matter):
            self.note(*known.notes)
            return known
        before = len(self.notes)
        manifest, request = self.bundle.manifest, self.request
        with self.stage("prepare"):
            intake = take_in(request.images(values), manifest.pet_limits, self.progress)
            case = prepare_case(intake, request.alignment, manifest.pet_limits)
            self.note(*case.notes)
        with self.stage("segment"):
            region = prepare_region(
                request.region(),
                case.ct,
                manifest.roi,
                manifest.propagation.slice_step,
                self.progress,
                most_slices=manifest.propagation.most_slices,
                config=manifest.roi_config,
                identity=intake.identity,
                confirmed=request.confirm_identity,
            )
            self.note(*region.notes)
        prepared = PreparedCase(key, names, case, region, tuple(self.notes[before:]))
        self.recent.keep("case", key, prepared)
        return prepared

    def score(self, values: Covariates | None, cache: MemoryCache | None) -> ScoredCase:
        """Prepare, embed and score the case. Raises InputError for a covariate that it cannot take, before any work."""
        choose_covariates(self.bundle, values)
        prepared = self.prepare(values)
        case, roi = prepared.case, prepared.region.roi
        key = f"{prepared.key} {self.bundle.archive.sha256} {self.device} {torch.get_num_threads()}"
        self.recent.make_room("passes", key)
        passes: Mapping[Modality, Pass] | None = self.recent.find("passes", key)
        if passes is None:
            with self.stage("embed"):
                passes = self.on_device(lambda engine: embed_case(engine, self.bundle, case, roi, self.progress, cache))
            self.recent.keep("passes", key, passes)
            if cache is not None and cache.trouble:
                self.note(cache.trouble)
        with self.stage("score"):
            states = {modality: one_pass.readout.state() for modality, one_pass in passes.items()}
            risk = score_states(
                self.bundle,
                states,
                values,
                simulated_case=case.simulated,
                other_roi=roi.kind == "other",
                statistics=self._statistics(prepared),
            )
            self.note(*risk.notes)
        return ScoredCase(prepared, passes, risk)

    def _statistics(self, prepared: PreparedCase) -> dict[str, float] | None:
        """What the bundle's heads take of the region, measured once a case; None where they take nothing."""
        names = needed_statistics(self.bundle)
        if not names:
            return None
        key = f"{prepared.key} {' '.join(names)}"
        known: dict[str, float] | None = self.recent.find("statistics", key)
        if known is None:
            known = measure_statistics(prepared.case, prepared.region.roi.mask.voxels, names)
            self.recent.keep("statistics", key, known)
        return known

    def explain_choice(self) -> ExplainChoice:
        """What the request asks of the heatmap."""
        return ExplainChoice(self.request.patch_mm, self.request.stride_mm, self.request.fill)

    def structures(self, prepared: PreparedCase) -> Segmentation:
        """The case's named structures: those of its region's file or maker, else of the built-in segmenter.

        Raises InputError where the segmenter finds nothing.
        """
        if prepared.region.segmentation is not None:
            return prepared.region.segmentation
        self.recent.make_room("structures", prepared.key)
        known: Segmentation | None = self.recent.find("structures", prepared.key)
        if known is None:
            # The segmenter's morphology packages load only when it runs.
            from MemorySurvivalLib.roi.automatic import segment_case

            known = segment_case(prepared.case.ct, self.progress)
            self.recent.keep("structures", prepared.key, known)
        return known

    def structures_or_none(self, prepared: PreparedCase) -> Segmentation | None:
        """The same for uses that can do without."""
        try:
            return self.structures(prepared)
        except MemorySurvivalError as error:
            self.note(f"Places could not be named by their bones: {error}")
            return None

    def _key(self, values: Covariates | None) -> str:
        """The fingerprint of everything that the prepared case depends on."""
        request, manifest = self.request, self.bundle.manifest
        steps = (manifest.propagation.slice_step, manifest.propagation.most_slices)
        plain = {
            "series": [request.ct_series, request.pet_series, request.confirm_identity, request.alignment],
            "supplied": request.supplied,
            "region": [request.roi_kind, request.roi_segment, request.roi_labels, request.segmenter],
            "other": request.allow_other_roi,
            "patient": find_patient_id(values) if values else None,
            "bundle": [manifest.roi, manifest.roi_config, manifest.pet_limits, *steps],
        }
        labels = Path(request.roi_labels) if request.roi_labels and Path(request.roi_labels).is_file() else None
        paths = (request.ct, request.pet, request.study, request.roi, request.roi_generated, labels)
        return fingerprint(plain, paths)


def read_values(request: ScoreRequest) -> Covariates | None:
    """The covariates that a request names."""
    return gather_covariates(request.covariates, request.covariate_values)[0]


def given_covariates(request: ScoreRequest) -> dict[str, GivenCovariate]:
    """Every clinical value that counts, with where it is from; whose they are is not among them."""
    typed = {plain_name(name): one.source for name, one in request.covariate_values.items()}
    return {
        name: GivenCovariate(value, typed.get(plain_name(name), "file"))
        for name, value in (read_values(request) or {}).items()
        if not is_missing(value) and name.strip().lower() not in PATIENT_ID_COLUMNS
    }


def covariate_notes(request: ScoreRequest) -> tuple[str, ...]:
    """Where the covariates are from, and which of them a person put in the place of the file's."""
    return gather_covariates(request.covariates, request.covariate_values)[1]


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
    boxes = manifest.propagation.boxes(roi.mask)
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
