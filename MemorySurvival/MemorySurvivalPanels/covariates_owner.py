"""Whose the clinical values are: they stay with the images that they were given for, and are cleared for others."""

import json
import zlib

import slicer
from slicer.i18n import tr as _

from MemorySurvivalPanels.covariate_values import read_form, write_form
from MemorySurvivalPanels.parameters import ScoreParameters
from MemorySurvivalPanels.patient import read_patient


def keep_to_one_patient(parameters: ScoreParameters) -> str | None:
    """Clear the values where another CT or PET is chosen than they were given for; the sentence that says so.

    Another image of the same stated patient ID keeps them, and so do values that came together with the images. An
    image that is no longer chosen is still remembered, so that choosing nothing in between makes no difference.
    """
    before = _owners(parameters)
    now = {name: getattr(parameters, name) for name in ("ct", "pet")}
    chosen = {name: node for name, node in now.items() if node is not None}
    changed = [name for name, node in chosen.items() if before.get(name, node.GetID()) != node.GetID()]
    others = [name for name in changed if not _same_patient(before[name], chosen[name])]
    old_file = bool(parameters.covariates) and parameters.covariates == before.get("file")
    old_values = bool(read_form(parameters)) and _checksum(parameters) == before.get("values")
    cleared = bool(others) and (old_file or old_values)
    after = {} if others else {name: before[name] for name in ("ct", "pet") if name in before}
    after.update({name: node.GetID() for name, node in chosen.items()})
    with slicer.util.NodeModify(parameters.parameterNode):
        if cleared and old_file:
            parameters.covariates = ""
        if cleared and old_values:
            write_form(parameters, {})
        after.update(file=parameters.covariates, values=_checksum(parameters))
        text = json.dumps(after) if chosen or before else ""
        if text != parameters.covariate_values_of:
            parameters.covariate_values_of = text
    return _("The clinical values were cleared, because they were given for other images.") if cleared else None


def _checksum(parameters: ScoreParameters) -> str:
    return f"{zlib.crc32(parameters.covariate_values.encode()):08x}" if parameters.covariate_values else ""


def _owners(parameters: ScoreParameters) -> dict[str, str]:
    try:
        stored = json.loads(parameters.covariate_values_of or "{}")
        return {str(name): str(one) for name, one in stored.items()}
    except (ValueError, AttributeError):
        return {}


def _same_patient(old_id: str, node: slicer.vtkMRMLScalarVolumeNode) -> bool:
    old = slicer.mrmlScene.GetNodeByID(old_id)
    one, other = read_patient(old).patient_id, read_patient(node).patient_id
    return bool(one) and one.strip().casefold() == other.strip().casefold()
