"""What both structured reports have in common: TID 1500 with observer, notices and evidence, as Comprehensive 3D SR."""

from __future__ import annotations

from collections.abc import Sequence

from highdicom.sr import (
    CodedConcept,
    Comprehensive3DSR,
    ContentSequence,
    DeviceObserverIdentifyingAttributes,
    FindingSite,
    Measurement,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    ObserverContext,
    RelationshipTypeValues,
    TextContentItem,
    VolumetricROIMeasurementsAndQualitativeEvaluations,
)
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from MemorySurvivalLib import RESEARCH_USE, __version__
from MemorySurvivalLib.dicom_out.codes import PROCEDURE, concept, scheme_item
from MemorySurvivalLib.dicom_out.envelope import MANUFACTURER, MODEL_NAME, Envelope
from MemorySurvivalLib.roi.terminology import recognise

COMMENT = codes.DCM.Comment

Group = MeasurementsAndQualitativeEvaluations | VolumetricROIMeasurementsAndQualitativeEvaluations


def write_structured(
    groups: Sequence[Group],
    comments: Sequence[str],
    evidence: Sequence[Dataset],
    envelope: Envelope,
    labels: Sequence[str],
    *,
    words: str,
    series_number: int,
) -> Comprehensive3DSR:
    """A TID 1500 report. `labels` and the research notice stand first in its tree, then `comments`, then the groups.

    `evidence` are headers of all images and objects of the study that it rests on. The report is complete, unverified
    and preliminary: nobody has signed it.
    """
    device = DeviceObserverIdentifyingAttributes(
        uid=envelope.uids.make("device"),
        name=MODEL_NAME,
        manufacturer_name=MANUFACTURER,
        model_name=f"{MODEL_NAME} {__version__}",
        serial_number=envelope.serial,
    )
    report = MeasurementReport(
        observation_context=ObservationContext(
            observer_device_context=ObserverContext(
                observer_type=codes.DCM.Device, observer_identifying_attributes=device
            )
        ),
        procedure_reported=PROCEDURE,
        imaging_measurements=list(groups),
        title=codes.DCM.ImagingMeasurementReport,
    )
    notices = [" / ".join((*labels, RESEARCH_USE)), *comments]
    # Before the measurements, so that nobody reads a number first.
    tree = report[0].ContentSequence
    for notice in notices:
        tree.insert(len(tree) - 1, _text(notice))
    document = Comprehensive3DSR(
        evidence=list(evidence),
        content=report[0],
        series_instance_uid=envelope.uids.make(words, "series"),
        series_number=series_number,
        sop_instance_uid=envelope.uids.make(words),
        instance_number=1,
        manufacturer=MANUFACTURER,
        is_complete=True,
        is_final=False,
        is_verified=False,
        coding_schemes=[scheme_item()],
    )
    envelope.finish(document, words, series_number, labels)
    return document


def measure(
    name: CodedConcept, value: float | None, unit: CodedConcept, derivation: CodedConcept | None = None
) -> list[Measurement]:
    """One measurement, or none where there is no value; numbers keep six significant digits."""
    if value is None:
        return []
    return [Measurement(name=name, value=float(f"{value:.6g}"), unit=unit, derivation=derivation)]


def comment_on(group: Group, words: str) -> None:
    """A sentence inside a group."""
    content: ContentSequence = group[0].ContentSequence
    content.append(_text(words))


def site_of(name: str) -> list[FindingSite]:
    """The bone by its SNOMED CT code and side; none where the name is not a known structure."""
    structure = recognise(name) if name else None
    if structure is None:
        return []
    side = concept(structure.laterality) if structure.laterality else None
    return [FindingSite(anatomic_location=concept(structure.code), laterality=side)]


def _text(words: str) -> TextContentItem:
    return TextContentItem(name=COMMENT, value=words, relationship_type=RelationshipTypeValues.CONTAINS)
