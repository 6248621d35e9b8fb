"""Results belong to the scene: saved, reloaded, of one case each, stale when an input changes, and never mixed up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest


@pytest.fixture
def scored(panel: Any, tmp_path: Path) -> Any:
    """The panel with a worker that only remembers; `finish` ends a run with a result of this log-risk."""
    from dicom_nodes import Recorder
    from measured_result import make_measurements, make_result, write_files
    from scenes import add_small_case

    parameters = panel.widget._parameters
    parameters.ct, parameters.pet, parameters.roi = add_small_case()
    panel.widget.logic.worker = Recorder()
    panel.widget.parts.watch._timer.setInterval(10)  # nobody paints here
    (tmp_path / "run").mkdir()

    def finish(log_risk: float = 0.4213, start: bool = True, **words: Any) -> None:
        if start:
            panel.ui.scoreButton.click()
        result = {**make_result(measurements=make_measurements(), **words), "log_risk": log_risk}
        files = write_files(tmp_path / "run")
        heatmap = write_heatmap(tmp_path / "run")
        result["heatmap"] = {"unit": "change of log-risk", "limit": 0.25}
        panel.widget.parts.score.job_finished(result, {**files, "heatmap": str(heatmap)})

    panel.finish = finish
    return panel


def write_heatmap(folder: Path) -> Path:
    from measured_result import AFFINE, SHAPE

    from MemorySurvivalLib.imaging.reading import write_volume
    from MemorySurvivalLib.imaging.volume import Volume

    voxels = np.zeros(SHAPE, np.float32)
    voxels[6, 12, 8] = 0.2
    write_volume(Volume(voxels, AFFINE), folder / "heatmap.nrrd")
    return folder / "heatmap.nrrd"


def result_nodes() -> list[Any]:
    import slicer
    from MemorySurvivalPanels.scored_cases import RESULT

    return [node for node in slicer.util.getNodesByClass("vtkMRMLTextNode") if node.GetAttribute(RESULT)]


def shown(panel: Any) -> str:
    return panel.ui.logRiskValue.text if panel.ui.resultFrame.isVisible() else ""


def wait_for_watch(panel: Any) -> None:
    """Let the pause after a change of voxels pass."""
    import time

    end = time.monotonic() + 0.1
    while time.monotonic() < end:
        panel.application.processEvents()
        time.sleep(0.01)


def test_a_result_is_kept_in_the_scene_with_what_it_is_of(scored: Any) -> None:
    scored.finish()
    (node,) = result_nodes()
    parameters = scored.widget._parameters
    assert node.GetName() == "Result of CT of the case"
    assert node.GetNodeReference("ct") is parameters.ct
    assert node.GetNodeReference("pet") is parameters.pet
    assert node.GetNodeReference("roi") is parameters.roi
    assert node.GetNodeReference("heatmap") is parameters.heatmap
    assert node.GetNodeReference("report").GetText() == "<p>report</p>"
    content = json.loads(node.GetText())
    assert content["result"]["log_risk"] == 0.4213
    assert content["result"]["measurements"]["lesions"]
    assert content["module"] == "0.1.0"
    assert scored.scratch_files() == [] or [each.name for each in scored.scratch_files()] == ["lock"]


def test_a_saved_scene_brings_everything_back(scored: Any, tmp_path: Path) -> None:
    import slicer
    from mrml_bundles import open_bundle, save_bundle

    scored.widget._parameters.pet_dose_mbq = "370"
    scored.widget._parameters.bundle = "demonstration"
    scored.finish(-1.25)
    scored.ui.lesionsButton.click()
    before = slicer.util.arrayFromVolume(scored.widget._parameters.heatmap).copy()
    save_bundle(tmp_path / "scene.mrb")
    slicer.mrmlScene.Clear()
    assert shown(scored) == ""
    open_bundle(tmp_path / "scene.mrb")
    scored.representation.select()
    parameters = scored.widget._parameters
    assert (parameters.ct.GetName(), parameters.pet.GetName()) == ("CT of the case", "PET of the case")
    assert parameters.pet_dose_mbq == "370"
    assert parameters.segment_id == "spine"
    assert slicer.util.arrayFromSegmentBinaryLabelmap(parameters.roi, "spine", parameters.ct).sum() == 4 * 8 * 7
    assert shown(scored) == "-1.250"
    assert not scored.ui.staleLabel.isVisible()
    assert scored.ui.lesionTable.rowCount == 2
    assert np.array_equal(slicer.util.arrayFromVolume(parameters.heatmap), before)
    assert parameters.heatmap.GetDisplayNode().GetWindowLevelMax() == pytest.approx(0.25)
    assert scored.widget.parts.result.report.read_text(encoding="utf-8") == "<p>report</p>"
    loaded = [each for each in slicer.util.getNodesByClass("vtkMRMLSegmentationNode") if each.GetName()[:3] == "Les"]
    scored.ui.lesionsButton.click()
    again = [each for each in slicer.util.getNodesByClass("vtkMRMLSegmentationNode") if each.GetName()[:3] == "Les"]
    assert len(loaded) == len(again) == 1
    place = scored.widget.parts.report.copy_results(tmp_path)
    assert {each.name for each in place.iterdir()} == {
        "report.html",
        "heatmap.nrrd",
        "lesions.nrrd",
        "references.nrrd",
    }
    assert (place / "lesions.nrrd").read_bytes() == (tmp_path / "run" / "lesions.nrrd").read_bytes()


def test_a_scene_opened_while_the_module_is_in_sight_shows_its_result(scored: Any, tmp_path: Path) -> None:
    from mrml_bundles import open_bundle, save_bundle
    from scenes import add_small_case

    scored.representation.select()
    scored.finish(-1.25)
    save_bundle(tmp_path / "scene.mrb")
    parameters = scored.widget._parameters
    parameters.ct, parameters.pet, _roi = add_small_case()  # another case is looked at when the scene is opened
    parameters.covariates = "/of the other case.csv"
    open_bundle(tmp_path / "scene.mrb")
    parameters = scored.widget._parameters
    assert parameters.ct.GetName() == "CT of the case"
    assert parameters.roi.GetName() == "Regions"
    assert parameters.segment_id == "spine"
    assert parameters.covariates == ""
    assert shown(scored) == "-1.250"
    assert not scored.ui.staleLabel.isVisible()


def test_a_change_of_voxels_is_seen_after_a_reload(scored: Any, tmp_path: Path) -> None:
    import slicer
    from mrml_bundles import open_bundle, save_bundle

    scored.finish()
    slicer.util.arrayFromVolume(scored.widget._parameters.pet)[3, 3, 3] += 1
    save_bundle(tmp_path / "scene.mrb")
    open_bundle(tmp_path / "scene.mrb")
    scored.representation.select()
    assert scored.ui.staleLabel.text == "This result is of an earlier choice: The PET was changed or moved."


def test_two_cases_in_one_scene_do_not_mix(scored: Any) -> None:
    from MemorySurvivalPanels.parameters import Sex
    from scenes import add_small_case

    parameters = scored.widget._parameters
    first = (parameters.ct, parameters.pet, parameters.roi)
    parameters.covariates, parameters.pet_sex = "/first.csv", Sex.F
    scored.finish(0.5)
    heatmap = parameters.heatmap
    second = add_small_case()
    parameters.ct = second[0]  # as a person does it: one selector after the other
    assert shown(scored) == ""
    parameters.pet = second[1]
    assert (parameters.roi, parameters.covariates, parameters.segment_id) == (None, "", "")
    assert parameters.pet_sex is Sex.TAGS
    assert parameters.heatmap is None
    assert not parameters.score_without_accepting  # said of the first case alone
    parameters.roi, parameters.covariates = second[2], "/second.csv"
    parameters.score_without_accepting = True
    scored.finish(-0.5)
    assert shown(scored) == "-0.500"
    parameters.pet = first[1]
    parameters.ct = first[0]
    assert shown(scored) == "+0.500"
    assert (parameters.roi, parameters.covariates, parameters.segment_id) == (first[2], "/first.csv", "spine")
    assert parameters.pet_sex is Sex.F
    assert parameters.heatmap is heatmap
    assert not scored.ui.staleLabel.isVisible()
    parameters.ct, parameters.pet = second[0], second[1]
    assert shown(scored) == "-0.500"
    assert (parameters.roi, parameters.covariates) == (second[2], "/second.csv")


def test_what_a_script_chooses_with_the_images_is_kept(scored: Any) -> None:
    import slicer
    from scenes import add_small_case

    parameters = scored.widget._parameters
    parameters.covariates = "/first.csv"
    ct, pet, roi = add_small_case()
    with slicer.util.NodeModify(parameters.parameterNode):
        parameters.ct, parameters.pet, parameters.roi = ct, pet, roi
    assert (parameters.ct, parameters.pet, parameters.roi) == (ct, pet, roi)
    assert parameters.covariates == ""  # the other patient's


def test_another_pet_of_the_same_ct_keeps_the_mask(scored: Any) -> None:
    from scenes import add_small_case

    parameters = scored.widget._parameters
    roi = parameters.roi
    scored.finish()
    first, parameters.pet = parameters.pet, add_small_case()[1]
    assert parameters.roi is roi
    assert shown(scored) == ""
    parameters.pet = first
    assert shown(scored) == "+0.421"


def test_a_result_that_comes_while_another_case_is_looked_at_waits(scored: Any) -> None:
    import slicer
    from scenes import add_small_case

    parameters = scored.widget._parameters
    first = (parameters.ct, parameters.pet)
    scored.ui.scoreButton.click()
    ct, pet, _roi = add_small_case()
    ct.SetName("Other CT")
    parameters.ct, parameters.pet = ct, pet
    views = slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")
    before = [view.GetForegroundVolumeID() for view in views]
    scored.finish(start=False)
    assert shown(scored) == ""
    assert parameters.heatmap is None
    assert [view.GetForegroundVolumeID() for view in views] == before
    assert scored.ui.messageLabel.text == ('The result of "CT of the case" is ready: choose its CT and PET to see it.')
    parameters.ct, parameters.pet = first
    assert shown(scored) == "+0.421"
    assert parameters.heatmap is not None


def test_no_earlier_number_is_shown_while_a_case_is_scored(scored: Any) -> None:
    scored.finish(0.5)
    scored.ui.scoreButton.click()
    assert shown(scored) == ""
    scored.widget.parts.score.job_cancelled()
    assert shown(scored) == "+0.500"  # it still is the result of this case


def test_earlier_results_of_the_case_can_be_looked_at(scored: Any) -> None:
    scored.finish(0.5)
    assert not scored.ui.resultCombo.isVisible()
    scored.widget._parameters.bundle = "ward-7"
    scored.finish(0.75)
    assert shown(scored) == "+0.750"
    assert scored.ui.resultCombo.count == 2
    scored.ui.resultCombo.currentIndex = 1
    scored.ui.resultCombo.activated.emit(1)
    assert shown(scored) == "+0.500"
    assert scored.ui.staleLabel.text.endswith("Another model is chosen.")
    scored.finish(1.0)
    assert shown(scored) == "+1.000"


@pytest.mark.parametrize("change", ["ct", "pet", "label map", "segment", "other segment", "transform", "table"])
def test_a_result_is_stale_when_an_input_changes(scored: Any, change: str, tmp_path: Path) -> None:
    import slicer

    parameters = scored.widget._parameters
    table = tmp_path / "covariates.csv"
    table.write_text("age\n60\n", encoding="utf-8")
    parameters.covariates = str(table)
    if change == "label map":
        label_map = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "label map")
        logic = slicer.modules.segmentations.logic()
        extent = slicer.vtkSegmentation.EXTENT_UNION_OF_SEGMENTS
        assert logic.ExportAllSegmentsToLabelmapNode(parameters.roi, label_map, extent)
        parameters.roi = label_map
    if change == "other segment":
        voxels = np.zeros((16, 24, 20), np.uint8)
        voxels[1, 1, 1] = 1
        parameters.roi.GetSegmentation().AddEmptySegment("other", "other")
        slicer.util.updateSegmentBinaryLabelmapFromArray(voxels, parameters.roi, "other", parameters.ct)
        parameters.segment_id = "spine"
    scored.finish()
    assert not scored.ui.staleLabel.isVisible()
    expected = {
        "ct": "The CT was changed or moved.",
        "pet": "The PET was changed or moved.",
        "label map": "The mask is not the one that was scored.",
        "segment": "The mask is not the one that was scored.",
        "transform": "The CT was changed or moved.",
        "table": "The covariates file was changed.",
    }.get(change)
    if change in ("ct", "pet"):
        node = getattr(parameters, change)
        slicer.util.arrayFromVolume(node)[2, 3, 4] += 1
        slicer.util.arrayFromVolumeModified(node)
    elif change == "label map":
        slicer.util.arrayFromVolume(parameters.roi)[1, 2, 3] += 1
        slicer.util.arrayFromVolumeModified(parameters.roi)
    elif change in ("segment", "other segment"):
        segment = "spine" if change == "segment" else "other"
        voxels = slicer.util.arrayFromSegmentBinaryLabelmap(parameters.roi, segment, parameters.ct)
        voxels[2, 2, 2] = 1
        slicer.util.updateSegmentBinaryLabelmapFromArray(voxels, parameters.roi, segment, parameters.ct)
    elif change == "transform":
        transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
        parameters.ct.SetAndObserveTransformNodeID(transform.GetID())
        wait_for_watch(scored)
        assert not scored.ui.staleLabel.isVisible()  # it moves nothing yet
        matrix = slicer.util.arrayFromTransformMatrix(transform)
        matrix[0, 3] = 2.0
        slicer.util.updateTransformMatrixFromArray(transform, matrix)
    else:
        table.write_text("age\n61\n", encoding="utf-8")
        scored.widget.onParametersChanged()
    wait_for_watch(scored)
    if expected is None:
        assert not scored.ui.staleLabel.isVisible()
    else:
        assert scored.ui.staleLabel.text == f"This result is of an earlier choice: {expected}"
        assert scored.ui.staleLabel.isVisible()


def test_what_is_put_back_is_no_longer_stale(scored: Any) -> None:
    import slicer

    scored.finish()
    pet = scored.widget._parameters.pet
    for change, stale in ((1, True), (-1, False)):
        slicer.util.arrayFromVolume(pet)[2, 3, 4] += change
        slicer.util.arrayFromVolumeModified(pet)
        wait_for_watch(scored)
        assert scored.ui.staleLabel.isVisible() is stale
    pet.GetDisplayNode().SetWindowLevel(3, 1)
    pet.SetName("renamed")
    wait_for_watch(scored)
    assert not scored.ui.staleLabel.isVisible()


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda node: node.SetText("{"), "was changed after scoring and is not shown; score the case again."),
        (
            lambda node: node.SetText(node.GetText().replace("0.4213", "0.1")),
            "was changed after scoring and is not shown; score the case again.",
        ),
        (lambda node: node.SetText(""), "was changed after scoring and is not shown; score the case again."),
        (
            lambda node: node.SetAttribute("MemorySurvival.Result", "99"),
            "is of a newer version of this module; update it, or score again.",
        ),
    ],
)
def test_a_spoilt_result_is_one_sentence(scored: Any, spoil: Any, sentence: str) -> None:
    scored.finish()
    (node,) = result_nodes()
    spoil(node)
    scored.widget.onParametersChanged()
    assert shown(scored) == ""
    assert scored.ui.noResultLabel.text == f'The stored result "Result of CT of the case" {sentence}'
    assert not scored.ui.reportButton.enabled
    scored.finish(0.75)
    assert shown(scored) == "+0.750"


def test_a_result_of_another_shape_is_one_sentence(scored: Any) -> None:
    import hashlib

    scored.finish()
    (node,) = result_nodes()
    for text in ('{"result": []}', "[1]", '{"created": 1, "result": {}, "inputs": {"content": 3}}'):
        node.SetText(text)
        node.SetAttribute("MemorySurvival.Sha256", hashlib.sha256(text.encode()).hexdigest())
        scored.widget.onParametersChanged()
        assert scored.ui.noResultLabel.text.endswith("cannot be read; score the case again.")


@pytest.mark.parametrize("spoil", ["text", "path", "removed"])
def test_spoilt_files_are_one_sentence(scored: Any, spoil: str, tmp_path: Path) -> None:
    import base64
    import io
    import zipfile

    import slicer

    scored.finish()
    (node,) = result_nodes()
    packed = node.GetNodeReference("files")
    if spoil == "text":
        packed.SetText("no base64 !")
    elif spoil == "path":
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as made:
            made.writestr("../../escaped.txt", "no")
        packed.SetText(base64.b64encode(archive.getvalue()).decode())
    else:
        slicer.mrmlScene.RemoveNode(packed)
        slicer.mrmlScene.RemoveNode(node.GetNodeReference("report"))
    scored.widget.onParametersChanged()
    scored.ui.reportButton.click()
    assert scored.ui.messageLabel.text == "The files of this result are no longer in the scene; score the case again."
    assert not list(Path(slicer.app.temporaryPath).parent.rglob("escaped.txt"))


def test_removing_the_result_shows_none_and_drops_its_files_later(scored: Any) -> None:
    import slicer

    scored.finish()
    (node,) = result_nodes()
    slicer.mrmlScene.RemoveNode(node)
    scored.widget.onParametersChanged()
    assert shown(scored) == ""
    scored.finish(0.75)
    texts = slicer.util.getNodesByClass("vtkMRMLTextNode")
    assert len(texts) == 3  # result, report, files


def test_a_result_whose_images_are_gone_is_not_shown_for_others(scored: Any) -> None:
    import slicer
    from scenes import add_small_case

    scored.finish()
    slicer.mrmlScene.RemoveNode(scored.widget._parameters.ct)
    assert shown(scored) == ""
    ct, pet, _roi = add_small_case()
    scored.widget._parameters.ct, scored.widget._parameters.pet = ct, pet
    assert shown(scored) == ""


def test_images_removed_in_mid_run(scored: Any) -> None:
    import slicer
    from scenes import add_small_case

    scored.ui.scoreButton.click()
    slicer.mrmlScene.RemoveNode(scored.widget._parameters.pet)
    scored.finish(start=False)
    assert shown(scored) == "+0.421"
    assert scored.ui.messageLabel.text == (
        "The CT or the PET was removed while it was scored; the result is of that image."
    )
    scored.widget._parameters.pet = add_small_case()[1]
    assert shown(scored) == ""


def test_a_reload_in_mid_run_ends_the_job_and_the_panel_is_idle(panel: Any) -> None:

    import slicer
    from scenes import add_small_case
    from test_panel import is_running

    parameters = panel.widget._parameters
    parameters.ct, parameters.pet, parameters.roi = add_small_case()
    panel.use_worker("endless")
    panel.ui.scoreButton.click()
    panel.wait_until(lambda: panel.ui.messageLabel.text.startswith("child"))
    processes = [*panel.widget.logic.worker.process_ids, int(panel.ui.messageLabel.text.split()[1])]
    panel.widget.onReload()
    panel.wait_until(lambda: not any(is_running(each) for each in processes), 5)
    widget = slicer.modules.MemorySurvivalWidget
    assert not widget.parts.run_panel.running
    assert widget.ui.scoreButton.enabled
    assert widget._parameters.ct.GetName() == "CT of the case"


@pytest.mark.parametrize("enabled", [False, True])
def test_undo_in_the_scene_keeps_panel_and_result_together(scored: Any, enabled: bool) -> None:
    import slicer

    parameters = scored.widget._parameters
    images = [parameters.ct, parameters.pet]
    for each in images:
        each.SetUndoEnabled(enabled)
        each.GetDisplayNode().SetUndoEnabled(enabled)
    scored.finish()
    (node,) = result_nodes()
    assert bool(node.GetUndoEnabled()) is enabled
    scene = slicer.mrmlScene
    scene.SetUndoOn()
    try:
        scene.SaveStateForUndo()
        scene.RemoveNode(node)
        scene.RemoveNode(parameters.ct)
        assert shown(scored) == ""
        scene.Undo()
        scored.widget.onParametersChanged()
        found = [each for each in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode") if each.GetName()[:2] == "CT"]
        assert len(found) == int(enabled)
        if enabled:
            parameters.ct = found[0]
            assert shown(scored) == "+0.421"
            assert not scored.ui.staleLabel.isVisible()
            assert scored.widget.parts.result.report.is_file()
        else:
            assert shown(scored) == ""
            assert scored.ui.stageLabel.text == "Choose the CT volume."
    finally:
        scene.SetUndoOff()
        scene.ClearUndoStack()


def test_a_scene_of_another_version_opens(panel: Any) -> None:
    import slicer
    from MemorySurvivalPanels.parameters import Alignment, Device
    from scenes import add_small_case

    panel.widget.setParameterNode(None)
    raw = slicer.mrmlScene.GetSingletonNode("MemorySurvival", "vtkMRMLScriptedModuleNode")
    ct, _pet, roi = add_small_case()
    for name in ("measure", "pet_sex", "heatmap"):
        raw.UnsetParameter(name)  # not known then
    raw.SetParameter("device", "TPU")
    raw.SetParameter("alignment", "deformable")
    raw.SetParameter("explain", "perhaps")
    raw.SetParameter("of_the_future", "1")
    raw.SetNodeReferenceID("ct", ct.GetID())
    raw.SetNodeReferenceID("pet", roi.GetID())
    panel.widget.initializeParameterNode()
    parameters = panel.widget._parameters
    assert (parameters.device, parameters.alignment) == (Device.AUTO, Alignment.CHECK)
    assert parameters.explain is False
    assert parameters.measure is False
    assert parameters.ct is ct
    assert parameters.pet is None
    assert raw.GetParameter("of_the_future") == "1"
    assert panel.ui.stageLabel.text == "Choose the PET volume."


def test_large_files_stay_out_of_the_scene_and_the_heatmap_is_written_from_its_volume(
    scored: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import SimpleITK as sitk
    from MemorySurvivalPanels import scored_cases

    monkeypatch.setattr(scored_cases, "MOST_BYTES", 300)
    scored.finish()
    assert "heatmap.nrrd" in scored.widget.parts.result.case.left_out
    place = scored.widget.parts.report.copy_results(tmp_path)
    written = sitk.ReadImage(str(place / "heatmap.nrrd"))
    original = sitk.ReadImage(str(tmp_path / "run" / "heatmap.nrrd"))
    assert np.array_equal(sitk.GetArrayFromImage(written), sitk.GetArrayFromImage(original))
    assert written.TransformIndexToPhysicalPoint((3, 2, 1)) == pytest.approx(
        original.TransformIndexToPhysicalPoint((3, 2, 1))
    )


def test_a_scene_of_another_version_is_added_while_the_panel_is_open(panel: Any, tmp_path: Path) -> None:
    """Slicer's wrapper reads the whole node at every change, so none may be alive while the node changes."""
    import slicer

    path = tmp_path / "newer.mrml"
    slicer.mrmlScene.Commit(str(path))
    text = path.read_text(encoding="utf-8")
    assert "device AUTO" in text
    path.write_text(text.replace("device AUTO", "device TPU"), encoding="utf-8")
    panel.representation.select()
    slicer.mrmlScene.SetURL(str(path))
    slicer.mrmlScene.Import()
    assert panel.widget._parameters.device.name == "AUTO"
    assert panel.widget._parameters.parameterNode.GetParameter("device") == "AUTO"


def test_a_closed_panel_holds_no_choices(panel: Any) -> None:
    """A wrapper that lives on reads and writes behind the back of the one that is made when the panel opens again."""
    import weakref

    panel.representation.select()
    held = weakref.ref(panel.widget._parameters)
    panel.representation.leave()
    assert held() is None
