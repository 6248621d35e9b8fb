"""The section "Explain": what it waits for, what it hands over, how it runs, and what is shown of its result."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest


@pytest.fixture
def case(panel: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """CT, PET and a region chosen, three slice views, and a worker that explains."""
    from made_explanation import make_explanation
    from scenes import CT_IJK_TO_RAS, add_small_case

    folder = make_explanation(tmp_path / "made", CT_IJK_TO_RAS)
    monkeypatch.setenv("MEMORYSURVIVAL_FAKE_EXPLANATION", str(folder))
    parameters = panel.widget._parameters
    parameters.ct, parameters.pet, parameters.roi = add_small_case()
    panel.made = folder
    add_views()
    panel.use_worker("success")
    yield panel


def add_views() -> None:
    """Nodes of three slice views, as Slicer's conventional layout has them."""
    import slicer

    for name in ("Red", "Green", "Yellow"):
        for kind in ("vtkMRMLSliceNode", "vtkMRMLSliceCompositeNode"):
            node = slicer.mrmlScene.CreateNodeByClass(kind)
            node.UnRegister(None)
            node.SetLayoutName(name)
            slicer.mrmlScene.AddNode(node)


def views() -> list[Any]:
    import slicer

    return slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")


def explain(panel: Any) -> Any:
    """Score where that was not done, click Explain, wait, and take the heatmap that is chosen then."""
    if not panel.ui.explainButton.enabled:
        panel.score()
    assert panel.ui.explainButton.enabled, panel.ui.explainButton.toolTip
    panel.ui.explainButton.click()
    part = panel.widget.parts.explain
    panel.wait_until(lambda: not part.running)
    assert panel.widget._parameters.heatmap is not None, panel.ui.explainMessageLabel.text
    return panel.widget._parameters.heatmap


def change_heatmap(panel: Any, **heatmap: Any) -> None:
    """Have the worker make another map."""
    path = panel.made / "explanation.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    record["result"]["heatmap"].update(heatmap)
    path.write_text(json.dumps(record), encoding="utf-8")


def change_record(panel: Any, **estimate: Any) -> None:
    """Have the worker estimate something else."""
    path = panel.made / "explanation.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    record["estimate"].update(estimate)
    path.write_text(json.dumps(record), encoding="utf-8")


def position(slice_name: str = "Red") -> list[float]:
    import slicer

    matrix = slicer.util.arrayFromVTKMatrix(
        next(
            node for node in slicer.util.getNodesByClass("vtkMRMLSliceNode") if node.GetLayoutName() == slice_name
        ).GetSliceToRAS()
    )
    return list(matrix[:3, 3])


def test_a_case_is_scored_before_it_is_explained(case: Any) -> None:
    assert not case.ui.explainButton.enabled
    assert case.ui.explainNextLabel.text == "Score the case first: what is explained is its result."
    case.score()
    assert case.ui.explainButton.enabled
    case.ui.patchSpinBox.value = 20
    case.ui.strideSpinBox.value = 30
    assert not case.ui.explainButton.enabled
    assert case.ui.explainNextLabel.text.startswith("The stride is larger than the patch")
    case.ui.strideSpinBox.value = 10
    assert case.ui.explainButton.enabled
    case.ui.bundleCombo.currentIndex = -1
    case.widget._parameters.bundle = "another"
    assert case.ui.explainNextLabel.text == "Something else is chosen than what was scored; score again first."
    assert not case.ui.explainButton.enabled


def test_explaining_shows_the_heatmap_over_the_ct_and_its_hotspots(case: Any) -> None:
    import slicer
    from made_explanation import LIMIT, PLACES
    from scenes import CT_IJK_TO_RAS, snapshot

    parameters = case.widget._parameters
    before = [snapshot(each) for each in (parameters.ct, parameters.pet)]
    slicer.util.setSliceViewerLayers(background=parameters.pet)  # a hot PET
    heatmap = explain(case)
    assert [snapshot(each) for each in (parameters.ct, parameters.pet)] == before
    assert heatmap.GetName() == "Heatmap of CT of the case (SIMULATED MODEL)"
    assert [view.GetBackgroundVolumeID() for view in views()] == [parameters.ct.GetID()] * 3
    assert [view.GetForegroundVolumeID() for view in views()] == [heatmap.GetID()] * 3
    display = heatmap.GetDisplayNode()
    assert (display.GetWindowLevelMin(), display.GetWindowLevelMax()) == (-LIMIT, LIMIT)
    assert case.ui.simulatedLabel.text == "SIMULATED MODEL"
    assert case.ui.explainSection.text.endswith("✓ done")
    table = case.ui.hotspotTable
    rows = [[table.item(row, column).text() for column in range(5)] for row in range(table.rowCount)]
    assert rows[0] == ["1", "vertebrae L4", "+0.400", "31 %", "4.2"]
    assert rows[2] == ["3", "–", "+0.100", "< 1 %", "0.8"]
    assert table.item(1, 1).toolTip() == "Another fill does not show it: take it with caution"
    assert "Effects outside the region: everything else -0.120." in case.ui.perspectiveLabel.text
    assert "Outside, below noise: urinary bladder, brain." in case.ui.perspectiveLabel.text
    assert "heart" in case.ui.perspectiveLabel.text
    assert "83 %" in case.ui.perspectiveLabel.text
    k, j, i = PLACES[1]
    table.setCurrentCell(1, 0)
    assert position() == pytest.approx((CT_IJK_TO_RAS @ [i, j, k, 1])[:3])
    assert case.scratch_files() == [] or all(each.suffix != ".json" for each in case.scratch_files())


def test_keys_step_through_hotspots_round_and_round(case: Any) -> None:
    from made_explanation import PLACES
    from scenes import CT_IJK_TO_RAS

    places = [(CT_IJK_TO_RAS @ [i, j, k, 1])[:3] for k, j, i in PLACES]
    press(case, "N")  # nothing to step through yet
    explain(case)
    for key, expected in (("N", 0), ("N", 1), ("N", 2), ("N", 0), ("P", 2), ("P", 1)):
        press(case, key)
        assert position() == pytest.approx(places[expected])


def test_keys_switch_heatmap_and_mask(case: Any) -> None:
    import slicer

    parameters = case.widget._parameters
    slicer.util.setSliceViewerLayers(background=parameters.ct, foreground=parameters.pet, foregroundOpacity=0.4)
    press(case, "H")
    heatmap = explain(case)
    press(case, "H")
    assert not case.ui.heatmapCheckBox.checked
    assert [view.GetForegroundVolumeID() for view in views()] == [parameters.pet.GetID()] * 3
    assert views()[0].GetForegroundOpacity() == pytest.approx(0.4)
    press(case, "H")
    assert case.ui.heatmapCheckBox.checked
    assert [view.GetForegroundVolumeID() for view in views()] == [heatmap.GetID()] * 3
    press(case, "M")
    assert not parameters.roi.GetDisplayNode().GetVisibility()
    press(case, "M")
    assert parameters.roi.GetDisplayNode().GetVisibility()


def press(panel: Any, key: str) -> None:
    shortcuts = panel.widget.parts.shortcuts
    next(each for each in shortcuts.listed if each.key == key).callback()


def test_the_reading_layout_shows_it_in_the_views_of_the_ct_alone(case: Any) -> None:
    import slicer

    parameters = case.widget._parameters
    slicer.util.setSliceViewerLayers(background=parameters.pet)
    roles = dict(zip(("Red", "Green", "Yellow"), ("ct", "pet", "fused"), strict=True))
    for node in slicer.util.getNodesByClass("vtkMRMLSliceNode"):
        node.SetAttribute("MemorySurvival.View", roles[node.GetLayoutName()])
    heatmap = explain(case)
    shown = {view.GetLayoutName(): view.GetForegroundVolumeID() for view in views()}
    assert shown == {"Red": heatmap.GetID(), "Green": None, "Yellow": None}
    assert {view.GetBackgroundVolumeID() for view in views() if view.GetLayoutName() != "Red"} == {
        parameters.pet.GetID()
    }


def visible_from(heatmap: Any) -> float:
    """The least effect whose colour is not transparent."""
    colours, limit = heatmap.GetDisplayNode().GetColorNode(), heatmap.GetDisplayNode().GetWindowLevelMax()
    count, colour, seen = colours.GetNumberOfColors(), [0.0] * 4, []
    for index in range(count):
        colours.GetColor(index, colour)
        if colour[3] > 0:
            seen.append(abs(2 * index / (count - 1) - 1) * limit)
    return min(seen)


def test_the_threshold_never_goes_below_the_noise_floor_unasked(case: Any) -> None:
    from made_explanation import FLOOR, LIMIT
    from scenes import snapshot

    heatmap = explain(case)
    voxels = snapshot(heatmap)[1:]
    assert FLOOR < visible_from(heatmap) < FLOOR + 0.02 * LIMIT
    case.ui.thresholdSlider.value = 0
    assert FLOOR < visible_from(heatmap) < FLOOR + 0.02 * LIMIT
    assert case.ui.thresholdSlider.value == round(200 * FLOOR / LIMIT)
    case.ui.thresholdSlider.value = 100
    assert 0.25 < visible_from(heatmap) < 0.25 + 0.02 * LIMIT
    case.ui.belowNoiseCheckBox.checked = True
    assert 0 < visible_from(heatmap) < 0.02 * LIMIT
    assert "because you said so" in case.ui.scaleLabel.text
    case.ui.belowNoiseCheckBox.checked = False
    assert visible_from(heatmap) > FLOOR
    case.ui.opacitySlider.value = 30
    assert [view.GetForegroundOpacity() for view in views()] == pytest.approx([0.3] * 3)
    assert snapshot(heatmap)[1:] == voxels


def test_a_map_of_one_image_is_called_so(case: Any) -> None:
    change_heatmap(case, modalities=["PET"])
    explain(case)
    combo = case.ui.mapCombo
    assert [combo.itemData(index) for index in range(combo.count)].count("PET") == 0
    assert (combo.itemText(0), combo.itemData(0)) == ("PET alone", "fused")


def test_maps_of_one_modality_and_of_agreement_can_be_chosen(case: Any) -> None:
    import slicer

    explain(case)
    combo = case.ui.mapCombo
    assert [combo.itemData(index) for index in range(combo.count)] == ["fused", "PET", "CT", "agreement"]
    combo.currentIndex = 1
    shown = slicer.mrmlScene.GetNodeByID(views()[0].GetForegroundVolumeID())
    assert shown.GetName().startswith("Heatmap (PET alone)")
    assert shown.GetDisplayNode().GetWindowLevelMax() == 0.5  # the same scale
    combo.currentIndex = 3
    shown = slicer.mrmlScene.GetNodeByID(views()[0].GetForegroundVolumeID())
    assert shown.GetName().startswith("Agreement of fills")
    assert case.ui.thresholdSlider.isHidden()
    assert case.widget._parameters.heatmap.GetName().startswith("Heatmap of")
    slicer.mrmlScene.RemoveNode(shown)
    case.wait_until(lambda: combo.count == 3)
    assert combo.itemData(combo.currentIndex) == "fused"


def test_no_region_above_noise_is_an_answer(case: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from made_explanation import make_explanation
    from scenes import CT_IJK_TO_RAS

    quiet = make_explanation(tmp_path / "quiet", CT_IJK_TO_RAS, hotspots=False)
    monkeypatch.setenv("MEMORYSURVIVAL_FAKE_EXPLANATION", str(quiet))
    case.use_worker("success")
    explain(case)
    assert case.ui.hotspotLabel.text.startswith("No region above noise: nothing moves the log-risk by more than ±0.05")
    assert case.ui.hotspotTable.isHidden()
    assert case.ui.explainSection.text.endswith("✓ done")
    press(case, "N")


def test_the_estimate_follows_the_controls_and_says_what_is_done(case: Any) -> None:
    case.score()
    case.wait_until(lambda: "120 patches" in case.ui.estimateLabel.text)
    assert case.ui.estimateLabel.text == "About 75 s: 120 patches, 1040 slices to encode."
    assert case.ui.explainButton.text == "Explain"
    change_record(case, resumable=30)
    case.ui.quickCheckBox.checked = True
    assert case.ui.estimateLabel.text == ""  # what stood there was of something else
    case.wait_until(lambda: case.ui.explainButton.text == "Resume (30 of 120 patches done)")


def test_the_job_says_what_the_user_chose(case: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from MemorySurvivalPanels.explain_settings import explanation_settings

    case.score()
    asked: list[tuple[str, dict[str, Any], bool]] = []
    monkeypatch.setattr(
        case.widget.logic.worker,
        "submit",
        lambda kind, job, listener, background=False: asked.append((kind, job, background)),
    )
    case.ui.patchSpinBox.value = 32.5
    case.ui.strideSpinBox.value = 16
    case.ui.fillCombo.currentIndex = 3
    assert explanation_settings(case.widget._parameters)["modalities"] is None, "the bundle says in which images"
    case.ui.imagesCombo.currentIndex = 2
    case.ui.quickCheckBox.checked = True
    case.ui.explainButton.click()
    kind, job, background = asked[-1]
    assert (kind, background) == ("explain", True)
    assert job["explanation"] == {
        "patch_mm": 32.5,
        "stride_mm": 16.0,
        "fill": "blur",
        "modalities": ["PET"],
        "coarse": True,
    }
    assert Path(job["ct"]).is_file() and Path(job["pet"]).is_file() and Path(job["roi"]).is_file()
    assert not Path(job["out"]).exists()


def test_the_images_are_handed_over_once(case: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import slicer

    asked: list[dict[str, Any]] = []
    submit = case.widget.logic.worker.submit

    def record(kind: str, job: dict[str, Any], listener: Any, background: bool = False) -> None:
        if kind == "explain_estimate":
            asked.append(job)
        elif not background:
            submit(kind, job, listener)

    monkeypatch.setattr(case.widget.logic.worker, "submit", record)
    case.score()
    case.wait_until(lambda: len(asked) == 1)
    case.ui.fillCombo.currentIndex = 1
    case.wait_until(lambda: len(asked) == 2)
    assert asked[0]["pet"] == asked[1]["pet"]
    parameters = case.widget._parameters
    slicer.util.updateVolumeFromArray(parameters.pet, slicer.util.arrayFromVolume(parameters.pet) + np.float32(1))
    case.wait_until(lambda: not case.ui.explainButton.enabled)  # the result is of other voxels now
    case.score()
    case.wait_until(lambda: len(asked) == 3)
    assert asked[2]["pet"] != asked[1]["pet"]
    assert not Path(asked[1]["pet"]).exists()


def test_cancel_keeps_what_was_finished_and_offers_to_resume(case: Any) -> None:
    case.use_worker("explain-endless")
    case.score()
    case.ui.explainButton.click()
    case.wait_until(lambda: "30 of 120" in case.ui.explainStageLabel.text)
    assert case.ui.explainStageLabel.text == "Replacing tissue (30 of 120), about 61 s left"
    assert case.ui.scoreButton.enabled  # it runs in the background
    assert not case.ui.explainButton.enabled
    assert case.ui.explainNextLabel.text == 'Explaining "CT of the case".'
    change_record(case, resumable=30)
    case.ui.explainCancelButton.click()
    case.wait_until(lambda: not case.widget.parts.explain.running, 5)
    assert case.ui.explainMessageLabel.text == "Cancelled; what was finished is kept."
    case.wait_until(lambda: case.ui.explainButton.text.startswith("Resume (30"))
    case.use_worker("success")
    assert explain(case) is not None
    assert case.ui.explainMessageLabel.text == ""


def test_a_heatmap_that_comes_late_is_not_laid_over_another_case(case: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from scenes import add_small_case

    case.score()
    case.ui.explainButton.click()
    parameters = case.widget._parameters
    parameters.ct, parameters.pet, parameters.roi = add_small_case()
    case.wait_until(lambda: not case.widget.parts.explain.running)
    assert parameters.heatmap is None
    assert [view.GetForegroundVolumeID() for view in views()] == [None] * 3
    assert case.ui.explainMessageLabel.text.startswith('"CT of the case" was explained; its heatmap is in the scene')
    assert case.ui.heatmapCombo.count == 1
    assert not case.ui.heatmapCombo.isHidden()
    case.ui.heatmapCombo.currentIndex = 0
    assert parameters.heatmap is not None
    assert case.ui.hotspotTable.rowCount == 3
    assert not case.ui.staleHeatmapLabel.isHidden()


def test_it_goes_on_while_another_module_is_open(case: Any) -> None:
    case.score()
    case.ui.explainButton.click()
    case.widget.exit()
    case.wait_until(lambda: not case.widget.parts.explain.running)
    case.widget.enter()
    assert case.widget._parameters.heatmap is not None
    assert case.ui.hotspotTable.rowCount == 3
    assert views()[0].GetForegroundVolumeID() == case.widget._parameters.heatmap.GetID()


def test_a_scoring_run_that_explains_itself_uses_the_controls(case: Any) -> None:
    from MemorySurvivalPanels.score_job import score_job

    case.ui.patchSpinBox.value = 24
    case.ui.fillCombo.currentIndex = 2
    parameters = case.widget._parameters
    folder = case.widget.logic.scratch.new_folder()
    job = score_job(parameters, folder, folder / "out")
    assert (job["explain"], job["patch_mm"], job["stride_mm"], job["fill"]) == (False, None, None, None)
    case.ui.explainCheckBox.checked = True
    job = score_job(parameters, folder, folder / "out")
    assert (job["explain"], job["patch_mm"], job["stride_mm"], job["fill"]) == (True, 24.0, None, "volume_mean")


def test_a_corrected_mask_makes_the_heatmap_stale_also_after_scoring_again(case: Any) -> None:
    import slicer

    heatmap = explain(case)
    assert case.ui.staleHeatmapLabel.isHidden()
    parameters = case.widget._parameters
    segment = parameters.roi.GetSegmentation().GetNthSegmentID(0)
    voxels = slicer.util.arrayFromSegmentBinaryLabelmap(parameters.roi, segment, parameters.ct)
    changed = voxels.copy()
    changed[9, 3, 2] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(changed, parameters.roi, segment, parameters.ct)
    case.wait_until(lambda: not case.ui.staleHeatmapLabel.isHidden())
    assert not case.ui.explainButton.enabled
    case.score()
    assert parameters.heatmap is heatmap
    assert not case.ui.staleHeatmapLabel.isHidden()
    assert case.ui.explainSection.text.endswith("stale")
    assert explain(case) is not heatmap
    assert case.ui.staleHeatmapLabel.isHidden()


@pytest.mark.parametrize("gone", ["ct", "pet", "roi"])
def test_nodes_removed_while_it_is_explained(case: Any, gone: str) -> None:
    import slicer

    case.score()
    case.ui.explainButton.click()
    slicer.mrmlScene.RemoveNode(getattr(case.widget._parameters, gone))
    case.wait_until(lambda: not case.widget.parts.explain.running)
    if gone == "ct":
        assert case.ui.explainMessageLabel.text == (
            'The CT "CT of the case" was removed while it was explained; nothing is shown.'
        )
    assert case.widget._parameters.heatmap is None
    assert not case.ui.explainButton.enabled


def test_the_heatmap_is_removed_by_the_user(case: Any) -> None:
    import slicer

    heatmap = explain(case)
    slicer.mrmlScene.RemoveNode(heatmap)
    case.wait_until(lambda: case.ui.explanationFrame.isHidden())
    assert case.ui.explainButton.enabled
    press(case, "H")
    press(case, "N")
    assert explain(case) is not None


def test_closing_the_scene_in_mid_run_leaves_nothing(case: Any) -> None:
    import slicer

    case.use_worker("explain-endless")
    case.score()
    case.ui.explainButton.click()
    case.wait_until(lambda: "30 of 120" in case.ui.explainStageLabel.text)
    pids = case.widget.logic.worker.process_ids
    assert pids
    slicer.mrmlScene.Clear()
    case.wait_until(lambda: not case.widget.parts.explain.running)
    assert case.widget.logic.worker.process_ids == []
    assert case.ui.explainProgressBar.isHidden()
    assert case.ui.explanationFrame.isHidden()
    assert not case.ui.explainButton.enabled
    assert [each for each in case.scratch_files() if each.name != "lock"] == []


def test_a_failure_is_one_sentence_with_the_names_of_the_volumes(case: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    case.score()
    case.use_worker("failure")
    case.ui.explainButton.click()
    case.wait_until(lambda: not case.widget.parts.explain.running)
    assert case.ui.explainMessageLabel.text == (
        'The PET "PET of the case" is not in SUV units; convert it to SUVbw first.'
    )
    assert case.ui.explainSection.text.endswith("needs attention")
    assert case.ui.explainButton.enabled
    case.use_worker("success")
    explain(case)
    assert case.ui.explainSection.text.endswith("done")


def test_scoring_goes_first_and_the_explanation_goes_on_by_itself(case: Any) -> None:
    case.score()
    case.ui.explainButton.click()
    case.ui.scoreButton.click()
    case.wait_until(lambda: not case.widget.parts.run_panel.running and not case.widget.parts.explain.running)
    assert case.widget._parameters.heatmap is not None
    assert case.ui.hotspotTable.rowCount == 3


def test_a_saved_scene_brings_heatmap_and_hotspots_back(case: Any, tmp_path: Path) -> None:
    import slicer

    heatmap = explain(case)
    case.ui.thresholdSlider.value = 100
    name = heatmap.GetName()
    path = tmp_path / "scene.mrb"
    assert slicer.mrmlScene.WriteToMRB(str(path))
    slicer.mrmlScene.Clear()
    case.wait_until(lambda: case.ui.explanationFrame.isHidden())
    with zipfile.ZipFile(path) as bundle:
        bundle.extractall(tmp_path)
    slicer.mrmlScene.SetURL(str(next(tmp_path.rglob("*.mrml"))))
    slicer.mrmlScene.Import()
    case.widget.initializeParameterNode()
    case.wait_until(lambda: not case.ui.explanationFrame.isHidden())
    heatmap = case.widget._parameters.heatmap
    assert heatmap.GetName() == name
    assert case.ui.hotspotTable.rowCount == 3
    assert case.ui.mapCombo.count == 4
    assert 0.25 < visible_from(heatmap) < 0.27


def test_a_heatmap_of_an_older_scene_is_shown_without_hotspots(case: Any) -> None:
    import slicer

    old = slicer.util.addVolumeFromArray(np.ones((4, 4, 4), np.float32), name="Heatmap of old")
    old.SetAttribute("MemorySurvival.Label", "SIMULATED MODEL")
    old.CreateDefaultDisplayNodes()
    old.GetDisplayNode().SetAutoWindowLevel(False)
    old.GetDisplayNode().SetWindowLevelMinMax(-0.25, 0.25)
    case.widget._parameters.heatmap = old
    assert case.ui.hotspotLabel.text == "Hotspots were not looked for in this heatmap; click Explain to find them."
    assert old.GetDisplayNode().GetWindowLevelMax() == 0.25


def test_reload_keeps_the_panel_alive(case: Any) -> None:
    explain(case)
    case.widget.onReload()
    widget = case.python.slicer.modules.MemorySurvivalWidget
    assert widget.ui.hotspotTable.rowCount == 3
