"""The physician's findings: suggestions that never count unasked, ticks that stay with their result, staging scores."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

FITTING = {
    "lytic_group": "0",
    "fractures": ("none",),
    "paramedullary": ("none",),
    "extramedullary": ("none",),
    "extramedullary_deauville": "none",
    "marrow_deauville": "3",
    "focal_deauville": "5",
    "focal_sites": ("spine",),
    "focal_group": "1-3",
}


@pytest.fixture
def scored(panel: Any, tmp_path: Path) -> Any:
    """The panel with a case under way at a worker that only remembers; `finish` ends it with a measured result."""
    import measured_result
    from dicom_nodes import Recorder
    from scenes import add_small_case

    panel.widget._parameters.ct, panel.widget._parameters.pet, _roi = add_small_case()
    panel.widget.logic.worker = Recorder()
    panel.ui.findingsSection.collapsed = False

    def finish(*, measured: bool = True, answer: bool = True) -> None:
        panel.ui.scoreButton.click()
        measurements = measured_result.make_measurements() if measured else None
        result = measured_result.make_result(measurements=measurements)
        panel.widget.parts.score.job_finished(result, measured_result.write_files(tmp_path))
        if answer:
            answer_asks(panel)

    panel.finish = finish
    return panel


def answer_asks(panel: Any) -> int:
    """Let the library answer what is asked of the worker for the findings; how many questions there were."""
    from MemorySurvivalLib.jobs import find_job
    from MemorySurvivalLib.jobs.context import JobContext

    waiting = [each for each in panel.widget.logic.worker.asked if each[0] in ("reading_prefill", "staging")]
    for each in waiting:
        panel.widget.logic.worker.asked.remove(each)
        job, parameters, listener = each
        plain = msgspec.json.decode(msgspec.json.encode(parameters))
        output = find_job(job)(plain, JobContext(lambda event: None, lambda text: None))
        listener.job_finished(msgspec.json.decode(msgspec.json.encode(output.result)), {})
    return len(waiting)


def row(panel: Any, key: str) -> Any:
    return panel.widget.parts.findings.form.row(key)


def choose(panel: Any, key: str, answer: Any) -> None:
    """Click the answer, as a person does."""
    this = row(panel, key)
    if this.combo is not None:
        this.combo.currentIndex = 1 + list(this._choices).index(answer)
        return
    for choice in answer:
        this.boxes[choice].checked = True
    for choice, box in this.boxes.items():
        if choice not in answer:
            box.checked = False


def shown(panel: Any, key: str) -> Any:
    this = row(panel, key)
    if this.combo is not None:
        return this.combo.currentText
    return [choice for choice, box in this.boxes.items() if box.checked]


def fill_in(panel: Any, *, tick: bool = True) -> None:
    for key, answer in FITTING.items():
        choose(panel, key, answer)
        if tick:
            row(panel, key).tick.checked = True


def sign(panel: Any, name: str = "Dr Ada Röntgen") -> None:
    panel.ui.findingsReaderEdit.text = name
    panel.ui.findingsSignButton.click()


def see(panel: Any) -> None:
    """Have every row drawn, as scrolling down the section does."""
    panel.representation.grab()
    panel.application.processEvents()


def findings(panel: Any) -> Any:
    """What goes to the report, as the library takes it."""
    from MemorySurvivalLib.clinical.findings import convert_findings

    plain = panel.widget.parts.findings.findings()
    return convert_findings(msgspec.json.decode(msgspec.json.encode(plain)))


def test_without_a_result_there_is_no_form_but_staging(panel: Any) -> None:
    assert not panel.ui.findingsFrame.isVisibleTo(panel.ui.findingsSection)
    assert panel.ui.findingsNextLabel.text == "The form comes with the result."
    assert panel.widget.parts.findings.findings() is None
    assert "R-ISS is not computable" in panel.ui.stagingScoresLabel.text


def test_suggestions_are_shown_as_suggestions_and_do_not_count(scored: Any) -> None:
    scored.finish()
    assert shown(scored, "focal_group") == "not answered"  # the region of the made-up case is no whole skeleton
    assert "were not searched" in row(scored, "focal_group").basis.text
    assert not any(row(scored, key).tick.checked for key in FITTING)
    assert not row(scored, "lytic_group").tick.enabled, "there is nothing to confirm"
    assert scored.ui.findingsNextLabel.text == "0 of 9 items confirmed."
    reading = findings(scored).reading
    assert not reading.final
    assert all(item.answer is None for item in reading.items)


@pytest.fixture
def suggested(scored: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A result whose measurements suggest something: the whole skeleton was searched."""
    import measured_result

    original = measured_result.make_measurements

    def whole(**words: Any) -> Any:
        record = original(**words)
        bone = replace(record.roi, name="L4", label=1, group="vertebra")
        return replace(record, roi=replace(record.roi, name="skeleton"), segments=(bone,))

    monkeypatch.setattr(measured_result, "make_measurements", whole)
    scored.finish()
    return scored


def test_a_suggestion_needs_the_tick(suggested: Any) -> None:
    assert shown(suggested, "focal_group") == "1-3 (suggested)"
    assert shown(suggested, "focal_sites") == ["spine"]
    assert findings(suggested).reading.items[1].answer is None
    row(suggested, "focal_group").tick.checked = True
    item = findings(suggested).reading.items[1]
    assert (item.answer, item.confirmed) == ("1-3", True)
    choose(suggested, "focal_group", "4-10")
    item = findings(suggested).reading.items[1]
    assert (item.answer, item.confirmed) == ("4-10", False), "another answer needs another tick"
    assert not row(suggested, "focal_group").tick.checked


def test_a_suggestion_can_be_taken_away(suggested: Any) -> None:
    row(suggested, "focal_sites").boxes["spine"].checked = False
    assert shown(suggested, "focal_sites") == []
    assert not row(suggested, "focal_sites").tick.enabled
    row(suggested, "focal_group").combo.currentIndex = 0
    assert shown(suggested, "focal_group") == "not answered"
    choose(suggested, "focal_sites", ("skull",))
    assert shown(suggested, "focal_sites") == ["skull"]


def test_none_and_a_place_exclude_each_other(scored: Any) -> None:
    scored.finish()
    boxes = row(scored, "fractures").boxes
    boxes["spine"].checked = True
    boxes["skull"].checked = True
    assert shown(scored, "fractures") == ["skull", "spine"]
    boxes["none"].checked = True
    assert shown(scored, "fractures") == ["none"]
    boxes["extraspinal"].checked = True
    assert shown(scored, "fractures") == ["extraspinal"]


def test_final_only_when_everything_is_ticked_and_signed(scored: Any) -> None:
    scored.finish()
    fill_in(scored)
    assert not scored.ui.findingsSignButton.enabled
    assert not findings(scored).reading.final
    assert scored.ui.findingsNextLabel.text.startswith("Every item is confirmed; sign")
    sign(scored)
    reading = findings(scored).reading
    assert reading.final
    assert reading.reader == "Dr Ada Röntgen"
    assert scored.ui.findingsStateLabel.text.startswith("Final: Dr Ada Röntgen, 20")
    assert scored.ui.findingsSection.text.endswith("✓ done")
    row(scored, "fractures").tick.checked = False
    assert not findings(scored).reading.final
    assert scored.ui.findingsSection.text.endswith("○ to do")


def test_contradictions_stand_in_the_way_and_are_said(scored: Any) -> None:
    scored.finish()
    fill_in(scored)
    choose(scored, "focal_group", "0")
    row(scored, "focal_group").tick.checked = True
    assert scored.ui.findingsSection.text.endswith("⚠ needs attention")
    assert "correct one of them" in scored.ui.findingsNextLabel.text
    sign(scored)
    assert not findings(scored).reading.final
    assert "correct one of them" in scored.ui.messageLabel.text


def test_confirm_all_waits_until_everything_was_seen_and_answered(scored: Any) -> None:
    scored.ui.findingsSection.collapsed = True
    scored.finish()
    fill_in(scored, tick=False)
    scored.application.processEvents()
    assert not scored.ui.findingsConfirmButton.enabled, "folded away, nobody has seen it"
    scored.ui.findingsSection.collapsed = False
    see(scored)
    assert scored.ui.findingsConfirmButton.enabled
    row(scored, "lytic_group").combo.currentIndex = 0
    assert not scored.ui.findingsConfirmButton.enabled, "an item has no answer"
    choose(scored, "lytic_group", "0")
    scored.ui.findingsConfirmButton.click()
    assert all(item.confirmed for item in findings(scored).reading.items)
    assert not findings(scored).reading.final


def test_another_result_has_to_be_seen_again(scored: Any) -> None:
    scored.finish()
    see(scored)
    assert scored.widget.parts.findings.form.seen == set(FITTING)
    scored.ui.findingsSection.collapsed = True
    scored.finish()
    scored.application.processEvents()
    assert scored.widget.parts.findings.form.seen == set()


def test_reviewed_lesions_are_ticked_and_lead_to_their_place(scored: Any) -> None:
    from measured_result import ras_of
    from test_measurements import centre, slice_views

    views = slice_views()
    scored.finish()
    table = scored.ui.findingsLesionTable
    assert table.rowCount == 2
    assert scored.ui.findingsLesionsLabel.text == "0 of 2 lesions reviewed; focal 0 of 1."
    import qt

    table.item(1, 0).setCheckState(qt.Qt.Checked)
    assert findings(scored).reviewed_lesions == (2,)
    assert scored.ui.findingsLesionsLabel.text == "1 of 2 lesions reviewed; focal 0 of 1."
    table.item(1, 0).setCheckState(qt.Qt.Unchecked)
    assert findings(scored).reviewed_lesions == ()
    table.cellClicked.emit(0, 1)
    assert centre(views[0]) == pytest.approx(ras_of(1))


def test_a_saved_scene_brings_the_findings_back(scored: Any, tmp_path: Path) -> None:
    import qt
    from mrml_bundles import open_bundle, save_bundle

    scored.finish()
    fill_in(scored)
    scored.ui.findingsLesionTable.item(0, 0).setCheckState(qt.Qt.Checked)
    scored.widget.parts.findings.staging.editors["albumin_g_l"].text = "38"
    sign(scored, "Dr. 山田 Ćirić")
    before = scored.widget.parts.findings.findings()
    save_bundle(tmp_path / "case.mrb")
    open_bundle(tmp_path / "case.mrb")
    scored.widget.initializeParameterNode()
    assert answer_asks(scored) == 0, "what is kept is not asked for again"
    assert scored.widget.parts.findings.findings() == before
    assert findings(scored).reading.final
    assert shown(scored, "focal_group").startswith("1-3")
    assert scored.ui.findingsLesionsLabel.text == "1 of 2 lesions reviewed; focal 1 of 1."


def test_two_cases_do_not_mix(scored: Any) -> None:
    import qt
    from scenes import add_small_case

    parameters = scored.widget._parameters
    first = parameters.ct, parameters.pet
    scored.finish()
    choose(scored, "lytic_group", ">10")
    scored.ui.findingsLesionTable.item(0, 0).setCheckState(qt.Qt.Checked)
    scored.widget.parts.findings.staging.editors["albumin_g_l"].text = "38"
    second = add_small_case()[:2]
    parameters.ct, parameters.pet = second
    assert scored.widget.parts.findings.findings() is None
    assert scored.widget.parts.findings.staging.editors["albumin_g_l"].text == ""
    parameters.score_without_accepting = True
    scored.finish()
    assert shown(scored, "lytic_group") == "not answered"
    assert findings(scored).reviewed_lesions == ()
    choose(scored, "lytic_group", "0")
    parameters.ct, parameters.pet = first
    assert shown(scored, "lytic_group") == ">10"
    assert findings(scored).reviewed_lesions == (1,)
    assert scored.widget.parts.findings.staging.editors["albumin_g_l"].text == "38"
    parameters.ct, parameters.pet = second
    assert shown(scored, "lytic_group") == "0"


def test_a_new_result_takes_answers_over_unconfirmed(scored: Any) -> None:
    scored.finish()
    fill_in(scored)
    sign(scored)
    scored.finish()
    reading = findings(scored).reading
    assert not reading.final
    assert not any(item.confirmed for item in reading.items)
    assert shown(scored, "lytic_group") == "0"
    assert scored.ui.findingsCarriedLabel.isVisibleTo(scored.ui.findingsSection)
    scored.ui.resultCombo.currentIndex = 1
    scored.ui.resultCombo.activated.emit(1)
    assert findings(scored).reading.final, "the earlier result keeps its own"


def test_an_unmeasured_case_has_a_blank_form_without_asking(scored: Any) -> None:
    scored.finish(measured=False, answer=False)
    assert answer_asks(scored) == 0
    assert row(scored, "marrow_deauville").basis.text == "Nothing was measured."
    assert not scored.ui.findingsLesionTable.isVisibleTo(scored.ui.findingsSection)
    assert scored.ui.findingsLesionsLabel.text == "No lesion is listed."


def test_an_answer_that_comes_late_changes_nothing(scored: Any) -> None:
    import slicer

    scored.finish(answer=False)
    assert scored.ui.findingsNextLabel.text == "Looking at the measurements."
    scored.finish(measured=False, answer=False)
    choose(scored, "lytic_group", ">10")
    answer_asks(scored)
    assert shown(scored, "lytic_group") == ">10"
    scored.finish(answer=False)
    slicer.mrmlScene.Clear()
    answer_asks(scored)
    assert scored.widget.parts.findings.findings() is None


@pytest.mark.parametrize("odd", [{}, {"reading": None}, {"reading": {"items": []}}])
def test_an_odd_answer_leaves_a_blank_form(scored: Any, odd: dict[str, Any]) -> None:
    scored.finish(answer=False)
    (ask,) = [each for each in scored.widget.logic.worker.asked if each[0] == "reading_prefill"]
    ask[2].job_finished(odd, {})
    assert "cannot be read" in row(scored, "focal_group").basis.text
    choose(scored, "lytic_group", "0")
    assert findings(scored).reading.items[4].answer == "0"


def test_a_worker_that_fails_leaves_a_blank_form(scored: Any) -> None:
    from MemorySurvivalPanels.worker_protocol import Failure

    scored.finish(answer=False)
    (ask,) = [each for each in scored.widget.logic.worker.asked if each[0] == "reading_prefill"]
    ask[2].job_failed(Failure("The measurements cannot be read."))
    assert row(scored, "focal_group").basis.text == "The measurements cannot be read."
    assert shown(scored, "focal_group") == "not answered"


@pytest.mark.parametrize("text", ["", "{}", "[", '{"reading": {}, "reviewed": [], "carried": false}'])
def test_findings_that_cannot_be_read_are_one_sentence(scored: Any, text: str) -> None:
    from MemorySurvivalPanels.findings_store import FINDINGS

    scored.finish()
    choose(scored, "lytic_group", ">10")
    node = scored.widget.parts.result.case.of(FINDINGS)
    node.SetText(text)
    scored.widget.parts.findings._shown = ""
    scored.widget.parts.update()
    assert "cannot be read; fill in the form again" in scored.ui.messageLabel.text
    answer_asks(scored)
    assert shown(scored, "lytic_group") == "not answered"
    choose(scored, "lytic_group", "0")
    assert findings(scored).reading.items[4].answer == "0"


def test_findings_go_with_their_result(scored: Any) -> None:
    import slicer
    from MemorySurvivalPanels.findings_store import FINDINGS

    scored.finish()
    choose(scored, "lytic_group", ">10")
    node = scored.widget.parts.result.case.of(FINDINGS).GetID()
    slicer.mrmlScene.RemoveNode(scored.widget.parts.result.case.node)
    scored.widget.parts.update()
    assert slicer.mrmlScene.GetNodeByID(node) is None


def test_a_result_that_was_removed_meanwhile_keeps_nothing(scored: Any) -> None:
    import slicer

    scored.finish()
    slicer.mrmlScene.RemoveNode(scored.widget.parts.result.case.node)
    choose(scored, "lytic_group", ">10")
    names = [node.GetName() for node in slicer.util.getNodesByClass("vtkMRMLTextNode")]
    assert not any(name.startswith("Findings") for name in names)


def test_staging_scores_follow_what_is_typed(panel: Any) -> None:
    editors = panel.widget.parts.findings.staging.editors
    editors["beta2_microglobulin_mg_l"].text = "6,1"
    editors["albumin_g_l"].text = "31"
    assert panel.ui.stagingScoresLabel.text.splitlines() == [
        "•  ISS III.",
        "•  R-ISS is not computable: LDH, FISH missing.",
        "•  R2-ISS is not computable: LDH, FISH missing.",
    ]
    editors["albumin_g_l"].text = "3.1"
    assert "outside 8 to 70 g/L" in panel.ui.stagingStatusLabel.text
    assert "ISS is not computable: albumin missing" in panel.ui.stagingScoresLabel.text
    assert panel.ui.findingsSection.text.endswith("⚠ needs attention")
    editors["albumin_g_l"].text = "31"
    editors["albumin_g_dl"].text = "4"
    assert "which differ" in panel.ui.stagingStatusLabel.text
    assert panel.ui.stagingScoresLabel.text.count("not computable") == 3


def test_a_file_fills_staging_and_what_is_typed_wins(scored: Any, tmp_path: Path) -> None:
    table = tmp_path / "one.csv"
    table.write_text("albumin_g_l,beta2_microglobulin_mg_l\n31,6.1\n", encoding="utf-8")
    scored.ui.covariatesPath.currentPath = str(table)
    answer_asks(scored)
    editors = scored.widget.parts.findings.staging.editors
    assert editors["albumin_g_l"].text == "31"
    assert "ISS III." in scored.ui.stagingScoresLabel.text
    editors["beta2_microglobulin_mg_l"].text = "2"
    assert "ISS II." in scored.ui.stagingScoresLabel.text
    editors["beta2_microglobulin_mg_l"].text = ""
    assert "not computable: beta-2" in scored.ui.stagingScoresLabel.text
    assert answer_asks(scored) == 0


def test_typing_staging_values_makes_no_result_old(scored: Any) -> None:
    scored.finish()
    scored.widget.parts.findings.staging.editors["albumin_g_l"].text = "38"
    assert not scored.widget.parts.result.stale
    assert "staging" not in str(scored.widget.logic.worker.job)
