"""What the model measured in the region and read, as one group of the risk's TID 1500 report."""

from __future__ import annotations

from highdicom.sr import (
    AlgorithmIdentification,
    CodedConcept,
    Measurement,
    MeasurementsAndQualitativeEvaluations,
    TrackingIdentifier,
)
from pydicom.sr.codedict import codes

from MemorySurvivalLib.dicom_out.codes import GRAM, HOUNSFIELD, MILLILITRE, SUV_BODY_WEIGHT, private
from MemorySurvivalLib.dicom_out.envelope import Envelope
from MemorySurvivalLib.dicom_out.measured import CT_NUMBER, MAXIMUM, MEAN, MTV, PEAK, SUV, TLG, VOLUME
from MemorySurvivalLib.dicom_out.structured import Group, comment_on, measure
from MemorySurvivalLib.measure.statistics import STATISTICS
from MemorySurvivalLib.report.record import CaseRecord

MEDIAN = CodedConcept.from_code(codes.SCT.Median)
DEVIATION = CodedConcept.from_code(codes.SCT.StandardDeviation)
TENTH_PERCENTILE = CodedConcept.from_code(codes.SCT.TenthPercentile)

CODED: dict[str, tuple[CodedConcept, CodedConcept, CodedConcept | None]] = {
    "suv_max_g_ml": (SUV, SUV_BODY_WEIGHT, MAXIMUM),
    "suv_peak_g_ml": (SUV, SUV_BODY_WEIGHT, PEAK),
    "suv_mean_g_ml": (SUV, SUV_BODY_WEIGHT, MEAN),
    "suv_median_g_ml": (SUV, SUV_BODY_WEIGHT, MEDIAN),
    "mtv_ml": (MTV, MILLILITRE, None),
    "tlg_g": (TLG, GRAM, None),
    "hu_mean": (CT_NUMBER, HOUNSFIELD, MEAN),
    "hu_sd": (CT_NUMBER, HOUNSFIELD, DEVIATION),
    "hu_tenth_percentile": (CT_NUMBER, HOUNSFIELD, TENTH_PERCENTILE),
    "volume_ml": (VOLUME, MILLILITRE, None),
}
"""Concept, unit and derivation of every statistic that a head can take."""


def describe_input(record: CaseRecord, algorithm: AlgorithmIdentification, envelope: Envelope) -> list[Group]:
    """The group of the values that the head read of the region, each defined in a comment; none for a head without.

    A value that could not be measured, and one that this program no longer knows, stands in a comment alone.
    """
    used = record.risk.statistics
    if not used:
        return []
    measurements: list[Measurement] = []
    sentences = []
    for one in used:
        known = STATISTICS.get(one.name)
        title = known.title if known else one.name
        if one.value is None:
            sentences.append(f"{title}: not measurable, so the training cohort's average was taken.")
        elif known is None or one.name not in CODED:
            sentences.append(f"{title}: {one.value:.6g} {one.unit}".rstrip() + ".")
        else:
            concept, unit, derivation = CODED[one.name]
            measurements += measure(concept, one.value, unit, derivation)
            sentences.append(f"{title}: {known.definition}.")
    group = MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(
            uid=envelope.uids.make("tracking", "model input"), identifier="region as the model read it"
        ),
        finding_type=private("MODEL_INPUT"),
        algorithm_id=algorithm,
        measurements=measurements or None,
    )
    for sentence in sentences:
        comment_on(group, sentence)
    return [group]
