"""A reader study in the panel: no way to the score before the own estimate, then both; all of it survives saving."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from MemorySurvivalLib.reader_study.events import find_reading, read_events, reader_file
from MemorySurvivalLib.reader_study.study import Question, ReaderStudy, make_study

LOG_RISK = 0.4213
READER_JOBS = ("reader_state", "reader_open", "reader_estimate", "reader_reveal", "reader_leave")


@pytest.fixture
def room(panel: Any, tmp_path: Path) -> Any:
    """A scored case in the scene, with its heatmap in the views, and a study of two cases beside it."""
    from measured_result import make_measurements, make_result, write_files
    from scenes import add_small_case
    from test_review_list import LibraryWorker
    from test_scored_cases import write_heatmap

    class Worker(LibraryWorker):
        SHORT = (*LibraryWorker.SHORT, *READER_JOBS)
        LONG = ("score", "explain", "stability", "batch")

    import slicer

    slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSliceCompositeNode", "a view")
    parameters = panel.widget._parameters
    parameters.ct, parameters.pet, parameters.roi = add_small_case()
    panel.widget.logic.worker.close()
    panel.widget.logic.worker = Worker()
    panel.representation.select()
    panel.widget.parts.watch._timer.setInterval(10)
    (tmp_path / "run").mkdir()

    def finish() -> None:
        result = {**make_result(measurements=make_measurements()), "log_risk": LOG_RISK, "position": 0.62}
        result["heatmap"] = {"unit": "change of log-risk", "limit": 0.25}
        heatmap = write_heatmap(tmp_path / "run")
        files = {**write_files(tmp_path / "run"), "heatmap": str(heatmap)}
        panel.widget.parts.score.job_finished(result, files)

    panel.finish = finish
    panel.ui.scoreButton.click()
    finish()
    panel.study = tmp_path / "study"
    make_study(panel.study, ReaderStudy("Trial", "group", ("one", "two")))
    panel.ui.readerSection.collapsed = False
    return panel


def switch_on(room: Any) -> None:
    room.ui.readerFolderPath.currentPath = str(room.study)
    room.ui.readerNameEdit.text = "anna"
    room.ui.readerNameEdit.editingFinished.emit()
    room.ui.readerSwitch.click()


def begin(room: Any, case: str = "one") -> None:
    combo = room.ui.readerCaseCombo
    combo.currentIndex = combo.findData(case)
    room.ui.readerBeginButton.click()


def answer(room: Any, group: str = "high", confidence: int = 4) -> None:
    for combo, value in ((room.ui.readerGroupCombo, group), (room.ui.readerConfidenceCombo, confidence)):
        combo.currentIndex = combo.findData(value)
        combo.activated.emit(combo.currentIndex)
    room.ui.readerLockButton.click()
    for _ in range(5):
        room.application.processEvents()


def reading(room: Any, case: str = "one") -> Any:
    return find_reading(read_events(reader_file(room.study, "anna")), 1, case, "anna")


def words(room: Any) -> Iterator[str]:
    """Everything in words that a person can see or hear in the panel, and every text of the scene."""
    import slicer
    from PySide6 import QtWidgets

    for widget in room.representation.findChildren(QtWidgets.QWidget):
        if not widget.isVisibleTo(room.representation):
            continue
        for name in ("toolTip", "accessibleDescription", "text", "title"):
            said = widget.property(name)
            yield said if isinstance(said, str) else ""
        if isinstance(widget, QtWidgets.QTableWidget):
            for row, column in itertools.product(range(widget.rowCount), range(widget.columnCount)):
                item = widget.item(row, column)
                if item is not None and not widget.isColumnHidden(column):
                    yield from (item.text(), item.toolTip())
        if isinstance(widget, QtWidgets.QComboBox):
            yield from (widget.itemText(index) for index in range(widget.count))
    for node in slicer.util.getNodes("*", useLists=True).values():
        for each in node:
            yield each.GetName() or ""
            yield from (each.GetAttribute(name) or "" for name in each.GetAttributeNames())
            if each.IsA("vtkMRMLTextNode"):
                yield each.GetText() or ""


def tells_the_score(room: Any) -> list[str]:
    tells = ("0.421", "0,421", "log_risk", "62 %", "62%", "+0.42")
    return [text for text in words(room) if any(one in text for one in tells)]


def maps() -> list[Any]:
    import slicer

    nodes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
    return [node for node in nodes if node.GetName().startswith("Heatmap")]


def layers() -> set[str | None]:
    import slicer

    views = slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")
    return {each for view in views for each in (view.GetBackgroundVolumeID(), view.GetForegroundVolumeID())}


def test_the_search_finds_a_score_that_is_shown(room: Any) -> None:
    assert tells_the_score(room), "or the tests below could not fail"
    assert maps()[0].GetID() in layers()


def test_nothing_tells_the_score_before_the_estimate(room: Any) -> None:
    heatmap = maps()[0]
    before = np.array(room_voxels(heatmap))
    switch_on(room)
    for case in (None, "one"):
        if case:
            begin(room, case)
        assert tells_the_score(room) == []
        assert not room.ui.resultFrame.isVisible() and room.widget.parts.result.case is None
        assert heatmap.GetID() not in layers() and room.widget._parameters.heatmap is None
        assert heatmap.GetHideFromEditors()
        assert not room.ui.scoreButton.enabled and "own estimate" in room.ui.scoreButton.toolTip
        assert room.widget.parts.result.report is None
    voxels = room_voxels(heatmap)
    assert not np.array_equal(voxels, before) and np.array_equal(np.sort(voxels, axis=None), np.sort(before, axis=None))
    assert reading(room).blind and reading(room).opened


def room_voxels(node: Any) -> Any:
    import slicer

    return slicer.util.arrayFromVolume(node).copy()


def test_no_job_that_could_tell_a_score_runs(room: Any) -> None:
    switch_on(room)
    begin(room)
    failures: list[Any] = []

    class Listener:
        job_failed = staticmethod(failures.append)
        job_noted = staticmethod(print)

    asked = len(room.widget.logic.worker.long)
    jobs = ("score", "explain", "stability", "batch", "replay", "compare", "overview", "a job of tomorrow")
    for job in jobs:
        room.widget.parts.score._desk.worker().submit(job, {}, Listener())
    assert [each.kind for each in failures] == ["ReaderStudy"] * len(jobs)
    assert len(room.widget.logic.worker.long) == asked


def test_scores_of_other_cases_wait_until_the_study_is_off(room: Any) -> None:
    """After the estimate of one case it may be run again, but a page of several would tell of those to come."""
    room.widget._parameters.worklist_out = str(room.study)
    switch_on(room)
    begin(room)
    answer(room)
    assert not room.widget.parts.reader_study.covered
    failures: list[Any] = []

    class Listener:
        job_failed = staticmethod(failures.append)

    submit = room.widget.parts.score._desk.worker().submit
    for job in ("compare", "overview", "replay"):
        submit(job, {}, Listener())
    assert [each.kind for each in failures] == ["ReaderStudy"] * 2 and "other cases" in failures[0].sentence
    assert not room.ui.reviewOverviewButton.enabled and "other cases" in room.ui.reviewOverviewButton.toolTip
    room.ui.readerSwitch.click()
    assert room.ui.reviewOverviewButton.enabled
    submit("overview", {}, Listener())
    assert len(failures) == 2


def test_the_form_of_findings_is_covered_with_its_result_and_its_suggestions_tell_no_score(room: Any) -> None:
    """Suggestions are made of measurements alone; before the estimate nobody sees them."""
    from MemorySurvivalPanels.reader_study_gate import ALLOWED

    asked: list[tuple[str, Any]] = []
    worker = room.widget.logic.worker
    submit = worker.submit
    worker.submit = lambda job, given, *rest, **words: (asked.append((job, given)), submit(job, given, *rest, **words))
    worker.SHORT = (*worker.SHORT, "reading_prefill")
    room.finish()
    asked.clear()
    room.ui.findingsSection.collapsed = False
    assert room.ui.findingsFrame.isVisibleTo(room.representation), "or the test could not fail"
    switch_on(room)
    begin(room)
    assert not room.ui.findingsFrame.isVisibleTo(room.representation)
    assert room.ui.findingsNextLabel.text == "The form comes with the result."
    assert room.widget.parts.findings.findings() is None and tells_the_score(room) == []
    assert "reading_prefill" not in [job for job, _given in asked]
    answer(room)
    assert room.ui.findingsFrame.isVisibleTo(room.representation)
    (given,) = [given for job, given in asked if job == "reading_prefill"]
    assert set(given) == {"measurements"} and str(LOG_RISK) not in str(given)
    assert "reading_prefill" in ALLOWED and {"export", "report"}.isdisjoint(ALLOWED)


def test_a_stability_that_is_being_checked_is_given_up_when_its_result_is_covered(room: Any) -> None:
    room.ui.stabilityButton.click()
    (job,) = [each for each in room.widget.logic.worker.long if each[0] == "stability"]
    switch_on(room)
    begin(room)
    assert not any(each[0] == "stability" for each in room.widget.logic.worker.long)
    job[2].job_finished({"verdict": "stable", "lowest": 0.4213, "highest": 0.4213, "log_risk": 0.4213}, {})
    assert tells_the_score(room) == []


def test_what_running_again_has_shown_is_covered_too(room: Any) -> None:
    more = room.widget.parts.more
    more._replayed = (room.widget.parts.result.case.node.GetID(), "Different: log-risk 0.4213.")
    more.update()
    assert room.ui.resultMoreLabel.text
    switch_on(room)
    assert room.ui.resultMoreLabel.text == "" and not room.ui.resultMoreButton.enabled


def test_the_lists_column_of_scores_is_hidden_while_the_study_is_on(room: Any) -> None:
    switch_on(room)
    assert room.ui.reviewTable.isColumnHidden(2) and room.ui.reviewTable.isColumnHidden(4)
    room.ui.readerSwitch.click()
    assert not room.ui.reviewTable.isColumnHidden(2)


def test_a_result_that_arrives_meanwhile_is_covered_at_once(room: Any) -> None:
    from MemorySurvivalPanels.score_run import Scored

    switch_on(room)
    begin(room)
    room.widget.parts.score.scored = Scored.chosen(room.widget._parameters)
    room.finish()
    room.widget.onParametersChanged()
    assert tells_the_score(room) == []
    assert {node.GetID() for node in maps()}.isdisjoint(layers())


def test_the_estimate_uncovers_the_score_and_both_are_kept(room: Any) -> None:
    heatmap = maps()[0]
    before = room_voxels(heatmap)
    switch_on(room)
    begin(room)
    answer(room)
    kept = reading(room)
    assert (kept.first.group, kept.first.confidence) == ("high", 4)
    assert kept.model.log_risk == LOG_RISK and kept.model.position == 0.62 and kept.revealed_at
    assert room.ui.resultFrame.isVisible() and "0.421" in room.ui.logRiskValue.text
    assert np.array_equal(room_voxels(heatmap), before) and not heatmap.GetHideFromEditors()
    assert "Your estimate: high (4 sure)" in room.ui.readerAnswerLabel.text
    assert "+0.421" in room.ui.readerAnswerLabel.text
    assert room.ui.readerLockButton.text == "Lock in my second estimate"
    answer(room, "low", 5)
    kept = reading(room)
    assert (kept.first.group, kept.final.group) == ("high", "low")
    assert not room.ui.readerLockButton.isVisible(), "locked in for good"


def test_without_a_score_in_the_scene_the_reader_scores_after_the_estimate(room: Any) -> None:
    import slicer
    from MemorySurvivalPanels.scored_cases import RESULT

    for node in slicer.util.getNodesByClass("vtkMRMLTextNode"):
        if node.GetAttribute(RESULT) is not None:
            slicer.mrmlScene.RemoveNode(node)
    switch_on(room)
    begin(room)
    answer(room)
    assert "Press Score" in room.ui.messageLabel.text and room.ui.scoreButton.enabled
    assert not reading(room).revealed_at
    room.ui.scoreButton.click()
    room.finish()
    assert reading(room).model.log_risk == LOG_RISK
    assert "0.421" in room.ui.logRiskValue.text


def test_the_next_case_is_covered_again(room: Any) -> None:
    from scenes import add_small_case

    switch_on(room)
    begin(room)
    answer(room)
    assert not room.widget.parts.reader_study.covered
    parameters = room.widget._parameters
    parameters.ct, parameters.pet, parameters.roi = add_small_case()
    assert room.widget.parts.reader_study.covered, "other images than those of the case"
    begin(room, "two")
    assert room.widget.parts.reader_study.covered and not room.ui.scoreButton.enabled


def test_leaving_is_asked_about_and_recorded(room: Any) -> None:
    asked: list[bool] = []
    room.widget.parts.reader_study.ask_leave = lambda: bool(asked.append(True)) or len(asked) > 1
    switch_on(room)
    begin(room)
    room.ui.readerSwitch.click()
    assert room.ui.readerSwitch.checked and tells_the_score(room) == []
    room.ui.readerSwitch.click()
    assert reading(room).left and not room.ui.readerSwitch.checked
    assert "0.421" in room.ui.logRiskValue.text


def test_a_saved_scene_stays_covered_and_gives_the_score_back(room: Any, tmp_path: Path) -> None:
    from mrml_bundles import open_bundle, save_bundle

    switch_on(room)
    begin(room)
    save_bundle(tmp_path / "case.mrb")
    open_bundle(tmp_path / "case.mrb")
    room.widget.initializeParameterNode()
    assert room.widget._parameters.reader_study and room.widget._parameters.reader_case == "one"
    assert tells_the_score(room) == [] and room.widget.parts.reader_study.covered
    answer(room)
    assert reading(room).model.log_risk == LOG_RISK
    assert "0.421" in room.ui.logRiskValue.text


def test_an_older_scene_of_a_case_that_was_estimated_since_shows_the_score(room: Any, tmp_path: Path) -> None:
    from mrml_bundles import open_bundle, save_bundle

    switch_on(room)
    begin(room)
    save_bundle(tmp_path / "case.mrb")
    answer(room)
    open_bundle(tmp_path / "case.mrb")
    room.widget.initializeParameterNode()
    room.wait_until(lambda: "0.421" in room.ui.logRiskValue.text and room.ui.resultFrame.isVisible())
    assert [event.event for event in read_events(reader_file(room.study, "anna"))].count("revealed") == 1


def test_a_folder_without_a_study_covers_all_the_same(room: Any, tmp_path: Path) -> None:
    room.study = tmp_path / "nothing"
    switch_on(room)
    assert "study.json" in room.ui.readerNextLabel.text
    assert room.widget.parts.reader_study.covered and tells_the_score(room) == []


@pytest.mark.parametrize("question", ["percentile"])
def test_percentiles_are_asked_where_the_study_asks_for_them(room: Any, tmp_path: Path, question: Question) -> None:
    room.study = tmp_path / "other"
    make_study(room.study, ReaderStudy("Trial", question, ("one",), ask_again=False))
    switch_on(room)
    begin(room)
    assert room.ui.readerPercentileSpin.isVisible() and not room.ui.readerGroupCombo.isVisible()
    room.ui.readerConfidenceCombo.currentIndex = 3
    assert not room.ui.readerLockButton.enabled
    room.ui.readerPercentileSpin.value = 70
    assert room.ui.readerLockButton.enabled
    room.ui.readerLockButton.click()
    room.application.processEvents()
    assert reading(room).first.percentile == 70.0
    assert not room.ui.readerLockButton.isVisible()


def test_what_was_recorded_names_no_file(room: Any) -> None:
    switch_on(room)
    begin(room)
    answer(room)
    lines = reader_file(room.study, "anna").read_text().splitlines()
    assert [json.loads(line)["event"] for line in lines] == ["opened", "first", "revealed"]
    assert str(room.study) not in "".join(lines)
