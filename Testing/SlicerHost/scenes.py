"""Volumes and segmentations for the host's tests, made in the scene."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import vtk_to_numpy

CT_IJK_TO_RAS = np.array([[-2.0, 0.0, 0.0, 30.0], [0.0, -2.0, 0.0, 40.0], [0.0, 0.0, 4.0, -60.0], [0.0, 0.0, 0.0, 1.0]])


def rotation(axis: int, degrees: float) -> np.ndarray:
    """4 x 4 rotation about a coordinate axis."""
    angle = np.radians(degrees)
    first, second = [each for each in range(3) if each != axis]
    matrix = np.eye(4)
    matrix[[first, first, second, second], [first, second, first, second]] = [
        np.cos(angle),
        -np.sin(angle),
        np.sin(angle),
        np.cos(angle),
    ]
    return matrix


def ijk_to_ras(node: Any) -> np.ndarray:
    """A volume node's matrix."""
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)


def add_volume(voxels: np.ndarray, matrix: np.ndarray, name: str) -> Any:
    """A scalar volume with voxels (k, j, i)."""
    return slicer.util.addVolumeFromArray(voxels, matrix, name=name)


def add_small_case() -> tuple[Any, Any, Any]:
    """CT, PET and a segmentation with one segment, 20 x 24 x 16 voxels."""
    generator = np.random.default_rng(0)
    ct = add_volume(generator.normal(0, 40, (16, 24, 20)).astype(np.int16), CT_IJK_TO_RAS, "CT of the case")
    pet = add_volume(generator.random((16, 24, 20), np.float32), CT_IJK_TO_RAS, "PET of the case")
    voxels = np.zeros((16, 24, 20), np.uint8)
    voxels[5:9, 10:18, 4:11] = 1
    return ct, pet, add_segmentation(voxels, ct, "Regions", "spine")


def add_segmentation(voxels: np.ndarray, reference: Any, name: str, segment: str) -> Any:
    """A segmentation on the grid of `reference` with one segment."""
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(reference)
    identifier = node.GetSegmentation().AddEmptySegment(segment, segment)
    slicer.util.updateSegmentBinaryLabelmapFromArray(voxels, node, identifier, reference)
    return node


def load_volume(path: Path, name: str) -> Any:
    """A volume from a file, with Slicer's own reader, so that the node keeps a storage node."""
    return slicer.modules.volumes.logic().AddArchetypeVolume(str(path), name)


def voxel_points(voxels: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """RAS points (n, 3) of the voxels (k, j, i) that are not zero."""
    kji = np.argwhere(voxels != 0)
    return kji[:, ::-1] @ matrix[:3, :3].T + matrix[:3, 3]


def snapshot(node: Any) -> tuple[int, bytes, bytes]:
    """Modification time, voxels and place of a volume node: what must not change."""
    scalars = vtk_to_numpy(node.GetImageData().GetPointData().GetScalars())
    return node.GetMTime(), scalars.tobytes(), ijk_to_ras(node).tobytes()
