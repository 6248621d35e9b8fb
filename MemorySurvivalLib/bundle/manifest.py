"""What a model bundle says about itself: the typed content of its manifest.json."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import msgspec

from MemorySurvivalLib.imaging.pet_quality import PetLimits
from MemorySurvivalLib.imaging.window import MODALITIES, Modality, Window
from MemorySurvivalLib.measure.statistics import STATISTICS, STATISTICS_VERSION, check_names, find_unknown
from MemorySurvivalLib.memory.backbone import Architecture
from MemorySurvivalLib.memory.propagation import PropagationConfig
from MemorySurvivalLib.risk.covariates import CovariateSchema
from MemorySurvivalLib.risk.head import HeadSpec
from MemorySurvivalLib.roi.derive import RoiConfig
from MemorySurvivalLib.roi.roi import RoiKind

FORMAT = "msbundle"
FORMAT_VERSION = 1

MINIMUM_REFERENCE = 20
"""Fewer reference cases say too little about where a new one stands."""

Status = Literal["demonstration", "local-research", "validated"]


class _Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A part of the manifest: unknown and missing fields are refused when it is read."""


class Member(_Part, frozen=True):
    """Size and hash of another file in the archive."""

    sha256: str
    bytes: int


class LearnedFrom(_Part, frozen=True):
    """Which images a bundled backbone learned from: phantoms by number, real series by name, with their licences.

    `begun_clean`: its training began with random weights, or with weights of phantoms alone; false also where nobody
    knows.
    """

    simulated_cases: int
    real_cases: tuple[str, ...]
    licences: str
    begun_clean: bool

    @property
    def sentence(self) -> str:
        """A clause without a full stop, for a manifest's population and for reports."""
        images = f"the images of {self.simulated_cases} simulated patients"
        if self.real_cases:
            count = len(self.real_cases)
            series = "1 real image series of a patient" if count == 1 else f"{count} real image series of patients"
            images += f" and {series} ({self.licences or 'licence not stated'})"
        return images if self.begun_clean else f"{images}; it began with weights whose images are not named here"


class ReaderEntry(_Part, frozen=True):
    """The lesion reader of the backbone (lesion_reader.safetensors): `sha256` over its parameters in float32, the kinds
    of lesion that it reads, and the images of how many simulated patients it learned from."""

    sha256: str
    kinds: tuple[str, ...]
    simulated_cases: int


class BackboneEntry(_Part, frozen=True, omit_defaults=True):
    """The frozen network the heads were trained on.

    `weights` "bundled": backbone.safetensors inside the archive, `sha256` over its parameters in float32.
    `weights` "external": a checkpoint file in the user's weights store, `sha256` over that file; `release` names it.
    `learned_from` belongs to the card of the backbone's training, where that is in the archive. `reader` is there where
    heads need what it reads (propagation's `inside` "lesions").
    """

    architecture: Architecture
    image_size: int
    weights: Literal["bundled", "external"]
    sha256: str
    release: str
    learned_from: LearnedFrom | None = None
    reader: ReaderEntry | None = None

    @property
    def simulated_only(self) -> bool:
        """Whether it learned from phantoms alone; a bundled one without a card is of the time when all did."""
        learned = self.learned_from
        return self.weights == "bundled" and (learned is None or (learned.begun_clean and not learned.real_cases))


class Windows(_Part, frozen=True):
    """Fixed intensity windows: HU for CT, SUVbw for PET."""

    CT: Window
    PET: Window


class Reference(_Part, frozen=True):
    """Log-risks that a new one is placed among. Only cases the head never saw may be here."""

    origin: str
    description: str
    log_risks: tuple[float, ...]


class RiskGroups(_Part, frozen=True):
    """Thresholds between the groups, frozen on the training cohort; one more name than thresholds."""

    thresholds: tuple[float, ...]
    names: tuple[str, ...]
    origin: Literal["training"]


class BaselineHazard(_Part, frozen=True):
    """Breslow's cumulative baseline hazard for log-risk 0 at rising times in months."""

    times_months: tuple[float, ...]
    cumulative_hazard: tuple[float, ...]


class Calibration(_Part, frozen=True):
    """Out-of-fold calibration at one horizon: what entitles a bundle to show survival."""

    horizon_months: float
    out_of_fold: bool
    slope: float
    slope_interval: tuple[float, float]


class StatisticEntry(_Part, frozen=True):
    """A number measured in the region, as it was defined when the head was trained."""

    name: str
    unit: str
    definition: str


class StatisticsEntry(_Part, frozen=True):
    """What a head takes of the region beside memory states, in the order of its spec; `version` of the definitions.

    The training cohort's means and SDs are among the head's tensors.
    """

    version: int
    entries: tuple[StatisticEntry, ...]


def describe_statistics(names: tuple[str, ...]) -> StatisticsEntry | None:
    """The entry of a head that takes these statistics; None for none. Raises InputError for an unknown name."""
    if not names:
        return None
    check_names(names)
    known = (STATISTICS[name] for name in names)
    return StatisticsEntry(
        STATISTICS_VERSION, tuple(StatisticEntry(one.name, one.unit, one.definition) for one in known)
    )


class HeadEntry(_Part, frozen=True):
    """One trained head and the evidence that belongs to it."""

    name: str
    spec: HeadSpec
    covariates: CovariateSchema | None
    reference: Reference | None
    groups: RiskGroups | None
    baseline: BaselineHazard | None
    calibration: Calibration | None
    metrics: dict[str, float]
    statistics: StatisticsEntry | None = None


class ExplainDefaults(_Part, frozen=True):
    """Occlusion patches unless the user asks otherwise, in which images, and the fixed colour scale in log-risk."""

    patch_mm: float
    stride_mm: float
    fill: Literal["roi_median", "volume_mean"]
    display_limit: float
    modalities: tuple[Modality, ...] = MODALITIES


class Provenance(_Part, frozen=True):
    """Who made the bundle, from what, with which software and seeds."""

    created: str
    population: str
    simulated: bool
    cases: int
    events: int
    seed: int
    software: dict[str, str]
    how: str


class Manifest(_Part, frozen=True):
    """Everything about a bundle except the tensors; format version 1."""

    format: str
    format_version: int
    name: str
    title: str
    version: str
    status: Status
    licence: str
    backbone: BackboneEntry
    windows: Windows
    roi: RoiKind
    propagation: PropagationConfig
    heads: tuple[HeadEntry, ...]
    explain: ExplainDefaults
    provenance: Provenance
    members: dict[str, Member]
    pet_limits: PetLimits = msgspec.field(default_factory=PetLimits)
    roi_config: RoiConfig = msgspec.field(default_factory=RoiConfig)


def check_manifest(manifest: Manifest) -> str | None:
    """The first contradiction inside a well-formed manifest as a clause, or None."""
    if not manifest.heads:
        return "it has no head"
    names = [head.name for head in manifest.heads]
    if len(set(names)) != len(names):
        return "two heads have the same name"
    if ("backbone.safetensors" in manifest.members) != (manifest.backbone.weights == "bundled"):
        return "its backbone entry and its members disagree on bundled weights"
    if ("backbone.json" in manifest.members) != (manifest.backbone.learned_from is not None):
        return "its backbone entry and its members disagree on how the backbone was trained"
    if manifest.backbone.learned_from is not None and manifest.backbone.weights != "bundled":
        return "it says how a backbone was trained that is not in it"
    if "backbone_log.jsonl" in manifest.members and "backbone.json" not in manifest.members:
        return "it holds the log of a backbone's training without its card"
    if ("lesion_reader.safetensors" in manifest.members) != (manifest.backbone.reader is not None):
        return "its backbone entry and its members disagree on a lesion reader"
    if manifest.propagation.inside == "lesions" and manifest.backbone.reader is None:
        return "it reads lesions in memories, but has no lesion reader"
    if manifest.provenance.simulated and manifest.status != "demonstration":
        return f"it learned from simulated cases, so its status cannot be {manifest.status!r}"
    if manifest.propagation.slice_step < 1 or manifest.propagation.batch_size < 1:
        return "its slice step and batch size must be at least 1"
    if manifest.propagation.most_slices is not None and manifest.propagation.most_slices < 1:
        return "the most slices that it reads must be at least 1"
    explain = manifest.explain
    if not 0 < explain.stride_mm <= explain.patch_mm or not explain.display_limit > 0:
        return "its occlusion patches need 0 < stride <= size and a colour limit above 0"
    if len(set(explain.modalities)) != len(explain.modalities):
        return "it names an image to occlude twice"
    for head in manifest.heads:
        problem = _check_head(head)
        if problem:
            return f"head {head.name!r}: {problem}"
        if not set(explain.modalities) & set(head.spec.modalities):
            return f"head {head.name!r} reads none of the images in which the bundle occludes patches"
    return None


def _check_head(head: HeadEntry) -> str | None:
    problem = head.covariates.find_problem() if head.covariates else None
    if problem:
        return f"its covariate schema cannot be used: {problem}"
    width = head.covariates.width if head.covariates else 0
    if width != head.spec.covariate_width:
        return f"its covariate schema has {width} values, its network expects {head.spec.covariate_width}"
    problem = _check_statistics(head)
    if problem:
        return problem
    if head.reference is not None:
        if head.reference.origin != "held-out":
            return (
                f"its reference risks are {head.reference.origin!r}; only held-out cases can be a reference "
                "(a model's risks of its own training cases flatter it)"
            )
        if len(head.reference.log_risks) < MINIMUM_REFERENCE:
            return (
                f"its reference has only {len(head.reference.log_risks)} cases, at least {MINIMUM_REFERENCE} are needed"
            )
    if head.groups is not None:
        thresholds, names = head.groups.thresholds, head.groups.names
        if not _rises(thresholds) or len(set(names)) != len(names) or len(names) != len(thresholds) + 1:
            return "its risk groups need rising thresholds and one name more than thresholds"
    if head.baseline is not None:
        times, hazard = head.baseline.times_months, head.baseline.cumulative_hazard
        if not times or len(times) != len(hazard) or list(times) != sorted(times) or list(hazard) != sorted(hazard):
            return "its baseline hazard needs as many rising values as rising times"
        if times[0] < 0 or hazard[0] < 0:
            return "its baseline hazard has a negative time or value"
    if head.calibration is not None:
        return _check_calibration(head.calibration, head.baseline)
    return None


def _check_statistics(head: HeadEntry) -> str | None:
    names = head.spec.statistics
    described = tuple(one.name for one in head.statistics.entries) if head.statistics else ()
    if described != names:
        return f"it describes the statistics {list(described)}, its network takes {list(names)}"
    unknown = find_unknown(names)
    if unknown:
        return f"it takes the statistic {unknown[0]!r}, which this program does not measure"
    if head.statistics and head.statistics.version != STATISTICS_VERSION:
        return (
            f"its statistics are of version {head.statistics.version} of their definitions, this program measures "
            f"version {STATISTICS_VERSION}"
        )
    blind = [name for name in names if STATISTICS[name].modality not in (None, *head.spec.modalities)]
    return f"it takes {blind[0]!r}, but does not read the {STATISTICS[blind[0]].modality}" if blind else None


def _check_calibration(calibration: Calibration, baseline: BaselineHazard | None) -> str | None:
    if baseline is None or not baseline.times_months[0] <= calibration.horizon_months <= baseline.times_months[-1]:
        return f"it is calibrated at {calibration.horizon_months:g} months, where it has no baseline hazard"
    low, high = calibration.slope_interval
    if not low <= calibration.slope <= high:
        return "its calibration slope lies outside its own interval"
    return None


def _rises(values: tuple[float, ...]) -> bool:
    return all(before < after for before, after in pairwise(values))
