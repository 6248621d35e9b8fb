"""Whose images these are, for the person at the screen alone: nothing of it goes to the worker or into a record."""

import re
from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import date, datetime
from typing import Any

import slicer
from slicer.i18n import tr as _

from MemorySurvivalPanels.covariates_identity import covariate_doubts
from MemorySurvivalPanels.dicom_source import database, dicom_file, instance_uids, pet_file
from MemorySurvivalPanels.parameters import ScoreParameters
from MemorySurvivalPanels.part import Part

_CALM = "border: 1px solid #5b7083; border-radius: 3px; padding: 4px 8px;"
_ALARM = "border: 2px solid #c0392b; border-radius: 3px; padding: 4px 8px; font-weight: 600;"


@dataclass(frozen=True)
class Patient:
    """What DICOM says of a patient and a study, dates as YYYYMMDD; empty where it says nothing."""

    name: str = ""
    patient_id: str = ""
    birth_date: str = ""
    study_date: str = ""

    def __bool__(self) -> bool:
        """Whether anything is known."""
        return any(getattr(self, field.name) for field in fields(self))

    def contradicts(self, other: "Patient") -> bool:
        """Whether both state something and differ in it, other than in a name's spelling."""
        pairs = [(_words(getattr(self, each.name)), _words(getattr(other, each.name))) for each in fields(self)]
        return any(one and two and one != two for one, two in pairs)


_TAGS = {"name": "0010,0010", "patient_id": "0010,0020", "birth_date": "0010,0030", "study_date": "0008,0020"}


def read_patient(node: slicer.vtkMRMLVolumeNode | None, known: dict[str, dict[str, str]] | None = None) -> Patient:
    """Whose a volume is, by the DICOM database and, what that does not know, by the subject hierarchy.

    `known` keeps what the database said of an image, because it may have to open the file for it.
    """
    if node is None:
        return Patient()
    return Patient(**{**_from_hierarchy(node), **_from_database(node, {} if known is None else known)})


def _from_database(node: slicer.vtkMRMLVolumeNode, known: dict[str, dict[str, str]]) -> dict[str, str]:
    uids = instance_uids(node)
    if not uids or database() is None:
        return {}
    if not known.get(uids[0]):
        try:
            said = {name: str(database().instanceValue(uids[0], tag) or "").strip() for name, tag in _TAGS.items()}
        except RuntimeError:  # the file has gone from where the database knows it
            return {}
        known[uids[0]] = {name: text for name, text in said.items() if text}
    return known[uids[0]]


def _from_hierarchy(node: slicer.vtkMRMLVolumeNode) -> dict[str, str]:
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    if hierarchy is None:
        return {}
    known = slicer.vtkMRMLSubjectHierarchyConstants
    item = hierarchy.GetItemByDataNode(node)
    if item == hierarchy.GetInvalidItemID():
        return {}
    asked = {
        "name": (known.GetDICOMPatientNameAttributeName(), known.GetDICOMLevelPatient()),
        "patient_id": (known.GetDICOMPatientIDAttributeName(), known.GetDICOMLevelPatient()),
        "birth_date": (known.GetDICOMPatientBirthDateAttributeName(), known.GetDICOMLevelPatient()),
        "study_date": (known.GetDICOMStudyDateAttributeName(), known.GetDICOMLevelStudy()),
    }
    return {name: hierarchy.GetAttributeFromItemAncestor(item, *where).strip() for name, where in asked.items()}


class PatientBanner(Part):
    """The line at the top of the panel: patient and study of the chosen images, in alarm where CT and PET differ."""

    def __init__(self, ui: Any, today: Callable[[], date] = date.today) -> None:
        self._label = ui.patientLabel
        self._known: dict[str, dict[str, str]] = {}
        self.today = today

    def own_doubts(self, parameters: ScoreParameters) -> list[str]:
        """Why images and clinical values may not belong together, where the library cannot see it; empty for no doubt.

        Images that are handed over as DICOM are compared by the library, which asks with more to say.
        """
        ct, pet = (read_patient(node, self._known) for node in (parameters.ct, parameters.pet))
        doubts = covariate_doubts(parameters, {"CT": ct.patient_id, "PET": pet.patient_id})
        if not ct.contradicts(pet) or (dicom_file(parameters.ct) and pet_file(parameters.pet)):
            return doubts
        return [_("CT and PET seem to be of different patients or studies, as the top of the panel shows."), *doubts]

    def update(self) -> None:
        """Show whose the chosen images are."""
        parameters = self.parameters
        if parameters is None:
            self._known.clear()
        ct, pet = (read_patient(getattr(parameters, name, None), self._known) for name in ("ct", "pet"))
        chosen = parameters is not None and (parameters.ct is not None or parameters.pet is not None)
        differ = ct.contradicts(pet)
        if differ:
            lines = [
                _("CT and PET seem to be of different patients or studies."),
                _("CT: {patient}").format(patient=describe_patient(ct, self.today())),
                _("PET: {patient}").format(patient=describe_patient(pet, self.today())),
            ]
        elif ct or pet:
            lines = [describe_patient(_merge(ct, pet), self.today())]
            silent = [name for name, one in (("CT", ct), ("PET", pet)) if not one and _is_chosen(parameters, name)]
            lines += [_("The {image} does not say whose it is.").format(image=name) for name in silent]
        else:
            lines = [_("The images do not say whose they are.")]
        self._label.text = "\n".join(lines)
        self._label.styleSheet = _ALARM if differ else _CALM
        self._label.visible = chosen


def describe_patient(patient: Patient, today: date) -> str:
    """Such as "Doe, Jane  ·  ID 4711  ·  born 1960-01-01  ·  study of 2026-01-31, 12 days old"."""
    parts = [
        ", ".join(part for part in patient.name.partition("=")[0].split("^") if part.strip()),
        _("ID {id}").format(id=patient.patient_id) if patient.patient_id else "",
        _("born {date}").format(date=_readable(patient.birth_date)) if patient.birth_date else "",
        _("study of {date}").format(date=_readable(patient.study_date)) if patient.study_date else "",
    ]
    text = "  ·  ".join(part for part in parts if part)
    day = _day(patient.study_date)
    if day is None:
        return text
    days = (today - day).days
    if days < 0:
        return _("{text} (in the future)").format(text=text)
    age = _("today") if days == 0 else _("1 day old") if days == 1 else _("{n} days old").format(n=days)
    return f"{text}, {age}"


def _is_chosen(parameters: ScoreParameters, image: str) -> bool:
    return getattr(parameters, image.lower()) is not None


def _merge(one: Patient, other: Patient) -> Patient:
    return Patient(*(getattr(one, each.name) or getattr(other, each.name) for each in fields(one)))


def _words(text: str) -> list[str]:
    """A name or number whatever its case, order and separators; other scripts of the same name left out."""
    return sorted(re.findall(r"\w+", text.partition("=")[0].casefold()))


def _day(text: str) -> date | None:
    digits = text.replace("-", "").replace(".", "")
    try:
        return datetime.strptime(digits, "%Y%m%d").date()
    except ValueError:
        return None


def _readable(text: str) -> str:
    day = _day(text)
    return text if day is None else day.isoformat()
