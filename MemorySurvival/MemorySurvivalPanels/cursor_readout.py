"""What lies under the mouse: SUV, Hounsfield units, the region's segment and the effect, from the nodes' own voxels."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _

from MemorySurvivalPanels.localised import NOTHING, show_effect, show_number

_MOST_SEGMENTS = 3


@dataclass(frozen=True)
class Readout:
    """Texts for the panel; a dash where there is nothing to be read."""

    suv: str = NOTHING
    hu: str = NOTHING
    region: str = NOTHING
    effect: str = NOTHING


def read_out(
    ras: tuple[float, float, float] | None,
    *,
    ct: slicer.vtkMRMLScalarVolumeNode | None,
    pet: slicer.vtkMRMLScalarVolumeNode | None,
    region: Any,
    effect: slicer.vtkMRMLScalarVolumeNode | None,
    suv_per_unit: float | None,
) -> Readout:
    """The values of the voxels in which a point (world RAS, mm) lies; `region` is a segmentation or a label map."""
    if ras is None:
        return Readout()
    uptake, density, change = (voxel_value(node, ras) for node in (pet, ct, effect))
    suv = None if uptake is None or suv_per_unit is None else uptake * suv_per_unit
    return Readout(show_number(suv, 2), show_number(density, 0), name_region(region, ras), show_effect(change))


def voxel_value(node: slicer.vtkMRMLScalarVolumeNode | None, ras: tuple[float, float, float]) -> float | None:
    """The voxel in which a point (world RAS, mm) lies, with the node's transforms undone; None outside."""
    index = voxel_index(node, ras)
    if index is None:
        return None
    image = node.GetImageData()
    return float(image.GetScalarComponentAsDouble(*index, 0))


def voxel_index(node: Any, ras: tuple[float, float, float]) -> tuple[int, int, int] | None:
    """The index (i, j, k) of that voxel; None outside."""
    if node is None or node.GetScene() is None or node.GetImageData() is None:
        return None
    matrix = vtk.vtkMatrix4x4()
    node.GetRASToIJKMatrix(matrix)
    i, j, k = (round(each) for each in matrix.MultiplyPoint((*_to_local(node, ras), 1.0))[:3])
    size = node.GetImageData().GetDimensions()
    inside = 0 <= i < size[0] and 0 <= j < size[1] and 0 <= k < size[2]
    return (i, j, k) if inside else None


def find_hottest(
    node: slicer.vtkMRMLScalarVolumeNode, ras: tuple[float, float, float], reach_mm: float
) -> tuple[float, float, float]:
    """The centre (world RAS) of the highest voxel in a box of `reach_mm` around a point; the point itself outside."""
    index = voxel_index(node, ras)
    if index is None:
        return ras
    steps = [int(np.ceil(reach_mm / size)) for size in node.GetSpacing()]
    voxels = slicer.util.arrayFromVolume(node)
    spans = [slice(max(at - step, 0), at + step + 1) for at, step in zip(index, steps, strict=True)]
    block = voxels[spans[2], spans[1], spans[0]]
    k, j, i = np.unravel_index(int(block.argmax()), block.shape)
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    corner = (i + spans[0].start, j + spans[1].start, k + spans[2].start, 1.0)
    world = [0.0, 0.0, 0.0]
    node.TransformPointToWorld(matrix.MultiplyPoint([float(each) for each in corner])[:3], world)
    return world[0], world[1], world[2]


def name_region(region: Any, ras: tuple[float, float, float]) -> str:
    """The names of the visible segments, or of the label map, at a point (world RAS, mm)."""
    if region is None or region.GetScene() is None:
        return NOTHING
    if not region.IsA("vtkMRMLSegmentationNode"):
        return region.GetName() if voxel_value(region, ras) else NOTHING
    names = _segments_at(region, ras)
    if len(names) > _MOST_SEGMENTS:
        names = [*names[:_MOST_SEGMENTS], _("…")]
    return ", ".join(names) or NOTHING


def _segments_at(node: slicer.vtkMRMLSegmentationNode, ras: tuple[float, float, float]) -> list[str]:
    local = _to_local(node, ras)
    segmentation, display = node.GetSegmentation(), node.GetDisplayNode()
    found, labels = [], {}
    for position in range(segmentation.GetNumberOfSegments()):
        identifier = segmentation.GetNthSegmentID(position)
        image = node.GetBinaryLabelmapInternalRepresentation(identifier)
        if image is None or (display is not None and not display.GetSegmentVisibility(identifier)):
            continue
        if image not in labels:  # segments that do not overlap share one image
            labels[image] = _label_at(image, local)
        segment = segmentation.GetSegment(identifier)
        if labels[image] is not None and labels[image] == segment.GetLabelValue():
            found.append(segment.GetName())
    return found


def _label_at(image: Any, local: tuple[float, float, float]) -> int | None:
    matrix = vtk.vtkMatrix4x4()
    image.GetWorldToImageMatrix(matrix)
    i, j, k = (round(each) for each in matrix.MultiplyPoint((*local, 1.0))[:3])
    low_i, high_i, low_j, high_j, low_k, high_k = image.GetExtent()
    if not (low_i <= i <= high_i and low_j <= j <= high_j and low_k <= k <= high_k):
        return None
    return int(image.GetScalarComponentAsDouble(i, j, k, 0))


def _to_local(node: Any, ras: tuple[float, float, float]) -> tuple[float, float, float]:
    local = [0.0, 0.0, 0.0]
    node.TransformPointFromWorld(ras, local)
    return local[0], local[1], local[2]
