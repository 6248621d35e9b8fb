"""The risk as a TID 1500 report: what the bundle may say, coded, with the model that says it and its labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from highdicom.sr import (
    AlgorithmIdentification,
    Comprehensive3DSR,
    CoordinatesForMeasurement3D,
    GraphicTypeValues3D,
    Measurement,
    MeasurementsAndQualitativeEvaluations,
    QualitativeEvaluation,
    TrackingIdentifier,
)
from pydicom.dataset import Dataset

from MemorySurvivalLib.dicom_out.codes import HEADS_SIMULATED, MONTH, RATIO, STABILITY_VALUES, STATUS_VALUES, private
from MemorySurvivalLib.dicom_out.envelope import Envelope
from MemorySurvivalLib.dicom_out.model_input import describe_input
from MemorySurvivalLib.dicom_out.structured import Group, comment_on, measure, site_of, write_structured
from MemorySurvivalLib.report.record import CaseRecord, HotspotRecord
from MemorySurvivalLib.risk.covariate_fields import list_titles, say_with_unit

WORDS = "Risk"
MOST_HOTSPOTS = 50
"""A report in a viewer's tree is no place for more; all of them are in result.json."""


def write_risk(
    record: CaseRecord,
    evidence: Sequence[Dataset],
    envelope: Envelope,
    *,
    series_number: int,
    with_covariates: bool = False,
) -> Comprehensive3DSR:
    """Log-risk, position, group, survival at the horizon, PET weight and stability, each only where the result has it.

    What the model read of the region beside its memory is a group of its own, where it reads such values. Covariates
    are named only `with_covariates`. The private codes are those of docs/dicom-results.md.
    """
    bundle = record.bundle
    algorithm = AlgorithmIdentification(
        name=bundle.name,
        version=bundle.version,
        parameters=[
            f"title: {bundle.title}",
            f"status: {bundle.status}",
            f"bundle sha256: {bundle.sha256}",
            f"head: {record.risk.head}",
            f"region: {record.roi.kind}",
            f"readout: {bundle.propagation.readout}",
            f"backbone: {bundle.backbone.architecture}, sha256 {bundle.backbone.sha256}",
            *([f"lesion reader: sha256 {bundle.backbone.reader.sha256}"] if bundle.backbone.reader else []),
        ],
    )
    group = MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(uid=envelope.uids.make("tracking", "risk"), identifier="risk"),
        finding_type=private("RISK_ESTIMATE"),
        algorithm_id=algorithm,
        measurements=_numbers(record),
        qualitative_evaluations=_judgements(record),
    )
    for words in _sentences(record, with_covariates=with_covariates):
        comment_on(group, words)
    groups: list[Group] = [group, *describe_input(record, algorithm, envelope)]
    if record.heatmap is not None:
        frame = str(evidence[0].FrameOfReferenceUID)
        shown = sorted(record.heatmap.hotspots, key=lambda one: -abs(one.effect))[:MOST_HOTSPOTS]
        groups += [_hotspot(one, n, frame, envelope) for n, one in enumerate(shown, start=1)]
    return write_structured(
        groups, (), evidence, envelope, record.risk.labels, words=WORDS, series_number=series_number
    )


def _numbers(record: CaseRecord) -> list[Measurement]:
    risk, stability = record.risk, record.stability
    found = [
        *measure(private("LOG_RISK"), risk.log_risk, RATIO),
        *measure(private("RISK_POSITION"), risk.position, RATIO),
        *measure(private("PET_WEIGHT"), risk.gate_pet, RATIO),
    ]
    if risk.survival is not None and risk.survival.probability:
        found += measure(private("PFS_AT_HORIZON"), risk.survival.probability[-1], RATIO)
        found += measure(private("PFS_HORIZON"), risk.survival.horizon_months, MONTH)
    if stability is not None:
        found += measure(private("LOG_RISK_LOWEST"), stability.lowest, RATIO)
        found += measure(private("LOG_RISK_HIGHEST"), stability.highest, RATIO)
    return found


def _judgements(record: CaseRecord) -> list[QualitativeEvaluation]:
    # The code's meaning says what all of the model learned from; where that is the heads alone, its wording does.
    heads_only = record.bundle.status == "demonstration" and not record.bundle.backbone.simulated_only
    status = private(STATUS_VALUES[record.bundle.status], HEADS_SIMULATED if heads_only else None)
    found = [QualitativeEvaluation(name=private("MODEL_STATUS"), value=status)]
    if record.risk.risk_group is not None:
        group = private("RISK_GROUP_VALUE", record.risk.risk_group)
        found.append(QualitativeEvaluation(name=private("RISK_GROUP"), value=group))
    if record.stability is not None:
        badge = private(STABILITY_VALUES[record.stability.verdict])
        found.append(QualitativeEvaluation(name=private("STABILITY"), value=badge))
    return found


def _sentences(record: CaseRecord, *, with_covariates: bool) -> list[str]:
    risk = record.risk
    sentences = []
    if risk.reference is not None:
        sentences.append(f"Reference cases: {risk.reference}.")
    if record.stability is not None:
        sentences += [record.stability.sentence, record.stability.rule, record.stability.meaning]
    if with_covariates and risk.covariates is not None:
        sentences += [f"Covariate {say_with_unit(name, value)}" for name, value in risk.covariates.used.items()]
        if risk.covariates.missing:
            sentences.append(f"Covariates missing: {list_titles(risk.covariates.missing)}.")
    return sentences


def _hotspot(hotspot: HotspotRecord, number: int, frame: str, envelope: Envelope) -> Group:
    point = CoordinatesForMeasurement3D(
        graphic_type=GraphicTypeValues3D.POINT,
        graphic_data=np.array([hotspot.position_lps_mm], dtype=np.float64),
        frame_of_reference_uid=frame,
    )
    effect = Measurement(
        name=private("LOG_RISK_CHANGE"),
        value=float(f"{hotspot.effect:.6g}"),
        unit=RATIO,
        referenced_coordinates=[point],
    )
    return MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(
            uid=envelope.uids.make("tracking", "hotspot", number), identifier=f"hotspot {number}"
        ),
        finding_type=private("LOG_RISK_CHANGE"),
        method=private("OCCLUSION"),
        finding_sites=site_of(hotspot.site),
        measurements=[effect],
    )
