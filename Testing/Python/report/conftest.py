"""A small simulated case with a record made through the real types, for the report's tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from MemorySurvivalLib.bundle.manifest import BackboneEntry, Provenance, Windows
from MemorySurvivalLib.explain.heatmap import MEANING, UNIT, Heatmap, Hotspot
from MemorySurvivalLib.explain.plan import ExplainConfig
from MemorySurvivalLib.imaging.acquisition import Acquisition, AlignmentRecord, SuvRecord
from MemorySurvivalLib.imaging.case import Case, make_case
from MemorySurvivalLib.imaging.quality_flag import QualityFlag
from MemorySurvivalLib.imaging.volume import Affine, Volume
from MemorySurvivalLib.imaging.window import Window
from MemorySurvivalLib.memory.propagation import PropagationConfig
from MemorySurvivalLib.report.record import (
    BundleRecord,
    CaseRecord,
    HeatmapRecord,
    HotspotRecord,
    MemoryRecord,
    RoiRecord,
)
from MemorySurvivalLib.risk.covariates import EncodedCovariates
from MemorySurvivalLib.risk.head import HeadSpec
from MemorySurvivalLib.roi.edits import BoxesChanged
from MemorySurvivalLib.roi.provenance import RoiPart
from MemorySurvivalLib.roi.roi import Roi
from MemorySurvivalLib.roi.segments import Maker
from MemorySurvivalLib.scoring import RiskResult, SurvivalCurve


@dataclass(frozen=True, eq=False)
class Example:
    """Everything write_report takes, except the folder."""

    record: CaseRecord
    case: Case
    roi: Roi
    heatmap: Heatmap | None

    def with_risk(self, **changes: Any) -> Example:
        """The same with other values in the record's risk."""
        return replace(self, record=replace(self.record, risk=replace(self.record.risk, **changes)))

    def with_record(self, **changes: Any) -> Example:
        """The same with other values in the record."""
        return replace(self, record=replace(self.record, **changes))

    def without_heatmap(self) -> Example:
        """The same case scored without an explanation."""
        return replace(self, record=replace(self.record, heatmap=None), heatmap=None)


def make_body(shape_zyx: tuple[int, int, int], spacing_mm: tuple[float, float, float]) -> tuple[Volume, Volume, Volume]:
    """CT, PET and mask of an elliptic trunk with a spine; a hot lesion in its left upper part."""
    nz, ny, nx = shape_zyx
    dx, dy, dz = spacing_mm
    z, y, x = np.ogrid[:nz, :ny, :nx]
    u, v = (x - nx / 2) * dx, (y - ny / 2) * dy
    wide, deep = 0.42 * nx * dx, 0.40 * ny * dy
    body = ((u / wide) ** 2 + (v / deep) ** 2 < 1) & (z >= 0)
    spine = (u**2 + (v - 0.35 * deep) ** 2 < min(25.0, 0.25 * deep) ** 2) & (z > 0.2 * nz) & (z < 0.85 * nz)
    wave = 120 * np.sin(z * dz / 11) ** 2
    ct = np.where(spine, 250.0 + wave, np.where(body, 40.0, -1000.0)).astype(np.float32)
    pet = np.where(spine, 1.6, np.where(body, 0.9, 0.0)).astype(np.float32)
    lesion = (u - 0.06 * wide) ** 2 + (v - 0.35 * deep) ** 2 + ((z - 0.6 * nz) * dz) ** 2 < 18.0**2
    pet = np.where(lesion & body, 9.0, pet).astype(np.float32)
    affine = Affine.from_parts(spacing_mm, np.eye(3), (-nx * dx / 2, -ny * dy / 2, -400.0))
    return Volume(ct, affine), Volume(pet, affine), Volume(spine, affine)


def make_example(
    shape_zyx: tuple[int, int, int] = (48, 36, 44), spacing_mm: tuple[float, float, float] = (8.0, 7.0, 12.0)
) -> Example:
    """A simulated case with every part of the record filled."""
    ct, pet, mask = make_body(shape_zyx, spacing_mm)
    case = replace(make_case(ct, pet, "/hospital/Doe_Jane/ct.nii.gz", r"C:\scans\Doe Jane\pet.nii.gz"), simulated=True)
    return example_of(case, Roi(mask, "spine_dilated", "/hospital/Doe_Jane/spine.nrrd"))


def example_of(case: Case, roi: Roi) -> Example:
    """A record with invented numbers about a given case: red where the PET is hot, blue in the lowest sixth."""
    start, stop = roi.bounds_zyx
    window = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
    crop = roi.mask.cropped(start, stop)
    suv = case.pet.voxels[window]
    effect = np.where(suv > 3, 0.04, 0.0)
    sixth = max(1, crop.shape[0] // 6)
    effect[:sixth] -= 0.02
    effect = np.where(crop.voxels, effect, 0).astype(np.float32)
    hotspots = []
    for wanted, value in ((effect > 0.03, 0.0412), (effect < -0.01, -0.0173)):
        where = np.argwhere(wanted)
        if where.size:
            centre = where[np.argmin(np.abs(where - where.mean(axis=0)).sum(axis=1))]
            x, y, z = (float(mm) for mm in crop.affine.points_mm(centre[::-1]))
            hotspots.append(Hotspot((x, y, z), value))
    config = ExplainConfig(24.0, 16.0)
    fills = {"PET": 1.62, "CT": 287.0}
    heatmap = Heatmap(Volume(effect, crop.affine, {"unit": UNIT}), config, fills, 321, 0.987, tuple(hotspots), 0.0375)
    return Example(make_record(case, roi, heatmap), case, roi, heatmap)


ACQUISITION = Acquisition(
    origin={"CT": "image file", "PET": 'DICOM series "WB FDG" of 299 images'},
    suv=SuvRecord("activity concentration (BQML), decay from injection", 61.4, {"weight_kg": 71.5}, {"dose_bq": 3.7e8}),
    flags=(
        QualityFlag("glucose", "warning", "The blood glucose was 12.3 mmol/L, above 11; it lowers FDG uptake.", 12.3),
    ),
    identity=("Confirmed by the user although: The CT and the PET are of different studies, 3 days apart.",),
    cropped_mm={"foot": 112.0},
    alignment=AlignmentRecord(
        shift_lps_mm=(0.0, 0.0, 6.5),
        magnitude_mm=6.5,
        reliable=True,
        warning="The PET lies 6.5 mm from the CT (6.5 mm towards the head) by an estimate from the images.",
        reasons=(),
        details={},
    ),
)


def make_record(case: Case, roi: Roi, heatmap: Heatmap) -> CaseRecord:
    """The record of an invented run; every number differs from every other."""
    rng = np.random.default_rng(7)
    reference = tuple(float(v) for v in rng.normal(0, 0.55, 143))
    return CaseRecord(
        created="2026-05-04T03:02:01+00:00",
        request={
            "ct": "/hospital/Doe_Jane/ct.nii.gz",
            "pet": r"C:\scans\Doe Jane\pet.nii.gz",
            "roi": "/hospital/Doe_Jane/spine.nrrd",
            "out": "/hospital/Doe_Jane/report",
            "bundle": "demonstration",
            "explain": True,
            "device": "auto",
            "patch_mm": None,
        },
        inputs=case.sources,
        simulated_case=case.simulated,
        acquisition=ACQUISITION,
        roi=RoiRecord(
            kind=roi.kind,
            made_by=roi.made_by,
            sha256=roi.mask.sha256(),
            volume_ml=round(roi.volume_ml, 3),
            slices_with_roi=171,
            slices_used=86,
            provenance="The mask was edited after built-in CT segmenter 0.1.0 made it.",
            edited=True,
            parts=(
                RoiPart("spine_dilated", Maker("built-in CT segmenter", "0.1.0"), edited=True, voxels_changed=1234),
            ),
            boxes=BoxesChanged(86, 87, (41, 43), (45,), (), 7.5, 2),
        ),
        bundle=BundleRecord(
            name="demonstration",
            title="Demonstration model",
            version="0.3.1",
            status="demonstration",
            sha256="a1" * 32,
            licence="Apache-2.0",
            backbone=BackboneEntry("sam2.1-compact", 512, "bundled", "b2" * 32, "compact-1"),
            windows=Windows(Window(-160.0, 540.0), Window(0.0, 9.5)),
            propagation=PropagationConfig("max"),
            head="image",
            head_spec=HeadSpec(("PET", "CT"), "gated", 0),
            provenance=Provenance(
                "2026-04-01", "simulated myeloma patients", True, 407, 291, 1234, {"torch": "2.13.0"}, "training script"
            ),
        ),
        memory=(
            MemoryRecord("PET", "max", (1, 64, 32, 32), "c3" * 32),
            MemoryRecord("CT", "max", (1, 64, 32, 32), "d4" * 32),
        ),
        risk=RiskResult(
            log_risk=0.4637,
            head="image",
            labels=("SIMULATED MODEL", "SIMULATED CASE"),
            position=float(np.mean(np.asarray(reference) < 0.4637)),
            reference="simulated cases held out from training",
            reference_log_risks=reference,
            risk_group="high",
            survival=SurvivalCurve((3.0, 9.0, 15.0, 21.0, 27.0, 33.0), (0.95, 0.86, 0.74, 0.63, 0.52, 0.4417), 36.0),
            gate_pet=0.6382,
            covariates=EncodedCovariates((0.1, 0.2), {"age": "63", "sex": "female"}, ("calcium",), ("shoe size",)),
            notes=("Missing covariates took the training cohort's average: calcium.",),
        ),
        heatmap=HeatmapRecord(
            file="heatmap.nrrd",
            unit=UNIT,
            meaning=MEANING,
            patch_mm=heatmap.config.patch_mm,
            stride_mm=heatmap.config.stride_mm,
            fill=heatmap.config.fill,
            fill_values=heatmap.fills,
            patches=heatmap.patches,
            covered=heatmap.covered,
            encoded_slices=2718,
            minimum=float(heatmap.effect.voxels.min()),
            maximum=float(heatmap.effect.voxels.max()),
            limit=heatmap.display_limit,
            hotspots=tuple(
                HotspotRecord(
                    h.position_lps_mm, (-h.position_lps_mm[0], -h.position_lps_mm[1], h.position_lps_mm[2]), h.effect
                )
                for h in heatmap.hotspots
            ),
        ),
        notes=("The mask /hospital/Doe_Jane/spine.nrrd was on another grid and was resampled to the CT's.",),
        device="CPU",
        threads=2,
        seconds={"prepare": 1.25, "embed": 17.5},
        seed=1234,
        software={"memory-survival": "0.1.0", "python": "3.11.9"},
    )


@pytest.fixture(scope="session")
def example() -> Example:
    """A simulated case with every part of the record filled."""
    return make_example()


@pytest.fixture(scope="session")
def build_example() -> Callable[..., Example]:
    """The builder, for tests that need another shape or spacing."""
    return make_example


@pytest.fixture(scope="session")
def build_example_of() -> Callable[[Case, Roi], Example]:
    """The builder, for tests that bring their own case."""
    return example_of
