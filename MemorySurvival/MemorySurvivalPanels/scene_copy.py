"""A copy of one case as a scene that names nobody: made anew of voxels, places and colours, the open scene untouched.

Nothing is copied by name. What a person or a scanner may have typed (names, attributes, descriptions, files, subject
hierarchy, texts, other nodes) is not in it, whatever Slicer or another module keeps there.
"""

from pathlib import Path
from typing import Any

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _

from MemorySurvivalPanels import busy
from MemorySurvivalPanels.dicom_source import SUV_BODY_WEIGHT, instance_uids, suv_units
from MemorySurvivalPanels.errors import UserError
from MemorySurvivalPanels.explanation import LABEL_ATTRIBUTE
from MemorySurvivalPanels.scored_cases import CT, HEATMAP, LESIONS, PET, ROI, ScoredCase
from MemorySurvivalPanels.volumes import ijk_to_world, require_linear

SUBJECT = "Subject of this scene"
"""Name of the patient's item; the library puts the code there under which the case is exported."""

_NAMES = {CT: "CT", PET: "PET", HEATMAP: "Heatmap", ROI: "Regions", LESIONS: "Lesions"}
_NOT_SUV = "units of the scanner, not SUV"
_LABEL_MAP = "Binary labelmap"
_FASTEST = "gzip_fastest"


def write_scene_copy(case: ScoredCase, path: Path) -> None:
    """Write the case's CT, PET, heatmap, regions and lesions as .mrb; what is under way lies beside `path`.

    Transforms are applied. Raises UserError for one that bends or shears, and where the file cannot be written.
    """
    with busy.phase(_("Writing the scene copy")):
        scene = slicer.vtkMRMLScene()
        cache, manager = slicer.vtkCacheManager(), slicer.vtkDataIOManager()
        cache.SetRemoteCacheDirectory(str(path.parent / "cache"))  # bundles are packed there; it is made by this
        manager.SetCacheManager(cache)
        scene.SetCacheManager(cache)
        scene.SetDataIOManager(manager)
        try:
            _fill(scene, case)
            if not scene.WriteToMRB(str(path), None, slicer.vtkMRMLMessageCollection()):
                raise UserError(
                    _("The scene copy cannot be written to {folder}; free some disk space there.").format(
                        folder=path.parent
                    )
                )
        finally:
            scene.Clear(True)


def list_identifiers(case: ScoredCase) -> list[dict[str, str]]:
    """What the open scene says of whose images these are, for a search in the copy: kind and text of each.

    Names of the nodes, and of patient and study what the subject hierarchy says.
    """
    found: list[tuple[str, str]] = []
    for role, name in _NAMES.items():
        node = case.of(role)
        if node is not None:
            found += [("text", node.GetName())] if node.GetName() != name else []
            found += _from_hierarchy(node)
    return [{"kind": kind, "text": text} for kind, text in dict.fromkeys(found) if (text or "").strip()]


def _fill(scene: slicer.vtkMRMLScene, case: ScoredCase) -> None:
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    subject = hierarchy.CreateSubjectItem(hierarchy.GetSceneItemID(), SUBJECT)
    for role, name in _NAMES.items():
        node = case.of(role)
        if node is None:
            continue
        copy = _copy_segmentation(scene, node, name) if role in (ROI, LESIONS) else _copy_volume(scene, node, name)
        if copy is not None:
            hierarchy.CreateItem(subject, copy)


def _copy_volume(
    scene: slicer.vtkMRMLScene, node: slicer.vtkMRMLScalarVolumeNode, name: str
) -> slicer.vtkMRMLScalarVolumeNode | None:
    """Voxels (shared, not copied: nothing writes to them), their place in the world, and how they are shown."""
    source = node.GetImageData()
    if source is None:
        return None
    label = node.GetAttribute(LABEL_ATTRIBUTE)  # such as SIMULATED MODEL, which nothing takes off a heatmap
    copy = scene.AddNewNodeByClass(node.GetClassName(), f"{name} ({label})" if label else name)
    if label is not None:
        copy.SetDescription(_("Research use only, not a medical device"))
    image = vtk.vtkImageData()
    image.SetDimensions(source.GetDimensions())
    image.GetPointData().SetScalars(source.GetPointData().GetScalars())
    copy.SetAndObserveImageData(image)
    copy.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(ijk_to_world(node, name)))
    units = suv_units(node)
    if units == SUV_BODY_WEIGHT:
        coded = slicer.vtkCodedEntry()
        coded.SetValueSchemeMeaning("{SUVbw}g/ml", "UCUM", "Standardized Uptake Value body weight")
        copy.SetVoxelValueUnits(coded)
    elif name == _NAMES[PET] and (units is not None or instance_uids(node)):
        # What told how to make SUV of them does not go along, and voxels that say nothing count as SUV.
        copy.SetName(f"{name} ({_NOT_SUV})")
    copy.CreateDefaultDisplayNodes()
    _copy_display(scene, node.GetDisplayNode(), copy.GetDisplayNode(), name)
    copy.AddDefaultStorageNode()
    copy.GetStorageNode().SetCompressionParameter(_FASTEST)
    return copy


def _copy_display(scene: slicer.vtkMRMLScene, display: Any, copy: Any, name: str) -> None:
    """Window and colours; a table of Slicer's own is there in every scene, any other goes along without its names."""
    if display is None or copy is None or not display.IsA("vtkMRMLScalarVolumeDisplayNode"):
        return
    copy.SetAutoWindowLevel(False)
    copy.SetWindowLevel(display.GetWindow(), display.GetLevel())
    copy.SetInterpolate(display.GetInterpolate())
    colours = display.GetColorNode()
    if colours is None:
        return
    if not colours.GetSaveWithScene() or not colours.IsA("vtkMRMLColorTableNode"):
        copy.SetAndObserveColorNodeID(colours.GetID())
        return
    table = scene.AddNewNodeByClass("vtkMRMLColorTableNode", f"Colours of {name}")
    table.SetTypeToUser()
    table.SetNumberOfColors(colours.GetNumberOfColors())
    colour = [0.0] * 4
    for index in range(colours.GetNumberOfColors()):
        colours.GetColor(index, colour)
        table.SetColor(index, str(index), *colour)
    copy.SetAndObserveColorNodeID(table.GetID())


def _copy_segmentation(
    scene: slicer.vtkMRMLScene, node: slicer.vtkMRMLSegmentationNode, name: str
) -> slicer.vtkMRMLSegmentationNode:
    """Segments that are label maps, with colour; a name and a coded meaning only where they are anatomy."""
    copy = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    copy.CreateDefaultDisplayNodes()
    segmentation, display = node.GetSegmentation(), node.GetDisplayNode()
    layers: dict[str, slicer.vtkOrientedImageData] = {}
    for number, identifier in enumerate(segmentation.GetSegmentIDs(), start=1):
        source = segmentation.GetSegment(identifier)
        voxels = source.GetRepresentation(_LABEL_MAP)
        if voxels is None:
            continue
        segment = slicer.vtkSegment()
        known = _is_anatomy(source.GetName())
        segment.SetName(source.GetName() if known else f"segment {number}")
        segment.SetColor(*source.GetColor())
        segment.SetLabelValue(source.GetLabelValue())
        meaning = vtk.reference("")
        if known and source.GetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), meaning):
            segment.SetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), str(meaning))
        # Never shared with the open scene: a segmentation that goes away empties its segments' layer. Segments of one
        # layer are one layer in the copy, too.
        layer = layers.setdefault(voxels.GetAddressAsString("vtkObject"), slicer.vtkOrientedImageData())
        if layer.IsEmpty():
            layer.DeepCopy(voxels)
            _place_layer(node, layer, name)
        segment.AddRepresentation(_LABEL_MAP, layer)
        there = f"segment_{number}"
        copy.GetSegmentation().AddSegment(segment, there)
        if display is not None:
            copy.GetDisplayNode().SetSegmentVisibility(there, display.GetSegmentVisibility(identifier))
            copy.GetDisplayNode().SetSegmentOpacity2DFill(there, display.GetSegmentOpacity2DFill(identifier))
    return copy


def _is_anatomy(name: str) -> bool:
    """Whether a segment's name is a structure's or one of our regions', and nothing that a person made up."""
    # Imported late, so that Reload reads it again and a panel without its library can still say so.
    from MemorySurvivalLib.roi.roi import ROI_TITLES
    from MemorySurvivalLib.roi.terminology import recognise

    return name.replace(" ", "_") in ROI_TITLES or recognise(name) is not None


def _place_layer(node: slicer.vtkMRMLSegmentationNode, layer: slicer.vtkOrientedImageData, name: str) -> None:
    """Move a label map to where the transforms of its node put it."""
    transform = node.GetParentTransformNode()
    if transform is None:
        return
    require_linear(transform, name, node.GetName())
    to_world, place = vtk.vtkMatrix4x4(), vtk.vtkMatrix4x4()
    transform.GetMatrixTransformToWorld(to_world)
    layer.GetImageToWorldMatrix(place)
    moved = slicer.util.arrayFromVTKMatrix(to_world) @ slicer.util.arrayFromVTKMatrix(place)
    axes = moved[:3, :3] / np.linalg.norm(moved[:3, :3], axis=0)
    if not np.allclose(axes.T @ axes, np.eye(3), atol=1e-3):
        raise UserError(_('"{name}" is under a transform that shears it.').format(name=node.GetName()))
    layer.SetImageToWorldMatrix(slicer.util.vtkMatrixFromArray(moved))


def _from_hierarchy(node: Any) -> list[tuple[str, str]]:
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    if hierarchy is None:
        return []
    item = hierarchy.GetItemByDataNode(node)
    if item == hierarchy.GetInvalidItemID():
        return []
    known = slicer.vtkMRMLSubjectHierarchyConstants
    patient, study = known.GetDICOMLevelPatient(), known.GetDICOMLevelStudy()
    asked = (
        ("name", known.GetDICOMPatientNameAttributeName(), patient),
        ("ID", known.GetDICOMPatientIDAttributeName(), patient),
        ("date", known.GetDICOMPatientBirthDateAttributeName(), patient),
        ("text", known.GetDICOMPatientCommentsAttributeName(), patient),
        ("date", known.GetDICOMStudyDateAttributeName(), study),
        ("ID", known.GetDICOMStudyIDAttributeName(), study),
        ("text", known.GetDICOMStudyDescriptionAttributeName(), study),
        ("UID", known.GetDICOMStudyInstanceUIDAttributeName(), study),
    )
    found = [(kind, hierarchy.GetAttributeFromItemAncestor(item, *where)) for kind, *where in asked]
    while item not in (hierarchy.GetSceneItemID(), hierarchy.GetInvalidItemID()):
        item = hierarchy.GetItemParent(item)
        if item not in (hierarchy.GetSceneItemID(), hierarchy.GetInvalidItemID()):
            found.append(("text", hierarchy.GetItemName(item)))
    return found
