"""The step "Masks" with a person at it: sources, the Segment Editor, checks in the background, accepting, bad input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest


@pytest.fixture
def case(panel: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """CT and PET chosen, no region, a worker that makes masks, no patience, and scoring that waits for acceptance."""
    import MemorySurvivalPanels.mask_check as mask_check
    from made_masks import make_masks
    from scenes import CT_IJK_TO_RAS, add_small_case

    record = make_masks(tmp_path, CT_IJK_TO_RAS)
    monkeypatch.setenv("MEMORYSURVIVAL_FAKE_MASKS", str(record.parent))
    assert mask_check.PATIENCE_MS == 1500
    panel.widget.parts.masks.checker._timer.setInterval(20)
    ct, pet, _region = add_small_case()
    parameters = panel.widget._parameters
    parameters.ct, parameters.pet = ct, pet
    parameters.score_without_accepting = False
    panel.use_worker("success")
    return panel


@pytest.fixture
def masks(case: Any) -> Any:
    """The same with masks made."""
    generate(case)
    return case


def generate(panel: Any) -> Any:
    assert panel.ui.generateButton.enabled, panel.ui.generateButton.toolTip
    panel.ui.generateButton.click()
    panel.wait_until(lambda: not panel.widget.parts.run_panel.running)
    return panel.widget._parameters.roi


def answered(panel: Any) -> Any:
    """Wait until the worker has said something about the mask as it is now."""
    checker = panel.widget.parts.masks.checker
    panel.wait_until(lambda: checker.answer is not None)
    return checker.answer


def paint(panel: Any, k: int = 9, value: int = 1) -> None:
    """A person paints one voxel of the chosen segment on slice `k`, or erases it."""
    import slicer

    parameters = panel.widget._parameters
    voxels = slicer.util.arrayFromSegmentBinaryLabelmap(parameters.roi, parameters.segment_id, parameters.ct)
    voxels[k, 3, 2] = value
    slicer.util.updateSegmentBinaryLabelmapFromArray(voxels, parameters.roi, parameters.segment_id, parameters.ct)


def heading(panel: Any) -> str:
    return panel.widget.parts.masks.step().state.value


def use_library(panel: Any) -> None:
    """Let the real worker do the jobs."""
    from MemorySurvivalPanels.worker_client import WorkerClient

    logic = panel.widget.logic
    logic.worker.close()
    logic.worker = WorkerClient(logic._worker_command, "0.1.0")


def test_scoring_waits_for_a_person(masks: Any) -> None:
    assert not masks.ui.scoreButton.enabled
    assert "accept it" in masks.ui.scoreButton.toolTip
    assert heading(masks) == "to do"
    masks.ui.acceptButton.click()
    assert masks.ui.scoreButton.enabled
    assert heading(masks) == "done"
    assert not masks.ui.acceptButton.enabled
    assert "Accepted" in masks.ui.maskStatusLabel.text
    paint(masks)
    masks.wait_until(lambda: "changed since it was accepted" in masks.ui.scoreButton.toolTip)
    assert heading(masks) == "stale"
    assert masks.ui.acceptButton.enabled
    paint(masks, value=0)
    masks.wait_until(lambda: heading(masks) == "done")
    masks.widget._parameters.segment_id = "skeleton"
    assert heading(masks) == "to do", "what was accepted is one segment, not all of them"


def test_the_skip_is_explicit(case: Any) -> None:
    assert "Generate masks and accept one" in case.ui.scoreButton.toolTip
    case.ui.scoreWithoutAcceptingCheck.click()
    assert case.widget._parameters.score_without_accepting
    assert case.ui.scoreButton.enabled
    generate(case)
    assert case.ui.scoreButton.enabled


def test_acceptance_is_saved_with_the_scene_and_void_after_an_edit(masks: Any, tmp_path: Path) -> None:
    import slicer
    from MemorySurvivalPanels.accepted import ACCEPTED, Standing, mask_standing

    masks.widget._parameters.reviewer = 'Dr. "A; b:c"'
    masks.ui.acceptButton.click()
    text = masks.widget._parameters.roi.GetAttribute(ACCEPTED)
    assert json.loads(text)["spine_dilated"]["reviewer"] == 'Dr. "A; b:c"'
    slicer.mrmlScene.SetSaveToXMLString(True)
    slicer.mrmlScene.Commit()
    xml = slicer.mrmlScene.GetSceneXMLString()
    slicer.mrmlScene.SetSaveToXMLString(False)  # the scene is that of all tests
    node = masks.widget._parameters.roi
    node.SetAttribute(ACCEPTED, None)
    other = slicer.vtkMRMLScene()
    other.SetLoadFromXMLString(True)
    other.SetSceneXMLString(xml)
    other.Import()
    (again,) = [
        each
        for each in (other.GetNthNodeByClass(n, "vtkMRMLSegmentationNode") for n in range(9))
        if each is not None and each.GetAttribute(ACCEPTED)
    ]
    assert again.GetAttribute(ACCEPTED) == text
    node.SetAttribute(ACCEPTED, text)
    assert mask_standing(masks.widget._parameters) is Standing.ACCEPTED
    for spoilt in ("", "{", "[1]", '{"spine_dilated": 7}', '{"spine_dilated": {"sha256": 1}}'):
        node.SetAttribute(ACCEPTED, spoilt)
        assert mask_standing(masks.widget._parameters) is Standing.NEW


def test_a_moved_mask_is_not_the_accepted_one(masks: Any) -> None:
    import slicer
    from MemorySurvivalPanels.accepted import Standing, mask_standing

    masks.ui.acceptButton.click()
    matrix = np.eye(4)
    matrix[0, 3] = 5
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    roi = masks.widget._parameters.roi
    roi.SetAndObserveTransformNodeID(transform.GetID())
    masks.wait_until(lambda: heading(masks) == "stale")
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(np.eye(4)))
    assert mask_standing(masks.widget._parameters) is Standing.ACCEPTED


def test_an_accepted_mask_is_never_made_again_in_place(masks: Any) -> None:
    first = masks.widget._parameters.roi
    masks.ui.acceptButton.click()
    assert generate(masks) is not first


def test_checks_come_by_themselves_and_say_what_an_edit_means(masks: Any) -> None:
    use_library(masks)
    masks.widget.parts.masks.checker._on_edited()
    answer = answered(masks)
    assert (answer.problem, answer.prompts) == ("", None), "nothing was edited yet"
    assert not masks.widget.parts.run_panel.running
    masks.ui.acceptButton.click()
    import slicer

    parameters = masks.widget._parameters
    voxels = slicer.util.arrayFromSegmentBinaryLabelmap(parameters.roi, parameters.segment_id, parameters.ct)
    voxels[7, 14, 8] = 0  # inside the box of its slice
    slicer.util.updateSegmentBinaryLabelmapFromArray(voxels, parameters.roi, parameters.segment_id, parameters.ct)
    reads = "No prompt box changed, but this model also reads the mask itself: the risk can change."
    masks.wait_until(lambda: masks.ui.maskPromptLabel.text == reads)
    paint(masks, k=7)
    masks.wait_until(lambda: "since it was accepted" in masks.ui.maskPromptLabel.text)
    assert masks.ui.maskPromptLabel.text.startswith("Prompt boxes changed since it was accepted: 1 (")
    assert any("stray voxel" in each for each in answered(masks).stray)


def test_nothing_is_handed_over_to_check_a_mask_while_a_job_runs(masks: Any) -> None:
    checker, run_panel = masks.widget.parts.masks.checker, masks.widget.parts.run_panel
    answered(masks)
    run_panel.show_running()
    paint(masks)
    checker.check()
    assert checker._under_way is None
    assert checker._timer.isActive(), "it is asked later"
    assert checker.answer is None
    run_panel.show_idle()
    assert answered(masks) is not None


def test_an_empty_mask_and_one_elsewhere_need_attention(masks: Any) -> None:
    import slicer
    from scenes import CT_IJK_TO_RAS, add_segmentation, add_volume

    use_library(masks)
    parameters = masks.widget._parameters
    empty = parameters.roi.GetSegmentation().AddEmptySegment("mine", "mine")
    parameters.segment_id = empty
    masks.wait_until(lambda: heading(masks) == "needs attention")
    assert masks.ui.maskNextLabel.text == "The mask is empty; draw it or choose another."
    assert not masks.ui.acceptButton.enabled
    far = CT_IJK_TO_RAS.copy()
    far[:3, 3] += 5000
    elsewhere = add_volume(np.zeros((16, 24, 20), np.int16), far, "another patient's CT")
    drawn = np.zeros((16, 24, 20), np.uint8)
    drawn[3:6, 5:9, 5:9] = 1
    parameters.roi = add_segmentation(drawn, elsewhere, "elsewhere", "spine")
    masks.wait_until(lambda: heading(masks) == "needs attention")
    assert "empty on the CT" in masks.ui.maskNextLabel.text
    slicer.mrmlScene.RemoveNode(parameters.roi)
    assert heading(masks) == "to do"


def test_a_label_map_under_a_transform_can_be_accepted(case: Any) -> None:
    import slicer
    from scenes import rotation

    parameters = case.widget._parameters
    label = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "drawn")
    voxels = np.zeros((16, 24, 20), np.uint8)
    voxels[5:9, 10:18, 4:11] = 3
    from scenes import CT_IJK_TO_RAS

    slicer.util.updateVolumeFromArray(label, voxels)
    label.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(CT_IJK_TO_RAS))
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(rotation(2, 5)))
    label.SetAndObserveTransformNodeID(transform.GetID())
    parameters.roi = label
    assert not answered(case).problem
    case.ui.acceptButton.click()
    assert case.ui.scoreButton.enabled
    slicer.util.arrayFromVolume(label)[5, 10, 4] = 0
    slicer.util.arrayFromVolumeModified(label)
    case.wait_until(lambda: heading(case) == "stale")


def test_a_surface_alone_is_a_mask_too(case: Any) -> None:
    import slicer
    import vtk

    parameters = case.widget._parameters
    sphere = vtk.vtkSphereSource()
    sphere.SetCenter(10, 5, -30)
    sphere.SetRadius(9)
    sphere.Update()
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "surface")
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(parameters.ct)
    node.AddSegmentFromClosedSurfaceRepresentation(sphere.GetOutput(), "ball", [1, 0, 0], "ball")
    parameters.roi, parameters.segment_id = node, "ball"
    assert not answered(case).problem
    case.ui.acceptButton.click()
    assert heading(case) == "done"


def test_masks_of_a_ct_under_a_transform_lie_where_the_ct_is_seen(case: Any, tmp_path: Path) -> None:
    import slicer
    from made_masks import labels_voxels
    from MemorySurvivalPanels.segmentations import segment_voxels
    from scenes import CT_IJK_TO_RAS, rotation, voxel_points

    moved = rotation(0, 20) @ rotation(2, -7)
    moved[:3, 3] = (12, -8, 30)
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(moved))
    parameters = case.widget._parameters
    parameters.ct.SetAndObserveTransformNodeID(transform.GetID())
    from made_masks import make_masks

    # The worker is given the CT as it lies in the world, and makes masks there.
    (tmp_path / "moved").mkdir()
    record = make_masks(tmp_path / "moved", moved @ CT_IJK_TO_RAS)
    import os

    os.environ["MEMORYSURVIVAL_FAKE_MASKS"] = str(record.parent)  # the fixture's monkeypatch puts it back
    case.use_worker("success")
    node = generate(case)
    found = segment_voxels(node, "skeleton")
    seen = voxel_points(found.voxels, found.ijk_to_ras)
    expected = voxel_points(labels_voxels() > 0, moved @ CT_IJK_TO_RAS)
    assert np.allclose(np.sort(seen, axis=0), np.sort(expected, axis=0), atol=1e-3)
    # An editor that works on the CT's lattice finds it in the node's geometry, in the world.
    text = node.GetSegmentation().GetConversionParameter("Reference image geometry")
    geometry = np.array([float(each) for each in text.split(";")[:16]]).reshape(4, 4)
    assert np.allclose(geometry, moved @ CT_IJK_TO_RAS, atol=1e-3)
    case.ui.acceptButton.click()
    assert case.ui.scoreButton.enabled


def test_a_source_that_is_not_installed_says_why(case: Any) -> None:
    from MemorySurvivalPanels.parameters import MaskSource

    case.representation.select()
    source = case.widget.parts.masks.source
    case.wait_until(lambda: bool(source._known))
    parameters = case.widget._parameters
    parameters.mask_source = MaskSource.TOTALSEGMENTATOR
    assert not case.ui.generateButton.enabled
    assert case.ui.generateButton.toolTip.startswith("TotalSegmentator is not installed")
    assert case.ui.maskSourceInfoLabel.text.startswith("Not available.")
    parameters.mask_source = MaskSource.MOOSE
    assert case.ui.generateButton.enabled
    assert case.ui.maskSourceInfoLabel.text == "Please check the mask."
    parameters.mask_source = MaskSource.FILE
    assert case.ui.maskFilePath.visible
    assert case.ui.generateButton.toolTip == "Choose the file that holds the segmentation."
    case.ui.maskFilePath.currentPath = "/nowhere/mask.nii"
    assert parameters.mask_file == "/nowhere/mask.nii"
    assert case.ui.generateButton.toolTip == 'There is no file "mask.nii"; choose another.'


def test_a_file_is_loaded_by_the_library_and_never_replaced(case: Any, tmp_path: Path) -> None:
    from MemorySurvivalPanels.parameters import MaskSource
    from scenes import CT_IJK_TO_RAS

    from MemorySurvivalLib.imaging.reading import write_volume
    from MemorySurvivalLib.imaging.volume import Affine, Volume

    voxels = np.zeros((16, 24, 20), np.uint8)
    voxels[5:9, 10:18, 4:11] = 1
    path = tmp_path / "drawn elsewhere.nii.gz"
    write_volume(Volume(voxels, Affine(np.diag([-1.0, -1.0, 1.0, 1.0]) @ CT_IJK_TO_RAS)), path)
    use_library(case)
    parameters = case.widget._parameters
    parameters.mask_source = MaskSource.FILE
    case.ui.maskFilePath.currentPath = str(path)
    assert case.ui.generateButton.text == "Load masks"
    node = generate(case)
    assert node is not None, case.ui.messageLabel.text
    assert node.GetName() == "drawn elsewhere"
    import slicer

    loaded = slicer.util.arrayFromSegmentBinaryLabelmap(node, parameters.segment_id, parameters.ct)
    assert (loaded == voxels).all()
    assert generate(case) is not node


def test_a_segmentation_of_another_patient_has_to_be_accepted(masks: Any) -> None:
    from MemorySurvivalPanels.accepted import DOUBT

    masks.widget._parameters.score_without_accepting = True
    masks.widget._parameters.roi.SetAttribute(DOUBT, "The segmentation states the patient ID 7, the CT 8.")
    masks.widget.onParametersChanged()
    assert not masks.ui.scoreButton.enabled, "the skip is no answer to this"
    assert heading(masks) == "needs attention"
    assert "patient ID 7" in masks.ui.maskNextLabel.text
    masks.ui.acceptButton.click()
    assert masks.ui.scoreButton.enabled


def test_the_editor_is_made_when_it_is_unfolded_and_lets_go(masks: Any) -> None:
    from slicer_host.segment_editor import holds, undo_states

    editor = masks.widget.parts.masks.editor
    assert editor.widget is None
    masks.representation.select()
    masks.ui.correctSection.collapsed = False
    parameters = masks.widget._parameters
    assert editor.widget.segmentationNode() is parameters.roi
    assert editor.widget.sourceVolumeNode() is parameters.ct
    assert editor.widget.currentSegmentID() == "spine_dilated"
    assert undo_states(editor.widget) == 5
    editor.widget.setActiveEffectByName("Paint")
    assert holds(editor.widget) == (True, True)
    masks.representation.leave()
    assert holds(editor.widget) == (False, False)
    assert editor.widget.activeEffect() is None
    masks.representation.select()
    assert holds(editor.widget) == (True, False)
    masks.ui.correctSection.collapsed = True
    assert holds(editor.widget) == (False, False)


def test_a_stroke_changes_one_segment_alone_and_can_be_undone(masks: Any) -> None:
    import slicer
    from slicer_host.segment_editor import stroke

    parameters = masks.widget._parameters
    masks.ui.correctSection.collapsed = False
    editor = masks.widget.parts.masks.editor.widget

    def voxels(segment: str) -> np.ndarray:
        return slicer.util.arrayFromSegmentBinaryLabelmap(parameters.roi, segment, parameters.ct).copy()

    before = {each: voxels(each) for each in ("spine_dilated", "skeleton", "L4")}
    masks.ui.acceptButton.click()
    stroke(editor, (slice(8, 9), slice(12, 15), slice(4, 9)))
    assert voxels("spine_dilated")[8, 13, 4] == 1
    assert (voxels("skeleton") == before["skeleton"]).all(), "segments may overlap"
    assert (voxels("L4") == before["L4"]).all()
    masks.wait_until(lambda: heading(masks) == "stale")
    editor.undo()
    assert (voxels("spine_dilated") == before["spine_dilated"]).all()
    masks.wait_until(lambda: heading(masks) == "done")


def test_boxes_are_shown_for_the_mask_as_it_is_and_gone_when_not_wanted(masks: Any) -> None:
    import slicer

    answered(masks)
    overlay = masks.widget.parts.masks.overlay
    assert overlay.node is None
    masks.ui.showBoxesCheck.click()
    node = overlay.node
    assert node is not None and node.GetPolyData().GetNumberOfPoints() == 16
    assert node.GetHideFromEditors() and not node.GetSaveWithScene()
    before = slicer.mrmlScene.GetNumberOfNodes()
    masks.ui.showBoxesCheck.click()
    assert overlay.node is None
    assert slicer.mrmlScene.GetNumberOfNodes() == before - 2, "the display node goes too"
    masks.ui.showBoxesCheck.click()
    masks.representation.select()
    masks.representation.leave()
    assert overlay.node is None
    masks.representation.select()
    masks.wait_until(lambda: overlay.node is not None)
    paint(masks)
    masks.widget.onParametersChanged()
    assert overlay.node is None, "boxes of a mask that is no longer so are not shown"
    masks.wait_until(lambda: overlay.node is not None)
    slicer.mrmlScene.Clear()
    assert overlay.node is None


def test_nothing_of_it_minds_that_nodes_and_scenes_go(masks: Any) -> None:
    import slicer

    masks.ui.correctSection.collapsed = False
    masks.ui.showBoxesCheck.click()
    answered(masks)
    paint(masks)
    slicer.mrmlScene.RemoveNode(masks.widget._parameters.roi)
    assert not masks.ui.acceptButton.enabled
    assert masks.ui.correctHintLabel.text.startswith("Generate masks or choose")
    masks.ui.generateButton.click()
    slicer.mrmlScene.Clear()
    masks.representation.select()
    assert not masks.ui.maskCancelButton.visible
    assert masks.widget.parts.masks.step() is not None
    from scenes import add_small_case

    ct, pet, region = add_small_case()
    parameters = masks.widget._parameters
    parameters.ct, parameters.pet, parameters.roi = ct, pet, region
    masks.use_worker("success")
    masks.widget.parts.masks.checker._on_edited()
    assert answered(masks).sentences
    assert masks.widget.parts.masks.editor.widget.segmentationNode() is region


def test_unloading_the_module_leaves_nothing_behind(masks: Any) -> None:
    import slicer
    from slicer_host.segment_editor import holds

    masks.representation.select()
    masks.ui.correctSection.collapsed = False
    of_the_views = slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLModelNode")
    masks.ui.showBoxesCheck.click()
    answered(masks)
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLModelNode") > of_the_views
    editor = masks.widget.parts.masks.editor.widget
    editor.setActiveEffectByName("Erase")
    roi, checker = masks.widget._parameters.roi, masks.widget.parts.masks.checker
    masks.widget.cleanup()  # what a reload of the module does first
    assert holds(editor) == (False, False)
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLModelNode") == of_the_views
    roi.GetSegmentation().AddEmptySegment("later", "later")
    assert not checker._timer.isActive()


def test_the_segmentation_goes_while_it_is_checked(masks: Any) -> None:
    import slicer

    masks.ui.checkButton.click()
    slicer.mrmlScene.RemoveNode(masks.widget._parameters.roi)
    masks.wait_until(lambda: not masks.widget.parts.run_panel.running)
    assert heading(masks) == "to do"


def test_another_ct_chosen_meanwhile_keeps_its_own_mask(case: Any) -> None:
    import slicer
    from scenes import CT_IJK_TO_RAS, add_volume

    other = add_volume(np.zeros((16, 24, 20), np.int16), CT_IJK_TO_RAS, "next case")
    case.ui.generateButton.click()
    case.widget._parameters.ct = other
    case.wait_until(lambda: not case.widget.parts.run_panel.running)
    assert case.widget._parameters.roi is None
    assert 'The masks are in "Regions of CT of the case"' in case.ui.messageLabel.text
    assert slicer.util.getNode("Regions of CT of the case") is not None


def test_cancel_stands_beside_the_progress(case: Any) -> None:
    case.use_worker("endless")
    case.ui.generateButton.click()
    assert case.ui.maskCancelButton.visible
    assert heading(case) == "busy"
    case.wait_until(lambda: case.ui.maskStageLabel.text.startswith("Reading the PET slices"))
    case.ui.maskCancelButton.click()
    case.wait_until(lambda: not case.widget.parts.run_panel.running)
    assert not case.ui.maskCancelButton.visible
    assert heading(case) == "to do"
