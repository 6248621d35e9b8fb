"""De-identifying the DICOM objects that this software writes, after the basic profile of DICOM PS3.15 Annex E."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from MemorySurvivalLib.privacy.pseudonym import load_key

if TYPE_CHECKING:
    from pydicom.dataelem import DataElement
    from pydicom.dataset import Dataset

    from MemorySurvivalLib.report.subject import Subject

Action = Literal["remove", "empty", "dummy", "new UID", "keep", "subject"]
"""What is done to an attribute: X, Z, D, U and K of Table E.1-1; "subject" puts in what the subject may say."""

ACTIONS: Mapping[str, Action] = MappingProxyType(
    {
        # Patient
        "PatientName": "subject",
        "PatientID": "subject",
        "PatientBirthDate": "empty",
        "PatientBirthTime": "remove",
        "PatientSex": "subject",
        "PatientAge": "subject",
        "PatientSize": "remove",
        "PatientWeight": "remove",
        "IssuerOfPatientID": "remove",
        "IssuerOfPatientIDQualifiersSequence": "remove",
        "OtherPatientIDs": "remove",
        "OtherPatientIDsSequence": "remove",
        "OtherPatientNames": "remove",
        "PatientBirthName": "remove",
        "PatientMotherBirthName": "remove",
        "PatientAddress": "remove",
        "PatientTelephoneNumbers": "remove",
        "PatientComments": "remove",
        "EthnicGroup": "remove",
        "Occupation": "remove",
        "AdditionalPatientHistory": "remove",
        "ReferencedPatientSequence": "remove",
        "ClinicalTrialSubjectID": "remove",
        # Study
        "StudyInstanceUID": "new UID",
        "StudyDate": "empty",
        "StudyTime": "empty",
        "StudyID": "empty",
        "AccessionNumber": "empty",
        "IssuerOfAccessionNumberSequence": "remove",
        "StudyDescription": "remove",
        "ReferringPhysicianName": "empty",
        "ReferringPhysicianIdentificationSequence": "remove",
        "NameOfPhysiciansReadingStudy": "remove",
        "PhysiciansOfRecord": "remove",
        "ConsultingPhysicianName": "remove",
        "ReferencedStudySequence": "remove",
        "ProcedureCodeSequence": "remove",
        "ReasonForStudy": "remove",
        "AdmittingDiagnosesDescription": "remove",
        "AdmissionID": "remove",
        # Series
        "SeriesInstanceUID": "new UID",
        "SeriesDate": "remove",
        "SeriesTime": "remove",
        "SeriesDescription": "keep",
        "OperatorsName": "remove",
        "PerformingPhysicianName": "remove",
        "ProtocolName": "remove",
        "RequestAttributesSequence": "remove",
        "ReferencedPerformedProcedureStepSequence": "empty",
        "PerformedProcedureStepID": "remove",
        "PerformedProcedureStepDescription": "remove",
        "PerformedProcedureStepStartDate": "remove",
        "PerformedProcedureStepStartTime": "remove",
        "PerformedProcedureStepEndDate": "remove",
        "PerformedProcedureStepEndTime": "remove",
        # Equipment
        "InstitutionName": "remove",
        "InstitutionAddress": "remove",
        "InstitutionalDepartmentName": "remove",
        "StationName": "remove",
        "DeviceSerialNumber": "keep",
        "ContributingEquipmentSequence": "remove",
        # Instance
        "SOPInstanceUID": "new UID",
        "InstanceCreationDate": "remove",
        "InstanceCreationTime": "remove",
        "InstanceCreatorUID": "remove",
        "ContentDate": "dummy",
        "ContentTime": "dummy",
        "AcquisitionDate": "remove",
        "AcquisitionTime": "remove",
        "AcquisitionDateTime": "dummy",
        "TimezoneOffsetFromUTC": "remove",
        "ImageComments": "remove",
        "DerivationDescription": "remove",
        "ContentCreatorName": "empty",
        "FrameOfReferenceUID": "new UID",
        "SynchronizationFrameOfReferenceUID": "new UID",
        "DimensionOrganizationUID": "new UID",
        "ConcatenationUID": "new UID",
        "TrackingUID": "new UID",
        "ReferencedSOPInstanceUID": "new UID",
        "ReferencedFrameOfReferenceUID": "new UID",
        "OriginalAttributesSequence": "remove",
        "DigitalSignaturesSequence": "remove",
        "MACParametersSequence": "remove",
        # Structured report
        "ContentSequence": "keep",
        "UID": "new UID",
        "PersonName": "dummy",
        "VerifyingObserverSequence": "remove",
        "AuthorObserverSequence": "remove",
        "ParticipantSequence": "remove",
        "CustodialOrganizationSequence": "remove",
        "VerificationDateTime": "dummy",
        "ObservationDateTime": "remove",
        "DateTime": "dummy",
        "Date": "dummy",
        "Time": "dummy",
        # Documents
        "DocumentTitle": "keep",
        "SourceInstanceSequence": "keep",
    }
)
"""The attributes that our objects may hold and that say something of a person, and what is done to each."""

DUMMIES: Mapping[str, str] = MappingProxyType(
    {"DA": "19000101", "TM": "000000", "DT": "19000101000000", "PN": "Removed", "UI": "2.25.0"}
)
"""What stands where a value must (type 1) and may not say anything."""

METHODS = (
    ("113100", "Basic Application Confidentiality Profile"),
    ("113105", "Clean Descriptors Option"),
    ("113104", "Clean Structured Content Option"),
    ("113108", "Retain Patient Characteristics Option"),
)
"""The profile and options that hold for our objects (DCM, context group 7050). Descriptions and report contents are
made from a cleaned record; age and sex stay only in the values that the model used and in a pseudonymous subject."""

CLEAN_FACE = ("113102", "Clean Recognizable Visual Features Option")

METHOD_TEXT = "MemorySurvival: PS3.15 Annex E basic profile for own objects"

_STANDARD_ROOT = "1.2.840.10008."
_NEVER_MAPPED = frozenset(
    ("SOPClassUID", "ReferencedSOPClassUID", "MediaStorageSOPClassUID", "TransferSyntaxUID", "ImplementationClassUID")
)


@dataclass(frozen=True)
class UidMap:
    """New UIDs for old ones: one key gives one new UID for one old UID, and nobody without it can tell which.

    All objects of one export must share a map, so that they still refer to one another.
    """

    key: bytes = field(repr=False)

    @classmethod
    def for_subject(cls, subject: Subject) -> UidMap:
        """With a pseudonym this user's key, so that exports of one study go together; else a key for this once."""
        return cls(load_key() if subject.choice == "pseudonym" else secrets.token_bytes(32))

    def new(self, uid: str) -> str:
        """The UID in the place of `uid`; UIDs of the standard itself stay."""
        plain = uid.strip("\0 ")
        if not plain or plain.startswith(_STANDARD_ROOT):
            return plain
        digest = hmac.new(self.key, f"UID {plain}".encode(), hashlib.sha256).digest()
        return f"2.25.{int.from_bytes(digest[:16], 'big')}"


def deidentify(dataset: Dataset, subject: Subject, uids: UidMap | None = None, *, face: bool | None = None) -> Dataset:
    """Take out of an object of ours what the subject's choice does not allow; the dataset is changed and given back.

    An "identified" object stays as it is. Otherwise every attribute is treated as `ACTIONS` says, in items too; private
    elements go, as do names of persons and dates that the table does not list; UIDs are mapped by `uids` (give one map
    to all objects of an export); and the object states that and how it was de-identified. `face` says whether the
    voxels still show the head (None: not said). What pixels show and what an enclosed document says is the caller's to
    clean: both are made from cleaned records.
    """
    if subject.choice == "identified":
        return dataset
    _treat(dataset, subject, uids or UidMap.for_subject(subject))
    _state(dataset, face)
    meta = getattr(dataset, "file_meta", None)
    if meta is not None and "MediaStorageSOPInstanceUID" in meta:
        meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    return dataset


def find_departures(dataset: Dataset, subject: Subject) -> tuple[str, ...]:
    """Where an object that names nobody departs from `ACTIONS`, each place a few words; nothing where it does not.

    New UIDs cannot be told from old ones, so they are not looked at.
    """
    if subject.choice == "identified":
        return ()
    found = list(_departures(dataset, subject, ""))
    if dataset.get("PatientIdentityRemoved") != "YES":
        found.append("PatientIdentityRemoved is not YES")
    if not dataset.get("DeidentificationMethod") and not dataset.get("DeidentificationMethodCodeSequence"):
        found.append("no method of de-identification is stated")
    return tuple(found)


def _departures(dataset: Dataset, subject: Subject, place: str) -> Iterator[str]:
    allowed = {"", subject.patient_id, subject.sex, _age(subject)}
    for element in dataset:
        action = "remove" if element.tag.is_private else ACTIONS.get(element.keyword) or _default(element)
        where = f"{place}{element.keyword or element.tag}"
        value = "" if element.value is None else str(element.value)
        if action == "remove":
            yield f"{where} is there"
        elif (action == "empty" and element.value) or (action == "subject" and value not in allowed):
            yield f"{where} has a value"
        elif action == "dummy" and value not in ("", DUMMIES[element.VR]):
            yield f"{where} is no dummy"
        elif element.VR == "SQ":
            for item in element.value:
                yield from _departures(item, subject, f"{where} > ")


def _treat(dataset: Dataset, subject: Subject, uids: UidMap) -> None:
    dataset.remove_private_tags()
    for element in list(dataset):
        keyword, tag = element.keyword, element.tag
        action = ACTIONS.get(keyword) or _default(element)
        if action == "remove":
            del dataset[tag]
        elif action == "empty":
            element.value = [] if element.VR == "SQ" else ""
        elif action == "dummy":
            element.value = DUMMIES[element.VR] if element.value else element.value
        elif action == "subject":
            _fill(dataset, keyword, subject)
        elif action == "new UID":
            values = element.value if element.VM > 1 else [element.value]
            new = [uids.new(str(value or "")) for value in values]
            element.value = new if element.VM > 1 else new[0]
        elif element.VR == "SQ":
            for item in element.value:
                _treat(item, subject, uids)


def _default(element: DataElement) -> Action:
    """What is done to an attribute that is not in the table."""
    if element.VR == "PN":
        return "empty"
    if element.VR in ("DA", "DT", "TM"):
        return "dummy"
    if element.VR == "UI" and element.keyword not in _NEVER_MAPPED:
        return "new UID"
    return "keep"


def _fill(dataset: Dataset, keyword: str, subject: Subject) -> None:
    """What a subject that is not identified may say: its code, and sex and age where it has them."""
    said = {"PatientName": subject.patient_id, "PatientID": subject.patient_id, "PatientSex": subject.sex}
    if keyword != "PatientAge":
        setattr(dataset, keyword, said[keyword])
    elif _age(subject):
        dataset.PatientAge = _age(subject)
    else:
        del dataset.PatientAge


def _age(subject: Subject) -> str:
    return "" if subject.age_years is None else f"{subject.age_years:03}Y"


def _state(dataset: Dataset, face: bool | None) -> None:
    from pydicom.dataset import Dataset
    from pydicom.sequence import Sequence

    dataset.PatientIdentityRemoved = "YES"
    dataset.LongitudinalTemporalInformationModified = "REMOVED"
    dataset.DeidentificationMethod = METHOD_TEXT
    codes = []
    for value, meaning in (*METHODS, *((CLEAN_FACE,) if face is False else ())):
        code = Dataset()
        code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, "DCM", meaning
        codes.append(code)
    dataset.DeidentificationMethodCodeSequence = Sequence(codes)
    if face is not None:
        dataset.RecognizableVisualFeatures = "YES" if face else "NO"
