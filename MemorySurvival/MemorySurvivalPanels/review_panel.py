"""The step "Review list": one case after the other, with masks and embedding of the next made while one is read."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

from MemorySurvivalPanels.case_opening import case_of, close_case, mark_node, open_images
from MemorySurvivalPanels.desk import Desk
from MemorySurvivalPanels.dicom_selection import selected_series, write_worklist
from MemorySurvivalPanels.errors import UserError
from MemorySurvivalPanels.mask_jobs import is_segmentation
from MemorySurvivalPanels.part import Part
from MemorySurvivalPanels.review_jobs import ListJob, QuietJob
from MemorySurvivalPanels.review_keeping import (
    AskMask,
    amend_results,
    ask_about_mask,
    keep_mask,
    keep_results,
    load_mask,
    mask_file,
    prepared_folder,
)
from MemorySurvivalPanels.review_table import ReviewTable
from MemorySurvivalPanels.segmentations import generated_segments, show_segmentation
from MemorySurvivalPanels.step import Step, StepState
from MemorySurvivalPanels.views import show_in_own_views

DICOM_LIST = "dicom-selection.csv"
_EVENTS = ("SourceRepresentationModified", "SegmentAdded", "SegmentRemoved", "SegmentModified")


class ReviewPanel(Part, VTKObservationMixin):
    """Opens the cases of a list, keeps what a person made of each, works ahead. `ask_mask` guards a changed mask."""

    def __init__(self, desk: Desk, ask_mask: AskMask = ask_about_mask) -> None:
        VTKObservationMixin.__init__(self)
        self._desk = desk
        ui = self._ui = desk.ui
        self.ask_mask = ask_mask
        self.table = ReviewTable(ui.reviewTable)
        self._read: tuple[str, str] | None = None
        """The list and the folder that the table is of."""
        self._mask_changed = False
        self._observed: Any = None
        self._ahead = ""
        self._ahead_job: QuietJob | None = None
        ui.reviewListPath.currentPathChanged.connect(lambda path: self._choose("worklist", path))
        ui.reviewOutPath.currentPathChanged.connect(lambda path: self._choose("worklist_out", path))
        ui.reviewFolderButton.clicked.connect(self._on_folder)
        ui.reviewReadButton.clicked.connect(self.read)
        ui.reviewDicomButton.clicked.connect(self._on_dicom)
        ui.reviewOpenButton.clicked.connect(self._on_open)
        ui.reviewTable.cellDoubleClicked.connect(self._on_open)
        ui.reviewNextButton.clicked.connect(self.open_next)
        ui.reviewDoneButton.clicked.connect(self.finish_case)
        ui.reviewBatchButton.clicked.connect(self._on_batch)
        desk.shortcuts.add("Ctrl+Shift+N", _("Review list: next case"), self.open_next)
        desk.shortcuts.add("Ctrl+Shift+D", _("Review list: reviewed, next case"), self.finish_case)
        desk.run_panel.watch(self.update)

    def find_heading(self, ui: Any) -> tuple[Any, Any] | None:
        """The section "Review list"."""
        return ui.reviewSection, ui.reviewNextLabel

    def step(self) -> Step | None:
        """How far the list is."""
        if not self.table.cases:
            return None
        done = all(case["state"] == "reviewed" or case.get("problem") for case in self.table.cases)
        return Step(StepState.DONE if done else StepState.TO_DO, self.table.describe())

    def update(self) -> None:
        """Show what can be done."""
        parameters = self.parameters
        if parameters is None:
            return
        for line, name in ((self._ui.reviewListPath, "worklist"), (self._ui.reviewOutPath, "worklist_out")):
            if line.currentPath != getattr(parameters, name):
                line.currentPath = getattr(parameters, name)
        idle = not self._desk.run_panel.running
        here = idle and bool(self.table.cases) and self._read == (parameters.worklist, parameters.worklist_out)
        self._ui.reviewReadButton.enabled = idle and bool(parameters.worklist and parameters.worklist_out)
        self._ui.reviewDicomButton.enabled = idle and bool(parameters.worklist_out)
        for button in (self._ui.reviewOpenButton, self._ui.reviewNextButton, self._ui.reviewBatchButton):
            button.enabled = here
        self._ui.reviewDoneButton.enabled = here and self.table.find(self.current) is not None
        self._observe_mask()

    @property
    def current(self) -> str:
        """The case that is open; empty where none of the list is."""
        return self.parameters.worklist_case if self.parameters is not None else ""

    def scene_closed(self) -> None:
        """The nodes are gone; what was kept is on disk."""
        self._forget_mask()
        self._read = None
        self.table.show([], "")
        self._say_ahead("")

    def close(self) -> None:
        """Let go of the mask."""
        self._forget_mask()

    # Reading the list

    def read(self, *_ignored: Any) -> None:
        """Read the list, and where each case stands."""
        if self.parameters is None:
            return
        place = (self.parameters.worklist, self.parameters.worklist_out)

        def finished(result: Mapping[str, Any], files: Mapping[str, str | None]) -> str:
            self._read = place
            self.table.show(result.get("cases") or [], self.current)
            self._desk.changed()
            return ""

        self._submit("worklist", {"bundle": self.parameters.bundle}, finished)

    def _on_folder(self, *_ignored: Any) -> None:
        chosen = qt.QFileDialog.getExistingDirectory(
            self._ui.reviewFolderButton, _("Folder with a folder for each case")
        )
        if chosen:
            self.parameters.worklist = chosen

    def _on_dicom(self, *_ignored: Any) -> None:
        table = Path(self.parameters.worklist_out) / DICOM_LIST
        try:
            write_worklist(selected_series(), table)
        except UserError as error:
            self._desk.run_panel.show_problem(str(error))
            return
        self.parameters.worklist = str(table)
        self.read()

    # Opening a case

    def _on_open(self, *_ignored: Any) -> None:
        case = self.table.selected
        if case is not None and self._ui.reviewOpenButton.enabled:
            self._open(case)

    def open_next(self, *_ignored: Any) -> None:
        """Open the next case that nobody has finished."""
        if not self._ui.reviewNextButton.enabled:
            return
        case = self.table.next_after(self.current)
        if case is None:
            self._desk.run_panel.show_note(_("There is no other case to review in this list."))
        else:
            self._open(case)

    def finish_case(self, *_ignored: Any) -> None:
        """Keep the mask and say that a person is done with the open case; then open the next."""
        if not self._ui.reviewDoneButton.enabled or not self._keep_mask():
            return
        self._mark(self.current, "reviewed")
        self.open_next()

    def _open(self, case: Mapping[str, Any]) -> None:
        if case.get("problem"):
            self._desk.run_panel.show_problem(str(case["problem"]))
            return
        if not self._may_leave():
            return
        self._leave_ahead()
        if "study" in case["files"]:

            def finished(result: Mapping[str, Any], files: Mapping[str, str | None]) -> str:
                if self.parameters is None:
                    raise UserError(
                        _("Another module was opened meanwhile; open {case} again.").format(case=case["case"])
                    )
                return self._show(case, result["series"])

            self._submit("choose_series", {"study": case["files"]["study"]}, finished, bare=True)
            return
        try:
            self._desk.run_panel.show_note(self._show(case, None))
        except UserError as error:
            self._fail(case, str(error))

    def _show(self, case: Mapping[str, Any], series: Mapping[str, str] | None) -> str:
        """Put the case into the scene and choose it; a sentence. Raises UserError; the earlier case then stays open."""
        name, files, parameters = case["case"], case["files"], self.parameters
        close_case(name)  # opening a case anew starts from its files
        ct, pet = open_images(name, files, series)
        earlier = self.current
        self._adopt(earlier)
        self._forget_mask()
        with slicer.util.NodeModify(parameters.parameterNode):  # at once: no case has one CT and another PET
            parameters.ct, parameters.pet, parameters.roi = ct, pet, None
            parameters.segment_id = ""
            parameters.covariates = files.get("covariates", "")
            parameters.worklist_case = name
        if earlier and earlier != name:
            close_case(earlier)
        show_in_own_views(ct, pet, 0.3)
        self.table.mark(name)
        sentence = self._show_mask(case)
        self._observe_mask()
        self._desk.changed()
        self._work_ahead()
        return sentence or _("{case} is open.").format(case=name)

    def _adopt(self, case: str) -> None:
        """What the module made for the open case goes when it is closed."""
        if self.table.find(case) is None:
            return
        roi, heatmap = self.parameters.roi, self.parameters.heatmap
        if is_segmentation(roi) and generated_segments(roi):
            mark_node(roi, case)
        if heatmap is not None:
            mark_node(heatmap, case)

    def _show_mask(self, case: Mapping[str, Any]) -> str:
        """Choose the mask that was kept, or the one made ahead; a sentence where there is something to say."""
        out, folder = Path(self.parameters.worklist_out), Path(case["folder"]).name
        kept, ahead = mask_file(out, folder), prepared_folder(out, folder) / "structures.json"
        given = case["files"].get("roi")
        name = _("Mask of {case}").format(case=case["case"])
        try:
            if kept.is_file():
                node, sentence = load_mask(kept, name), _("The mask is the one that was kept.")
            elif given is not None and given.endswith(".nrrd"):
                node, sentence = load_mask(Path(given), name), ""
            elif ahead.is_file() and given is None:
                node, sentence = show_segmentation(ahead, self.parameters.ct, name), _("The mask was made ahead.")
            else:
                return ""
        except (OSError, RuntimeError, UserError) as error:
            return str(error) if isinstance(error, UserError) else _("The mask made ahead cannot be read.")
        mark_node(node, case["case"])
        self.parameters.roi = node
        segments = generated_segments(node)
        if segments:
            self.parameters.segment_id = segments[0]
        return sentence

    def _fail(self, case: Mapping[str, Any], sentence: str) -> None:
        self._desk.run_panel.show_problem(sentence)
        self._mark(case["case"], "failed", sentence)

    # What a person made of a case

    def case_scored(self, ct: Any, result: Mapping[str, Any], files: Mapping[str, str | None]) -> None:
        """A CT was scored: where it is one of the list, keep the results and the state of its case."""
        case, report = self.table.find(case_of(ct)), files.get("report")
        if case is None or not report:
            return
        try:
            keep_results(Path(report).parent, Path(case["folder"]))
        except UserError as error:
            self._desk.run_panel.show_problem(str(error))
            return
        risk = result.get("log_risk")
        self._mark(case["case"], "scored", log_risk=risk if isinstance(risk, int | float) else None)

    def result_amended(self, ct: Any, folder: Path) -> None:
        """The result of a CT has more to say: where the list keeps it, that says so too."""
        case = self.table.find(case_of(ct))
        if case is None:
            return
        try:
            amend_results(folder, Path(case["folder"]))
        except UserError as error:
            self._desk.run_panel.show_problem(str(error))

    def _mark(self, name: str, state: str, sentence: str = "", log_risk: float | None = None) -> None:
        case = self.table.find(name) or {}
        if log_risk is None and state != "failed":
            log_risk = case.get("log_risk")
        reviewer = self.parameters.reviewer if state == "reviewed" else str(case.get("reviewer") or "")
        self.table.change(name, self.current, state=state, sentence=sentence, log_risk=log_risk, reviewer=reviewer)
        self._desk.changed()
        values = {"case": name, "state": state, "reviewer": reviewer, "log_risk": log_risk, "sentence": sentence}

        def done(result: Mapping[str, Any] | None, files: Mapping[str, str | None], problem: str) -> None:
            if result is None:
                self._desk.run_panel.show_problem(problem)

        list_path, out = self._read or ("", "")  # also while another module is open
        self._desk.worker().submit("mark_case", {"worklist": list_path, "out": out, **values}, QuietJob(done))

    def _may_leave(self) -> bool:
        """Whether the open case can be closed; a changed mask is asked about first."""
        if self.table.find(self.current) is None or not self._mask_changed:
            return True
        answer = self.ask_mask(self.current)
        return self._keep_mask() if answer == "keep" else answer == "discard"

    def _keep_mask(self) -> bool:
        """Keep the mask of the open case where there is one; False where that failed and was said."""
        roi, case = self.parameters.roi, self.table.find(self.current)
        if case is None or not is_segmentation(roi):
            return True
        try:
            keep_mask(roi, mask_file(Path(self.parameters.worklist_out), Path(case["folder"]).name))
        except UserError as error:
            self._desk.run_panel.show_problem(str(error))
            return False
        self._mask_changed = False
        return True

    def _observe_mask(self) -> None:
        roi = self.parameters.roi if self.current else None
        node = roi if is_segmentation(roi) else None
        if node is self._observed:
            return
        self._forget_mask()
        self._observed = node
        if node is not None:
            for event in _EVENTS:
                self.addObserver(node.GetSegmentation(), getattr(slicer.vtkSegmentation, event), self._on_mask_changed)

    def _forget_mask(self) -> None:
        self.removeObservers(self._on_mask_changed)
        self._observed = None
        self._mask_changed = False

    def _on_mask_changed(self, caller: Any, event: Any) -> None:
        self._mask_changed = True

    # Working ahead, and all at once

    def _work_ahead(self) -> None:
        case = self.table.next_after(self.current)
        if case is None or case["state"] not in ("to do", "failed"):
            self._say_ahead("")
            return
        self._ahead = name = case["case"]
        job = {
            **case["files"],
            "masks": str(prepared_folder(Path(self.parameters.worklist_out), Path(case["folder"]).name)),
            "bundle": self.parameters.bundle,
            "device": self.parameters.device.value,
        }
        job.pop("covariates", None)
        self._say_ahead(_("Making mask and embedding of {case} meanwhile.").format(case=name))

        def done(result: Mapping[str, Any] | None, files: Mapping[str, str | None], problem: str) -> None:
            if self._ahead != name or self.parameters is None:
                return
            if result is None:
                self._say_ahead(_("{case} could not be made ready: {why}").format(case=name, why=problem))
            else:
                self._say_ahead(_("{case} is ready.").format(case=name))
                self._mark(name, "prepared")

        self._ahead_job = QuietJob(done)
        self._desk.worker().submit("prepare_case", job, self._ahead_job, background=True)

    def _leave_ahead(self) -> None:
        """Another case is opened: what is made ahead for it may be another."""
        self._ahead = ""
        if self._ahead_job is not None:
            self._desk.worker().cancel_job(self._ahead_job)
            self._ahead_job = None

    def _say_ahead(self, text: str) -> None:
        self._ui.reviewAheadLabel.text = text
        self._ui.reviewAheadLabel.visible = bool(text)

    def _on_batch(self, *_ignored: Any) -> None:
        options = {
            "bundle": self.parameters.bundle,
            "device": self.parameters.device.value,
            "explain": self.parameters.explain,
            "measure": self.parameters.measure,
        }

        def finished(result: Mapping[str, Any], files: Mapping[str, str | None]) -> str:
            qt.QTimer.singleShot(0, self.read)
            return _("Scored {done}, failed {failed}, already there {skipped}; the table is {table}.").format(
                **result, table=files.get("table")
            )

        self._submit("batch", {"options": options}, finished)

    def _submit(self, kind: str, parameters: Mapping[str, Any], finished: Any, *, bare: bool = False) -> None:
        place = {} if bare else self._place()
        ListJob(self._desk, kind, {**place, **parameters}, finished, self._desk.changed).start()

    def _place(self) -> dict[str, str]:
        return {"worklist": self.parameters.worklist, "out": self.parameters.worklist_out}

    def _choose(self, name: str, path: str) -> None:
        if self.parameters is not None and getattr(self.parameters, name) != path.strip():
            setattr(self.parameters, name, path.strip())
