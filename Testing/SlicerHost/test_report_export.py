"""The dialog "Export": what it means is said before, nothing is sent or overwritten unasked, the outbox is in sight."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

NODE = {
    "kind": "dimse",
    "name": "PACS",
    "host": "127.0.0.1",
    "port": 1,
    "called_aet": "ARCHIVE",
    "address": "ARCHIVE at 127.0.0.1 port 1",
}
WEB = {"kind": "dicomweb", "name": "Web", "url": "https://pacs.example.org/web", "address": "pacs.example.org/web"}


class Case:
    """The panel with a result, and a worker that only remembers."""

    def __init__(self, panel: Any, folder: Path) -> None:
        import measured_result
        from dicom_nodes import Recorder
        from scenes import add_small_case

        self.panel, self.ui, self.widget = panel, panel.ui, panel.widget
        parameters = panel.widget._parameters
        parameters.ct, parameters.pet, _roi = add_small_case()
        panel.widget.logic.worker = self.worker = Recorder()
        self.ui.reportSection.collapsed = False
        result = measured_result.make_result(measurements=measured_result.make_measurements())
        self.ui.scoreButton.click()
        panel.widget.parts.score.job_finished(result, measured_result.write_files(folder))
        self.report = panel.widget.parts.report

    def open(self) -> Any:
        """Open the dialog, with two nodes defined."""
        self.ui.exportButton.click()
        self.report.dialog.take_nodes([NODE, WEB])
        return self.report.dialog.ui

    def answer(self, job: str, result: dict[str, Any]) -> None:
        """End the last background question of a kind."""
        (asked,) = [each for each in self.worker.asked if each[0] == job][-1:]
        self.worker.asked.remove(asked)
        asked[2].job_finished(result, {})


@pytest.fixture
def case(panel: Any, tmp_path: Path) -> Case:
    return Case(panel, tmp_path)


@pytest.fixture
def dicom_case(panel: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Case:
    """The same, with a CT whose DICOM files are at hand."""
    from MemorySurvivalPanels import report_job, report_panel

    (tmp_path / "slice.dcm").write_bytes(b"DICM")
    for module in (report_job, report_panel):
        monkeypatch.setattr(module, "dicom_file", lambda node: tmp_path / "slice.dcm")
    return Case(panel, tmp_path)


def choose(combo: Any, value: str) -> None:
    combo.currentIndex = combo.findData(value)
    combo.activated.emit(combo.currentIndex)


def test_without_a_result_there_is_nothing_to_export(panel: Any) -> None:
    panel.ui.reportSection.collapsed = False
    assert not panel.ui.exportButton.enabled and panel.ui.exportButton.isVisible()
    assert not panel.ui.reportFolderButton.isVisible() and not panel.ui.resendButton.isVisible()


def test_the_export_goes_to_the_worker_as_chosen(case: Case, tmp_path: Path) -> None:
    dialog = case.open()
    assert dialog.exportNoneRadio.checked and dialog.exportStartButton.enabled
    assert "Research use only" in dialog.exportResearchLabel.text
    dialog.exportPdfCheck.checked = True
    choose(dialog.exportPaperCombo, "letter")
    dialog.exportFolderEdit.text = str(tmp_path / "out")
    dialog.exportStartButton.click()
    kind, job, _listener = case.worker.sent[-1]
    assert kind == "export" and case.ui.cancelButton.enabled
    assert (job["out"], job["formats"], job["paper"]) == (str(tmp_path / "out"), ["html", "pdf"], "letter")
    assert (job["identity"], job["node"], job["objects"], job["overwrite"]) == ("none", None, [], False)
    assert (Path(job["folder"]) / "report.html").is_file()
    assert job["findings"]["reviewed_lesions"] == []


def test_what_the_worker_is_told_is_what_it_understands(dicom_case: Case, tmp_path: Path) -> None:
    from MemorySurvivalLib.jobs.context import convert
    from MemorySurvivalLib.jobs.export import ExportJob

    dialog = dicom_case.open()
    for box in (dialog.exportSegCheck, dialog.exportSrCheck, dialog.exportScCheck, dialog.exportVolumesCheck):
        box.checked = True
    dialog.exportPseudonymRadio.checked = True
    dialog.exportPseudonymEdit.text = "CASE-9"
    dialog.exportHeadCheck.checked = True
    choose(dialog.exportNodeCombo, "PACS")
    dialog.exportStartButton.click()
    request = convert(msgspec.json.decode(msgspec.json.encode(dicom_case.worker.job)), ExportJob)
    assert request.objects == ("seg", "sr", "sc") and request.node == "PACS" and request.volumes
    assert (request.identity, request.pseudonym) == ("pseudonym", "CASE-9")
    assert request.leave_head_out and request.ct is not None and request.ct.is_file()
    assert request.sources is not None and request.sources.ct == request.ct


def test_tables_and_the_record_can_be_chosen(case: Case, tmp_path: Path) -> None:
    from MemorySurvivalLib.jobs.context import convert
    from MemorySurvivalLib.jobs.export import ExportJob

    dialog = case.open()
    dialog.exportHtmlCheck.checked = False
    assert not dialog.exportStartButton.enabled
    dialog.exportTablesCheck.checked = dialog.exportRecordCheck.checked = True
    assert dialog.exportStartButton.enabled
    assert dialog.exportSummaryLabel.text.startswith("Written: measurements, record and pictures.")
    assert "the face" in dialog.exportSummaryLabel.text, "the record's pictures"
    dialog.exportStartButton.click()
    request = convert(msgspec.json.decode(msgspec.json.encode(case.worker.job)), ExportJob)
    assert (request.formats, request.volumes, request.tables, request.record) == ((), False, True, True)


def test_what_was_not_measured_has_no_tables(case: Case) -> None:
    case.widget.parts.result.case.result.pop("measurements")
    assert not case.open().exportTablesCheck.enabled


def test_images_that_are_no_dicom_cannot_be_named_or_referred_to(case: Case) -> None:
    dialog = case.open()
    assert not dialog.exportIdentifiedRadio.enabled
    for box in (dialog.exportSegCheck, dialog.exportSrCheck, dialog.exportPmCheck):
        assert not box.enabled
    assert dialog.exportScCheck.enabled and "is not DICOM" in dialog.exportObjectsLabel.text


def test_what_is_sent_to_whom_is_said_before(dicom_case: Case) -> None:
    dialog = dicom_case.open()
    assert "Sent" not in dialog.exportSummaryLabel.text
    choose(dialog.exportNodeCombo, "PACS")
    assert "at least one kind of DICOM object" in dialog.exportProblemLabel.text
    assert not dialog.exportStartButton.enabled
    dialog.exportScCheck.checked = True
    assert "never sent" in dialog.exportProblemLabel.text and not dialog.exportStartButton.enabled
    dialog.exportSegCheck.checked = True
    dialog.exportIdentifiedRadio.checked = True
    said = dialog.exportSummaryLabel.text
    assert "ARCHIVE at 127.0.0.1" in said and "with the patient's name and number" in said
    assert "its risk stays here" in said and dialog.exportStartButton.enabled
    dialog.exportNoneRadio.checked = True
    assert "naming nobody" in dialog.exportSummaryLabel.text and "the face" in dialog.exportSummaryLabel.text


def test_a_token_is_asked_for_where_it_is_needed_and_forgotten(dicom_case: Case) -> None:
    dialog = dicom_case.open()
    assert not dialog.exportTokenEdit.isVisible()
    choose(dialog.exportNodeCombo, "Web")
    assert dialog.exportTokenEdit.isVisible()
    dialog.exportTokenEdit.text = "secret"
    dialog.exportSegCheck.checked = True
    dialog.exportStartButton.click()
    assert dicom_case.worker.job["token"] == "secret"
    dicom_case.worker.sent[-1][2].job_finished({"folder": None, "files": [], "sent": None}, {})
    again = dicom_case.open()
    assert again.exportTokenEdit.text == "" and again.exportSegCheck.checked  # the rest is kept while Slicer runs
    assert again.exportNodeCombo.itemData(again.exportNodeCombo.currentIndex) == "Web"
    assert again.exportPseudonymEdit.text == ""


def test_an_existing_folder_is_replaced_only_when_asked(case: Case, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "x.txt").write_text("x")
    asked: list[str] = []
    for answer in (False, True):
        dialog = case.open()
        dialog.exportFolderEdit.text = str(tmp_path / "out")
        case.report.dialog.ask_to_replace = lambda folder, answer=answer: asked.append(folder) or answer
        dialog.exportStartButton.click()
        assert [kind for kind, _job, _listener in case.worker.sent].count("export") == int(answer)
    assert asked == [str(tmp_path / "out")] * 2 and case.worker.job["overwrite"] is True


def test_nothing_chosen_is_told(case: Case) -> None:
    dialog = case.open()
    dialog.exportHtmlCheck.checked = False
    assert "at least one file" in dialog.exportProblemLabel.text
    dialog.exportFolderCheck.checked = False
    assert "a folder, a DICOM node, or both" in dialog.exportProblemLabel.text
    assert not dialog.exportStartButton.enabled and not dialog.exportFolderEdit.enabled
    dialog.exportFolderCheck.checked = True
    dialog.exportFolderEdit.text = " "
    assert "into which folder" in dialog.exportProblemLabel.text


def test_afterwards_it_is_told_and_the_folder_opens(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    import qt

    opened: list[str] = []
    monkeypatch.setattr(qt.QDesktopServices, "openUrl", lambda url: opened.append(url.toLocalFile()))
    case.open().exportStartButton.click()
    told = {"folder": "/made", "files": ["report.html"], "left_out": ["No heatmap."], "notes": [], "sent": None}
    case.worker.sent[-1][2].job_finished(told, {})
    said = case.ui.reportDoneLabel.text
    assert "Written into /made: report.html." in said and "No heatmap." in said
    case.ui.reportFolderButton.click()
    assert opened == ["/made"]
    assert "The export is done" in case.ui.messageLabel.text
    assert not Path(case.worker.job["folder"]).exists()


def test_what_was_written_of_one_result_does_not_stand_beside_another(case: Case) -> None:
    from dataclasses import replace

    import slicer

    case.open().exportStartButton.click()
    told = {"folder": "/made", "files": ["report.html"], "left_out": [], "notes": [], "sent": None}
    case.worker.sent[-1][2].job_finished(told, {})
    case.report.update()
    assert case.ui.reportDoneLabel.isVisible()
    results = case.report._result_panel
    results.case = replace(results.case, node=slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTextNode"))
    case.report.update()
    assert not case.ui.reportDoneLabel.isVisible() and not case.ui.reportFolderButton.isVisible()


@pytest.mark.parametrize("end", ["failed", "cancelled"])
def test_an_export_that_ends_badly_leaves_the_panel_as_it_was(case: Case, end: str) -> None:
    from MemorySurvivalPanels.worker_protocol import Failure

    case.open().exportStartButton.click()
    listener = case.worker.sent[-1][2]
    listener.job_failed(Failure("No space is left.")) if end == "failed" else listener.job_cancelled()
    assert not case.ui.reportDoneLabel.isVisible() and case.ui.exportButton.enabled
    assert ("No space is left" in case.ui.messageLabel.text) == (end == "failed")


def test_what_waits_is_in_sight_sent_again_or_given_up(case: Case) -> None:
    case.report.enter()
    waiting = {"id": "1", "left": 2, "sentence": "0 of 2 objects are at PACS, 2 wait in the outbox."}
    case.answer("outbox", {"waiting": [waiting], "problems": ["The send 9 is damaged."]})
    assert "2 wait in the outbox" in case.ui.reportOutboxLabel.text and "damaged" in case.ui.reportOutboxLabel.text
    case.ui.resendButton.click()
    assert case.worker.sent[-1][:2] == ("resend", {}) and not case.ui.resendButton.enabled
    case.worker.sent[-1][2].job_finished({"sends": [waiting], "left": 2}, {})
    assert "2 wait in the outbox" in case.ui.messageLabel.text and case.ui.resendButton.enabled
    case.report.outbox.ask_to_discard = lambda count: count == 3
    case.ui.discardButton.click()
    assert not [each for each in case.worker.asked if each[0] == "discard_send"]
    case.report.outbox.ask_to_discard = lambda count: count == 2
    case.ui.discardButton.click()
    case.answer("discard_send", {"waiting": [], "problems": []})
    assert not case.ui.reportOutboxLabel.isVisible() and not case.ui.resendButton.isVisible()


def test_a_send_that_was_not_taken_is_a_problem(dicom_case: Case) -> None:
    dialog = dicom_case.open()
    dialog.exportSegCheck.checked = True
    choose(dialog.exportNodeCombo, "PACS")
    dialog.exportStartButton.click()
    sent = {"left": 1, "sentence": "0 of 1 objects are at PACS, 1 wait in the outbox. PACS refused the connection."}
    dicom_case.worker.sent[-1][2].job_finished({"folder": "/made", "files": ["a"], "sent": sent}, {})
    assert "refused the connection" in dicom_case.ui.messageLabel.text
    assert "refused the connection" in dicom_case.ui.reportDoneLabel.text
    assert [each for each in dicom_case.worker.asked if each[0] == "outbox"]


def test_a_closed_scene_takes_the_dialog_along(case: Case) -> None:
    import slicer

    case.open()
    window = case.report.dialog.window
    slicer.mrmlScene.Clear()
    assert not window.isVisible() and case.report.dialog is None
    case.answer("nodes", {"nodes": [NODE]})  # an answer that comes too late does no harm


def test_nodes_are_defined_checked_and_forgotten(case: Case) -> None:
    dialog = case.open()
    dialog.exportNodesButton.click()
    nodes = case.report.dialog.nodes_dialog
    ui = nodes.ui
    assert not ui.nodesCheckButton.enabled and ui.nodesList.count == 2
    ui.nodesNameEdit.text, ui.nodesHostEdit.text, ui.nodesPortEdit.text = "New", "10.0.0.1", "104"
    ui.nodesCalledEdit.text = "ARCHIVE"
    ui.nodesSaveButton.click()
    job, parameters, _listener = case.worker.asked[-1]
    assert job == "save_node" and parameters["replace"] is False
    from MemorySurvivalLib.jobs.context import convert
    from MemorySurvivalLib.jobs.sending import SaveRequest

    assert convert(parameters, SaveRequest).node.address == "ARCHIVE at 10.0.0.1 port 104"
    kept = {**parameters["node"], "address": "ARCHIVE at 10.0.0.1 port 104"}
    case.answer("save_node", {"nodes": [kept, NODE, WEB]})
    assert ui.nodesList.count == 3 and dialog.exportNodeCombo.findData("New") > 0
    ui.nodesCheckButton.click()
    assert "Asking New" in ui.nodesMessageLabel.text
    case.answer("check_node", {"name": "New"})
    assert ui.nodesMessageLabel.text == "New answers."
    nodes.ask_to_replace = lambda name: False
    before = len(case.worker.asked)
    ui.nodesSaveButton.click()
    assert len(case.worker.asked) == before  # a node of that name stays
    ui.nodesList.setCurrentRow(2)
    assert ui.nodesUrlEdit.text == WEB["url"] and ui.nodesUrlEdit.isVisible() and not ui.nodesHostEdit.isVisible()
    ui.nodesRemoveButton.click()
    assert case.worker.asked[-1][:2] == ("remove_node", {"name": "Web"})
    case.worker.asked[-1][2].job_failed(type("F", (), {"sentence": "There is no permission."})())
    assert "no permission" in ui.nodesMessageLabel.text
