"""The measurements as a TID 1500 report: the region and every lesion with its segment, SUV, volume and site."""

from __future__ import annotations

from collections.abc import Sequence

from highdicom.seg import Segmentation
from highdicom.sr import (
    AlgorithmIdentification,
    CodedConcept,
    Comprehensive3DSR,
    Measurement,
    MeasurementsAndQualitativeEvaluations,
    ReferencedSegment,
    SourceSeriesForSegmentation,
    TrackingIdentifier,
    VolumetricROIMeasurementsAndQualitativeEvaluations,
)
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from MemorySurvivalLib import __version__
from MemorySurvivalLib.dicom_out.codes import (
    GRAM,
    HOUNSFIELD,
    LESION,
    MILLILITRE,
    SUV_BODY_WEIGHT,
    TISSUE,
    concept,
    private,
)
from MemorySurvivalLib.dicom_out.envelope import MODEL_NAME, Envelope
from MemorySurvivalLib.dicom_out.structured import Group, comment_on, measure, site_of, write_structured
from MemorySurvivalLib.measure.lesion import MTV_SHARE, Lesion
from MemorySurvivalLib.measure.tables import MeasurementRecord, SegmentRow
from MemorySurvivalLib.roi.terminology import recognise

WORDS = "Measurements"

SUV = CodedConcept.from_code(codes.DCM.StandardizedUptakeValue)
VOLUME = CodedConcept.from_code(codes.SCT.Volume)
MTV = CodedConcept.from_code(codes.DCM.MetabolicVolume)
TLG = CodedConcept.from_code(codes.DCM.TotalLesionGlycolysis)
CT_NUMBER = CodedConcept.from_code(codes.DCM.AttenuationCoefficient)
MAXIMUM = CodedConcept.from_code(codes.SCT.Maximum)
MEAN = CodedConcept.from_code(codes.SCT.Mean)
PEAK = CodedConcept.from_code(codes.DCM.PeakValueWithinROI)


def write_measured(
    record: MeasurementRecord,
    simulated: bool,
    region: Segmentation | None,
    lesions: Segmentation | None,
    evidence: Sequence[Dataset],
    envelope: Envelope,
    *,
    series_number: int,
) -> Comprehensive3DSR:
    """Measurements without any risk. Groups refer to the segments of `region` and `lesions` where those are written.

    Spill-in from organs is left out; diffuse uptake is listed with its own finding type and has no 41 % volume.
    """
    algorithm = AlgorithmIdentification(name=f"{MODEL_NAME} measurements", version=__version__)
    groups: list[Group] = [_region(record.roi, region, evidence[0], algorithm, envelope)]
    groups += [
        _lesion(row.lesion, lesions, evidence[0], algorithm, envelope)
        for row in record.lesions
        if row.lesion.kind != "spill-in"
    ]
    totals = record.totals
    comments = [
        f"{totals.focal} focal lesions at SUV >= {record.threshold_suv:.2f}; volumes inside {MTV_SHARE:.0%} of each "
        f"lesion's own SUVmax: {totals.mtv_ml:.1f} ml together, TLG {totals.tlg_g:.1f} g "
        f"({totals.without_volume} without such a volume).",
        f"Listed but not counted: {totals.diffuse} diffuse, {totals.spill_in} spill-in from organs (left out here).",
        *record.notes,
    ]
    labels = ("SIMULATED CASE",) if simulated else ()
    objects = [one for one in (region, lesions) if one is not None]
    return write_structured(
        groups, comments, [*evidence, *objects], envelope, labels, words=WORDS, series_number=series_number
    )


def _region(
    row: SegmentRow,
    seg: Segmentation | None,
    source: Dataset,
    algorithm: AlgorithmIdentification,
    envelope: Envelope,
) -> Group:
    m = row.measure
    structure = recognise(row.name)
    measurements = [
        *measure(VOLUME, m.volume_ml, MILLILITRE),
        *measure(SUV, m.suv_mean, SUV_BODY_WEIGHT, MEAN),
        *measure(SUV, m.suv_max, SUV_BODY_WEIGHT, MAXIMUM),
        *measure(SUV, m.suv_peak, SUV_BODY_WEIGHT, PEAK),
        *measure(CT_NUMBER, m.hu_mean, HOUNSFIELD, MEAN),
    ]
    finding = concept(structure.code) if structure else TISSUE
    return _group("region", finding, "", measurements, seg, source, algorithm, envelope)


def _lesion(
    lesion: Lesion,
    seg: Segmentation | None,
    source: Dataset,
    algorithm: AlgorithmIdentification,
    envelope: Envelope,
) -> Group:
    measurements = [
        *measure(SUV, lesion.suv_max, SUV_BODY_WEIGHT, MAXIMUM),
        *measure(SUV, lesion.suv_peak, SUV_BODY_WEIGHT, PEAK),
        *measure(SUV, lesion.suv_mean, SUV_BODY_WEIGHT, MEAN),
        *measure(MTV, lesion.mtv_ml, MILLILITRE),
        *measure(TLG, lesion.tlg_g, GRAM),
        *measure(VOLUME, lesion.volume_above_threshold_ml, MILLILITRE),
        *measure(CT_NUMBER, lesion.hu_mean, HOUNSFIELD, MEAN),
    ]
    finding = LESION if lesion.kind == "focal" else private("DIFFUSE_UPTAKE")
    group = _group(
        f"lesion {lesion.number}", finding, lesion.site, measurements, seg, source, algorithm, envelope, lesion.number
    )
    comment_on(group, "Volume: where the uptake reaches the threshold. Metabolic volume: the 41 % outline.")
    return group


def _group(
    name: str,
    finding: CodedConcept,
    site: str,
    measurements: list[Measurement],
    seg: Segmentation | None,
    source: Dataset,
    algorithm: AlgorithmIdentification,
    envelope: Envelope,
    *number: int,
) -> Group:
    """A group about a segment where it is written, else one without an outline."""
    uid = envelope.uids.make("tracking", "lesion" if number else "region", *number)
    tracking = TrackingIdentifier(uid=uid, identifier=name)
    which = _segment_number(seg, uid)
    if seg is None or which is None:
        return MeasurementsAndQualitativeEvaluations(
            tracking_identifier=tracking,
            finding_type=finding,
            finding_sites=site_of(site),
            measurements=measurements,
            algorithm_id=algorithm,
        )
    return VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=tracking,
        referenced_segment=ReferencedSegment(
            sop_class_uid=seg.SOPClassUID,
            sop_instance_uid=seg.SOPInstanceUID,
            segment_number=which,
            source_series=SourceSeriesForSegmentation(source.SeriesInstanceUID),
        ),
        finding_type=finding,
        finding_sites=site_of(site),
        measurements=measurements,
        algorithm_id=algorithm,
    )


def _segment_number(seg: Segmentation | None, tracking_uid: str) -> int | None:
    for description in seg.SegmentSequence if seg is not None else ():
        if description.get("TrackingUID") == tracking_uid:
            return int(description.SegmentNumber)
    return None
