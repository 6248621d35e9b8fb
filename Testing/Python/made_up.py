"""What tests make up: a small patient, and the parts of a small bundle with random weights.

A module of its own, because every folder's conftest is imported under the one name `conftest`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from MemorySurvivalLib.bundle.bundle import as_float16
from MemorySurvivalLib.bundle.manifest import (
    FORMAT,
    FORMAT_VERSION,
    BackboneEntry,
    BaselineHazard,
    ExplainDefaults,
    HeadEntry,
    Manifest,
    Provenance,
    Reference,
    RiskGroups,
    Windows,
)
from MemorySurvivalLib.imaging.reading import write_volume
from MemorySurvivalLib.imaging.volume import Affine, Volume
from MemorySurvivalLib.imaging.window import MODALITIES, Window
from MemorySurvivalLib.memory.backbone import BackboneSpec
from MemorySurvivalLib.memory.lesion_reader import LesionReader
from MemorySurvivalLib.memory.propagation import PropagationConfig
from MemorySurvivalLib.risk.covariates import CategoricalCovariate, ContinuousCovariate, CovariateSchema
from MemorySurvivalLib.risk.head import HeadSpec, RiskHead

ROOT = Path(__file__).resolve().parents[2]
SMALL = BackboneSpec("sam2.1-compact", 64)


@dataclass(frozen=True, eq=False)
class Patient:
    """A small made-up patient: CT, PET on its own grid, and a spine mask, with the files they were written to."""

    ct: Volume
    pet: Volume
    spine: Volume
    folder: Path

    @property
    def ct_path(self) -> Path:
        return self.folder / "ct.nrrd"

    @property
    def pet_path(self) -> Path:
        return self.folder / "pet.nrrd"

    @property
    def spine_path(self) -> Path:
        return self.folder / "spine.nrrd"

    def written(self) -> Patient:
        """The same patient with the files written."""
        write_volume(self.ct, self.ct_path)
        write_volume(self.pet, self.pet_path)
        write_volume(self.spine, self.spine_path)
        return self


def make_patient(folder: Path, *, seed: int = 0, attributes: dict[str, str] | None = None) -> Patient:
    """A body cylinder with a bony column at the back and two hot lesions; PET on a coarser grid over the same body."""
    rng = np.random.default_rng(seed)
    shape, spacing = (18, 40, 48), (4.0, 4.0, 6.0)
    ct_affine = Affine.from_parts(spacing, np.eye(3), (-95.0, -80.0, -300.0))
    z, y, x = np.indices(shape)
    body = ((x - 23.5) / 21) ** 2 + ((y - 19.5) / 16) ** 2 <= 1
    column = ((x - 23.5) ** 2 + (y - 28) ** 2) <= 5**2
    hu = np.where(body, 40.0, -1000.0) + np.where(column, 350.0, 0.0) + rng.normal(0, 12, shape)
    ct = Volume(hu.astype(np.int16), ct_affine, attributes or {})
    pet_affine = Affine.from_parts((8.0, 8.0, 6.0), np.eye(3), (-93.0, -78.0, -300.0))
    pz, py, px = np.indices((18, 20, 24))
    points = pet_affine.points_mm(np.stack([px, py, pz], axis=-1))
    inside = (points[..., 0] / 84) ** 2 + ((points[..., 1] + 2) / 64) ** 2 <= 1
    suv = np.where(inside, 1.0, 0.0) + rng.normal(0, 0.05, inside.shape)
    for centre, peak in (((0.0, 32.0, -270.0), 9.0), ((8.0, 30.0, -225.0), 6.0)):
        suv += peak * np.exp(-((points - centre) ** 2).sum(axis=-1) / (2 * 9.0**2))
    pet = Volume(np.clip(suv, 0, None).astype(np.float32), pet_affine, attributes or {})
    wide = ((x - 23.5) ** 2 + (y - 28) ** 2) <= 8**2
    spine = Volume((wide & (z >= 2) & (z < 16)).astype(np.uint8), ct_affine)
    return Patient(ct, pet, spine, folder)


SCHEMA = CovariateSchema(
    continuous=(ContinuousCovariate("age_years", "years", 18, 110, 62.5, 9.7),),
    categorical=(CategoricalCovariate("sex", ("male", "female"), (0.58, 0.42)),),
)


def make_manifest(heads: tuple[HeadEntry, ...], entry: BackboneEntry, **changes: object) -> Manifest:
    """A valid manifest for tests; `changes` replace fields."""
    fields: dict[str, object] = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "name": "test",
        "title": "Random weights for tests",
        "version": "0",
        "status": "demonstration",
        "licence": "Apache-2.0",
        "backbone": entry,
        "windows": Windows(CT=Window(-200, 1000), PET=Window(0, 10)),
        "roi": "spine_dilated",
        "propagation": PropagationConfig(readout="mean"),
        "heads": heads,
        "explain": ExplainDefaults(patch_mm=40, stride_mm=40, fill="roi_median", display_limit=0.2),
        "provenance": Provenance("2026-01-01", "none: random weights", True, 30, 20, 0, {}, "tests"),
        "members": {},
    }
    return Manifest(**{**fields, **changes})  # type: ignore[arg-type]


def make_reader(seed: int = 0, channels: int = 64) -> LesionReader:
    """A random lesion reader, float16, whose say differs between slices of `SMALL`'s memories."""
    import torch

    torch.manual_seed(seed)
    reader = LesionReader(channels).eval().requires_grad_(False)
    for modality in MODALITIES:
        reader.set_scale(modality, torch.zeros(channels), torch.full((channels,), 0.1))
        reader.networks[modality].get_submodule("5").weight.mul_(3)  # type: ignore[operator]
    as_float16(reader)
    return reader


def make_head(name: str, schema: CovariateSchema | None, seed: int) -> tuple[RiskHead, HeadEntry]:
    """A random head with all the evidence a head can carry."""
    import torch

    torch.manual_seed(seed)
    spec = HeadSpec(("PET", "CT"), "gated", schema.width if schema else 0)
    head = RiskHead(spec).eval()
    for module in head.modules():
        if isinstance(module, torch.nn.Linear):
            torch.nn.init.normal_(module.weight, std=0.3)  # so that small image changes are visible in the log-risk
    for downsampler in head.downsamplers.values():
        downsampler.sd.fill_(0.02)  # random memories vary little; this makes the head feel it
    as_float16(head)
    risks = tuple(np.linspace(-2, 2, 41).tolist())
    entry = HeadEntry(
        name=name,
        spec=spec,
        covariates=schema,
        reference=Reference("held-out", "41 made-up patients", risks),
        groups=RiskGroups((-0.5, 0.5), ("low", "intermediate", "high"), "training"),
        baseline=BaselineHazard((12.0, 24.0, 36.0), (0.1, 0.3, 0.6)),
        calibration=None,
        metrics={"held_out_c_index": 0.5},
    )
    return head, entry


BundleMaker = Callable[..., Path]
