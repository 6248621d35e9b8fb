"""What else can be done with a result: compared with another, run again; and all results of a list on one page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_stability_panel import Room

REPLAYED = {
    "verdict": "different",
    "sentence": "Different: 3 of 163 values differ by more than rounding; not the same: PET.",
    "causes": [{"kind": "input", "what": "PET", "sentence": "The PET has other voxels."}],
    "notes": ["The copy of the mask was used."],
}


@pytest.fixture
def room(panel: Any, tmp_path: Path) -> Room:
    (tmp_path / "run").mkdir()
    return Room(panel, tmp_path / "run")


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the browser was asked to show."""
    import qt

    found: list[str] = []
    monkeypatch.setattr(qt.QDesktopServices, "openUrl", lambda url: found.append(url.toLocalFile()))
    return found


def entries(room: Room) -> dict[str, Any]:
    """Open the menu; its entries by what they say."""
    room.ui.resultMoreButton.click()
    return {action.text: action for action in room.parts.more.menu.actions() if action.text}


def test_without_a_result_there_is_no_more(room: Room) -> None:
    assert not room.ui.resultMoreButton.enabled
    room.parts.more.replay()
    room.parts.more.compare(Path("somewhere"))
    assert room.worker.sent == []


def test_the_menu_opens_by_the_keyboard_and_has_tips(room: Room) -> None:
    from PySide6 import QtCore, QtTest

    room.finish()
    button = room.ui.resultMoreButton
    QtTest.QTest.keyClick(button, QtCore.Qt.Key.Key_Space)
    menu = room.parts.more.menu
    assert menu.isVisible() and button.accessibleName == "More about this result"
    actions = [action for action in menu.actions() if action.text]
    assert [action.text for action in actions] == ["Run again and compare", "Compare with a result folder…"]
    assert all(action.toolTip != action.text for action in actions) and menu.toolTipsVisible
    QtTest.QTest.keyClick(menu, QtCore.Qt.Key.Key_Down)
    QtTest.QTest.keyClick(menu, QtCore.Qt.Key.Key_Return)
    assert room.worker.sent[-1][0] == "replay" and not menu.isVisible()


def test_another_result_of_the_scene_is_compared_in_the_browser(room: Room, opened: list[str]) -> None:
    room.finish()
    room.finish(log_risk=0.5)
    other = next(action for text, action in entries(room).items() if "Result of CT of the case" in text)
    other.trigger()
    kind, job, listener = room.worker.sent[-1]
    assert kind == "compare" and not job["confirm_identity"]
    assert all((Path(job[name]) / "result.json").is_file() for name in ("first", "second"))
    assert job["first"] != job["second"]
    assert job["names"] == ["Other result", "This result"]
    Path(job["out"]).write_text("<p>differences</p>", encoding="utf-8")
    listener.job_finished({}, {"page": job["out"]})
    assert opened == [job["out"]] and Path(job["out"]).is_file() and not Path(job["first"]).exists()
    assert "browser" in room.ui.messageLabel.text


def test_a_result_removed_while_the_menu_is_open_is_not_compared(room: Room) -> None:
    import slicer

    room.finish()
    room.finish(log_risk=0.5)
    other = next(action for text, action in entries(room).items() if "Result of CT of the case" in text)
    slicer.mrmlScene.RemoveNode(room.parts.more.others()[0].node)
    sent = len(room.worker.sent)
    other.trigger()
    assert len(room.worker.sent) == sent and "no longer in the scene" in room.ui.messageLabel.text


def test_a_folder_is_compared_and_two_patients_are_asked_about(
    room: Room, opened: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import qt
    from MemorySurvivalPanels.worker_protocol import Failure

    room.finish()
    monkeypatch.setattr(qt.QFileDialog, "getExistingDirectory", lambda *_ignored: str(tmp_path / "of 2025"))
    asked: list[list[str]] = []
    answers = [True, False]
    room.parts.more.ask_same = lambda differences: asked.append(list(differences)) or answers.pop()
    differences = ["The patient IDs differ."]
    failure = Failure("The patient IDs differ. Choose others.", "PatientMismatch", {"differences": differences})
    for confirmed in (False, True):
        entries(room)["Compare with a result folder…"].trigger()
        sent = len(room.worker.sent)
        _kind, job, listener = room.worker.sent[-1]
        assert job["first"] == str(tmp_path / "of 2025") and not job["confirm_identity"]
        listener.job_failed(failure)
        room.panel.application.processEvents()
        assert asked.pop() == differences and opened == []
        assert len(room.worker.sent) == sent + confirmed
    assert room.worker.job["confirm_identity"]


def test_no_folder_chosen_is_no_comparison(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    import qt

    room.finish()
    monkeypatch.setattr(qt.QFileDialog, "getExistingDirectory", lambda *_ignored: "")
    sent = len(room.worker.sent)
    entries(room)["Compare with a result folder…"].trigger()
    assert len(room.worker.sent) == sent


def test_a_result_is_run_again_with_the_images_of_the_scene(room: Room) -> None:
    import SimpleITK as sitk
    import slicer

    room.finish(request={"ct": "/gone/ct.nrrd", "pet": "/gone/pet.nrrd", "study": "None"})
    entries(room)["Run again and compare"].trigger()
    kind, job, listener = room.worker.sent[-1]
    assert kind == "replay" and Path(job["result"]).name == "result.json" and Path(job["result"]).is_file()
    found = [sitk.GetArrayFromImage(sitk.ReadImage(str(path))) for path in Path(job["images"]).iterdir()]
    for node in (room.parameters.ct, room.parameters.pet):
        voxels = slicer.util.arrayFromVolume(node)
        assert any(one.dtype == voxels.dtype and np.array_equal(one, voxels) for one in found)
    listener.job_finished(REPLAYED, {})
    said = room.ui.resultMoreLabel
    assert said.isVisible() and said.text.startswith("⚠  Different: 3 of 163 values")
    assert said.text.splitlines()[1:] == ["•  The PET has other voxels.", "•  The copy of the mask was used."]
    assert not Path(job["result"]).exists()
    room.finish()  # it was said of another result
    assert not said.isVisible()


def test_images_that_are_where_they_were_are_not_written(room: Room, tmp_path: Path) -> None:
    paths = {name: str(tmp_path / f"{name}.nrrd") for name in ("ct", "pet")}
    for path in paths.values():
        Path(path).write_bytes(b"an image")
    room.finish(request={**paths, "study": None})
    room.parts.more.replay()
    assert "images" not in room.worker.job
    room.worker.sent[-1][2].job_finished({**REPLAYED, "verdict": "identical", "causes": [], "notes": []}, {})
    assert room.ui.resultMoreLabel.text.startswith("✓  ")


@pytest.mark.parametrize("spoil", ["image", "record"])
def test_what_is_gone_is_said(room: Room, spoil: str) -> None:
    import slicer

    room.finish()
    if spoil == "image":
        room.parts.result.case.of("pet").SetAndObserveImageData(None)
    else:
        slicer.mrmlScene.RemoveNode(room.parts.result.case.of("files"))
    sent = len(room.worker.sent)
    room.parts.more.replay()
    assert len(room.worker.sent) == sent and not room.parts.run_panel.running
    wanted = {"image": "no longer in the scene", "record": "score the case again"}[spoil]
    assert wanted in room.ui.messageLabel.text


def test_a_closed_scene_leaves_nothing(room: Room) -> None:
    """Not even for the next scene, whose nodes have the same identifiers."""
    import slicer
    from scenes import add_small_case

    room.finish()
    room.parts.more.replay()
    room.worker.sent[-1][2].job_finished(REPLAYED, {})
    before = room.parts.result.case.node.GetID()
    entries(room)
    slicer.mrmlScene.Clear()
    assert room.parts.more.menu is None and not room.ui.resultMoreButton.enabled
    room.panel.widget.initializeParameterNode()
    parameters = room.panel.widget._parameters  # those of the new scene
    parameters.ct, parameters.pet, parameters.roi = add_small_case()
    parameters.score_without_accepting = True
    room.finish()
    assert room.parts.result.case.node.GetID() == before
    assert not room.ui.resultMoreLabel.isVisible()


def test_nothing_is_asked_about_a_result_that_went_away(room: Room, tmp_path: Path) -> None:
    import slicer
    from MemorySurvivalPanels.worker_protocol import Failure

    room.finish()
    room.parts.more.ask_same = lambda differences: pytest.fail("asked")
    room.parts.more.compare(tmp_path)
    room.worker.sent[-1][2].job_failed(Failure("They differ.", "PatientMismatch", {"differences": ["IDs differ."]}))
    slicer.mrmlScene.RemoveNode(room.parts.result.case.node)
    room.panel.widget.onParametersChanged()
    room.panel.application.processEvents()


def test_the_overview_is_written_and_an_earlier_one_is_asked_about(
    room: Room, opened: list[str], tmp_path: Path
) -> None:
    button = room.ui.reviewOverviewButton
    room.panel.widget.onParametersChanged()
    assert not button.enabled and "folder" in button.toolTip
    room.ui.reviewOutPath.currentPath = str(tmp_path)
    room.ui.reviewOutcomesPath.currentPath = str(tmp_path / "outcomes.csv")
    assert button.enabled and room.parameters.worklist_outcomes == str(tmp_path / "outcomes.csv")
    button.click()
    kind, job, listener = room.worker.sent[-1]
    page = tmp_path / "overview.html"
    outcomes = str(tmp_path / "outcomes.csv")
    assert kind == "overview"
    assert job == {"folder": str(tmp_path), "out": str(page), "outcomes": outcomes, "overwrite": False}
    page.write_text("<p>earlier</p>", encoding="utf-8")
    listener.job_finished({"results": 3}, {"page": str(page)})
    assert opened == [str(page)] and str(page) in room.ui.messageLabel.text
    sent, answers = len(room.worker.sent), [True, False]
    room.parts.overview.ask_overwrite = lambda path: answers.pop()
    button.click()
    assert len(room.worker.sent) == sent
    room.ui.reviewOutcomesPath.currentPath = ""
    button.click()
    assert room.worker.job["overwrite"] and room.worker.job["outcomes"] is None
