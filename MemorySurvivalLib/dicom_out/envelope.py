"""What all objects of one export share: whose they are, of which study, when and by what they were made.

Every header is built from lists of what may be copied, so nothing of a source travels along by accident.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone

from pydicom import config
from pydicom.datadict import dictionary_description, dictionary_VR
from pydicom.dataset import Dataset
from pydicom.valuerep import validate_value

from MemorySurvivalLib import RESEARCH_USE, __version__
from MemorySurvivalLib.dicom_out.uids import Uids
from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.dicom_header import BROKEN_VALUE, items, reading_quietly, text
from MemorySurvivalLib.privacy.profile import DUMMIES, METHOD_TEXT, METHODS
from MemorySurvivalLib.report.subject import Subject

MANUFACTURER = "MemorySurvival project"
MODEL_NAME = "MemorySurvival"
UTF_8 = "ISO_IR 192"

PATIENT = ("PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex")
STUDY = (
    "StudyInstanceUID",
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "StudyID",
    "StudyDescription",
    "ReferringPhysicianName",
    "PatientAge",
    "PatientSize",
    "PatientWeight",
)
TRIAL = (
    "ClinicalTrialSponsorName",
    "ClinicalTrialProtocolID",
    "ClinicalTrialProtocolName",
    "ClinicalTrialSiteID",
    "ClinicalTrialSiteName",
    "ClinicalTrialSubjectID",
    "ClinicalTrialSubjectReadingID",
    "ClinicalTrialTimePointID",
)
REMOVED = ("PatientIdentityRemoved", "DeidentificationMethod", "LongitudinalTemporalInformationModified")
EMPTY = (*PATIENT[:2], *PATIENT[3:], "StudyDate", "StudyTime", "AccessionNumber", "StudyID", "ReferringPhysicianName")
"""Attributes that must be there, if only without a value (type 2)."""

UNTOLD = (
    "InstanceCreationDate",
    "InstanceCreationTime",
    "SeriesDate",
    "SeriesTime",
    "ContributingEquipmentSequence",
)
"""What goes where nobody may be named."""


@dataclass(frozen=True, eq=False)
class Envelope:
    """Patient and study module as they may be written, the moment of the result, and the maker of UIDs.

    `timezone_offset` is that of the source ("+0100", "" where it says none: then times are this computer's own);
    `anonymous` says that nothing may tell of patient, study or dates. `serial` names the exact model.
    `notes` are sentences on what of the source could not be taken over.
    """

    module: Dataset
    uids: Uids
    created: datetime
    timezone_offset: str
    anonymous: bool
    serial: str
    same_study: bool
    notes: tuple[str, ...] = ()

    @property
    def study_uid(self) -> str:
        """Study Instance UID of everything that is written."""
        return str(self.module.StudyInstanceUID)

    def moment(self) -> tuple[str, str]:
        """Date and time of the result as DICOM has them, in the time zone of the study."""
        if self.anonymous:
            return DUMMIES["DA"], DUMMIES["TM"]
        zone = _zone(self.timezone_offset)
        local = self.created.astimezone(zone)
        return local.strftime("%Y%m%d"), local.strftime("%H%M%S")

    def finish(self, ds: Dataset, words: str, series_number: int, labels: Iterable[str] = ()) -> None:
        """Set what every object says alike: character set, moment, series, maker, and that it is for research only.

        `words` say what the object is; `labels` (SIMULATED MODEL) come before them and are never cut off.
        """
        date, time = self.moment()
        ds.SpecificCharacterSet = UTF_8
        for key in [each.keyword for each in ds if each.keyword in (*PATIENT, *STUDY, *TRIAL, *REMOVED)]:
            delattr(ds, key)
        for element in self.module:
            ds.add(element)
        ds.InstanceCreationDate = ds.SeriesDate = ds.ContentDate = date
        ds.InstanceCreationTime = ds.SeriesTime = ds.ContentTime = time
        for equipment in ds.get("ContributingEquipmentSequence", ()):
            if "ContributionDateTime" in equipment:
                equipment.ContributionDateTime = date + time
        if self.anonymous:
            for key in UNTOLD:
                if key in ds:
                    delattr(ds, key)
        elif self.timezone_offset:
            ds.TimezoneOffsetFromUTC = self.timezone_offset
        ds.SeriesNumber = series_number
        ds.SeriesDescription = describe(words, labels)
        ds.Manufacturer = MANUFACTURER
        ds.ManufacturerModelName = MODEL_NAME
        ds.SoftwareVersions = __version__
        ds.DeviceSerialNumber = self.serial
        organization = self.uids.make(words, "dimensions")  # highdicom makes one by chance
        for item in (*ds.get("DimensionOrganizationSequence", ()), *ds.get("DimensionIndexSequence", ())):
            item.DimensionOrganizationUID = organization


def describe(words: str, labels: Iterable[str] = ()) -> str:
    """A description of at most 64 characters that keeps its labels and says what it is not to be used for."""
    head = "".join(f"{label}: " for label in labels if len(label) < 24)
    tail = ". Research use only" if len(head) + len(words) + len(RESEARCH_USE) > 62 else f". {RESEARCH_USE}"
    return f"{head}{words[: 64 - len(head) - len(tail)]}{tail}"


def make_envelope(subject: Subject, source: Dataset | None, created: str, serial: str, uids: Uids) -> Envelope:
    """The envelope for a subject. `source` is the whole header of a source image, None where there is none (NIfTI).

    An identified object takes patient and study from the source, whatever the subject spells out; it is of a new study
    where there is no source to belong to. Everything else is of a new study of nobody or of the pseudonym. Raises
    InputError where the subject is another patient than the source's, or where an identified one cannot be told.
    """
    module = Dataset()
    broken: list[str] = []
    same_study = subject.choice == "identified" and source is not None
    if subject.choice == "identified":
        if source is not None:
            _check_same(subject, source)
            broken = _copy(source, module, (*PATIENT, *STUDY, *TRIAL, *REMOVED))
            _copy_codes(source, module)
            if not text(source, "StudyInstanceUID"):
                raise InputError(
                    "The source images carry no Study Instance UID (0020,000D), so nothing can be filed beside them; "
                    "export them again from the archive, or write the objects under a pseudonym."
                )
        else:
            _fill(subject, module, uids)
    else:
        _hide(subject, source, module, uids)
    for key in EMPTY:
        if key not in module:
            setattr(module, key, "")
    offset = text(source, "TimezoneOffsetFromUTC") if source is not None else "+0000"
    return Envelope(
        module=module,
        uids=uids,
        created=_read_moment(created),
        timezone_offset=offset if _is_offset(offset) else "",
        anonymous=subject.choice != "identified",
        serial=serial,
        same_study=same_study,
        notes=tuple(f"{name} of the source breaks the DICOM standard and was left out." for name in broken),
    )


def _hide(subject: Subject, source: Dataset | None, module: Dataset, uids: Uids) -> None:
    """A pseudonym or nobody, in a study that cannot be traced back."""
    module.PatientName = module.PatientID = subject.patient_id
    module.PatientSex = subject.sex if subject.sex in ("F", "M", "O") else ""
    if subject.age_years is not None:
        module.PatientAge = f"{subject.age_years:03}Y"
    study = text(source, "StudyInstanceUID") if source is not None else ""
    module.StudyInstanceUID = uids.of_source(study) or uids.make("study")
    module.PatientIdentityRemoved = "YES"
    module.LongitudinalTemporalInformationModified = "REMOVED"
    module.DeidentificationMethod = METHOD_TEXT
    module.DeidentificationMethodCodeSequence = [_code(value, meaning) for value, meaning in METHODS]


def _fill(subject: Subject, module: Dataset, uids: Uids) -> None:
    """Patient and study of a subject whose images are no DICOM."""
    if not (subject.patient_id or subject.name):
        raise InputError(
            "The images are no DICOM, so they do not say whose they are; name the patient, choose a pseudonym, or "
            "write objects that name nobody."
        )
    module.PatientName = subject.name if "^" in subject.name else subject.name.replace(", ", "^")
    module.PatientID = subject.patient_id
    module.PatientBirthDate = subject.birth_date.replace("-", "")
    module.PatientSex = subject.sex[:1].upper() if subject.sex[:1].upper() in ("F", "M", "O") else ""
    module.StudyDate = subject.study_date.replace("-", "")
    module.StudyDescription = subject.study_description[:64]
    module.AccessionNumber = subject.accession_number[:16]
    module.StudyInstanceUID = subject.study_uid or uids.make("study")


def _check_same(subject: Subject, source: Dataset) -> None:
    stated, found = subject.patient_id.strip().casefold(), text(source, "PatientID").casefold()
    study, own = subject.study_uid.strip(), text(source, "StudyInstanceUID")
    if (stated and found and stated != found) or (study and own and study != own):
        raise InputError(
            "The report names another patient or study than the source images do, so nothing was written; make the "
            "report again from these images, or give the images that it is about."
        )


def _copy(source: Dataset, module: Dataset, keys: Iterable[str]) -> list[str]:
    """Texts as texts, so that they are encoded anew in UTF-8; all component groups of a name stay.

    Values that the standard does not allow stay behind and are named, but for those that say whose images these are:
    another patient must not come of it.
    """
    broken = []
    for key in keys:
        with reading_quietly():
            try:
                value = source.get(key)
            except BROKEN_VALUE:
                continue
            if value is None or str(value) == "":
                continue
            words = str(value)
            if key not in ("PatientName", "PatientID", "StudyInstanceUID") and not _is_allowed(key, words):
                broken.append(dictionary_description(key))
                continue
            setattr(module, key, words)
    return broken


def _is_allowed(keyword: str, words: str) -> bool:
    try:
        validate_value(dictionary_VR(keyword), words, config.RAISE)
    except ValueError:
        return False
    return True


def _copy_codes(source: Dataset, module: Dataset) -> None:
    """By which profile a source was de-identified."""
    found = items(source, "DeidentificationMethodCodeSequence")
    if found:
        module.DeidentificationMethodCodeSequence = [_plain_code(each) for each in found]


def _plain_code(item: Dataset) -> Dataset:
    code = Dataset()
    for key in ("CodeValue", "CodingSchemeDesignator", "CodingSchemeVersion", "CodeMeaning"):
        if text(item, key):
            setattr(code, key, text(item, key))
    return code


def _code(value: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "DCM", meaning
    return item


def _read_moment(created: str) -> datetime:
    moment = datetime.fromisoformat(created)
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _is_offset(words: str) -> bool:
    return len(words) == 5 and words[0] in "+-" and words[1:].isdigit()


def _zone(offset: str) -> timezone | None:
    """A time zone from DICOM's "+0130"; None stands for this computer's own."""
    if not offset:
        return None
    minutes = int(offset[1:3]) * 60 + int(offset[3:5])
    return timezone(timedelta(minutes=-minutes if offset[0] == "-" else minutes))
