"""Where a volume node came from DICOM: its files as the database knows them, and what its voxels' units are."""

from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from MemorySurvivalPanels.errors import UserError

SUV_BODY_WEIGHT = "suvbw"

_FOUND: dict[tuple[int, str], Path] = {}

_INSTANCES = "DICOM.instanceUIDs"
_UNITS = "DICOM.MeasurementUnitsCodeValue"


def database() -> Any:
    """Slicer's DICOM database; None in a Slicer without one."""
    return getattr(slicer, "dicomDatabase", None)


def instance_uids(node: slicer.vtkMRMLVolumeNode | None) -> list[str]:
    """The DICOM images that a node was read from; empty where it says nothing."""
    return (node.GetAttribute(_INSTANCES) or "").split() if node is not None else []


def dicom_file(node: slicer.vtkMRMLVolumeNode | None) -> Path | None:
    """One of the DICOM files of a node, which stands for its series; None where the node has to be taken as it is.

    That is so when the database does not know every file, when they lie in several folders, and under a transform.
    Whether somebody changed the voxels since cannot be seen here: Slicer's DICOM readers keep no storage node. The
    worker compares them.
    """
    uids = instance_uids(node)
    if not uids or database() is None or node.GetParentTransformNode() is not None:
        return None
    key = (id(database()), node.GetAttribute(_INSTANCES))
    known = _FOUND.get(key)
    # Asked at every change of the panel, so the database is asked for hundreds of images only once.
    if known is not None and known.is_file() and str(known) == database().fileForInstance(uids[0]):
        return known
    paths = [Path(database().fileForInstance(uid) or "") for uid in uids]
    if len({path.parent for path in paths}) > 1 or not all(path.is_file() for path in (paths[0], paths[-1])):
        return None
    _FOUND[key] = paths[0]
    return paths[0]


def suv_units(node: slicer.vtkMRMLVolumeNode | None) -> str | None:
    """Which SUV the voxels already are by what the node says ("suvbw", "suvlbm"); None where it does not say SUV.

    Slicer's PET extension states UCUM codes such as "{SUVbw}g/ml"; others write "SUVbw" or "SUV".
    """
    if node is None:
        return None
    coded = node.GetVoxelValueUnits()
    stated = node.GetAttribute(_UNITS) or (coded.GetCodeValue() if coded is not None else "") or ""
    kind = stated.partition("}")[0].strip("{ ").lower()
    if kind == "suv":
        return SUV_BODY_WEIGHT
    return kind if kind.startswith("suv") else None


def pet_file(node: slicer.vtkMRMLVolumeNode | None) -> Path | None:
    """The DICOM that the SUV is to be made from; None where the voxels count as SUVbw as they are.

    Raises UserError for a PET that is another SUV than that by body weight.
    """
    kind = suv_units(node)
    if kind is None:
        return dicom_file(node)
    if kind != SUV_BODY_WEIGHT:
        raise UserError(
            _('The PET "{name}" says that it holds {kind}; load it as SUV by body weight (SUVbw).').format(
                name=node.GetName(), kind=kind.upper().replace("SUV", "SUV ")
            )
        )
    return None


def describe_pet(node: slicer.vtkMRMLVolumeNode | None) -> str:
    """Where the SUV comes from, in a line for the panel; empty without a PET."""
    if node is None:
        return ""
    try:
        from_tags = pet_file(node) is not None
    except UserError as error:
        return str(error)
    if from_tags:
        return _("PET: SUVbw from DICOM tags")
    if suv_units(node) is not None:
        return _("PET: SUVbw, as the volume says")
    taken = _("PET: taken as SUVbw from the volume")
    if not instance_uids(node):
        return taken
    why = _("it is under a transform") if node.GetParentTransformNode() is not None else _("its DICOM is not at hand")
    return f"{taken} ({why})"
