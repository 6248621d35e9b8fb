"""Saved results that the tests of comparisons make up, through the real types."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from MemorySurvivalLib.bundle.manifest import BackboneEntry, Provenance, Windows
from MemorySurvivalLib.imaging.acquisition import Acquisition
from MemorySurvivalLib.imaging.case import ImageSource
from MemorySurvivalLib.imaging.window import Modality, Window
from MemorySurvivalLib.measure.lesion import Lesion, LesionConfig, LesionTotals
from MemorySurvivalLib.measure.reference import References, ReferenceSphere
from MemorySurvivalLib.measure.tables import LesionRow, MeasurementRecord, RelativeUptake, SegmentRow
from MemorySurvivalLib.measure.uptake import RegionMeasure
from MemorySurvivalLib.memory.propagation import PropagationConfig
from MemorySurvivalLib.report.record import BundleRecord, CaseRecord, RoiRecord
from MemorySurvivalLib.risk.covariates import EncodedCovariates
from MemorySurvivalLib.risk.head import HeadSpec
from MemorySurvivalLib.scoring import RiskResult

Place = tuple[float, float, float]
UNRELATED = RelativeUptake(None, None, None, None, None, None, None)
REFERENCE_RISKS = tuple(float(v) for v in np.linspace(-1, 1, 40))


def make_source(mark: str) -> ImageSource:
    """An image whose hash is its mark."""
    return ImageSource(f"/hospital/Doe_Jane/{mark}.nrrd", mark, "LPS", (10, 20, 20), (4.0, 4.0, 5.0))


def make_result(
    log_risk: float = 0.25, *, images: str = "one", simulated: bool = False, measured: bool = True, **changes: Any
) -> CaseRecord:
    """One result of a local model; `images` marks CT and PET, `changes` replace fields of the record."""
    inputs: dict[Modality, ImageSource] = {"CT": make_source(f"ct-{images}"), "PET": make_source(f"pet-{images}")}
    labels = ("SIMULATED CASE",) if simulated else ()
    record = CaseRecord(
        created="2026-05-04T03:02:01+00:00",
        request={"ct": "/hospital/Doe_Jane/ct.nrrd", "out": "/hospital/out", "segmenter": "built-in", "fill": None},
        inputs=inputs,
        simulated_case=simulated,
        acquisition=Acquisition(),
        roi=RoiRecord("spine_dilated", "built-in 0.1.0", "mask", 1500.0, 120, 60, edited=False),
        bundle=make_bundle_record(),
        memory=(),
        risk=RiskResult(
            log_risk=log_risk,
            head="image",
            labels=labels,
            position=float(np.mean(np.asarray(REFERENCE_RISKS) < log_risk)),
            reference="held-out cases",
            reference_log_risks=REFERENCE_RISKS,
            risk_group=None,
            survival=None,
            gate_pet=0.6,
            covariates=EncodedCovariates((), {"age": "63", "sex": "female"}, (), ()),
            notes=(),
        ),
        heatmap=None,
        notes=(),
        device="CPU",
        threads=1,
        seconds={},
        seed=1,
        measurements=make_measurements() if measured else None,
        software={"memory-survival": "0.1.0", "torch": "2.13.0"},
    )
    return replace(record, **changes)


def make_bundle_record(mark: str = "bundle", status: str = "local-research") -> BundleRecord:
    """A model whose hash is its mark."""
    return BundleRecord(
        name=mark,
        title=f"Model {mark}",
        version="1.0",
        status=status,
        sha256=mark,
        licence="Apache-2.0",
        backbone=BackboneEntry("sam2.1-compact", 512, "bundled", "backbone", "compact-1"),
        windows=Windows(Window(-160.0, 540.0), Window(0.0, 9.5)),
        propagation=PropagationConfig("max"),
        head="image",
        head_spec=HeadSpec(("PET", "CT"), "gated", 0),
        provenance=Provenance("2026-04-01", "myeloma patients", False, 400, 290, 1, {}, "training script"),
    )


def make_lesion(number: int, place: Place, suv_max: float, site: str = "L1", kind: str = "focal") -> LesionRow:
    """A lesion of 2 ml at a place (LPS mm)."""
    lesion = Lesion(
        number=number,
        kind=kind,  # type: ignore[arg-type]
        spill_in="heart" if kind == "spill-in" else None,
        site=site,
        site_distance_mm=0.0,
        suv_max=suv_max,
        suv_peak=0.8 * suv_max,
        suv_mean=0.6 * suv_max,
        mtv_ml=2.0,
        tlg_g=1.2 * suv_max,
        diameter_mm=15.0,
        volume_above_threshold_ml=2.5,
        centre_lps_mm=place,
        suv_max_lps_mm=place,
        hu_mean=200.0,
        hu_median=190.0,
        low_density=False,
        in_region=1.0,
    )
    return LesionRow(lesion, UNRELATED)


TWO_LESIONS = (make_lesion(1, (0.0, 10.0, -400.0), 9.0), make_lesion(2, (0.0, 12.0, -250.0), 6.0, "T8"))


def make_measurements(
    lesions: Sequence[LesionRow] = TWO_LESIONS,
    *,
    region: str = "spine_dilated",
    marrow_suv: float = 1.5,
    liver: float = 2.0,
    config: LesionConfig = LesionConfig(),  # noqa: B008  frozen
) -> MeasurementRecord:
    """Measurements with these lesions; totals follow from the focal ones."""
    focal = [row.lesion for row in lesions if row.lesion.kind == "focal"]
    measure = RegionMeasure(1000, 1500.0, 210.0, 90.0, 200.0, 1.6, 1.5, 9.0, 7.5, (0, 0, 0), (0, 0, 0))
    return MeasurementRecord(
        roi=SegmentRow(region, 0, "roi", measure, UNRELATED),
        segments=(),
        references=References(ReferenceSphere("liver", (0, 0, 0), 30, liver, 0.2, 2.6, 55, 9, "found automatically")),
        lesion_config=config,
        threshold_suv=config.suv,
        marrow_suv=marrow_suv,
        lesions=tuple(lesions),
        totals=LesionTotals(
            focal=len(focal),
            without_volume=0,
            diffuse=0,
            spill_in=len(lesions) - len(focal),
            mtv_ml=sum(lesion.mtv_ml or 0.0 for lesion in focal),
            tlg_g=sum(lesion.tlg_g or 0.0 for lesion in focal),
            suv_max=max((lesion.suv_max for lesion in focal), default=None),
        ),
        roi_made_by="built-in 0.1.0",
        segmentation_made_by="built-in 0.1.0",
        notes=(),
        seconds={},
        simulated=False,
    )


def with_risk(record: CaseRecord, **changes: Any) -> CaseRecord:
    """The same result with other values of the risk."""
    return replace(record, risk=replace(record.risk, **changes))


def write_result(folder: Path, record: CaseRecord) -> Path:
    """The result saved in a folder, with a report beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    record.write(folder / "result.json")
    (folder / "report.html").write_text("<p>report</p>", encoding="utf-8")
    return folder
