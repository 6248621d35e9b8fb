"""The section "Masks": made on demand, kept when corrected, scored exactly as they are, and checked before."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest


@pytest.fixture
def case(panel: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """CT and PET chosen, no region, and a worker that makes masks."""
    from made_masks import make_masks
    from scenes import CT_IJK_TO_RAS, add_small_case

    record = make_masks(tmp_path, CT_IJK_TO_RAS)
    monkeypatch.setenv("MEMORYSURVIVAL_FAKE_MASKS", str(record.parent))
    ct, pet, _region = add_small_case()
    panel.widget._parameters.ct = ct
    panel.widget._parameters.pet = pet
    panel.widget.parts.masks.ask = no_question
    panel.use_worker("success")
    return panel


def no_question(name: str, segments: list[str]) -> Any:
    raise AssertionError(f"asked about {segments} of {name}")


def generate(panel: Any) -> Any:
    """Click Generate masks, wait, and take the segmentation that is chosen then."""
    assert panel.ui.generateButton.enabled
    panel.ui.generateButton.click()
    panel.wait_until(lambda: not panel.widget.parts.run_panel.running)
    return panel.widget._parameters.roi


def add_voxel(node: Any, segment: str, ct: Any, k: int = 9) -> None:
    """A person paints one voxel on slice `k`."""
    import slicer

    voxels = slicer.util.arrayFromSegmentBinaryLabelmap(node, segment, ct)
    voxels[k, 3, 2] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(voxels, node, segment, ct)


def voxels_of(node: Any, segment: str, ct: Any) -> np.ndarray:
    import slicer

    return slicer.util.arrayFromSegmentBinaryLabelmap(node, segment, ct)


def test_masks_are_made_loaded_and_chosen(case: Any) -> None:
    from scenes import snapshot

    parameters = case.widget._parameters
    before = [snapshot(each) for each in (parameters.ct, parameters.pet)]
    assert case.ui.maskStatusLabel.text.startswith("No mask is chosen")
    node = generate(case)
    assert node.GetName() == "Regions of CT of the case"
    assert parameters.segment_id == "spine_dilated"
    assert case.ui.segmentCombo.currentText == "spine dilated"
    assert case.ui.messageLabel.text == "Vertebrae are numbered."
    assert case.ui.maskStatusLabel.text == "Made by built-in CT segmenter 0.1.0."
    assert [snapshot(each) for each in (parameters.ct, parameters.pet)] == before
    assert case.scratch_files() == [] or all(each.name == "lock" for each in case.scratch_files())
    assert case.ui.scoreButton.enabled and case.ui.generateButton.enabled and case.ui.checkButton.enabled


def test_masks_that_nobody_touched_are_made_again_in_place(case: Any) -> None:
    import slicer

    node = generate(case)
    case.widget._parameters.segment_id = "skeleton"
    assert generate(case) is node
    assert case.widget._parameters.segment_id == "skeleton"
    visible = [each for each in slicer.util.getNodesByClass("vtkMRMLSegmentationNode") if not each.GetHideFromEditors()]
    assert len(visible) == 2  # the small case has one of its own


@pytest.mark.parametrize("answer", ["new", "replace", "cancel"])
def test_corrected_masks_are_kept_unless_the_person_says_otherwise(case: Any, answer: str) -> None:
    from MemorySurvivalPanels.mask_panel import Answer

    asked: list[tuple[str, list[str]]] = []

    def ask(name: str, segments: list[str]) -> Answer:
        asked.append((name, segments))
        return Answer(answer)

    case.widget.parts.masks.ask = ask
    ct = case.widget._parameters.ct
    node = generate(case)
    add_voxel(node, "skeleton", ct)
    corrected = voxels_of(node, "skeleton", ct).copy()
    chosen = generate(case)
    assert asked == [("Regions of CT of the case", ["skeleton"])]
    kept = (voxels_of(node, "skeleton", ct) == corrected).all()
    assert kept == (answer != "replace")
    assert (chosen is node) == (answer != "new")
    if answer == "new":
        assert chosen.GetName() == "Regions of CT of the case_1"


def test_a_correction_made_while_the_worker_is_busy_is_kept(case: Any) -> None:
    ct = case.widget._parameters.ct
    node = generate(case)
    case.ui.generateButton.click()
    add_voxel(node, "skeleton", ct)
    case.wait_until(lambda: not case.widget.parts.run_panel.running)
    assert voxels_of(node, "skeleton", ct)[9, 3, 2] == 1
    assert case.widget._parameters.roi is not node


def test_a_segmentation_of_another_origin_is_never_a_target(case: Any) -> None:
    from scenes import add_segmentation

    ct = case.widget._parameters.ct
    mine = np.ones((16, 24, 20), np.uint8)
    node = add_segmentation(mine, ct, "Drawn by hand", "spine")
    case.widget._parameters.roi = node
    assert case.ui.maskStatusLabel.text == "It is not known who made this mask."
    assert generate(case) is not node
    assert list(node.GetSegmentation().GetSegmentIDs()) == ["spine"]
    assert (voxels_of(node, "spine", ct) == mine).all()


def test_a_removed_target_is_no_trouble(case: Any) -> None:
    import slicer

    node = generate(case)
    case.ui.generateButton.click()
    slicer.mrmlScene.RemoveNode(node)
    case.wait_until(lambda: not case.widget.parts.run_panel.running)
    assert case.widget._parameters.roi.GetName() == "Regions of CT of the case_1"


def test_cancelling_and_failing_leave_the_panel_usable(case: Any) -> None:
    for scenario in ("endless", "failure", "crash"):
        case.use_worker(scenario)
        case.ui.generateButton.click()
        assert not case.ui.generateButton.enabled and not case.ui.checkButton.enabled
        assert not case.ui.scoreButton.enabled and case.ui.cancelButton.enabled
        if scenario == "endless":
            case.wait_until(lambda: case.ui.messageLabel.text.startswith("child"))
            case.ui.cancelButton.click()
        case.wait_until(lambda: not case.widget.parts.run_panel.running)
        assert case.ui.messageLabel.text
        assert case.ui.generateButton.enabled
        assert all(each.name == "lock" for each in case.scratch_files())
    assert case.widget._parameters.roi is None


def test_score_takes_the_corrected_mask_exactly_and_its_generated_twin(case: Any) -> None:
    from MemorySurvivalLib.imaging.reading import read_volume
    from MemorySurvivalLib.roi.provenance import read_roi_provenance

    sent: list[tuple[str, dict[str, Any]]] = []

    class Recorder:
        busy = False

        def submit(self, job: str, parameters: dict[str, Any], listener: Any, *, background: bool = False) -> None:
            sent.append((job, parameters))

        def cancel(self) -> None: ...

        def close(self) -> None: ...

    node = generate(case)
    parameters = case.widget._parameters
    parameters.segment_id = "skeleton"
    generated = voxels_of(node, "skeleton", parameters.ct).copy()
    add_voxel(node, "skeleton", parameters.ct)
    case.widget.logic.worker.close()
    case.widget.logic.worker = Recorder()
    case.ui.scoreButton.click()
    ((kind, job),) = sent
    assert (kind, job["roi_kind"]) == ("score", "skeleton")
    mask, twin = read_volume(Path(job["roi"]), "mask"), read_volume(Path(job["roi_generated"]), "mask")
    assert (mask.voxels == voxels_of(node, "skeleton", parameters.ct)).all()
    assert (twin.voxels == generated).all()
    assert read_roi_provenance(mask).edited is True
    assert read_roi_provenance(twin).edited is False


def test_check_says_what_the_library_says(case: Any) -> None:
    """With the real library: the edit in voxels and in prompts, and the stray voxel with its place."""
    node = generate(case)
    parameters = case.widget._parameters
    parameters.segment_id = "skeleton"
    add_voxel(node, "skeleton", parameters.ct, k=7)  # the demonstration bundle prompts the slices 10, 7, ...
    client = __import__("MemorySurvivalPanels.worker_client", fromlist=["WorkerClient"])
    logic = case.widget.logic
    logic.worker.close()
    logic.worker = client.WorkerClient(logic._worker_command, "0.1.0")
    case.ui.checkButton.click()
    case.wait_until(lambda: not case.widget.parts.run_panel.running, 60)
    assert case.ui.messageLabel.text == ""
    assert case.ui.maskStatusLabel.text.splitlines() == [
        "•  The mask was edited after built-in CT segmenter 0.1.0 made it.",
        "•  The edit added 1 voxel (0.016 ml) and removed 0 (0 ml), on 1 axial slice.",
        "•  The edit changes the prompt boxes of 1 slice (1 moved by up to 18 mm; 3 slices are prompted).",
        "•  A stray voxel at R 26, A 34, I 32 mm, 20 mm from the rest of the mask, stretches the prompt box by 18 mm "
        "on 1 slice; erase it unless meant.",
    ]
    parameters.segment_id = "spine_dilated"
    assert case.ui.maskStatusLabel.text == "Made by built-in CT segmenter 0.1.0."


def test_the_question_keeps_by_default(panel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import qt
    from MemorySurvivalPanels.mask_panel import Answer, ask_about_edits

    seen: dict[str, Any] = {}

    def show(box: Any) -> int:
        seen["text"] = box.text
        seen["default"] = box.defaultButton().text
        seen["box"] = box
        seen["buttons"] = {each.text: each for each in box.buttons()}
        return 0

    monkeypatch.setattr(qt.QMessageBox, "exec_", show, raising=False)
    for text, answer in (
        ("Keep mine", Answer.NEW),
        ("Replace my corrections", Answer.REPLACE),
        ("Cancel", Answer.CANCEL),
    ):
        monkeypatch.setattr(qt.QMessageBox, "clickedButton", lambda box, text=text: seen["buttons"][text])
        assert ask_about_edits("Regions", ["skeleton"]) is answer
    assert seen["default"] == "Keep mine"
    assert seen["text"] == (
        'You corrected skeleton in "Regions". Keep it and put the new masks into another segmentation?'
    )


def test_the_record_names_no_more_than_the_panel_reads(case: Any, tmp_path: Path) -> None:
    """The panel reads structures.json without the library; these are the keys that it relies on."""
    record = json.loads((tmp_path / "masks" / "structures.json").read_text())
    assert record["labels_file"] == "labels.nrrd"
    for region in record["regions"].values():
        assert {"file", "structure"} <= region.keys()
    for label in record["labels"].values():
        assert {"structure", "stamp"} <= label.keys()
        assert {"name", "code", "laterality", "colour_rgb"} <= label["structure"].keys()
