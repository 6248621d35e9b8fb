"""A small simulated case with a record made through the real types, for the report's tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import numpy as np
import pytest

from MemorySurvivalLib import RESEARCH_USE
from MemorySurvivalLib.bundle.manifest import BackboneEntry, Provenance, Windows
from MemorySurvivalLib.explain.heatmap import MEANING, UNIT, Heatmap, Hotspot
from MemorySurvivalLib.explain.plan import ExplainConfig
from MemorySurvivalLib.imaging.acquisition import Acquisition, AlignmentRecord, SuvRecord
from MemorySurvivalLib.imaging.case import Case, make_case
from MemorySurvivalLib.imaging.quality_flag import QualityFlag
from MemorySurvivalLib.imaging.volume import Affine, Volume
from MemorySurvivalLib.imaging.window import Window
from MemorySurvivalLib.measure.lesion import Lesion, LesionConfig, LesionTotals
from MemorySurvivalLib.measure.reference import References, ReferenceSphere
from MemorySurvivalLib.measure.segments import SegmentMeasure
from MemorySurvivalLib.measure.tables import MeasurementRecord, lesion_row, segment_row
from MemorySurvivalLib.measure.uptake import RegionMeasure
from MemorySurvivalLib.memory.propagation import PropagationConfig
from MemorySurvivalLib.report.document import Figure, Paragraph
from MemorySurvivalLib.report.model import PictureEntry, PictureRole, Report
from MemorySurvivalLib.report.record import (
    BundleRecord,
    CaseRecord,
    HeatmapRecord,
    HotspotRecord,
    MemoryRecord,
    RoiRecord,
)
from MemorySurvivalLib.report.subject import Subject
from MemorySurvivalLib.report.writing import make_report
from MemorySurvivalLib.risk.covariate_sources import GivenCovariate
from MemorySurvivalLib.risk.covariates import EncodedCovariates
from MemorySurvivalLib.risk.head import HeadSpec
from MemorySurvivalLib.roi.edits import BoxesChanged
from MemorySurvivalLib.roi.provenance import RoiPart
from MemorySurvivalLib.roi.roi import Roi
from MemorySurvivalLib.roi.segments import Maker
from MemorySurvivalLib.scoring import RiskResult, SurvivalCurve
from MemorySurvivalLib.stability.record import StabilityRecord, TrialRecord


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
            metrics={"held_out_c_index": 0.5905},
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
        measurements=make_measurements(),
        stability=make_stability(),
        given={"LDH": GivenCovariate("212", "typed")},
        software={"memory-survival": "0.1.0", "python": "3.11.9"},
    )


def make_measurements() -> MeasurementRecord:
    """Invented measurements: a liver, no blood pool, three lesions, two segments."""
    liver = ReferenceSphere(
        "liver", (40.0, -20.0, 10.0), 30.0, 2.13, 0.31, 2.9, 61.0, 12.5, made_by="found automatically"
    )
    references = References(liver, None, ())
    measure = RegionMeasure(812, 104.5, 211.0, 88.0, 190.0, 1.42, 1.31, 6.37, 5.55, (1.0, 2.0, 3.0), (1.0, 2.0, 3.0))
    rows = tuple(segment_row(SegmentMeasure(name, n, "vertebrae", measure), references) for n, name in enumerate("AB"))
    lesions = tuple(
        lesion_row(
            Lesion(
                n, kind, None, site, 0.0, hot, hot - 1.5, hot - 2.5, mtv, mtv * 4, 17.0, 8.8, (0.0, 0.0, 0.0),
                (0.0, 0.0, 0.0), 143.0, 139.0, False, 0.97,
            ),
            references,
        )
        for n, kind, site, hot, mtv in (
            (1, "focal", "left_hip_bone", 14.6, 7.7), (2, "focal", "T4", 9.9, 3.3), (3, "diffuse", "L2", 5.1, 0.0),
        )
    )  # fmt: skip
    totals = LesionTotals(2, 0, 1, 0, 11.0, 44.0, 14.6)
    return MeasurementRecord(
        roi=segment_row(SegmentMeasure("region", 0, "region", measure), references),
        segments=rows,
        references=references,
        lesion_config=LesionConfig(),
        threshold_suv=4.0,
        marrow_suv=1.6,
        lesions=lesions,
        totals=totals,
        roi_made_by="built-in",
        segmentation_made_by="built-in CT segmenter 0.1.0",
        notes=("The arms are not in the images.",),
        seconds={},
        simulated=True,
    )


def make_stability() -> StabilityRecord:
    """An invented badge of two changes."""
    trials = (
        TrialRecord("every box edge 5 mm outwards", 0.4412, -0.0225, -0.0412, -0.7, "high"),
        TrialRecord("PET 4 mm to the left", 0.5178, 0.0541, 0.0991, 2.1, "high"),
    )
    return StabilityRecord(
        verdict="stable",
        sentence="2 changes were tried; the largest effect on the log-risk was +0.054.",
        log_risk=0.4637,
        lowest=0.4412,
        highest=0.5178,
        positions=(0.8601, 0.8881),
        risk_groups=("high",),
        reference_sd=0.546,
        largest=trials[1],
        trials=trials,
        left_out=("The mask is one voxel thick, so it was not eroded.",),
        labels=("SIMULATED MODEL", "SIMULATED CASE"),
        encoded_slices=358,
        seconds=20.25,
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


def list_pictures(record: CaseRecord) -> tuple[PictureEntry, ...]:
    """The entries of the pictures that a record may show, without drawing them."""
    names: list[tuple[PictureRole, str, float, float]] = []
    if record.risk.position is not None and record.risk.reference_log_risks:
        names.append(("reference", "reference", 54.0, 36.0))
    if record.risk.survival is not None:
        names.append(("survival", "survival", 54.0, 36.0))
    spots = record.heatmap.hotspots[:10] if record.heatmap else ()
    overview = ("pet-projection", "fused-coronal", "fused-sagittal", *(("heatmap-coronal",) if spots else ()))
    names += [("overview", name, 25.0, 60.0) for name in overview]
    names += [("hotspot", f"hotspot-{n}", 90.0, 34.0) for n in range(1, len(spots) + 1)]
    return tuple(
        PictureEntry(
            name,
            f"pictures/{name}.png",
            wide,
            high,
            name,
            f"What {name} shows. {RESEARCH_USE}.",
            role,
            int(name.rpartition("-")[2]) if role == "hotspot" else None,
        )
        for role, name, wide, high in names
    )


@pytest.fixture(scope="session")
def report_of() -> Callable[..., Report]:
    """A report about a record, with pictures that need not exist."""

    def make(record: CaseRecord, subject: Subject | None = None, **more: Any) -> Report:
        where = "through hotspot 1"
        return make_report(record, list_pictures(record), where, subject or Subject("identified"), **more)

    return make


@pytest.fixture(scope="session")
def words_of() -> Callable[[Any], str]:
    """Everything that a document, page or block says, in order, with single blanks."""

    def texts(value: Any) -> Iterator[str]:
        if isinstance(value, str):
            yield value
        elif isinstance(value, tuple):
            for item in value:
                yield from texts(item)
        elif isinstance(value, Paragraph):
            yield from (value.lead, value.text)
        elif isinstance(value, Figure):
            yield from (value.lead, value.caption)
        elif is_dataclass(value):
            for entry in fields(value):
                yield from texts(getattr(value, entry.name))

    return lambda value: " ".join(" ".join(texts(value)).split())
