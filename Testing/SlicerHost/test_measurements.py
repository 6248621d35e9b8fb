"""What stands with a score: warnings, measurements, a table that leads to each lesion, and the lesions in the scene."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest


@pytest.fixture
def scored(panel: Any, tmp_path: Path) -> Any:
    """The panel with a case under way at a worker that only remembers; `finish` ends it with a measured result."""
    from dicom_nodes import Recorder
    from measured_result import make_measurements, make_result, write_files
    from scenes import add_small_case

    panel.widget._parameters.ct, panel.widget._parameters.pet, _roi = add_small_case()
    panel.widget.logic.worker = Recorder()
    panel.ui.measureCheckBox.checked = True
    panel.ui.scoreButton.click()

    def finish(measurements: Any = None, **words: Any) -> None:
        result = make_result(measurements=measurements or make_measurements(), **words)
        panel.widget.parts.score.job_finished(result, write_files(tmp_path))

    panel.finish = finish
    return panel


def cells(table: Any, row: int) -> list[str]:
    return [table.item(row, column).text() for column in range(table.columnCount)]


def slice_views() -> list[Any]:
    """Axial, sagittal and coronal slice nodes."""
    import slicer

    nodes = []
    for name, orientation in (("Red", "Axial"), ("Yellow", "Sagittal"), ("Green", "Coronal")):
        node = slicer.vtkMRMLSliceNode()
        node.SetLayoutName(name)
        node = slicer.mrmlScene.AddNode(node)  # views outlive a scene: this is the same one each time
        node.SetOrientation(orientation)
        node.JumpSliceByCentering(0, 0, 0)
        nodes.append(node)
    return nodes


def centre(node: Any) -> list[float]:
    return [node.GetSliceToRAS().GetElement(row, 3) for row in range(3)]


def test_the_panel_asks_for_measurements_only_when_told(scored: Any) -> None:
    assert scored.widget.logic.worker.job["measure"] is True
    scored.finish()
    scored.ui.measureCheckBox.checked = False
    scored.ui.scoreButton.click()
    assert scored.widget.logic.worker.job["measure"] is False
    assert not scored.ui.measurementFrame.isVisible()


def test_references_totals_and_lesions_are_shown(scored: Any) -> None:
    scored.finish()
    assert scored.ui.measurementFrame.isVisible()
    assert scored.ui.measurementLabel.text.splitlines() == [
        "SUV mean: liver 2.00 ± 0.21, no blood pool",
        "Lesions above SUV 4.0: 1 focal, 1 spill-in",
        "Focal: MTV 2.2 ml, TLG 11.3 g",
    ]
    assert scored.ui.notesLabel.text == "•  The mediastinal blood pool was not found."
    table = scored.ui.lesionTable
    assert [table.horizontalHeaderItem(column).text() for column in range(table.columnCount)] == [
        "No.",
        "Bone",
        "Kind",
        "SUVmax",
        "SUVpeak",
        "MTV ml",
        "× liver",
    ]
    assert cells(table, 0) == ["1", "L4", "focal", "8.0", "6.0", "2.2", "3.00"]
    assert cells(table, 1) == ["2", "near sacrum", "spill-in", "8.0", "6.0", "–", "3.00"]
    assert table.item(1, 2).toolTip() == "bladder"


def test_no_lesion_is_a_proper_answer(scored: Any) -> None:
    from measured_result import make_measurements

    scored.finish(make_measurements(liver=False, lesions=False))
    assert scored.ui.measurementLabel.text.splitlines()[0] == "SUV mean: no liver, no blood pool"
    assert "0 focal" in scored.ui.measurementLabel.text
    assert not scored.ui.lesionTable.isVisible()


@pytest.mark.parametrize("how", ["click", "keyboard"])
def test_a_row_leads_every_view_to_the_lesions_maximum(scored: Any, how: str) -> None:
    from measured_result import ras_of

    views = slice_views()
    scored.finish()
    table = scored.ui.lesionTable
    assert all(centre(view) == pytest.approx([0, 0, 0]) for view in views)  # showing a result moves nothing
    for number, row in ((2, 1), (1, 0)):
        if how == "click":
            table.cellClicked.emit(row, 3)
        else:
            table.setCurrentCell(row, 0)
        for view in views:
            assert centre(view) == pytest.approx(ras_of(number)), view.GetName()


def test_the_same_row_leads_there_again(scored: Any) -> None:
    import slicer
    from measured_result import ras_of

    (red, *_others) = slice_views()
    scored.finish()
    scored.ui.lesionTable.setCurrentCell(0, 0)
    slicer.vtkMRMLSliceNode.JumpAllSlices(slicer.mrmlScene, 1, 2, 3, slicer.vtkMRMLSliceNode.CenteredJumpSlice)
    scored.ui.lesionTable.cellClicked.emit(0, 0)
    assert centre(red) == pytest.approx(ras_of(1))


def test_lesions_become_a_segmentation_at_their_places(scored: Any) -> None:
    import slicer
    from measured_result import VOXELS

    scored.finish()
    ct = scored.widget._parameters.ct
    before = {node.GetID() for node in slicer.util.getNodesByClass("vtkMRMLSegmentationNode")}
    scored.ui.lesionsButton.click()
    (node,) = [each for each in slicer.util.getNodesByClass("vtkMRMLSegmentationNode") if each.GetID() not in before]
    assert node.GetName() == "Lesions of CT of the case"
    segmentation = node.GetSegmentation()
    names = {segmentation.GetSegment(each).GetName(): each for each in segmentation.GetSegmentIDs()}
    assert list(names) == ["lesion 1 L4 (focal)", "lesion 2 sacrum (spill-in)", "reference liver"]
    for number, name in ((1, "lesion 1 L4 (focal)"), (2, "lesion 2 sacrum (spill-in)")):
        voxels = slicer.util.arrayFromSegmentBinaryLabelmap(node, names[name], ct)
        assert voxels.sum() == 27
        assert np.argwhere(voxels).mean(axis=0) == pytest.approx(VOXELS[number])
    assert scored.widget._parameters.roi is None  # it is to be looked at, not the region of the next score


def test_lesions_are_loaded_once_until_they_are_removed(scored: Any) -> None:
    import slicer

    def loaded() -> list[Any]:
        found = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
        return [node for node in found if node.GetName().startswith("Lesions")]

    scored.finish()
    for _time in range(2):
        scored.ui.lesionsButton.click()
    (node,) = loaded()
    node.GetDisplayNode().SetVisibility(False)
    scored.ui.lesionsButton.click()
    assert node.GetDisplayNode().GetVisibility()
    slicer.mrmlScene.RemoveNode(node)
    scored.ui.lesionsButton.click()
    assert len(loaded()) == 1


def test_lesions_without_their_ct_are_shown_all_the_same(scored: Any) -> None:
    import slicer

    slicer.mrmlScene.RemoveNode(scored.widget._parameters.ct)
    scored.finish()
    scored.ui.lesionsButton.click()
    assert [each.GetName() for each in slicer.util.getNodesByClass("vtkMRMLSegmentationNode")][-1] == "Lesions"
    assert scored.ui.stageLabel.text == "Choose the CT volume."


def remove_stored_files() -> None:
    """What a person does who removes everything hidden from a scene."""
    import slicer

    for node in slicer.util.getNodesByClass("vtkMRMLTextNode"):
        if node.GetHideFromEditors():
            slicer.mrmlScene.RemoveNode(node)


def test_outlines_that_are_gone_are_one_sentence(scored: Any) -> None:
    import slicer

    scored.finish()
    remove_stored_files()
    before = slicer.mrmlScene.GetNumberOfNodes()
    scored.ui.lesionsButton.click()
    assert scored.ui.messageLabel.text == "The files of this result are no longer in the scene; score the case again."
    assert slicer.mrmlScene.GetNumberOfNodes() == before
    assert scored.ui.scoreButton.enabled


def test_a_problem_with_outlines_does_not_end_a_running_job(scored: Any) -> None:
    scored.finish()
    remove_stored_files()
    scored.ui.generateButton.click()
    scored.ui.lesionsButton.click()
    assert scored.widget.parts.run_panel.running and scored.ui.cancelButton.enabled


def test_warnings_come_first_and_are_not_said_twice(scored: Any) -> None:
    scored.finish(troubled=True)
    assert [line.partition("  ")[2] for line in scored.ui.warningsLabel.text.splitlines()] == [
        "The uptake time of 95 minutes is outside 50 to 75 minutes.",
        "The PET lies 7.0 mm beside the CT.",
        "The mask was corrected by hand (12 voxels); that changes the prompts of 3 slices.",
        "The mask has one stray piece far from the rest, which prompts slices or stretches a box.",
    ]
    assert scored.ui.notesLabel.text.splitlines() == [
        "•  The dose of 20 MBq is unusual.",
        "•  Covariates are missing.",
        "•  The mediastinal blood pool was not found.",
    ]


def test_without_trouble_there_is_no_warning(scored: Any) -> None:
    scored.finish()
    assert not scored.ui.warningsLabel.isVisible()


def test_a_correction_says_that_the_scene_is_as_it_was(application: Any, panel: Any) -> None:
    from MemorySurvivalPanels.result_warnings import list_warnings

    alignment = {"warning": "", "correction": {"sentence": "The PET was moved by 7 mm."}}
    identity = ["Confirmed by the user although: they differ.", "Something could not be compared."]
    assert list_warnings({"acquisition": {"alignment": alignment, "identity": identity}, "roi": {"edited": None}}) == [
        "Confirmed by the user although: they differ.",
        "The PET was moved by 7 mm.",
        "The PET in the scene is where it was: only the scored copy was moved.",
    ]
    assert list_warnings({"roi": {"edited": True, "boxes": None, "edit": None}}) == ["The mask was corrected by hand."]


@pytest.mark.parametrize("change", ["bundle", "alignment", "dose"])
def test_a_result_of_an_earlier_choice_says_so(scored: Any, change: str) -> None:
    scored.finish()
    assert not scored.ui.staleLabel.isVisible()
    parameters = scored.widget._parameters
    scored.ui.measureCheckBox.checked = False  # changes no number
    scored.ui.deviceCombo.currentIndex = 1
    assert not scored.ui.staleLabel.isVisible()
    if change == "bundle":
        parameters.bundle = "ward-7"
    elif change == "alignment":
        scored.ui.alignmentCombo.currentIndex = 2
    else:
        parameters.pet_dose_mbq = "370"
    assert scored.ui.staleLabel.isVisible()
    parameters.bundle, parameters.pet_dose_mbq = "demonstration", ""
    scored.ui.alignmentCombo.currentIndex = 0
    assert not scored.ui.staleLabel.isVisible()


def test_a_choice_made_in_mid_run_makes_the_result_old(scored: Any) -> None:
    scored.widget._parameters.bundle = "ward-7"
    scored.finish()
    assert scored.ui.staleLabel.text == "This result is of an earlier choice: Another model is chosen."
    assert scored.ui.staleLabel.isVisible()


def test_what_the_worker_says_of_changed_volumes_stays(scored: Any, tmp_path: Path) -> None:
    from measured_result import make_result, write_files

    sentence = "The PET is shown otherwise than its DICOM says; it is taken as shown, as SUVbw."
    scored.widget.parts.score.job_noted(sentence)
    scored.widget.parts.score.job_finished({**make_result(), "shown": [sentence]}, write_files(tmp_path))
    assert scored.ui.warningsLabel.text.endswith(sentence)


def test_closing_the_scene_clears_the_measurements(scored: Any) -> None:
    import slicer

    scored.finish()
    slicer.mrmlScene.Clear()
    assert scored.ui.lesionTable.rowCount == 0
    assert not scored.ui.measurementFrame.isVisible()
