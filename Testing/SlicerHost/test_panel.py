"""The panel with a fake worker: every way that a job can go, and that the panel is usable after each."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def case(panel: Any) -> Iterator[Any]:
    """The panel with CT, PET and a segment chosen."""
    from scenes import add_small_case

    ct, pet, roi = add_small_case()
    panel.widget._parameters.ct = ct
    panel.widget._parameters.pet = pet
    panel.widget._parameters.roi = roi
    yield panel


def is_running(pid: int) -> bool:
    """Whether a process still does something; a zombie that nobody reaps does not."""
    try:
        os.kill(pid, 0)
        status = Path(f"/proc/{pid}/stat")
        return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def assert_usable(panel: Any) -> None:
    assert panel.ui.scoreButton.enabled
    assert not panel.ui.cancelButton.enabled
    assert not panel.ui.progressBar.isVisible()


def test_research_use_is_always_said(panel: Any) -> None:
    from MemorySurvivalLib import RESEARCH_USE

    assert panel.ui.researchUseLabel.text == RESEARCH_USE
    assert panel.ui.researchUseLabel.isVisible()
    assert RESEARCH_USE in re.sub("<[^>]*>", "", panel.python.slicer.modules.MemorySurvivalInstance.parent.helpText)


def test_score_waits_for_its_inputs(panel: Any) -> None:
    from scenes import add_small_case

    assert not panel.ui.scoreButton.enabled
    assert panel.ui.stageLabel.text == "Choose the CT volume."
    ct, pet, roi = add_small_case()
    panel.ui.ctSelector.setCurrentNode(ct)
    assert panel.ui.stageLabel.text == "Choose the PET volume."
    panel.ui.petSelector.setCurrentNode(ct)
    assert panel.ui.stageLabel.text == "CT and PET are the same volume; choose two different ones."
    panel.ui.petSelector.setCurrentNode(pet)
    assert panel.ui.scoreButton.enabled
    roi.GetSegmentation().AddEmptySegment("second", "second")
    panel.ui.roiSelector.setCurrentNode(roi)
    assert panel.ui.stageLabel.text == "Choose a segment of the segmentation."
    assert not panel.ui.scoreButton.enabled
    panel.ui.segmentCombo.currentIndex = 1
    assert panel.widget._parameters.segment_id == "second"
    assert panel.ui.scoreButton.enabled


def test_success_shows_result_and_heatmap(case: Any) -> None:
    import slicer
    from scenes import ijk_to_ras, snapshot

    nodes = [case.widget._parameters.ct, case.widget._parameters.pet]
    before = [snapshot(node) for node in nodes]
    case.use_worker("success")
    case.score()
    assert [snapshot(node) for node in nodes] == before
    assert_usable(case)
    assert case.ui.logRiskValue.text == "+0.421"
    assert case.ui.positionValue.text == "higher than 62 % of 400 simulated reference cases"
    assert case.ui.modelLabel.text == "SIMULATED MODEL"
    assert case.ui.gateValue.text == "PET 63 %, CT 37 %"
    assert not case.ui.riskGroupValue.isVisible()
    assert case.ui.notesLabel.text == '•  The PET "PET of the case" was resampled onto the CT grid.'
    assert case.ui.reportButton.enabled
    assert case.widget.parts.result.report.is_file()
    heatmap = case.widget._parameters.heatmap
    assert heatmap.GetName() == "Heatmap of CT of the case (SIMULATED MODEL)"
    assert heatmap.GetStorageNode() is None
    display = heatmap.GetDisplayNode()
    assert (display.GetWindowLevelMin(), display.GetWindowLevelMax()) == (-0.25, 0.25)
    colours = display.GetColorNode()
    assert colours.GetNumberOfColors() % 2 == 1
    red_end, blue_end, middle = [0.0] * 4, [0.0] * 4, [0.0] * 4
    colours.GetColor(colours.GetNumberOfColors() - 1, red_end)
    colours.GetColor(0, blue_end)
    colours.GetColor(colours.GetNumberOfColors() // 2, middle)
    assert red_end[0] > red_end[2] + 0.2
    assert blue_end[2] > blue_end[0] + 0.2
    assert min(middle[:3]) > 0.9
    assert middle[3] == 0
    # The fake heatmap is the segment's label map, so it must lie where the segment lies.
    voxels = slicer.util.arrayFromVolume(heatmap)
    assert voxels.sum() == 4 * 8 * 7
    assert ijk_to_ras(heatmap)[:3, 3] == pytest.approx(ijk_to_ras(nodes[0])[:3, 3])


def test_inputs_are_private_and_removed(case: Any) -> None:
    case.use_worker("endless")
    case.ui.scoreButton.click()
    case.wait_until(lambda: case.ui.messageLabel.text.startswith("child"))
    files = case.scratch_files()
    images = [file for file in files if file.suffix == ".nrrd"]
    assert len(images) == 3
    assert not any("CT" in file.name or "PET" in file.name for file in images)
    root = next(parent for parent in images[0].parents if parent.name.startswith("memory-survival-"))
    if os.name == "posix":
        assert stat.S_IMODE(root.stat().st_mode) == 0o700
    case.ui.cancelButton.click()
    case.wait_until(lambda: not case.widget.parts.run_panel.running, 5)
    assert [file.name for file in case.scratch_files()] == ["lock"]


def test_progress_says_stage_and_time_left(case: Any) -> None:
    case.use_worker("endless")
    case.ui.scoreButton.click()
    case.wait_until(lambda: case.ui.progressBar.maximum == 150)
    assert case.ui.progressBar.value == 41
    assert case.ui.progressBar.isVisible()
    assert case.ui.stageLabel.text == "Reading the PET slices (41 / 150), about 13 s left"
    assert not case.ui.scoreButton.enabled
    assert case.ui.cancelButton.enabled


def test_failure_is_one_sentence(case: Any) -> None:
    case.use_worker("failure")
    case.score()
    assert case.ui.messageLabel.text == 'The PET "PET of the case" is not in SUV units; convert it to SUVbw first.'
    assert_usable(case)
    case.score()
    assert_usable(case)


def test_crash_is_one_sentence_and_score_starts_again(case: Any) -> None:
    case.use_worker("crash")
    case.score()
    assert case.ui.messageLabel.text == (
        "The scoring process stopped unexpectedly (exit code 139); "
        "the application log says more, and Score starts it again."
    )
    assert_usable(case)
    case.use_worker("success")
    case.score()
    assert case.ui.logRiskValue.text == "+0.421"
    assert case.ui.messageLabel.text == ""


def test_cancel_ends_the_whole_process_tree(case: Any) -> None:
    case.use_worker("endless")
    case.ui.scoreButton.click()
    case.wait_until(lambda: case.ui.messageLabel.text.startswith("child"))
    child = int(case.ui.messageLabel.text.split()[1])
    worker = case.widget.logic.worker
    processes = [*worker.process_ids, child]
    assert all(is_running(each) for each in processes)
    case.ui.cancelButton.click()
    case.wait_until(lambda: not any(is_running(each) for each in processes), 5)
    case.wait_until(lambda: case.ui.messageLabel.text == "Cancelled.", 5)
    assert_usable(case)
    case.ui.scoreButton.click()
    case.wait_until(lambda: case.ui.messageLabel.text.startswith("child"))
    assert set(worker.process_ids).isdisjoint(processes)


def test_closing_the_scene_in_mid_run_leaves_nothing(case: Any) -> None:
    import slicer

    case.representation.select()
    case.use_worker("endless")
    case.ui.scoreButton.click()
    case.wait_until(lambda: case.ui.messageLabel.text.startswith("child"))
    processes = [*case.widget.logic.worker.process_ids, int(case.ui.messageLabel.text.split()[1])]
    slicer.mrmlScene.Clear()
    case.wait_until(lambda: not any(is_running(each) for each in processes), 5)
    assert case.scratch_files() == []
    assert not case.ui.cancelButton.enabled
    assert case.ui.stageLabel.text == "Choose the CT volume."
    assert case.widget._parameters.ct is None


def test_unloading_the_module_leaves_nothing(case: Any) -> None:
    from slicer_host.loading import unload_module

    case.use_worker("endless")
    case.ui.scoreButton.click()
    case.wait_until(lambda: case.ui.messageLabel.text.startswith("child"))
    processes = [*case.widget.logic.worker.process_ids, int(case.ui.messageLabel.text.split()[1])]
    unload_module("MemorySurvival")
    case.wait_until(lambda: not any(is_running(each) for each in processes), 5)
    assert case.scratch_files() == []


def test_missing_package_is_named(case: Any) -> None:
    case.use_worker("no-torch")
    case.score()
    assert case.ui.messageLabel.text == (
        'The scoring process needs the Python package "torch", which is not installed; '
        "press Check and repair under Installation."
    )
    assert_usable(case)


def test_another_version_is_refused(case: Any) -> None:
    case.use_worker("wrong-version")
    case.score()
    assert case.ui.messageLabel.text == (
        "The scoring process is version 9.9.9, but this panel is version 0.1.0; "
        "remove the other copy of MemorySurvivalLib and restart Slicer."
    )
    assert_usable(case)


def test_a_program_that_does_not_start_is_one_sentence(case: Any, tmp_path: Path) -> None:
    from MemorySurvivalPanels.worker_client import WorkerClient
    from MemorySurvivalPanels.worker_protocol import WorkerCommand

    program = str(tmp_path / "no-such-python")
    case.widget.logic.worker = WorkerClient(lambda: WorkerCommand(program, ()), "0.1.0")
    case.score()
    assert case.ui.messageLabel.text == (
        f"The scoring process cannot be started with {program}; install the extension again."
    )
    assert_usable(case)


def test_lines_that_are_no_events_are_ignored(case: Any) -> None:
    case.use_worker("chatter")
    case.score()
    assert case.ui.logRiskValue.text == "+0.421"


def test_a_silent_worker_is_ended(case: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from MemorySurvivalPanels import worker_client, worker_process
    from MemorySurvivalPanels.worker_protocol import WorkerCommand

    monkeypatch.setattr(worker_process, "SILENCE_CHECK_MS", 20)
    monkeypatch.setattr(worker_process, "SILENT_CHECKS_ALLOWED", 3)
    command = WorkerCommand(os.sys.executable, ("-c", "import time; time.sleep(600)"))
    case.widget.logic.worker = worker_client.WorkerClient(lambda: command, "0.1.0")
    case.score()
    assert case.ui.messageLabel.text == "The scoring process stopped answering and was ended; try again."
    assert case.widget.logic.worker.process_ids == []
    assert_usable(case)


def test_entering_lists_the_bundles(panel: Any) -> None:
    panel.use_worker("success")
    panel.representation.select()
    panel.wait_until(lambda: panel.ui.bundleCombo.count == 2)
    assert [panel.ui.bundleCombo.itemText(index) for index in range(2)] == [
        "demonstration",
        "ward-7 (local research)",
    ]
    assert panel.widget._parameters.bundle == "demonstration"
    panel.ui.bundleCombo.currentIndex = 1
    assert panel.widget._parameters.bundle == "ward-7"


def test_results_can_be_saved(case: Any, tmp_path: Path) -> None:
    case.use_worker("success")
    case.score()
    place = case.widget.parts.report.copy_results(tmp_path)
    assert (place / "report.html").read_text() == "<p>report</p>"
    assert (place / "heatmap.nrrd").is_file()
    assert oct(place.parent.stat().st_mode) == oct(tmp_path.stat().st_mode)


def test_reload_reads_both_packages_again(panel: Any) -> None:
    import sys

    import slicer

    before = sys.modules["MemorySurvivalPanels.run_panel"]
    panel.widget.onReload()
    assert sys.modules["MemorySurvivalPanels.run_panel"] is not before
    widget = slicer.modules.MemorySurvivalWidget
    assert widget is not panel.widget
    assert widget.ui.stageLabel.text == "Choose the CT volume."


def test_another_library_version_is_refused(panel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from MemorySurvivalPanels.errors import UserError
    from MemorySurvivalPanels.locations import import_library

    import MemorySurvivalLib

    monkeypatch.setattr(MemorySurvivalLib, "__version__", "0.0.1")
    with pytest.raises(UserError, match=r"MemorySurvivalLib 0\.0\.1 from .* is already loaded, but this panel needs"):
        import_library()


def test_the_modules_own_test_passes(panel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    # Its long part, with the real worker, is what Testing/SlicerHost/test_person.py does step by step.
    monkeypatch.setattr(panel.python.self_test, "reason_to_skip", lambda: "a part of another test")
    panel.python.MemorySurvivalTest("runTest").runTest()


def test_a_folder_left_by_a_crash_is_swept(application: Any, tmp_path: Path, panel: Any) -> None:
    from MemorySurvivalPanels.scratch import ScratchFolder

    living = ScratchFolder(tmp_path)
    mine = living.new_folder()
    left = tmp_path / "memory-survival-abcdef"
    left.mkdir()
    (left / "lock").touch()
    (left / "image.nrrd").touch()
    stranger = tmp_path / "memory-survival-notes"
    stranger.mkdir()
    ScratchFolder(tmp_path)
    assert not left.exists()
    assert mine.exists()
    assert stranger.exists()
    living.clear()
    assert not mine.exists()


def test_the_job_says_what_the_user_chose(case: Any, tmp_path: Path) -> None:
    """Every choice of the panel reaches the worker; a label map and no region at all are both possible."""
    import SimpleITK as sitk
    import slicer

    sent: list[tuple[str, dict[str, Any]]] = []

    class Recorder:
        busy = False

        def submit(self, job: str, parameters: dict[str, Any], listener: Any, *, background: bool = False) -> None:
            sent.append((job, parameters))

        def cancel(self) -> None: ...

        def close(self) -> None: ...

    case.widget.logic.worker = Recorder()
    parameters = case.widget._parameters
    table = tmp_path / "covariates.csv"
    case.ui.covariatesPath.currentPath = str(table)
    case.ui.deviceCombo.currentIndex = 1
    case.ui.explainCheckBox.checked = False
    case.ui.measureCheckBox.checked = True
    case.ui.alignmentCombo.currentIndex = 1
    case.ui.allowOtherRoiCheckBox.checked = True
    label_map = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "label map")
    logic = slicer.modules.segmentations.logic()
    assert logic.ExportAllSegmentsToLabelmapNode(
        parameters.roi, label_map, slicer.vtkSegmentation.EXTENT_UNION_OF_SEGMENTS
    )
    parameters.roi = label_map
    assert not case.ui.segmentCombo.enabled
    case.ui.scoreButton.click()
    kind, job = sent.pop()
    assert kind == "score"
    assert (job["device"], job["explain"], job["allow_other_roi"]) == ("cpu", False, True)
    assert (job["measure"], job["alignment"], job["confirm_identity"], job["supplied"]) == (True, "correct", False, {})
    assert (job["covariates"], job["bundle"]) == (str(table), "demonstration")
    assert sitk.GetArrayFromImage(sitk.ReadImage(job["roi"])).sum() == 4 * 8 * 7
    assert not Path(job["out"]).exists()
    case.widget.parts.run_panel.show_idle()
    parameters.roi = None
    case.ui.scoreButton.click()
    assert sent.pop()[1]["roi"] is None
