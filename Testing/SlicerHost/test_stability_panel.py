"""The stability in the panel: asked for with the score or later, shown as a badge, kept with the result."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

STABLE = {
    "verdict": "stable",
    "sentence": "Two changes were tried.",
    "log_risk": 0.4213,
    "lowest": 0.39,
    "highest": 0.47,
    "positions": [0.58, 0.66],
    "trials": [{"change": "PET 4 mm to the left", "moved": 0.0487}, {"change": "mask dilated", "moved": -0.0313}],
    "left_out": ["The mask is one voxel thick, so it was not eroded."],
    "rule": "Stable: no change moved it.",
    "meaning": "Stable says nothing about being right.",
}


class Room:
    """The panel with a scored case, and a worker that only remembers."""

    def __init__(self, panel: Any, folder: Path) -> None:
        from dicom_nodes import Recorder
        from scenes import add_small_case

        class Worker(Recorder):
            def cancel_job(self, listener: Any) -> None:
                for each in [one for one in self.asked if one[2] is listener]:
                    self.asked.remove(each)
                    listener.job_cancelled()

        self.panel, self.ui, self.parts = panel, panel.ui, panel.widget.parts
        self.parameters, self.folder = panel.widget._parameters, folder
        self.parameters.ct, self.parameters.pet, self.parameters.roi = add_small_case()
        self.parameters.score_without_accepting = True
        panel.widget.logic.worker.close()
        panel.widget.logic.worker = self.worker = Worker()
        self.parts.watch._timer.setInterval(10)

    def finish(self, **changes: Any) -> None:
        """A run ends with a result that has its record beside it."""
        from measured_result import make_result, write_files

        self.ui.scoreButton.click()
        files = write_files(self.folder)
        for name in ("result.json", "report.json"):
            (self.folder / name).write_text(json.dumps({"created": "2026-11-22", "of": name}), encoding="utf-8")
        self.parts.score.job_finished({**make_result(), **changes}, files)

    @property
    def asked(self) -> list[tuple[str, dict[str, Any], Any]]:
        return [each for each in self.worker.asked if each[0] == "stability"]

    def answer(self, record: dict[str, Any] = STABLE) -> Path:
        """The worker has measured it and amended the files; the folder that it did that in."""
        (asked,) = self.asked
        self.worker.asked.remove(asked)
        place = Path(asked[1]["result"])
        (place / "report.html").write_text("<p>amended</p>", encoding="utf-8")
        (place / "result.json").write_text(json.dumps({"created": "2026-11-22", "stability": record}), encoding="utf-8")
        asked[2].job_finished(record, {"result": str(place)})
        return place


@pytest.fixture
def room(panel: Any, tmp_path: Path) -> Room:
    (tmp_path / "run").mkdir()
    return Room(panel, tmp_path / "run")


def test_the_tick_goes_with_the_score_and_is_off_by_itself(room: Room) -> None:
    assert not room.ui.stabilityCheckBox.checked and "three times" in room.ui.stabilityCheckBox.toolTip
    room.ui.scoreButton.click()
    assert room.worker.job["stability"] is False
    room.parts.score.job_cancelled()
    room.ui.stabilityCheckBox.click()
    room.ui.scoreButton.click()
    assert room.worker.job["stability"] is True
    assert room.parameters.check_stability


def test_the_time_told_is_three_times_the_score(application: Any) -> None:
    from MemorySurvivalPanels.time_estimate import describe_estimate

    told = {"seconds": 20.0, "slices": 60}
    assert "stability" not in describe_estimate(told, explained=False)
    assert "Checking the stability: about 60 s more." in describe_estimate(told, explained=False, checked=True)


@pytest.mark.parametrize(
    ("record", "text"),
    [
        (STABLE, "✓ Stable: log-risk +0.39 to +0.47 under 2 small changes, higher than 58 % to 66 % of the reference"),
        (
            {**STABLE, "verdict": "sensitive", "positions": []},
            "⚠ Sensitive: log-risk +0.39 to +0.47 under 2 small changes",
        ),
        (
            {**STABLE, "verdict": "not judged", "positions": []},
            "○ Stability not judged: log-risk +0.39 to +0.47 under 2 small changes",
        ),
        (
            {**STABLE, "verdict": "not judged", "trials": [], "positions": []},
            "○ Stability not judged: nothing could be changed on this case",
        ),
    ],
)
def test_the_badge_says_it_in_one_line_and_its_tip_says_why(room: Room, record: dict[str, Any], text: str) -> None:
    room.finish(stability=record)
    label = room.ui.stabilityLabel
    assert label.isVisible() and label.text == text and not room.ui.stabilityButton.isVisible()
    for told in (STABLE["rule"], STABLE["meaning"], STABLE["left_out"][0]):
        assert told in label.toolTip
    assert ("PET 4 mm to the left: +0.049" in label.toolTip) is bool(record["trials"])
    assert label.accessibleDescription == label.toolTip


@pytest.mark.parametrize("record", [None, "stable", {"verdict": "stable"}, {**STABLE, "lowest": None}])
def test_without_a_stability_there_is_a_button_and_no_badge(room: Room, record: Any) -> None:
    room.finish(stability=record)
    assert not room.ui.stabilityLabel.isVisible()
    assert room.ui.stabilityButton.isVisible() and room.ui.stabilityButton.enabled


def test_before_a_result_there_is_neither(room: Room) -> None:
    assert not room.ui.stabilityButton.isVisible() and not room.ui.stabilityLabel.isVisible()
    room.parts.stability.check()
    assert room.asked == []


def test_measured_later_it_is_kept_with_the_result_and_in_its_files(room: Room, tmp_path: Path) -> None:
    from mrml_bundles import open_bundle, save_bundle

    room.finish(request={"confirm_identity": True})
    told: list[str] = []
    room.parts.stability.watch(lambda ct, folder: told.append((folder / "report.html").read_text(encoding="utf-8")))
    room.ui.stabilityButton.click()
    ((_, job, listener),) = room.asked
    assert job["stability"] and not job["measure"] and not job["explain"] and job["confirm_identity"]
    assert json.loads(Path(job["result"], "result.json").read_text(encoding="utf-8"))["of"] == "result.json"
    assert Path(job["ct"]).is_file() and Path(job["roi"]).is_file()
    assert not room.ui.stabilityButton.enabled and room.ui.stabilityCancelButton.isVisible()
    from MemorySurvivalPanels.worker_protocol import Progress

    listener.job_progressed(Progress("stability", 3, 9, 40.0))
    assert room.ui.stabilityStageLabel.text == "Checking the stability (3 / 9), about 40 s left"
    place = room.answer()
    assert not place.exists() and told == ["<p>amended</p>"]
    assert room.ui.stabilityLabel.text.startswith("✓ Stable") and not room.ui.stabilityCancelButton.isVisible()
    assert not room.ui.stabilityStageLabel.isVisible() and not room.ui.staleLabel.isVisible()
    save_bundle(tmp_path / "case.mrb")
    open_bundle(tmp_path / "case.mrb")
    room.panel.widget.initializeParameterNode()
    assert room.ui.stabilityLabel.text.startswith("✓ Stable")
    report = room.parts.result.report
    assert report.read_text(encoding="utf-8") == "<p>amended</p>"
    assert "stability" in json.loads((report.parent / "result.json").read_text(encoding="utf-8"))
    assert (report.parent / "lesions.nrrd").is_file()


def test_cancelled_and_failed_it_says_so_and_can_be_tried_again(room: Room) -> None:
    from MemorySurvivalPanels.worker_protocol import Failure

    room.finish()
    room.ui.stabilityButton.click()
    room.ui.stabilityCancelButton.click()
    assert room.asked == [] and room.ui.stabilityStageLabel.text == "Cancelled."
    room.ui.stabilityButton.click()
    ((_, job, listener),) = room.asked
    listener.job_failed(Failure(f"The CT {job['ct']} is odd."))
    assert room.ui.stabilityStageLabel.text == '⚠  The CT "CT of the case" is odd.'
    assert room.ui.stabilityButton.enabled and not Path(job["result"]).exists()
    room.finish()  # another result: nothing was said about it
    assert not room.ui.stabilityStageLabel.isVisible()


def test_what_is_chosen_has_to_be_what_was_scored(room: Room) -> None:
    room.finish()
    room.parameters.bundle = "another"
    room.panel.widget.onParametersChanged()
    assert not room.ui.stabilityButton.enabled and "score again first" in room.ui.stabilityButton.toolTip
    room.parameters.bundle = "demonstration"
    room.panel.widget.onParametersChanged()
    assert room.ui.stabilityButton.enabled
    room.parts.run_panel.show_running()
    assert not room.ui.stabilityButton.enabled and "Wait" in room.ui.stabilityButton.toolTip
    room.parts.run_panel.show_idle()


def test_a_result_that_goes_away_takes_its_job_along(room: Room) -> None:
    import slicer

    room.finish()
    room.ui.stabilityButton.click()
    slicer.mrmlScene.RemoveNode(room.parts.result.case.node)
    room.panel.widget.onParametersChanged()
    assert room.asked == [] and not room.parts.stability.running
    room.finish()
    room.ui.stabilityButton.click()
    ((_, _job, listener),) = room.asked
    slicer.mrmlScene.Clear()
    listener.job_finished(STABLE, {})  # what a dying worker may still say
    assert not room.parts.stability.running and not room.ui.stabilityLabel.isVisible()


def test_the_job_of_a_closed_scene_does_not_end_that_of_the_next(room: Room) -> None:
    import slicer
    from scenes import add_small_case

    room.finish()
    room.ui.stabilityButton.click()
    ((_, _job, earlier),) = room.asked
    slicer.mrmlScene.Clear()
    room.worker.asked.clear()
    room.panel.widget.initializeParameterNode()
    parameters = room.panel.widget._parameters  # those of the new scene
    parameters.ct, parameters.pet, parameters.roi = add_small_case()
    parameters.score_without_accepting = True
    room.finish()
    room.ui.stabilityButton.click()
    earlier.job_cancelled()
    assert room.parts.stability.running and room.ui.stabilityStageLabel.text == "Starting…"


@pytest.mark.parametrize("how", ["removed", "covered", "changed"])
def test_only_the_result_that_was_read_is_amended(room: Room, how: str) -> None:
    import slicer
    from MemorySurvivalPanels.errors import UserError
    from MemorySurvivalPanels.scored_cases import RESULT, amend_result

    room.finish()
    case = room.parts.result.case
    if how == "removed":
        slicer.mrmlScene.RemoveNode(case.node)
    elif how == "covered":
        case.node.SetAttribute(RESULT, None)
    else:
        amend_result(case, {**case.result, "log_risk": 0.5}, room.folder)
    before = case.node.GetText()
    with pytest.raises(UserError, match="removed or changed"):
        amend_result(case, {**case.result, "stability": STABLE}, room.folder)
    assert case.node.GetText() == before


def test_another_result_shown_meanwhile_is_not_mixed_up(room: Room) -> None:
    room.finish()
    node = room.parts.result.case.node
    room.ui.stabilityButton.click()
    room.finish(log_risk=0.9)
    assert not room.ui.stabilityCancelButton.isVisible() and not room.ui.stabilityButton.enabled
    room.answer()
    assert not room.ui.stabilityLabel.isVisible() and "stable" not in (room.parts.result.case.result)
    room.ui.resultCombo.currentIndex = room.ui.resultCombo.findData(node.GetID())
    room.ui.resultCombo.activated.emit(room.ui.resultCombo.currentIndex)
    assert room.ui.stabilityLabel.text.startswith("✓ Stable")


def test_the_review_lists_copy_says_it_too_but_never_another_runs(tmp_path: Path, application: Any) -> None:
    from MemorySurvivalPanels.review_keeping import amend_results

    for name, created in (("new", "1"), ("same", "1"), ("other", "2")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "result.json").write_text(json.dumps({"created": created}), encoding="utf-8")
        (tmp_path / name / "report.html").write_text(name, encoding="utf-8")
    (tmp_path / "same" / "heatmap.nrrd").write_bytes(b"kept")
    for name in ("same", "other", "nothing"):
        amend_results(tmp_path / "new", tmp_path / name)
    assert (tmp_path / "same" / "report.html").read_text(encoding="utf-8") == "new"
    assert (tmp_path / "same" / "heatmap.nrrd").is_file()
    assert (tmp_path / "other" / "report.html").read_text(encoding="utf-8") == "other"
    assert not (tmp_path / "nothing").exists()
