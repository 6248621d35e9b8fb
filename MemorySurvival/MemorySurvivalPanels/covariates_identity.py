"""Whether clinical values are of the patient of the images, where the library cannot compare them."""

import slicer
from slicer.i18n import tr as _

from MemorySurvivalPanels.covariate_values import file_values, form_patient
from MemorySurvivalPanels.dicom_source import dicom_file, pet_file
from MemorySurvivalPanels.errors import UserError
from MemorySurvivalPanels.parameters import ScoreParameters


def hash_patient(identifier: str) -> str:
    """The library's hash of a patient ID; "" for none."""
    from MemorySurvivalLib.risk.covariate_fields import hash_patient

    return hash_patient(identifier)


def covariate_doubts(parameters: ScoreParameters, patient_ids: dict[str, str]) -> list[str]:
    """Sentences on patient IDs that differ between the values and the images; `patient_ids` by "CT" and "PET".

    A file's ID is left to the library where it compares it itself: there the images are handed over as DICOM.
    """
    doubts = []
    table, file = form_patient(parameters), file_values(parameters)
    for name, identifier in patient_ids.items():
        whose = hash_patient(identifier)
        node = parameters.ct if name == "CT" else parameters.pet
        if not whose or node is None:
            continue
        if table and table != whose:
            doubts.append(_("The clinical values and the {image} have different patient IDs.").format(image=name))
        elif file is not None and file.patient and file.patient != whose and not _is_handed_as_dicom(node, name):
            doubts.append(_("The covariates file and the {image} have different patient IDs.").format(image=name))
    return doubts


def differs(parameters: ScoreParameters, patient_ids: dict[str, str]) -> bool:
    """Whether any image states another patient ID than the values do, whoever asks about it later."""
    stated = {form_patient(parameters), getattr(file_values(parameters), "patient", "")} - {""}
    images = {hash_patient(identifier) for identifier in patient_ids.values()} - {""}
    return any(one != other for one in stated for other in images)


def _is_handed_as_dicom(node: slicer.vtkMRMLVolumeNode, name: str) -> bool:
    try:
        return (dicom_file(node) if name == "CT" else pet_file(node)) is not None
    except UserError:
        return False
