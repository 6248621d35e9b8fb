"""From the files of a case to nodes in the scene, and closing them again when the next case is opened."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from MemorySurvivalPanels import busy
from MemorySurvivalPanels.dicom_source import database
from MemorySurvivalPanels.errors import UserError

CASE = "MemorySurvival.ReviewCase"
"""A node's attribute: the case of the review list that the node was opened for. Nodes without it are never closed."""

_DATA = ("vtkMRMLStorableNode", "vtkMRMLScriptedModuleNode")
"""What a case can leave behind; views carry attributes of this module too, and stay."""
_IMAGE_SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd")


def open_images(case: str, files: Mapping[str, str], series: Mapping[str, str] | None = None) -> tuple[Any, Any]:
    """CT and PET of a case as volume nodes.

    `files` are its image files or, with `series` (Series Instance UIDs of "ct" and "pet"), its DICOM folder "study".
    Raises UserError with one sentence; nothing of the case is left in the scene then.
    """
    opened = []
    try:
        with busy.phase(_("Opening {case}").format(case=case)):
            for key in ("ct", "pet"):
                if series is not None:
                    node = _load_series(series[key], Path(files["study"]))
                else:
                    node = _load_file(Path(files[key]))
                opened.append(node)
                _name(node, case, key)
    except UserError:
        for node in opened:
            slicer.mrmlScene.RemoveNode(node)
        raise
    return opened[0], opened[1]


def close_case(case: str) -> None:
    """Remove every node that was opened for a case, and what this module made of them; the user's other nodes stay."""
    opened = case_nodes(case)
    for node in [*opened, *_made_of(opened)]:
        if node.GetScene() is not None:  # a node may have gone with another
            slicer.mrmlScene.RemoveNode(node)


def case_nodes(case: str) -> list[Any]:
    """The nodes that were opened for a case."""
    return [node for node in slicer.util.getNodesByClass("vtkMRMLNode") if node.GetAttribute(CASE) == case]


def _made_of(nodes: list[Any]) -> list[Any]:
    """The nodes that refer to one of `nodes` and carry an attribute of this module: results, choices, comparisons."""
    identifiers = {node.GetID() for node in nodes}
    return [
        other
        for kind in _DATA
        for other in slicer.util.getNodesByClass(kind)
        if other not in nodes
        and any(name.startswith("MemorySurvival.") for name in other.GetAttributeNames())
        and not identifiers.isdisjoint(_referred(other))
    ]


def _referred(node: Any) -> set[str]:
    """The identifiers of the nodes that a node refers to, in whatever role."""
    roles = [node.GetNthNodeReferenceRole(index) for index in range(node.GetNumberOfNodeReferenceRoles())]
    return {
        node.GetNthNodeReferenceID(role, index) or ""
        for role in roles
        for index in range(node.GetNumberOfNodeReferences(role))
    }


def case_of(node: Any) -> str:
    """The case that a node was opened for; empty for the user's own."""
    return (node.GetAttribute(CASE) or "") if node is not None else ""


def mark_node(node: Any, case: str) -> None:
    """From now on a node belongs to a case of the list, and is closed with it."""
    node.SetAttribute(CASE, case)


def _name(node: Any, case: str, key: str) -> None:
    mark_node(node, case)
    node.SetName(slicer.mrmlScene.GenerateUniqueName(f"{key.upper()} {case}"))


def _load_file(path: Path) -> Any:
    if not path.name.lower().endswith(_IMAGE_SUFFIXES):
        return _load_series(_series_of(path), path.parent)
    node = slicer.modules.volumes.logic().AddArchetypeVolume(str(path), path.name) if path.is_file() else None
    if node is None:
        raise UserError(_("{path} cannot be opened; see that the file is there and whole.").format(path=path))
    return node


def _series_of(path: Path) -> str:
    """The series of a DICOM file, which is imported first where the database does not know it."""
    if database() is None:
        raise UserError(_("This Slicer has no DICOM database; give image files instead."))
    if not database().seriesForFile(str(path)):
        _import(path.parent)
    series = database().seriesForFile(str(path))
    if not series:
        raise UserError(_("{path} is no DICOM image that Slicer can import.").format(path=path))
    return str(series)


def _load_series(series: str, folder: Path) -> Any:
    """Load a series with Slicer's own DICOM readers, so that its node says where it came from."""
    if database() is None:
        raise UserError(_("This Slicer has no DICOM database; give image files instead."))
    from DICOMLib import DICOMUtils

    if not database().filesForSeries(series):
        _import(folder)
    if not database().filesForSeries(series):
        raise UserError(_("{folder} cannot be imported into the DICOM database.").format(folder=folder))
    nodes = [slicer.mrmlScene.GetNodeByID(each) for each in DICOMUtils.loadSeriesByUID([series])]
    volumes = [node for node in nodes if node is not None and node.IsA("vtkMRMLScalarVolumeNode")]
    if not volumes:
        raise UserError(_("Slicer's DICOM readers make no volume of a series in {folder}.").format(folder=folder))
    for other in volumes[1:]:
        slicer.mrmlScene.RemoveNode(other)
    return volumes[0]


def _import(folder: Path) -> None:
    from DICOMLib import DICOMUtils

    DICOMUtils.importDicom(str(folder), database())
