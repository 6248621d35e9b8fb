"""Nodes handed to the worker as files: at the place where the user sees them, and without touching the node."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def file_ijk_to_ras(path: Path) -> np.ndarray:
    image = sitk.ReadImage(str(path))
    matrix = np.eye(4)
    matrix[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    matrix[:3, 3] = image.GetOrigin()
    return RAS_TO_LPS @ matrix


@pytest.fixture
def volumes(panel: Any) -> Any:
    from MemorySurvivalPanels import volumes

    return volumes


@pytest.fixture
def voxels() -> np.ndarray:
    return np.random.default_rng(1).integers(-1000, 1000, (5, 6, 7)).astype(np.int16)


def test_untouched_node_goes_by_its_own_file(volumes: Any, voxels: np.ndarray, tmp_path: Path) -> None:
    import slicer
    from scenes import load_volume

    source = tmp_path / "ct.nii.gz"
    image = sitk.GetImageFromArray(voxels)
    image.SetSpacing((0.9, 0.9, 3.0))
    image.SetOrigin((-10.0, 20.0, 30.0))
    sitk.WriteImage(image, str(source))
    node = load_volume(source, "CT")
    assert volumes.volume_file(node, "CT", tmp_path) == source
    slicer.util.arrayFromVolume(node)[0, 0, 0] = 77
    slicer.util.arrayFromVolumeModified(node)
    written = volumes.volume_file(node, "CT", tmp_path)
    assert written != source
    assert sitk.GetArrayFromImage(sitk.ReadImage(str(written)))[0, 0, 0] == 77
    assert file_ijk_to_ras(written) == pytest.approx(file_ijk_to_ras(source))


def test_node_whose_file_changed_on_disk_is_written(volumes: Any, voxels: np.ndarray, tmp_path: Path) -> None:
    from scenes import load_volume

    source = tmp_path / "ct.nrrd"
    sitk.WriteImage(sitk.GetImageFromArray(voxels), str(source))
    node = load_volume(source, "CT")
    moved = sitk.GetImageFromArray(voxels)
    moved.SetOrigin((5.0, 0.0, 0.0))
    sitk.WriteImage(moved, str(source))
    assert volumes.volume_file(node, "CT", tmp_path) != source


@pytest.mark.parametrize("flips", [(1, 1, 1), (-1, 1, 1), (1, 1, -1), (-1, -1, -1)])
def test_oblique_and_flipped_grids_keep_their_place(
    volumes: Any, voxels: np.ndarray, tmp_path: Path, flips: tuple[int, int, int]
) -> None:
    from scenes import add_volume, rotation, snapshot

    matrix = rotation(2, 25) @ rotation(0, 10) @ np.diag([0.8 * flips[0], 1.1 * flips[1], 3.0 * flips[2], 1.0])
    matrix[:3, 3] = (11, -22, 33)
    node = add_volume(voxels, matrix, "CT")
    before = snapshot(node)
    written = volumes.volume_file(node, "CT", tmp_path)
    assert snapshot(node) == before
    assert file_ijk_to_ras(written) == pytest.approx(matrix, abs=1e-6)
    assert (sitk.GetArrayFromImage(sitk.ReadImage(str(written))) == voxels).all()


def transform(panel_slicer: Any, matrix: np.ndarray) -> Any:
    node = panel_slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "T")
    node.SetMatrixTransformToParent(panel_slicer.util.vtkMatrixFromArray(matrix))
    return node


@pytest.fixture
def segmentations(panel: Any) -> Any:
    from MemorySurvivalPanels import segmentations

    return segmentations


def test_linear_transforms_are_applied(segmentations: Any, volumes: Any, voxels: np.ndarray, tmp_path: Path) -> None:
    import slicer
    from scenes import CT_IJK_TO_RAS, add_segmentation, add_volume, rotation

    move = rotation(1, 30)
    move[:3, 3] = (1, 2, 3)
    node = add_volume(voxels, CT_IJK_TO_RAS, "PET")
    region = add_segmentation((voxels > 0).astype(np.uint8), node, "Regions", "spine")
    for each in (node, region):
        each.SetAndObserveTransformNodeID(transform(slicer, move).GetID())
    assert file_ijk_to_ras(volumes.volume_file(node, "PET", tmp_path)) == pytest.approx(move @ CT_IJK_TO_RAS)
    mask = segmentations.export_mask(region, "spine", tmp_path)
    assert file_ijk_to_ras(mask) == pytest.approx(move @ CT_IJK_TO_RAS, abs=1e-5)
    assert (sitk.GetArrayFromImage(sitk.ReadImage(str(mask))) == (voxels > 0)).all()


def test_shear_and_bending_are_refused(volumes: Any, voxels: np.ndarray, tmp_path: Path) -> None:
    import slicer
    import vtk
    from MemorySurvivalPanels.errors import UserError
    from scenes import CT_IJK_TO_RAS, add_volume

    node = add_volume(voxels, CT_IJK_TO_RAS, "Thorax")
    shear = np.eye(4)
    shear[0, 1] = 0.3
    node.SetAndObserveTransformNodeID(transform(slicer, shear).GetID())
    with pytest.raises(UserError, match='The CT "Thorax" has voxel axes that are not at right angles; resample it'):
        volumes.volume_file(node, "CT", tmp_path)
    points = vtk.vtkPoints(), vtk.vtkPoints()
    for corner in np.ndindex(2, 2, 2):
        points[0].InsertNextPoint(*np.multiply(corner, 50.0))
        points[1].InsertNextPoint(*np.multiply(corner, 50.0) + (corner == (1, 1, 1)) * np.array([20.0, 0.0, 0.0]))
    spline = vtk.vtkThinPlateSplineTransform()
    spline.SetSourceLandmarks(points[0])
    spline.SetTargetLandmarks(points[1])
    spline.SetBasisToR()
    bend = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTransformNode", "B")
    bend.SetAndObserveTransformToParent(spline)
    node.SetAndObserveTransformNodeID(bend.GetID())
    with pytest.raises(UserError, match='The CT "Thorax" is under a deforming transform; harden the transform'):
        volumes.volume_file(node, "CT", tmp_path)


def test_segment_without_label_map_is_not_altered(segmentations: Any, voxels: np.ndarray, tmp_path: Path) -> None:
    from scenes import CT_IJK_TO_RAS, add_segmentation, add_volume

    block = np.zeros((16, 24, 20), np.uint8)
    block[5:9, 10:18, 4:11] = 1
    node = add_segmentation(block, add_volume(block, CT_IJK_TO_RAS, "CT"), "Regions", "spine")
    segmentation = node.GetSegmentation()
    node.CreateClosedSurfaceRepresentation()
    segmentation.SetSourceRepresentationName("Closed surface")
    segmentation.RemoveRepresentation("Binary labelmap")
    mask = sitk.GetArrayFromImage(sitk.ReadImage(str(segmentations.export_mask(node, "spine", tmp_path))))
    assert mask.sum() == pytest.approx(block.sum(), rel=0.25)
    assert not segmentation.ContainsRepresentation("Binary labelmap")


def test_empty_and_missing_segments_are_one_sentence(segmentations: Any, voxels: np.ndarray, tmp_path: Path) -> None:
    from MemorySurvivalPanels.errors import UserError
    from scenes import CT_IJK_TO_RAS, add_segmentation, add_volume

    reference = add_volume(voxels, CT_IJK_TO_RAS, "CT")
    node = add_segmentation(np.zeros(voxels.shape, np.uint8), reference, "Regions", "spine")
    with pytest.raises(UserError, match='The segment "spine" is empty; draw it first or choose another'):
        segmentations.export_mask(node, "spine", tmp_path)
    with pytest.raises(UserError, match='Choose a segment of the segmentation "Regions"'):
        segmentations.export_mask(node, "", tmp_path)


def test_a_volume_without_image_is_one_sentence(volumes: Any, tmp_path: Path) -> None:
    import slicer
    from MemorySurvivalPanels.errors import UserError

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Nothing")
    with pytest.raises(UserError, match='The PET "Nothing" holds no image; choose another'):
        volumes.volume_file(node, "PET", tmp_path)


def test_what_was_written_is_read_back_at_its_place(volumes: Any, voxels: np.ndarray, tmp_path: Path) -> None:
    import slicer
    from scenes import add_volume, ijk_to_ras, rotation

    matrix = rotation(2, 15) @ np.diag([-0.8, 1.1, 3.0, 1.0])
    matrix[:3, 3] = (11, -22, 33)
    path = volumes.volume_file(add_volume(voxels, matrix, "CT"), "CT", tmp_path)
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Back")
    volumes.fill_volume(node, path)
    assert ijk_to_ras(node) == pytest.approx(matrix, abs=1e-6)
    assert (slicer.util.arrayFromVolume(node) == voxels).all()
