"""The review list: cases opened one after the other, their masks and results kept, the next made ready meanwhile."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from MemorySurvivalLib.worklist.status import read_status


class LibraryWorker:
    """Does the short jobs with the library itself, without a process; remembers the long ones for the test to end."""

    busy = False
    SHORT = ("worklist", "mark_case", "choose_series")
    LONG = ("prepare_case", "batch")

    def __init__(self) -> None:
        self.long: list[tuple[str, dict[str, Any], Any, bool]] = []
        self.cancelled = 0
        self._warm: Any = None

    def submit(self, job: str, parameters: dict[str, Any], listener: Any, *, background: bool = False) -> None:
        from MemorySurvivalPanels.worker_protocol import Failure

        if job in self.LONG:
            self.long.append((job, parameters, listener, background))
        if job not in self.SHORT:
            return  # what other parts of the panel ask for is not of interest here
        # Asked for each time: a test of reloading may have brought in the library anew.
        find_job = importlib.import_module("MemorySurvivalLib.jobs").find_job
        context = importlib.import_module("MemorySurvivalLib.jobs.context")
        self._warm = self._warm or context.Warm()
        errors = importlib.import_module("MemorySurvivalLib.errors")
        try:
            output = find_job(job)(parameters, context.JobContext(lambda event: None, listener.job_noted, self._warm))
        except errors.MemorySurvivalError as error:
            listener.job_failed(Failure(str(error), type(error).__name__, error.details))
        else:
            listener.job_finished(output.result, output.files)

    def cancel(self) -> None: ...

    def cancel_background(self) -> None: ...

    def cancel_job(self, listener: Any) -> None:
        for job in [each for each in self.long if each[2] is listener]:
            self.cancelled += 1
            self.long.remove(job)
            listener.job_cancelled()

    def close(self) -> None: ...


def write_image(path: Path, voxels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = sitk.GetImageFromArray(voxels)
    image.SetSpacing((4.0, 4.0, 5.0))
    image.SetDirection((0, 1, 0, -1, 0, 0, 0, 0, 1))
    sitk.WriteImage(image, str(path))


@pytest.fixture
def cases(tmp_path: Path) -> Path:
    """Three cases, of which the second cannot be opened."""
    folder = tmp_path / "cases"
    for number, name in enumerate(("anna", "clara")):
        write_image(folder / name / "ct.nrrd", np.full((6, 8, 10), number, np.int16))
        write_image(folder / name / "pet.nrrd", np.full((6, 8, 10), number, np.float32))
    (folder / "berta").mkdir()
    return folder


@pytest.fixture
def room(panel: Any, cases: Path, tmp_path: Path) -> Any:
    """The panel with the list read."""
    panel.widget.logic.worker.close()
    panel.widget.logic.worker = LibraryWorker()
    panel.representation.select()
    panel.ui.reviewListPath.currentPath = str(cases)
    panel.ui.reviewOutPath.currentPath = str(tmp_path / "out")
    panel.ui.reviewReadButton.click()
    return panel


def texts(panel: Any, column: int) -> list[str]:
    table = panel.ui.reviewTable
    return [table.item(row, column).text() for row in range(table.rowCount)]


def open_case(panel: Any, row: int) -> None:
    panel.ui.reviewTable.setCurrentCell(row, 0)
    panel.ui.reviewOpenButton.click()


def add_mask(panel: Any, value: int = 1) -> Any:
    from scenes import add_segmentation

    ct = panel.widget._parameters.ct
    voxels = np.zeros((6, 8, 10), np.uint8)
    voxels[2:4, 2:5, 3:7] = value
    node = add_segmentation(voxels, ct, "drawn by hand", "spine")
    panel.widget._parameters.roi = node
    return node


def test_the_list_says_where_each_case_stands(room: Any) -> None:
    assert texts(room, 0) == ["anna", "berta", "clara"]
    assert texts(room, 1) == ["○ to do", "⚠ cannot be opened", "○ to do"]
    assert texts(room, 4)[1].endswith("holds neither DICOM nor a CT and a PET as image files.")
    assert room.ui.reviewNextLabel.text == "0 of 3 reviewed"
    open_case(room, 1)
    assert room.ui.messageLabel.text.endswith("holds neither DICOM nor a CT and a PET as image files.")
    assert room.widget._parameters.ct is None


def test_one_case_after_the_other(room: Any, tmp_path: Path) -> None:
    import slicer

    kept = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "the user's own")
    room.ui.reviewNextButton.click()
    marked = slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")[0]
    marked.SetAttribute("MemorySurvival.Overlay", "something")
    marked.SetBackgroundVolumeID(room.widget._parameters.ct.GetID())
    parameters = room.widget._parameters
    first = parameters.ct
    assert (first.GetName(), parameters.pet.GetName(), parameters.worklist_case) == ("CT anna", "PET anna", "anna")
    assert slicer.util.arrayFromVolume(first).max() == 0
    assert texts(room, 0)[0] == "▶ anna"
    # Meanwhile the next one that can be opened is made ready.
    (job, ahead, listener, background) = room.widget.logic.worker.long[-1]
    assert (job, background) == ("prepare_case", True)
    assert ahead["ct"].endswith("clara/ct.nrrd")
    assert ahead["masks"] == str(tmp_path / "out" / "prepared" / "clara")
    listener.job_finished({"slices": 3}, {})
    assert room.ui.reviewAheadLabel.text == "clara is ready."
    assert texts(room, 1)[2] == "◔ prepared"
    room.ui.reviewerEdit.text = "Dr A"
    room.ui.reviewDoneButton.click()
    assert (texts(room, 1)[0], texts(room, 3)[0]) == ("✓ reviewed", "Dr A")
    assert parameters.worklist_case == "clara"
    assert slicer.util.arrayFromVolume(parameters.ct).max() == 1
    assert first.GetScene() is None
    assert kept.GetScene() is not None
    assert marked.GetScene() is not None  # a view in which something of the module lay
    assert read_status(tmp_path / "out").of("anna").reviewer == "Dr A"
    room.ui.reviewDoneButton.click()
    assert room.ui.messageLabel.text == "There is no other case to review in this list."
    assert "✓ done" in room.ui.reviewSection.text


def test_tomorrow_goes_on_where_today_ended(room: Any, cases: Path, tmp_path: Path) -> None:
    import slicer

    room.ui.reviewNextButton.click()
    add_mask(room)
    room.ui.reviewDoneButton.click()
    slicer.mrmlScene.Clear()
    assert texts(room, 0) == []
    assert not room.ui.reviewNextButton.enabled
    room.ui.reviewListPath.currentPath = str(cases)
    room.ui.reviewOutPath.currentPath = str(tmp_path / "out")
    room.ui.reviewReadButton.click()
    assert texts(room, 1) == ["✓ reviewed", "⚠ cannot be opened", "○ to do"]
    room.ui.reviewNextButton.click()
    assert room.widget._parameters.ct.GetName() == "CT clara"


def test_a_drawn_mask_is_kept_and_comes_back(room: Any, cases: Path, tmp_path: Path) -> None:
    import slicer

    open_case(room, 0)
    drawn = add_mask(room)
    room.ui.reviewDoneButton.click()
    assert (tmp_path / "out" / "masks" / "anna.seg.nrrd").is_file()
    open_case(room, 0)
    parameters = room.widget._parameters
    assert parameters.roi is not drawn
    assert parameters.roi.GetStorageNode() is None
    voxels = slicer.util.arrayFromSegmentBinaryLabelmap(parameters.roi, parameters.segment_id, parameters.ct)
    assert voxels.sum() == 2 * 3 * 4
    assert voxels[2, 2, 3] == 1


@pytest.mark.parametrize(
    ("answer", "case", "kept"), [("keep", "clara", True), ("discard", "clara", False), ("stay", "anna", False)]
)
def test_a_changed_mask_is_asked_about(room: Any, tmp_path: Path, answer: str, case: str, kept: bool) -> None:
    import slicer

    asked = []
    room.widget.parts.review.ask_mask = lambda name: asked.append(name) or answer
    open_case(room, 0)
    node = add_mask(room)
    voxels = np.zeros((6, 8, 10), np.uint8)
    voxels[1, 1, 1] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(voxels, node, "spine", room.widget._parameters.ct)
    open_case(room, 2)
    assert asked == ["anna"]
    assert room.widget._parameters.worklist_case == case
    assert (tmp_path / "out" / "masks" / "anna.seg.nrrd").is_file() == kept


def test_results_of_the_open_case_are_kept(room: Any, tmp_path: Path) -> None:
    open_case(room, 0)
    source = tmp_path / "scratch" / "result"
    source.mkdir(parents=True)
    (source / "report.html").write_text("one")
    review: Callable[..., None] = room.widget.parts.review.case_scored
    ct = room.widget._parameters.ct
    review(None, {"log_risk": 9.0}, {"report": str(source / "report.html")})
    assert not (tmp_path / "out" / "anna").exists()  # somebody else's image
    review(ct, {"log_risk": 0.25}, {"report": str(source / "report.html")})
    assert (tmp_path / "out" / "anna" / "report.html").read_text() == "one"
    (source / "report.html").write_text("two")
    review(ct, {"log_risk": 0.5}, {"report": str(source / "report.html")})
    assert [each.name for each in (tmp_path / "out").iterdir() if each.name.startswith(".")] == []
    assert (tmp_path / "out" / "anna" / "report.html").read_text() == "two"
    assert (texts(room, 1)[0], texts(room, 2)[0]) == ("◑ scored", "+0.500")
    assert read_status(tmp_path / "out").of("anna").log_risk == 0.5


def test_a_case_that_cannot_be_read_is_left_behind(room: Any, cases: Path) -> None:
    open_case(room, 0)
    ct = room.widget._parameters.ct
    (cases / "clara" / "pet.nrrd").unlink()
    room.ui.reviewNextButton.click()
    assert room.ui.messageLabel.text.endswith("pet.nrrd cannot be opened; see that the file is there and whole.")
    assert room.widget._parameters.ct is ct
    assert texts(room, 1)[2] == "⚠ failed"


def test_opening_another_case_ends_working_ahead(room: Any) -> None:
    open_case(room, 0)
    worker = room.widget.logic.worker
    assert [job[0] for job in worker.long] == ["prepare_case"]
    open_case(room, 2)
    assert worker.cancelled == 1
    assert len(worker.long) == 1
    assert worker.long[0][1]["ct"].endswith("anna/ct.nrrd")
    assert "could not" not in room.ui.reviewAheadLabel.text


def test_the_list_runs_unattended(room: Any, tmp_path: Path) -> None:
    room.ui.reviewBatchButton.click()
    job, parameters, listener, background = room.widget.logic.worker.long[-1]
    assert (job, background, parameters["out"]) == ("batch", False, str(tmp_path / "out"))
    assert parameters["options"]["bundle"] == "demonstration"
    assert not room.ui.reviewNextButton.enabled
    listener.job_finished({"done": 2, "failed": 1, "skipped": 0}, {"table": "results.csv"})
    assert room.ui.messageLabel.text == "Scored 2, failed 1, already there 0; the table is results.csv."
    assert room.ui.reviewNextButton.enabled


def test_a_list_that_is_none(room: Any, tmp_path: Path) -> None:
    room.ui.reviewListPath.currentPath = str(tmp_path / "gone")
    assert not room.ui.reviewNextButton.enabled  # the table is of another list
    room.ui.reviewReadButton.click()
    assert (
        room.ui.messageLabel.text
        == f"There is no worklist {tmp_path / 'gone'}; give a folder of case folders or a CSV file."
    )


def test_the_selection_of_the_dicom_browser(room: Any, tmp_path: Path) -> None:
    import types

    import slicer
    from dicom_nodes import write_study
    from slicer_host.dicom_database import DicomDatabase

    ct, pet = write_study(tmp_path / "dicom")
    slicer.dicomDatabase = DicomDatabase([*ct, *pet])
    (tmp_path / "out").mkdir()
    room.ui.reviewDicomButton.click()
    assert texts(room, 0) == ["case-001"]
    open_case(room, 0)
    parameters = room.widget._parameters
    assert len(parameters.ct.GetAttribute("DICOM.instanceUIDs").split()) == len(ct)
    assert len(parameters.pet.GetAttribute("DICOM.instanceUIDs").split()) == len(pet)
    # Only what is selected in the browser, where something is.
    slicer.modules.DICOMInstance = types.SimpleNamespace(browserWidget=types.SimpleNamespace(fileLists=[[str(ct[0])]]))
    room.ui.reviewDicomButton.click()
    assert room.ui.messageLabel.text == "No study with a CT and a PET is selected in the DICOM browser."
    del slicer.modules.DICOMInstance


def test_a_folder_of_dicom_is_imported_and_opened(room: Any, tmp_path: Path) -> None:
    from dicom_nodes import write_study

    write_study(tmp_path / "studies" / "dora")
    room.ui.reviewListPath.currentPath = str(tmp_path / "studies")
    room.ui.reviewReadButton.click()
    open_case(room, 0)
    assert room.widget._parameters.ct.GetName() == "CT dora"
    assert room.ui.petSourceLabel.text == "PET: SUVbw from DICOM tags"
