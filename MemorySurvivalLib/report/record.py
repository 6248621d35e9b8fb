"""The complete record of one scored case: what result.json holds and every report format is made from."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import msgspec

from MemorySurvivalLib import RESEARCH_USE, __version__
from MemorySurvivalLib.bundle.manifest import BackboneEntry, Provenance, Windows
from MemorySurvivalLib.files import atomic_file
from MemorySurvivalLib.imaging.acquisition import Acquisition
from MemorySurvivalLib.imaging.case import ImageSource
from MemorySurvivalLib.imaging.pet_quality import PetLimits
from MemorySurvivalLib.imaging.window import Modality
from MemorySurvivalLib.measure.tables import MeasurementRecord
from MemorySurvivalLib.memory.propagation import PropagationConfig
from MemorySurvivalLib.report.stored import read_stored
from MemorySurvivalLib.risk.covariate_sources import GivenCovariate
from MemorySurvivalLib.risk.head import HeadSpec
from MemorySurvivalLib.roi.derive import RoiConfig
from MemorySurvivalLib.roi.edits import BoxesChanged, EditSummary
from MemorySurvivalLib.roi.provenance import RoiPart
from MemorySurvivalLib.roi.stray import StrayPiece
from MemorySurvivalLib.scoring import RiskResult
from MemorySurvivalLib.stability.record import StabilityRecord

SCHEMA = "memory-survival-result"
SCHEMA_VERSION = 3
VERSIONS_READ = (2, 3)
"""Version 3 added the stability, the covariates as given and the head's metrics; all are absent in version 2."""


@dataclass(frozen=True)
class RoiRecord:
    """The mask that prompted the model: kind, origin, hash, size, and how many slices it put a box on.

    `parts` say who made each part and how many voxels a person changed since, `provenance` says it in a sentence.
    `edit` and `boxes` compare with the mask as it was generated, where that was given; `stray` lists tiny pieces far
    from the rest.
    """

    kind: str
    made_by: str
    sha256: str
    volume_ml: float
    slices_with_roi: int
    slices_used: int
    provenance: str = ""
    edited: bool | None = None
    parts: tuple[RoiPart, ...] = ()
    edit: EditSummary | None = None
    boxes: BoxesChanged | None = None
    stray: tuple[StrayPiece, ...] = ()


@dataclass(frozen=True)
class BundleRecord:
    """The model bundle that scored the case; `metrics` are those of the head, as its manifest states them."""

    name: str
    title: str
    version: str
    status: str
    sha256: str
    licence: str
    backbone: BackboneEntry
    windows: Windows
    propagation: PropagationConfig
    head: str
    head_spec: HeadSpec
    provenance: Provenance
    pet_limits: PetLimits = field(default_factory=PetLimits)
    roi_config: RoiConfig = field(default_factory=RoiConfig)
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class MemoryRecord:
    """One modality's memory state: its shape (layers, channels, height, width) and hash."""

    modality: str
    readout: str
    shape: tuple[int, ...]
    sha256: str


@dataclass(frozen=True)
class HotspotRecord:
    """A connected maximum above the noise floor: its place (LPS and RAS millimetres) and the change of log-risk there.

    `site` is the bone it lies in or near, `share` its part of all absolute effects in the region, `volume_ml` the part
    of the region it fills; `agreed` says whether another fill shows it too (None: not looked at).
    """

    position_lps_mm: tuple[float, float, float]
    position_ras_mm: tuple[float, float, float]
    effect: float
    number: int = 0
    site: str = ""
    share: float = 0.0
    volume_ml: float = 0.0
    agreed: bool | None = None


@dataclass(frozen=True)
class OutsideRecord:
    """The change of log-risk that an organ outside the region causes, because the model sees whole slices."""

    organ: str
    effect: float


@dataclass(frozen=True)
class HeatmapRecord:
    """The occlusion heatmap in numbers; the voxels are in `file`.

    Effects within `noise_floor` are hidden. `whole_roi_effect` is that of occluding the whole region at once,
    `summed_effect` the sum of the patches' effects as if they added up; `fill_agreement` is the share of the map above
    the floor that another fill shows too. What was not asked for is None or empty.
    """

    file: str
    unit: str
    meaning: str
    patch_mm: float
    stride_mm: float
    fill: str
    fill_values: Mapping[Modality, float]
    patches: int
    covered: float
    encoded_slices: int
    minimum: float
    maximum: float
    limit: float
    hotspots: tuple[HotspotRecord, ...]
    noise_floor: float = 0.0
    modalities: tuple[Modality, ...] = ("PET", "CT")
    coarse: bool = False
    resumed: int = 0
    whole_roi_effect: float | None = None
    summed_effect: float | None = None
    outside: tuple[OutsideRecord, ...] = ()
    organs_unknown: tuple[str, ...] = ()
    fill_agreement: float | None = None
    summary: tuple[str, ...] = ()


@dataclass(frozen=True)
class CaseRecord:
    """Everything about one run: inputs with hashes, model, parameters, numbers, notes, versions, times.

    `given` are all covariates as given, also those that the model does not know (a staging score may need them); whose
    they are is not among them.
    """

    created: str
    request: Mapping[str, Any]
    inputs: Mapping[Modality, ImageSource]
    simulated_case: bool
    acquisition: Acquisition
    roi: RoiRecord
    bundle: BundleRecord
    memory: tuple[MemoryRecord, ...]
    risk: RiskResult
    heatmap: HeatmapRecord | None
    notes: tuple[str, ...]
    device: str
    threads: int
    seconds: Mapping[str, float]
    seed: int
    measurements: MeasurementRecord | None = None
    stability: StabilityRecord | None = None
    given: Mapping[str, GivenCovariate] = field(default_factory=dict)
    software: Mapping[str, str] = field(default_factory=dict)
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

    def write(self, path: Path) -> None:
        """Write result.json whole or not at all."""
        with atomic_file(path) as temporary:
            temporary.write_bytes(self.as_json())


def read_record(path: Path) -> CaseRecord:
    """A result.json. Raises InputError with one sentence for a file that is none, is broken, or of an unknown version.

    A record of an older version is returned as it was written, with what it lacks absent.
    """
    return read_stored(path, CaseRecord, SCHEMA, VERSIONS_READ, "a result")


def software_versions() -> dict[str, str]:
    """Versions of everything that can change a number."""
    versions = {"memory-survival": __version__, "python": platform.python_version(), "system": platform.platform()}
    for package in (
        "torch",
        "sam2",
        "numpy",
        "scipy",
        "SimpleITK",
        "pydicom",
        "highdicom",
        "safetensors",
        "matplotlib",
    ):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    return versions
