"""Segmentations into the scene and out of it: voxel-exact, with terminology and colours, and with who made them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
import slicer
import vtk
from slicer.i18n import tr as _
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

from MemorySurvivalPanels import busy
from MemorySurvivalPanels.errors import UserError
from MemorySurvivalPanels.volumes import file_ijk_to_ras, ijk_to_world, require_linear, write_image

STAMP = "memory_survival_roi"
"""The library's stamp (who made the mask, hash of its voxels): a segment's tag here, a key of the header in NRRD."""

GENERATED_ROLE = "MemorySurvival.generated"
"""Reference from a segmentation to the hidden copy of its regions as they were generated."""

_LABEL_MAP = "Binary labelmap"
_CONTEXT = "Segmentation category and type - 3D Slicer General Anatomy list"
_ANATOMIC_CONTEXT = "Anatomic codes - DICOM master list"
_CATEGORY = "SCT^123037004^Anatomical Structure"
REGION_FILL = 0.3
"""Opacity of a region in the slice views, so that what is below it stays readable."""
_LATTICE_TOLERANCE = 0.01
"""Voxels; two grids whose centres agree to this are one lattice."""


def show_segmentation(
    record: Path, ct: slicer.vtkMRMLScalarVolumeNode | None, name: str
) -> slicer.vtkMRMLSegmentationNode:
    """A new segmentation from the library's structures.json and the files beside it.

    The regions come first and are shown; the structures of the label map follow, hidden, on one shared layer. Each
    segment carries its terminology, its colour and the stamp that says who made it.
    """
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", slicer.mrmlScene.GenerateUniqueName(name))
    node.CreateDefaultDisplayNodes()
    if ct is not None and ct.GetScene() is not None:
        node.SetReferenceImageGeometryParameterFromVolumeNode(ct)
    fill_segmentation(node, record)
    return node


def fill_segmentation(node: slicer.vtkMRMLSegmentationNode, record: Path) -> None:
    """Put the generated segments into a node, in place of earlier generated ones; a person's own segments stay."""
    with busy.phase(_("Reading the masks")):
        _fill_segmentation(node, record)


def _fill_segmentation(node: slicer.vtkMRMLSegmentationNode, record: Path) -> None:
    content = json.loads(record.read_text(encoding="utf-8"))
    segmentation = node.GetSegmentation()
    for segment_id in generated_segments(node):
        segmentation.RemoveSegment(segment_id)
    hidden = []
    regions = []
    for region in content["regions"].values():
        image, stamp = read_label_map(record.parent / region["file"])
        regions.append(_add_segment(segmentation, image, 1, region["structure"], stamp))
    labels, _stamp = read_label_map(record.parent / content["labels_file"])
    for label, each in content["labels"].items():
        hidden.append(_add_segment(segmentation, labels, int(label), each["structure"], each["stamp"]))
    display = node.GetDisplayNode()
    for segment_id in hidden:
        display.SetSegmentVisibility(segment_id, False)
    for segment_id in regions:
        display.SetSegmentOpacity2DFill(segment_id, REGION_FILL)
    _keep_generated(node, regions)


def generated_segments(node: slicer.vtkMRMLSegmentationNode) -> list[str]:
    """Identifiers of the segments that carry a stamp."""
    segmentation = node.GetSegmentation()
    return [each for each in segmentation.GetSegmentIDs() if read_stamp(segmentation.GetSegment(each)) is not None]


def edited_segments(node: slicer.vtkMRMLSegmentationNode) -> list[str]:
    """Identifiers of the generated segments whose voxels or place are no longer those that were generated."""
    layers: _Layers = {}
    with busy.phase(_("Looking for corrections")):
        return [each for each in generated_segments(node) if is_edited(node, each, layers)]


def is_edited(node: slicer.vtkMRMLSegmentationNode, segment_id: str, layers: "_Layers | None" = None) -> bool | None:
    """Whether a person changed a generated segment; None where nobody can tell, because it carries no stamp.

    `layers` remembers, from one segment of a node to the next, where in their shared layer the segments lie.
    """
    # Imported late, so that Reload reads it again and a panel without its library can still say so.
    from MemorySurvivalLib.imaging.volume import Affine, Volume
    from MemorySurvivalLib.roi.fingerprint import Fingerprint, fingerprint_mask

    stamp = read_stamp(node.GetSegmentation().GetSegment(segment_id))
    if stamp is None:
        return None
    generated = stamp["generated"]
    before = Fingerprint(generated["sha256"], tuple(generated["first_mm"]), tuple(generated["last_mm"]))
    found = segment_voxels(node, segment_id, layers)
    if found is None:
        return True
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ found.ijk_to_ras
    return not fingerprint_mask(Volume(found.voxels, Affine(lps))).matches(before)


def read_stamp(segment: slicer.vtkSegment | None) -> dict[str, Any] | None:
    """The stamp of a segment as a dictionary; None where it has none that can be read."""
    text = vtk.reference("")
    if segment is None or not segment.GetTag(STAMP, text):
        return None
    try:
        stamp = json.loads(str(text))
    except ValueError:
        return None
    return stamp if isinstance(stamp, dict) and "generated" in stamp and stamp.get("parts") else None


def describe_makers(segment: slicer.vtkSegment | None) -> str | None:
    """Who made a segment, such as "built-in CT segmenter 0.1.0"; None where it does not say."""
    stamp = read_stamp(segment)
    if stamp is None:
        return None
    makers = [f"{part['maker']['method']} {part['maker'].get('version', '')}".strip() for part in stamp["parts"]]
    return ", ".join(dict.fromkeys(makers))


@dataclass(frozen=True)
class SegmentVoxels:
    """One segment on its own lattice: voxels (uint8, k, j, i) and where they lie in the world (4 x 4, RAS mm)."""

    voxels: np.ndarray
    ijk_to_ras: np.ndarray


_Places = list[tuple[slice, slice, slice] | None]
_Layers = dict[str, tuple[slicer.vtkOrientedImageData, _Places]]
"""Where each label of a layer lies, by the address of the layer's image; the image is kept so that it stays the one."""


def segment_voxels(
    node: slicer.vtkMRMLSegmentationNode, segment_id: str, layers: _Layers | None = None
) -> SegmentVoxels | None:
    """A segment in the smallest box around it, with the node's transforms applied; None where it has no voxel.

    The node is not changed.
    """
    to_world = np.eye(4)
    if node.GetParentTransformNode() is not None:
        require_linear(node.GetParentTransformNode(), "ROI", node.GetName())
        matrix = vtk.vtkMatrix4x4()
        slicer.vtkMRMLTransformNode.GetMatrixTransformBetweenNodes(node.GetParentTransformNode(), None, matrix)
        to_world = slicer.util.arrayFromVTKMatrix(matrix)
    segment = node.GetSegmentation().GetSegment(segment_id)
    image, label = segment.GetRepresentation(_LABEL_MAP), segment.GetLabelValue()
    if image is None:  # drawn as a surface: Slicer converts it on a copy
        image, label, layers = slicer.vtkOrientedImageData(), 1, None
        logic = slicer.modules.segmentations.logic()
        if not logic.GetSegmentBinaryLabelmapRepresentation(node, segment_id, image, False):
            return None
    if image.IsEmpty() or image.GetPointData().GetScalars() is None:
        return None
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    ijk_to_ras = to_world @ slicer.util.arrayFromVTKMatrix(matrix)
    ijk_to_ras[:, 3] = ijk_to_ras @ np.array([*image.GetExtent()[::2], 1.0])
    # Segments that do not overlap share one layer, in which each is a label; most of a layer is empty.
    values = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(tuple(reversed(image.GetDimensions())))
    if layers is None:
        return crop_label(values, label, ijk_to_ras)
    places = _find_labels(image, values, layers)
    place = places[label - 1] if 0 < label <= len(places) else None
    return None if place is None else _crop(values, label, place, ijk_to_ras)


def crop_label(values: np.ndarray, label: int | None, ijk_to_ras: np.ndarray) -> SegmentVoxels | None:
    """Where an array (k, j, i) has a value (None: any but zero), in the smallest box around it; None where nowhere.

    `ijk_to_ras` says where the array's voxels lie.
    """
    inside = values != 0 if label is None else values == label
    place = []
    for axis in range(3):  # along k first, which leaves little of a whole body to look at
        part = inside[tuple(place)]
        found = np.flatnonzero(part.any(axis=tuple(each for each in range(3) if each != axis)))
        if found.size == 0:
            return None
        place.append(slice(int(found[0]), int(found[-1]) + 1))
    return _crop(values, label, (place[0], place[1], place[2]), ijk_to_ras)


def _crop(
    values: np.ndarray, label: int | None, place: tuple[slice, slice, slice], ijk_to_ras: np.ndarray
) -> SegmentVoxels:
    cropped = ijk_to_ras.copy()
    cropped[:, 3] = ijk_to_ras @ np.array([*(part.start for part in reversed(place)), 1.0])
    inside = values[place] != 0 if label is None else values[place] == label
    return SegmentVoxels(inside.astype(np.uint8), cropped)


def _find_labels(image: slicer.vtkOrientedImageData, values: np.ndarray, layers: _Layers) -> _Places:
    """The box around each label, found once for a layer."""
    from scipy import ndimage  # takes a third of a second to import, which the start of the panel need not wait for

    key = image.GetAddressAsString("vtkObject")
    if key not in layers:
        layers[key] = (image, ndimage.find_objects(values))
    return layers[key][1]


def export_mask(
    node: slicer.vtkMRMLSegmentationNode,
    segment_id: str,
    folder: Path,
    reference: slicer.vtkMRMLVolumeNode | None = None,
) -> Path:
    """Write one segment, exactly as it is, as a mask file that keeps its stamp.

    Where the segment lies on the lattice of `reference` it is written on that volume's whole grid, else in the smallest
    box on its own lattice: nothing is resampled, and no voxel is cut off. Raises UserError for a segment that is not
    there or empty.
    """
    segment = node.GetSegmentation().GetSegment(segment_id) if segment_id else None
    if segment is None:
        raise UserError(_('Choose a segment of the segmentation "{name}".').format(name=node.GetName()))
    with busy.phase(_("Handing the region over")):
        found = segment_voxels(node, segment_id)
        if found is None:
            raise UserError(
                _('The segment "{segment}" is empty; draw it first or choose another.').format(
                    segment=segment.GetName()
                )
            )
        if reference is not None and reference.GetImageData() is not None:
            found = _on_grid_of(found, reference)
        text = vtk.reference("")
        attributes = {STAMP: str(text)} if segment.GetTag(STAMP, text) else {}
        return write_image(found.voxels, found.ijk_to_ras, folder, attributes)


def export_generated(
    node: slicer.vtkMRMLSegmentationNode,
    segment_id: str,
    folder: Path,
    reference: slicer.vtkMRMLVolumeNode | None = None,
) -> Path | None:
    """Write the segment as it was generated; None where no copy was kept."""
    kept = node.GetNodeReference(GENERATED_ROLE)
    if kept is None or kept.GetSegmentation().GetSegment(segment_id) is None:
        return None
    return export_mask(kept, segment_id, folder, reference)


def _on_grid_of(found: SegmentVoxels, reference: slicer.vtkMRMLVolumeNode) -> SegmentVoxels:
    """The segment on the reference's whole grid; as it is where that would move or lose a voxel."""
    grid = ijk_to_world(reference, "CT")
    there = np.linalg.inv(grid) @ found.ijk_to_ras
    offset = np.round(there[:3, 3]).astype(int)
    shape = np.array(found.voxels.shape[::-1])
    same_axes = np.abs((there[:3, :3] - np.eye(3)) * shape).max() <= _LATTICE_TOLERANCE
    if not same_axes or np.abs(there[:3, 3] - offset).max() > _LATTICE_TOLERANCE:
        return found
    size = np.array(reference.GetImageData().GetDimensions())
    inside = np.argwhere(found.voxels)[:, ::-1] + offset
    if (inside < 0).any() or (inside >= size).any():
        return found
    voxels = np.zeros(size[::-1], np.uint8)
    voxels[tuple(inside[:, ::-1].T)] = 1
    return SegmentVoxels(voxels, grid)


def _add_segment(
    segmentation: slicer.vtkSegmentation,
    image: slicer.vtkOrientedImageData,
    label: int,
    structure: Mapping[str, Any],
    stamp: str | None,
) -> str:
    segment = slicer.vtkSegment()
    segment.SetName(structure["name"].replace("_", " "))
    segment.SetColor(*(channel / 255 for channel in structure["colour_rgb"]))
    segment.SetLabelValue(label)
    segment.AddRepresentation(_LABEL_MAP, image)
    segment.SetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), terminology_entry(structure))
    if stamp is not None:
        segment.SetTag(STAMP, stamp)
    wanted = structure["name"].replace(" ", "_")
    segment_id = segmentation.GenerateUniqueSegmentID(wanted)  # a person's own segment may have the name
    segmentation.AddSegment(segment, segment_id)
    return segment_id


def terminology_entry(structure: Mapping[str, Any]) -> str:
    """Slicer's text for a coded structure: context, category, type, its modifier, and no anatomic region."""
    codes = [structure["code"], structure.get("laterality")]
    kind, side = ("^".join((code["scheme"], code["value"], code["meaning"])) if code else "^^" for code in codes)
    return "~".join((_CONTEXT, _CATEGORY, kind, side, _ANATOMIC_CONTEXT, "^^", "^^"))


def read_label_map(path: Path) -> tuple[slicer.vtkOrientedImageData, str | None]:
    """An image file as segments hold it, in the smallest box, and the stamp in its header."""
    source = sitk.ReadImage(str(path))
    voxels = sitk.GetArrayViewFromImage(source)
    box = _occupied_box(voxels)
    image = slicer.vtkOrientedImageData()
    image.SetExtent(*(bound for part in reversed(box) for bound in (part.start, part.stop - 1)))
    image.GetPointData().SetScalars(numpy_to_vtk(voxels[box].ravel(), deep=True))
    image.SetImageToWorldMatrix(slicer.util.vtkMatrixFromArray(file_ijk_to_ras(source)))
    return image, source.GetMetaData(STAMP) if source.HasMetaDataKey(STAMP) else None


def _occupied_box(voxels: np.ndarray) -> tuple[slice, slice, slice]:
    """The smallest box around all that is not zero; everything where all is zero.

    Whole-body masks are mostly empty, and what is left out here is not copied and looked through again and again.
    """
    box = [slice(0, size) for size in voxels.shape]
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        occupied = np.flatnonzero(voxels[tuple(box)].any(axis=others))
        if not len(occupied):
            break
        box[axis] = slice(int(occupied[0]), int(occupied[-1]) + 1)
    return tuple(box)


def _keep_generated(node: slicer.vtkMRMLSegmentationNode, segment_ids: list[str]) -> None:
    """Keep the regions as generated in a hidden node, so that an edit can be counted later, also in a saved scene."""
    old = node.GetNodeReference(GENERATED_ROLE)
    if old is not None:
        slicer.mrmlScene.RemoveNode(old)
    copy = slicer.vtkMRMLSegmentationNode()
    copy.SetName(_("{name} as generated").format(name=node.GetName()))
    copy.SetHideFromEditors(True)
    copy = slicer.mrmlScene.AddNode(copy)
    copy.CreateDefaultDisplayNodes()  # else a scene that is read again gives it one, in which it is seen
    copy.GetDisplayNode().SetVisibility(False)
    for segment_id in segment_ids:
        copy.GetSegmentation().CopySegmentFromSegmentation(node.GetSegmentation(), segment_id)
    node.SetNodeReferenceID(GENERATED_ROLE, copy.GetID())
