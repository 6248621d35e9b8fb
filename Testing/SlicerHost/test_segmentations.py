"""Masks from the library into the scene, edited there, and back: every voxel, and who made them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

GRIDS = {
    "the CT's": np.diag([-2.0, -2.0, 4.0, 1.0]),
    "flipped": np.diag([2.0, -2.0, -4.0, 1.0]),
    "oblique": None,
}


def matrix_of(name: str) -> np.ndarray:
    from scenes import rotation

    matrix = GRIDS[name]
    matrix = rotation(2, 20) @ rotation(0, 12) @ GRIDS["the CT's"] if matrix is None else matrix.copy()
    matrix[:3, 3] = (30.0, 40.0, -60.0)
    return matrix


@pytest.fixture
def segmentations(panel: Any) -> Any:
    from MemorySurvivalPanels import segmentations

    return segmentations


@pytest.fixture(params=list(GRIDS))
def loaded(request: pytest.FixtureRequest, segmentations: Any, tmp_path: Path) -> tuple[Any, Any, Path]:
    """A CT, the segmentation made from the library's files, and structures.json; on every kind of grid."""
    from made_masks import make_masks
    from scenes import add_volume

    matrix = matrix_of(request.param)
    ct = add_volume(np.zeros((16, 24, 20), np.int16), matrix, "CT of the case")
    record = make_masks(tmp_path, matrix)
    return ct, segmentations.show_segmentation(record, ct, "Regions"), record


def read(path: Path) -> Any:
    from MemorySurvivalLib.imaging.reading import read_volume

    return read_volume(path, "mask")


def exported(segmentations: Any, node: Any, segment: str, folder: Path, ct: Any) -> Any:
    return read(segmentations.export_mask(node, segment, folder, ct))


def paint(node: Any, segment: str, voxels: np.ndarray, ct: Any, *, erase: bool = False) -> None:
    """Add or remove voxels (k, j, i of the CT) as the Segment Editor's effects do: by a modifier label map."""
    import slicer
    from vtk.util.numpy_support import numpy_to_vtk

    modifier = slicer.vtkOrientedImageData()
    modifier.SetDimensions(*reversed(voxels.shape))
    values = (voxels == 0) if erase else (voxels != 0)
    modifier.GetPointData().SetScalars(numpy_to_vtk(values.astype(np.uint8).ravel(), deep=True))
    from scenes import ijk_to_ras

    modifier.SetImageToWorldMatrix(slicer.util.vtkMatrixFromArray(ijk_to_ras(ct)))
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    mode = logic.MODE_MERGE_MIN if erase else logic.MODE_MERGE_MAX
    assert logic.SetBinaryLabelmapToSegment(modifier, node, segment, mode)


def save_and_load(node: Any, tmp_path: Path, how: str) -> tuple[Any, Any]:
    """The segmentation and the CT after a trip through a file."""
    import slicer

    scene = slicer.mrmlScene
    if how == "seg.nrrd":
        storage = slicer.vtkMRMLSegmentationStorageNode()
        storage.SetFileName(str(tmp_path / "saved.seg.nrrd"))
        assert storage.WriteData(node)
        back = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Back")
        assert storage.ReadData(back)
        return back, scene.GetFirstNodeByName("CT of the case")
    scene.SetRootDirectory(str(tmp_path))
    cache, manager = slicer.vtkCacheManager(), slicer.vtkDataIOManager()  # the application's, which unpacks bundles
    cache.SetRemoteCacheDirectory(str(tmp_path))
    manager.SetCacheManager(cache)
    scene.SetDataIOManager(manager)
    for each in slicer.util.getNodesByClass("vtkMRMLStorableNode"):
        each.AddDefaultStorageNode()
    bundle = tmp_path / "saved.mrb"
    assert scene.WriteToMRB(str(bundle))
    scene.Clear()
    messages = slicer.vtkMRMLMessageCollection()
    assert scene.ReadFromMRB(str(bundle), False, messages), messages.GetAllMessagesAsString()
    return scene.GetFirstNodeByName("Regions"), scene.GetFirstNodeByName("CT of the case")


def test_every_voxel_makes_the_round_trip(segmentations: Any, loaded: tuple[Any, Any, Path], tmp_path: Path) -> None:
    from MemorySurvivalLib.roi.provenance import read_roi_provenance

    ct, node, record = loaded
    for kind in ("spine_dilated", "skeleton"):
        written, back = read(record.parent / f"{kind}.nrrd"), exported(segmentations, node, kind, tmp_path, ct)
        assert back.same_grid(written)
        assert (back.voxels == written.voxels).all()
        found = read_roi_provenance(back)
        assert (found.kind, found.edited) == (kind, False)
    assert segmentations.edited_segments(node) == []


def test_structures_share_a_layer_and_keep_their_names(segmentations: Any, loaded: tuple[Any, Any, Path]) -> None:
    from made_masks import LABELS, labels_voxels

    _ct, node, _record = loaded
    segmentation = node.GetSegmentation()
    assert list(segmentation.GetSegmentIDs()) == ["spine_dilated", "skeleton", "L4", "L5", "femur_left"]
    assert segmentation.GetNumberOfLayers() == 3
    for label, name in LABELS.items():
        found = segmentations.segment_voxels(node, name)
        assert found.voxels.sum() == (labels_voxels() == label).sum()
        assert not node.GetDisplayNode().GetSegmentVisibility(name)
    assert node.GetDisplayNode().GetSegmentVisibility("skeleton")


def test_terminology_and_colours(segmentations: Any, loaded: tuple[Any, Any, Path]) -> None:
    import slicer
    import vtk

    from MemorySurvivalLib.roi.terminology import structure

    _ct, node, _record = loaded
    segment = node.GetSegmentation().GetSegment("femur_left")
    text = vtk.reference("")
    assert segment.GetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), text)
    assert str(text).split("~")[1:4] == [
        "SCT^123037004^Anatomical Structure",
        "SCT^71341001^Femur",
        "SCT^7771000^Left",
    ]
    assert segment.GetName() == "femur left"
    expected = np.array(structure("femur_left").colour_rgb) / 255
    assert segment.GetColor() == pytest.approx(expected)


@pytest.mark.parametrize("how", ["effect", "array"])
def test_an_edit_arrives_voxel_by_voxel(
    segmentations: Any, loaded: tuple[Any, Any, Path], tmp_path: Path, how: str
) -> None:
    import slicer

    from MemorySurvivalLib.roi.edits import describe_edit
    from MemorySurvivalLib.roi.provenance import read_roi_provenance

    ct, node, record = loaded
    added, removed = np.zeros((16, 24, 20), np.uint8), np.zeros((16, 24, 20), np.uint8)
    added[9, 3:6, 2] = 1
    removed[6, 13:15, 7:9] = 1
    written = read(record.parent / "skeleton.nrrd")
    expected = ((written.voxels | added) & (1 - removed)).astype(np.uint8)
    if how == "effect":
        paint(node, "skeleton", added, ct)
        paint(node, "skeleton", removed, ct, erase=True)
    else:
        slicer.util.updateSegmentBinaryLabelmapFromArray(expected, node, "skeleton", ct)
    back = exported(segmentations, node, "skeleton", tmp_path, ct)
    assert back.same_grid(written)
    assert (back.voxels == expected).all()
    found = read_roi_provenance(back)
    assert (found.kind, found.edited) == ("skeleton", True)
    assert str(found.parts[0].maker) == "built-in CT segmenter 0.1.0"
    assert segmentations.edited_segments(node) == ["skeleton"]
    generated = read(segmentations.export_generated(node, "skeleton", tmp_path, ct))
    assert (generated.voxels == written.voxels).all()
    summary = describe_edit(generated, back)
    assert (summary.voxels_added, summary.voxels_removed, summary.resampled) == (3, 4, False)


def test_an_edited_vertebra_leaves_its_neighbours_as_they_were(
    segmentations: Any, loaded: tuple[Any, Any, Path]
) -> None:
    ct, node, _record = loaded
    added = np.zeros((16, 24, 20), np.uint8)
    added[14, 20, 4] = 1
    paint(node, "L4", added, ct)
    assert segmentations.edited_segments(node) == ["L4"]


@pytest.mark.parametrize("how", ["seg.nrrd", "mrb"])
def test_saving_and_loading_keeps_voxels_terminology_and_makers(
    segmentations: Any, loaded: tuple[Any, Any, Path], tmp_path: Path, how: str
) -> None:
    import slicer
    import vtk

    ct, node, record = loaded
    added = np.zeros((16, 24, 20), np.uint8)
    added[9, 3:6, 2] = 1
    paint(node, "skeleton", added, ct)
    before = {
        each: node.GetSegmentation().GetSegment(each).GetName() for each in node.GetSegmentation().GetSegmentIDs()
    }
    back, ct = save_and_load(node, tmp_path, how)
    segmentation = back.GetSegmentation()
    assert {each: segmentation.GetSegment(each).GetName() for each in segmentation.GetSegmentIDs()} == before
    assert segmentations.edited_segments(back) == ["skeleton"]
    assert segmentations.describe_makers(segmentation.GetSegment("L4")) == "built-in CT segmenter 0.1.0"
    text = vtk.reference("")
    assert segmentation.GetSegment("L5").GetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), text)
    assert "L5 vertebra" in str(text)
    mask = exported(segmentations, back, "skeleton", tmp_path, ct)
    written = read(record.parent / "skeleton.nrrd")
    assert mask.same_grid(written)
    assert (mask.voxels == (written.voxels | added)).all()
    generated = segmentations.export_generated(back, "skeleton", tmp_path, ct)
    if how == "mrb":  # the scene holds the hidden copy, a single file does not
        assert (read(generated).voxels == written.voxels).all()
    else:
        assert generated is None


def test_the_stamp_is_found_in_a_saved_file_without_slicer(
    segmentations: Any, loaded: tuple[Any, Any, Path], tmp_path: Path
) -> None:
    import SimpleITK as sitk

    from MemorySurvivalLib.roi.provenance import ROI_ATTRIBUTE, find_stamp, read_stamp

    ct, node, record = loaded
    save_and_load(node, tmp_path, "seg.nrrd")
    image = sitk.ReadImage(str(tmp_path / "saved.seg.nrrd"))
    found = find_stamp(image.GetMetaData("Segment1_Tags"))
    assert image.GetMetaData("Segment1_ID") == "skeleton"
    assert found == read(record.parent / "skeleton.nrrd").attributes[ROI_ATTRIBUTE]
    assert read_stamp(exported(segmentations, node, "skeleton", tmp_path, ct)) is not None
    assert find_stamp("TerminologyEntry:a~b~c|Other:memory_survival_roi|") is None


@pytest.mark.parametrize("factor", [0.5, 1.3])
def test_a_mask_on_a_grid_of_its_own_goes_out_in_it(segmentations: Any, tmp_path: Path, factor: float) -> None:
    """A person's segmentation may have other voxels, another extent and other axes than the CT; none is resampled."""
    from scenes import CT_IJK_TO_RAS, add_segmentation, add_volume, rotation

    from MemorySurvivalLib.imaging.volume import Affine

    ct = add_volume(np.zeros((16, 24, 20), np.int16), CT_IJK_TO_RAS, "CT")
    own = rotation(1, 17) @ np.diag([2 * factor, -2 * factor, 4 * factor, 1.0])
    own[:3, 3] = (-5.0, 10.0, -40.0)
    voxels = (np.random.default_rng(0).random((9, 11, 13)) > 0.6).astype(np.uint8)
    reference = add_volume(voxels, own, "its grid")
    node = add_segmentation(voxels, reference, "Mine", "spine")
    back = exported(segmentations, node, "spine", tmp_path, ct)
    there = back.affine.points_mm(np.argwhere(back.voxels)[:, ::-1])
    expected = Affine(np.diag([-1.0, -1.0, 1.0, 1.0]) @ own).points_mm(np.argwhere(voxels)[:, ::-1])
    assert there == pytest.approx(expected, abs=1e-4)
    assert segmentations.is_edited(node, "spine") is None
    assert segmentations.describe_makers(node.GetSegmentation().GetSegment("spine")) is None


def test_paint_outside_the_ct_is_not_cut_off(segmentations: Any, loaded: tuple[Any, Any, Path], tmp_path: Path) -> None:
    from scenes import add_volume, ijk_to_ras

    ct, node, record = loaded
    wider = ijk_to_ras(ct).copy()
    wider[:3, 3] -= wider[:3, :3] @ (3, 3, 3)
    outside = np.zeros((22, 30, 26), np.uint8)
    outside[0, 0, 0] = 1
    paint(node, "skeleton", outside, add_volume(outside, wider, "wider"))
    back = exported(segmentations, node, "skeleton", tmp_path, ct)
    assert back.voxels.sum() == read(record.parent / "skeleton.nrrd").voxels.sum() + 1


def test_a_moved_segmentation_is_an_edited_one(segmentations: Any, loaded: tuple[Any, Any, Path]) -> None:
    import slicer

    _ct, node, _record = loaded
    move = np.eye(4)
    move[0, 3] = 2.0
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "T")
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(move))
    node.SetAndObserveTransformNodeID(transform.GetID())
    assert "skeleton" in segmentations.edited_segments(node)
    node.SetAndObserveTransformNodeID(None)
    assert segmentations.edited_segments(node) == []


def test_generating_again_keeps_a_persons_own_segments(segmentations: Any, loaded: tuple[Any, Any, Path]) -> None:
    ct, node, record = loaded
    node.GetSegmentation().AddEmptySegment("mine", "mine")
    paint(node, "mine", np.ones((16, 24, 20), np.uint8), ct)
    segmentations.fill_segmentation(node, record)
    segments = list(node.GetSegmentation().GetSegmentIDs())
    assert segments == ["mine", "spine_dilated", "skeleton", "L4", "L5", "femur_left"]
    assert segmentations.segment_voxels(node, "mine").voxels.sum() == 16 * 24 * 20


def test_the_hidden_copy_is_not_offered(panel: Any, loaded: tuple[Any, Any, Path], segmentations: Any) -> None:
    import slicer

    _ct, node, record = loaded
    segmentations.fill_segmentation(node, record)
    nodes = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
    assert sorted(bool(each.GetHideFromEditors()) for each in nodes) == [False, True]
    assert all(each is node or not each.GetDisplayNode().GetVisibility() for each in nodes)


def test_the_hidden_copy_stays_hidden_in_a_saved_scene(
    panel: Any, loaded: tuple[Any, Any, Path], segmentations: Any, tmp_path: Path
) -> None:
    import slicer
    from mrml_bundles import open_bundle, save_bundle

    save_bundle(tmp_path / "scene.mrb")
    open_bundle(tmp_path / "scene.mrb")
    nodes = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
    shown = {bool(each.GetHideFromEditors()): bool(each.GetDisplayVisibility()) for each in nodes}
    assert shown == {False: True, True: False}


@pytest.mark.parametrize("stamp", ["", "{", "[1]", json.dumps({"parts": []}), json.dumps({"generated": {}})])
def test_a_spoilt_stamp_is_no_stamp(segmentations: Any, loaded: tuple[Any, Any, Path], stamp: str) -> None:
    _ct, node, _record = loaded
    node.GetSegmentation().GetSegment("skeleton").SetTag(segmentations.STAMP, stamp)
    assert segmentations.is_edited(node, "skeleton") is None
    assert "skeleton" not in segmentations.generated_segments(node)
