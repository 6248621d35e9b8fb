"""The section "Reader study": the reader's own estimate first, then the score, then perhaps another estimate."""

from collections.abc import Callable, Mapping
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from MemorySurvivalPanels.background_ask import BackgroundAsk
from MemorySurvivalPanels.desk import Desk
from MemorySurvivalPanels.part import Part
from MemorySurvivalPanels.reader_study_cover import (
    answer_of,
    cover_all,
    covered_answer,
    forget_seen,
    mark_seen,
    uncover_all,
)
from MemorySurvivalPanels.reader_study_gate import waiting_sentence
from MemorySurvivalPanels.reader_study_words import (
    ask_about_leaving,
    confidences,
    describe_answers,
    describe_state,
)
from MemorySurvivalPanels.review_jobs import ListJob
from MemorySurvivalPanels.review_panel import ReviewPanel
from MemorySurvivalPanels.score_run import Scored, ScoreRun
from MemorySurvivalPanels.step import Step, StepState

_RISK_COLUMN, _NOTE_COLUMN = 2, 4
"""Columns of the review list that may tell a score."""

AskLeave = Callable[[], bool]


class ReaderStudyPanel(Part):
    """While its switch is on, everything that tells a score is covered until the estimate of the case is locked in.

    What a reader did stands in the study's folder; the panel shows what it says there, and covers until it knows. It
    has to come before all parts that show a result.
    """

    def __init__(self, desk: Desk, score: ScoreRun, review: ReviewPanel, ask_leave: AskLeave | None = None) -> None:
        self._desk = desk
        self._ui = ui = desk.ui
        self._score = score
        self._review = review
        self.ask_leave: AskLeave = ask_leave or ask_about_leaving
        self._state: Mapping[str, Any] = {}
        self._asked: tuple[str, str, int] | None = None
        self._problem = ""
        self._covering = False
        ui.readerPercentileSpin.setSpecialValueText(_("not given"))
        for text in ("", _("low"), _("intermediate"), _("high")):
            ui.readerGroupCombo.addItem(text, ("", "low", "intermediate", "high")[ui.readerGroupCombo.count])
        for number, text in enumerate(confidences()):
            ui.readerConfidenceCombo.addItem(text, number)
        ui.readerFolderPath.currentPathChanged.connect(lambda path: self._choose("reader_folder", path.strip()))
        ui.readerNameEdit.editingFinished.connect(self._on_name)
        ui.readerSessionSpin.valueChanged.connect(lambda value: self._choose("reader_session", str(value)))
        ui.readerSwitch.toggled.connect(self._on_switch)
        ui.readerBeginButton.clicked.connect(self.begin)
        ui.readerLockButton.clicked.connect(self.lock_in)
        ui.readerGroupCombo.activated.connect(lambda *_ignored: self._show())
        ui.readerConfidenceCombo.activated.connect(lambda *_ignored: self._show())
        ui.readerPercentileSpin.valueChanged.connect(lambda *_ignored: self._show())
        desk.run_panel.watch(self._show)
        score.watch(self._scored)

    # What every part is told

    def find_heading(self, ui: Any) -> tuple[Any, Any] | None:
        """The section "Reader study"."""
        return ui.readerSection, ui.readerNextLabel

    def step(self) -> Step | None:
        """How far the reader is."""
        if self.parameters is None or not self.parameters.reader_study:
            return None
        if self._problem:
            return Step(StepState.ATTENTION, self._problem)
        cases = self._cases
        given = sum(each["first"] is not None for each in cases)
        sentence = _("{n} of {total} cases estimated.").format(n=given, total=len(cases))
        if self.covered:
            sentence += " " + (waiting_sentence() if self._case else _("Choose a case and begin."))
        return Step(StepState.DONE if cases and given == len(cases) else StepState.TO_DO, sentence)

    def update(self) -> None:
        """Ask where the reader stands, and cover what has to be covered."""
        if self.parameters is None or self._covering:
            return
        self._show_choices()
        if self.parameters.reader_study:
            self._ask()
            self._cover()
        self._show()

    def scene_closed(self) -> None:
        """The nodes are gone; what was recorded is in the study's folder."""
        self._state, self._asked, self._problem = {}, None, ""

    # What is covered

    @property
    def on(self) -> bool:
        """Whether the study is on, also while another module is open."""
        return _stored_switch() if self.parameters is None else bool(self.parameters.reader_study)

    @property
    def covered(self) -> bool:
        """Whether nothing of a score may be shown or computed now."""
        parameters = self.parameters
        if parameters is None:
            return _stored_switch()
        if not parameters.reader_study:
            return False
        case = self._case
        here = parameters.ct is not None and parameters.pet is not None
        here = here and parameters.ct == parameters.reader_ct and parameters.pet == parameters.reader_pet
        return case is None or case["first"] is None or not here

    @property
    def _cases(self) -> list[Mapping[str, Any]]:
        return list(self._state.get("cases") or [])

    @property
    def _case(self) -> Mapping[str, Any] | None:
        name = self.parameters.reader_case if self.parameters is not None else ""
        return next((each for each in self._cases if each["case"] == name and name), None)

    def _cover(self) -> None:
        self._covering = True
        try:
            if not self.covered:
                mark_seen(self.parameters.ct, self.parameters.pet)
            if cover_all():
                self._desk.run_panel.show_idle()  # its last sentence may have been about what is covered now
            heatmap = self.parameters.heatmap
            if heatmap is not None and heatmap.GetAttribute("MemorySurvival.Covered") is not None:
                self.parameters.heatmap = None
        finally:
            self._covering = False

    # Where the reader stands

    @property
    def _session(self) -> int:
        text = self.parameters.reader_session
        return int(text) if text.isdigit() and int(text) > 0 else 1

    def _place(self) -> dict[str, Any]:
        parameters = self.parameters
        return {"study": parameters.reader_folder, "reader": parameters.reader_name, "session": self._session}

    def _ask(self) -> None:
        place = self._place()
        key = (str(place["study"]), str(place["reader"]), int(place["session"]))
        if key == self._asked:
            return
        if self._asked is not None:
            forget_seen()
        self._asked, self._state = key, {}
        if not key[0] or not key[1]:
            self._problem = _("Choose the study's folder and say who reads.")
            return
        self._problem = ""

        def done(result: Mapping[str, Any]) -> None:
            if self._asked == key:
                self._take(result)
                self._reveal_late()

        def failed(sentence: str) -> None:
            if self._asked == key:
                self._problem = sentence
                self._desk.changed()

        self._desk.worker().submit("reader_state", place, BackgroundAsk(done, failed), background=True)

    def _take(self, result: Mapping[str, Any]) -> None:
        """What the library says of the reader's cases now."""
        self._state, self._problem = result, ""
        combo, name = self._ui.readerCaseCombo, self.parameters.reader_case if self.parameters is not None else ""
        combo.clear()  # only a click of the user is listened to
        for case in self._cases:
            combo.addItem(f"{case['case']}   {describe_state(case['state'])}", case["case"])
        waiting = next((each["case"] for each in self._cases if each["state"] in ("to do", "opened")), name)
        combo.currentIndex = combo.findData(
            name if self._case is not None and self._unfinished(self._case) else waiting
        )
        self._desk.changed()

    def _unfinished(self, case: Mapping[str, Any]) -> bool:
        return case["state"] not in ("done", "uncovered")

    # What the reader does

    def _on_switch(self, on: bool) -> None:
        """Cover or uncover; leaving before the estimate is asked about and recorded."""
        parameters = self.parameters
        if parameters is None or parameters.reader_study == on:
            return
        if self._desk.run_panel.running:
            self._desk.run_panel.show_problem(_("Wait until the running job has ended."))
            self._show_choices()
            return
        if on:
            self._asked = None
            parameters.reader_study = True
            return
        case = self._case
        if case is not None and case["state"] == "opened":
            if not self.ask_leave():
                self._show_choices()
                return
            self._submit("reader_leave", {"case": case["case"]}, self._left)
            return
        self._end()

    def _left(self, result: Mapping[str, Any], files: Mapping[str, str | None]) -> str:
        self._end()
        return _("The case no longer counts in the study.")

    def _end(self) -> None:
        self.parameters.reader_study = False
        self._state, self._asked, self._problem = {}, None, ""
        uncover_all()
        forget_seen()
        self._desk.changed()

    def begin(self, *_ignored: Any) -> None:
        """Open the chosen case where the review list knows it, else take the chosen images; then the time counts."""
        name = self._ui.readerCaseCombo.itemData(self._ui.readerCaseCombo.currentIndex)
        if not name or not self._ui.readerBeginButton.enabled:
            return
        row = next((n for n, each in enumerate(self._review.table.cases) if each["case"] == name), None)
        if row is not None and self._review.current != name:
            self._ui.reviewTable.selectRow(row)
            self._ui.reviewOpenButton.click()
        if self._desk.run_panel.running:  # DICOM is looked through first
            self._desk.run_panel.show_note(_("Press Begin again when {case} is open.").format(case=name))
            return
        if self.parameters.ct is None or self.parameters.pet is None:
            self._desk.run_panel.show_problem(
                _("Choose the CT and PET of {case}, or read a review list that holds it.").format(case=name)
            )
            return

        def opened(result: Mapping[str, Any], files: Mapping[str, str | None]) -> str:
            if self.parameters is None:
                return ""
            with slicer.util.NodeModify(self.parameters.parameterNode):
                self.parameters.reader_case = name
                self.parameters.reader_ct, self.parameters.reader_pet = self.parameters.ct, self.parameters.pet
            self._clear_form()
            self._take(result)
            return ""

        self._submit("reader_open", {"case": name}, opened)

    def lock_in(self, *_ignored: Any) -> None:
        """Record the estimate that the form holds, the first or the second one."""
        case, estimate = self._case, self._estimate()
        if case is None or estimate is None or not self._ui.readerLockButton.enabled:
            return
        first = case["first"] is None

        def locked(result: Mapping[str, Any], files: Mapping[str, str | None]) -> str:
            self._clear_form()
            self._take(result)
            if first:
                qt.QTimer.singleShot(0, self.reveal)
            return ""

        self._submit("reader_estimate", {"case": case["case"], "estimate": estimate}, locked)

    def reveal(self) -> None:
        """Show the score: the sealed one of the study, the covered one of the scene, or the one that is made now."""
        case = self._case
        if case is None or self.covered or self._desk.run_panel.running:
            return
        ct, pet = self.parameters.ct, self.parameters.pet
        answer = covered_answer(ct, pet)
        out = self._desk.scratch.new_folder() / "result"

        def shown(result: Mapping[str, Any], files: Mapping[str, str | None]) -> str:
            if self.parameters is None:
                return ""
            self._take(result)
            if uncover_all(ct, pet):
                self._desk.changed()
                return ""
            record = result.get("result")
            if record is None:
                return _("Your estimate is locked in. Press Score; the score is then shown.")
            self._score.scored = Scored.chosen(self.parameters)
            self._score.job_finished(record, {"heatmap": None, **files})
            self._desk.changed()
            return ""

        content: dict[str, Any] = {"case": case["case"]}
        if answer is None:
            content["out"] = str(out)
        elif not case["revealed_at"]:
            content["model"] = answer
        self._submit("reader_reveal", content, shown)

    def _reveal_late(self) -> None:
        """Show what was to be shown when the scene was saved, or the viewer ended, in between."""
        case = self._case
        if case is None or self.covered:
            return
        if case["state"] == "estimated" or covered_answer(self.parameters.ct, self.parameters.pet) is not None:
            qt.QTimer.singleShot(0, self.reveal)

    def _scored(self, ct: Any, result: Mapping[str, Any], files: Mapping[str, str | None]) -> None:
        """A case was scored: where it is the open one, that is when the reader saw its score."""
        case = self._case
        if case is None or self.covered or case["revealed_at"] or not self.parameters.reader_study:
            return
        content = {**self._place(), "case": case["case"], "model": answer_of(result)}
        self._desk.worker().submit("reader_reveal", content, BackgroundAsk(self._take, self._fail), background=True)

    def _fail(self, sentence: str) -> None:
        self._problem = sentence
        self._desk.changed()

    def _submit(self, kind: str, content: Mapping[str, Any], finished: Any) -> None:
        ListJob(self._desk, kind, {**self._place(), **content}, finished, self._desk.changed).start()

    # The form

    def _estimate(self) -> dict[str, Any] | None:
        """What the form says; None where it is not filled in."""
        confidence = self._ui.readerConfidenceCombo.itemData(self._ui.readerConfidenceCombo.currentIndex)
        if not confidence:
            return None
        if self._state.get("question") == "percentile":
            value = self._ui.readerPercentileSpin.value
            return {"confidence": int(confidence), "percentile": float(value)} if value >= 0 else None
        group = self._ui.readerGroupCombo.itemData(self._ui.readerGroupCombo.currentIndex)
        return {"confidence": int(confidence), "group": str(group)} if group else None

    def _clear_form(self) -> None:
        self._ui.readerGroupCombo.currentIndex = 0
        self._ui.readerConfidenceCombo.currentIndex = 0
        self._ui.readerPercentileSpin.value = -1

    def _on_name(self) -> None:
        self._choose("reader_name", self._ui.readerNameEdit.text.strip())

    def _choose(self, name: str, value: Any) -> None:
        if self.parameters is not None and getattr(self.parameters, name) != value:
            setattr(self.parameters, name, value)

    def _show_choices(self) -> None:
        parameters, ui = self.parameters, self._ui
        if ui.readerFolderPath.currentPath != parameters.reader_folder:
            ui.readerFolderPath.currentPath = parameters.reader_folder
        if ui.readerNameEdit.text != parameters.reader_name:
            ui.readerNameEdit.text = parameters.reader_name
        if ui.readerSessionSpin.value != self._session:
            ui.readerSessionSpin.value = self._session
        if ui.readerSwitch.checked != parameters.reader_study:
            ui.readerSwitch.checked = parameters.reader_study

    def _show(self) -> None:
        """What can be done now; nothing that tells a score is left to click."""
        parameters, ui = self.parameters, self._ui
        if parameters is None:
            return
        on, idle, case = parameters.reader_study, not self._desk.run_panel.running, self._case
        for widget in (ui.readerFolderPath, ui.readerNameEdit, ui.readerSessionSpin):
            widget.enabled = not on
        ui.readerSwitch.enabled = idle
        known = on and bool(self._cases)
        percentile = self._state.get("question") == "percentile"
        asked = case is not None and (case["first"] is None or self._asks_again(case)) and case["state"] != "uncovered"
        for widget in (ui.readerCaseLabel, ui.readerCaseCombo, ui.readerBeginButton):
            widget.visible = known
        for widget in (ui.readerConfidenceLabel, ui.readerConfidenceCombo, ui.readerLockButton):
            widget.visible = known and asked
        for widget in (ui.readerGroupLabel, ui.readerGroupCombo):
            widget.visible = known and asked and not percentile
        for widget in (ui.readerPercentileLabel, ui.readerPercentileSpin):
            widget.visible = known and asked and percentile
        ui.readerBeginButton.enabled = known and idle
        ui.readerLockButton.enabled = known and asked and idle and self._estimate() is not None
        second = case is not None and case["first"] is not None
        ui.readerLockButton.text = _("Lock in my second estimate") if second else _("Lock in my estimate")
        ui.readerAnswerLabel.text = describe_answers(case) if known and case is not None else ""
        ui.readerAnswerLabel.visible = bool(ui.readerAnswerLabel.text)
        for column in (_RISK_COLUMN, _NOTE_COLUMN):
            ui.reviewTable.setColumnHidden(column, on)
        if self.covered:
            ui.scoreButton.enabled = False
            ui.scoreButton.toolTip = waiting_sentence()
            ui.stageLabel.text = waiting_sentence()
            ui.stageLabel.visible = True

    def _asks_again(self, case: Mapping[str, Any]) -> bool:
        return bool(self._state.get("ask_again")) and bool(case["revealed_at"]) and case["final"] is None


def _stored_switch() -> bool:
    """Whether the scene says that a study is on, while another module is open and no choices are bound."""
    nodes = slicer.util.getNodesByClass("vtkMRMLScriptedModuleNode")
    return any(node.GetParameter("reader_study") in ("True", "true", "1") for node in nodes)
