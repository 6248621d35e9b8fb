"""The section "Findings": the visual reading of the shown result, its reviewed lesions, and the staging scores."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from slicer.i18n import tr as _

from MemorySurvivalPanels.background_ask import BackgroundAsk
from MemorySurvivalPanels.desk import Desk
from MemorySurvivalPanels.errors import UserError
from MemorySurvivalPanels.findings_form import FindingsForm
from MemorySurvivalPanels.findings_lesions import ReviewedLesions
from MemorySurvivalPanels.findings_staging import StagingValues
from MemorySurvivalPanels.findings_store import CaseFindings, drop_orphans, keep_findings, load_findings
from MemorySurvivalPanels.part import Part
from MemorySurvivalPanels.result_panel import ResultPanel
from MemorySurvivalPanels.scored_cases import ScoredCase, find_results, read_result
from MemorySurvivalPanels.step import Step, StepState

if TYPE_CHECKING:
    from MemorySurvivalLib.clinical.record import ReadingValue, VisualReading


class FindingsPanel(Part):
    """Follows the result that is shown. Suggestions are asked of the worker; what the physician does is kept with the
    result at once, so that a saved scene brings it back and two cases never mix."""

    def __init__(self, desk: Desk, result_panel: ResultPanel) -> None:
        self._desk = desk
        self._ui = ui = desk.ui
        self._result_panel = result_panel
        self._shown = ""
        self._asked = ""
        self._problem = ""
        self._found: CaseFindings | None = None
        self._form = FindingsForm(ui.findingsFields, self._on_answer, self._on_tick, self._show_buttons)
        self._lesions = ReviewedLesions(ui.findingsLesionTable, self._on_reviewed)
        self.staging = StagingValues(desk)
        ui.findingsConfirmButton.clicked.connect(self._on_confirm_all)
        ui.findingsSignButton.clicked.connect(self._on_sign)
        ui.findingsReaderEdit.textChanged.connect(self._on_reader)
        ui.findingsFrame.visible = False

    @property
    def form(self) -> FindingsForm:
        """The rows of the visual reading."""
        return self._form

    def findings(self) -> dict[str, Any] | None:
        """What goes onto the report, as plain values; None without a result."""
        if self._result_panel.case is None:
            return None
        from MemorySurvivalLib.clinical.plain_reading import to_plain

        found = self._found
        return {
            "scores": [{**asdict(score), "missing": list(score.missing)} for score in self.staging.scores],
            "reading": None if found is None else to_plain(found.reading),
            "reviewed_lesions": [] if found is None else list(found.reviewed),
        }

    def update(self) -> None:
        """Show the findings of the result that is shown now."""
        if self.parameters is None:
            self.staging.let_go()
            return
        self.staging.show(self.parameters)
        case = self._result_panel.case
        name = "" if case is None else f"{case.node.GetID()} {case.created}"
        if name != self._shown:
            self._shown, self._asked, self._problem = name, "", ""
            self._found = None
            self._form.begin()
            drop_orphans()
            if not self._ui.findingsReaderEdit.text:
                self._ui.findingsReaderEdit.text = self.parameters.reviewer
        if case is not None and self._found is None:
            self._take_up(case)
        self._show()

    def find_heading(self, ui: Any) -> tuple[Any, Any] | None:
        """The section "Findings"."""
        return ui.findingsSection, ui.findingsNextLabel

    def step(self) -> Step | None:
        """Whether the reading is final, and what is missing."""
        if self.parameters is None:
            return None
        if self.staging.problem:
            return Step(StepState.ATTENTION, self.staging.problem)
        if self._result_panel.case is None:
            return Step(StepState.TO_DO, _("The form comes with the result."))
        if self._problem:
            return Step(StepState.ATTENTION, self._problem)
        if self._found is None:
            return Step(StepState.BUSY, _("Looking at the measurements."))
        if self._result_panel.stale:
            return Step(StepState.STALE, _("These findings belong to a result of an earlier choice."))
        from MemorySurvivalLib.clinical.impetus import find_contradictions, find_unconfirmed

        reading = self._found.reading
        contradictions = find_contradictions(reading)
        if contradictions:
            return Step(StepState.ATTENTION, contradictions[0])
        if reading.final:
            return Step(StepState.DONE, self._describe_lesions())
        left = len(find_unconfirmed(reading))
        if left:
            done, everything = len(reading.items) - left, len(reading.items)
            return Step(StepState.TO_DO, _("{n} of {all} items confirmed.").format(n=done, all=everything))
        return Step(StepState.TO_DO, _("Every item is confirmed; sign the reading to make it final."))

    def scene_closed(self) -> None:
        """The findings went with the scene, and the reader may be another."""
        self._shown, self._asked, self._found = "", "", None
        self._form.begin()
        self.staging.forget()
        self._ui.findingsReaderEdit.text = ""
        self._show()

    def _take_up(self, case: ScoredCase) -> None:
        """Bring back what is kept with a result, or begin its form."""
        try:
            self._found = load_findings(case)
        except UserError as error:
            if self._problem != str(error):
                self._problem = str(error)
                self._desk.run_panel.show_note(self._problem)
        if self._found is not None:
            return
        measurements = case.result.get("measurements")
        if not measurements:
            from MemorySurvivalLib.clinical.impetus import blank_form

            self._begin(case, blank_form())
        elif self._asked != self._shown:
            self._asked = shown = self._shown

            def done(result: Mapping[str, Any]) -> None:
                from MemorySurvivalLib.clinical.plain_reading import from_plain
                from MemorySurvivalLib.errors import InputError

                try:
                    form = from_plain(result.get("reading") or {})
                except InputError as error:
                    failed(str(error))
                else:
                    self._take_form(case, shown, form)

            def failed(sentence: str) -> None:
                from MemorySurvivalLib.clinical.impetus import blank_form

                self._take_form(case, shown, blank_form(sentence))

            listener = BackgroundAsk(done, failed)
            self._desk.worker().submit("reading_prefill", {"measurements": measurements}, listener, background=True)

    def _take_form(self, case: ScoredCase, shown: str, form: "VisualReading") -> None:
        """The worker's answer, unless another result is shown by now."""
        if self._shown == shown and self._found is None:
            self._begin(case, form)
            self._desk.changed()

    def _begin(self, case: ScoredCase, form: "VisualReading") -> None:
        """A new form; what was confirmed in an earlier result of the same images stands in it, to be ticked again."""
        from MemorySurvivalLib.clinical.plain_reading import carry_answers

        self._problem = ""
        earlier = _earlier_reading(case)
        self._found = CaseFindings(form if earlier is None else carry_answers(form, earlier), (), earlier is not None)

    def _change(self, reading: "VisualReading | None" = None, reviewed: Sequence[int] | None = None) -> None:
        """Keep a change with the result."""
        case, found = self._result_panel.case, self._found
        if case is None or found is None:
            return
        self._found = CaseFindings(
            found.reading if reading is None else reading,
            found.reviewed if reviewed is None else tuple(reviewed),
            found.carried,
        )
        keep_findings(case, self._found)
        self._desk.changed()

    def _on_answer(self, key: str, answer: "ReadingValue") -> None:
        from MemorySurvivalLib.clinical.impetus import withdraw

        if self._found is not None:
            self._change(withdraw(self._found.reading, key, answer))

    def _on_tick(self, key: str, confirmed: bool) -> None:
        from MemorySurvivalLib.clinical.impetus import confirm, find_item, withdraw

        if self._found is None:
            return
        reading = self._found.reading
        item = find_item(reading, key)
        shown = self._form.shown(item)
        if confirmed and shown is not None:
            self._change(confirm(reading, key, shown))
        elif not confirmed:
            self._change(withdraw(reading, key, item.answer))

    def _on_confirm_all(self, *_ignored: Any) -> None:
        from MemorySurvivalLib.clinical.impetus import confirm

        if self._found is None or not self._may_confirm_all():
            return
        reading = self._found.reading
        for item in reading.items:
            if not item.confirmed:
                reading = confirm(reading, item.key, self._form.shown(item))
        self._change(reading)

    def _on_sign(self, *_ignored: Any) -> None:
        from MemorySurvivalLib.clinical.impetus import finish
        from MemorySurvivalLib.errors import InputError

        if self._found is None:
            return
        try:
            reading = finish(self._found.reading, self._ui.findingsReaderEdit.text, datetime.now(UTC))
        except InputError as error:
            self._desk.run_panel.show_problem(str(error))
        else:
            self._change(reading)

    def _on_reader(self, *_ignored: Any) -> None:
        self._show_buttons()

    def _on_reviewed(self, numbers: tuple[int, ...]) -> None:
        self._change(reviewed=numbers)

    def _may_confirm_all(self) -> bool:
        items = () if self._found is None else self._found.reading.items
        waiting = [item for item in items if not item.confirmed]
        answered = all(self._form.shown(item) is not None for item in waiting)
        return bool(waiting) and answered and all(item.key in self._form.seen for item in waiting)

    def _show(self) -> None:
        found, ui = self._found, self._ui
        ui.findingsFrame.visible = found is not None
        if found is None:
            return
        self._form.show(found.reading)
        ui.findingsCarriedLabel.text = _(
            "Answers of the earlier reading of these images stand here; confirm them again."
        )
        ui.findingsCarriedLabel.visible = found.carried and not found.reading.final
        reading = found.reading
        ui.findingsStateLabel.text = describe_signature(reading)
        ui.findingsStateLabel.visible = reading.final
        rows = ((self._result_panel.case.result.get("measurements") or {}).get("lesions")) or []
        self._lesions.show(rows, found.reviewed)
        ui.findingsLesionsLabel.text = self._describe_lesions()
        self._show_buttons()

    def _show_buttons(self) -> None:
        if self._found is None:
            return
        ready = all(item.confirmed for item in self._found.reading.items)
        self._ui.findingsConfirmButton.enabled = self._may_confirm_all()
        named = bool(self._ui.findingsReaderEdit.text.strip())
        self._ui.findingsSignButton.enabled = ready and named and not self._found.reading.final

    def _describe_lesions(self) -> str:
        numbers = self._lesions.numbers
        if not numbers:
            return _("No lesion is listed.")
        reviewed = () if self._found is None else self._found.reviewed
        done = len([number for number in numbers if number in reviewed])
        text = _("{n} of {all} lesions reviewed.").format(n=done, all=len(numbers))
        focal = self._lesions.focal
        if len(focal) < len(numbers):  # as page one of the report says it
            ticked = len([number for number in focal if number in reviewed])
            text = _("{n} of {all} lesions reviewed; focal {ticked} of {focal}.").format(
                n=done, all=len(numbers), ticked=ticked, focal=len(focal)
            )
        return text


def describe_signature(reading: "VisualReading") -> str:
    """Who made the reading final and when, in the user's time."""
    if not reading.final:
        return ""
    moment = datetime.fromisoformat(reading.confirmed_at).astimezone()
    return _("Final: {reader}, {when}").format(reader=reading.reader, when=moment.strftime("%Y-%m-%d %H:%M"))


def _earlier_reading(case: ScoredCase) -> "VisualReading | None":
    """The newest reading of the same images in which something was confirmed."""
    for node in find_results(case.of("ct"), case.of("pet")):
        if node.GetID() == case.node.GetID():
            continue
        try:
            found = load_findings(read_result(node))
        except UserError:
            continue
        if found is not None and any(item.confirmed for item in found.reading.items):
            return found.reading
    return None
