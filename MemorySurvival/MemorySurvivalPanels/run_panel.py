"""Score, Cancel, and what happens in between: the stage, the bar, the time left, and the sentence that ends it."""

from collections.abc import Callable, Sequence
from typing import Any

import qt
from slicer.i18n import tr as _

from MemorySurvivalPanels.worker_protocol import Progress


class RunPanel:
    """Shows one of three states: idle, running, or idle with a message. Every path out of running leads to idle."""

    def __init__(self, ui: Any) -> None:
        self._ui = ui
        self._running = False
        self._missing: str | None = None
        self._stage_before_phase: str | None = None
        self._estimate = ""
        self._log: tuple[str, ...] = ()
        self._log_window: Any = None
        ui.logButton.clicked.connect(self._show_log)
        self._watchers: list[Callable[[], None]] = []
        self.show_idle()

    @property
    def running(self) -> bool:
        """Whether a score job is under way."""
        return self._running

    def watch(self, callback: Callable[[], None]) -> None:
        """Call back whenever a job begins or ends."""
        self._watchers.append(callback)

    def set_missing_choice(self, sentence: str | None) -> None:
        """Score is possible when nothing is missing; else its tool tip says what is."""
        self._missing = sentence
        self._show_buttons()

    def show_running(self) -> None:
        """A job has been asked for."""
        self._running = True
        self._log = ()
        self._say("")
        self._ui.stageLabel.text = _("Starting…")
        self._ui.progressBar.maximum = 0
        self._ui.progressBar.value = 0
        self._show_buttons()

    def show_progress(self, progress: Progress) -> None:
        """One step further."""
        self._ui.progressBar.maximum = max(progress.total, 0)
        self._ui.progressBar.value = progress.done
        self._ui.stageLabel.text = describe_progress(progress)

    def show_phase(self, name: str) -> None:
        """The viewer itself is busy with something; "" when it no longer is. Painted at once."""
        if self._stage_before_phase is None:
            self._stage_before_phase = self._ui.stageLabel.text
        self._ui.stageLabel.text = name or self._stage_before_phase
        self._ui.stageLabel.visible = bool(self._ui.stageLabel.text)
        if name:
            self._ui.stageLabel.repaint()
        else:
            self._stage_before_phase = None

    def show_note(self, text: str) -> None:
        """Something the user should know while the job runs."""
        self._say(text, problem=False)

    def show_problem(self, text: str) -> None:
        """Something went wrong beside the job, which goes on if there is one."""
        self._say(text, problem=True)

    def show_idle(self, sentence: str = "", problem: bool = False, log: Sequence[str] = ()) -> None:
        """The job is over, with a sentence or without; `log` is what the worker wrote last, to be looked at."""
        self._running = False
        self._say(sentence, problem)
        self._log = tuple(log)
        self._show_buttons()

    def set_estimate(self, sentence: str) -> None:
        """How long a run takes, such as "About 2 min on this computer."; shown while Score waits to be clicked."""
        if sentence != self._estimate:
            self._estimate = sentence
            self._show_buttons()

    def _show_buttons(self) -> None:
        self._ui.scoreButton.enabled = not self._running and self._missing is None
        self._ui.scoreButton.toolTip = self._missing or _("Score this case with the chosen model")
        self._ui.cancelButton.enabled = self._running
        self._ui.progressBar.visible = self._running
        self._ui.logButton.visible = bool(self._log) and not self._running
        waiting = self._missing or self._estimate
        self._ui.stageLabel.visible = self._running or bool(waiting)
        if not self._running:
            self._ui.stageLabel.text = waiting
        for callback in self._watchers:
            callback()

    def _show_log(self, *_ignored: Any) -> None:
        """What the worker wrote before it failed, in a window of its own that stops nothing."""
        self._log_window = show_log(self._log, self._ui.logButton)

    def _say(self, sentence: str, problem: bool = False) -> None:
        self._ui.messageLabel.text = sentence
        self._ui.messageLabel.visible = bool(sentence)
        colour = "#c0392b" if problem else "#5b7083"
        self._ui.messageLabel.styleSheet = f"border: 1px solid {colour}; border-radius: 3px; padding: 4px 8px;"


def show_log(lines: Sequence[str], near: Any) -> Any:
    """A window with lines of a log, to read and to copy; the last ones are in sight."""
    window = qt.QDialog(near.window())
    window.setWindowTitle(_("Log of the scoring process"))
    text = qt.QPlainTextEdit()
    text.setReadOnly(True)
    text.setLineWrapMode(qt.QPlainTextEdit.NoWrap)
    text.setPlainText("\n".join(lines))
    text.setToolTip(_("What the scoring process wrote before it ended; it may name files"))
    text.moveCursor(qt.QTextCursor.End)
    layout = qt.QVBoxLayout(window)
    layout.addWidget(text)
    row = text.fontMetrics()
    window.resize(90 * row.averageCharWidth(), 24 * row.height())
    window.show()
    return window


def describe_progress(progress: Progress) -> str:
    """Such as "Reading the slices (41 of 150), about 12 s left"."""
    stage = _stage_title(progress.stage)
    counted = f"{stage} ({progress.done} / {progress.total})" if progress.total > 1 else stage
    if progress.eta_s is None:
        return counted
    return _("{stage}, about {time} left").format(stage=counted, time=describe_duration(progress.eta_s))


def describe_duration(seconds: float) -> str:
    """Such as "12 s", "3 min" or "1 h 5 min", rounded up so that it never promises too much."""
    whole = max(int(-(-seconds // 1)), 0)
    if whole < 90:
        return _("{n} s").format(n=whole)
    minutes = -(-whole // 60)
    if minutes < 60:
        return _("{n} min").format(n=minutes)
    return _("{h} h {m} min").format(h=minutes // 60, m=minutes % 60)


def _stage_title(stage: str) -> str:
    titles = {
        "segmenting the CT": _("Finding the bones"),
        "scan": _("Looking through the DICOM files"),
        "read": _("Reading the DICOM images"),
        "reading the file": _("Reading the file"),
        "memory PET": _("Reading the PET slices"),
        "memory CT": _("Reading the CT slices"),
        "occlusion": _("Explaining"),
        "occlusion, baseline": _("Explaining"),
        "noise floor": _("Measuring the noise"),
        "outside the region": _("Looking outside the region"),
        "measuring segments": _("Measuring"),
        "listing lesions": _("Looking for lesions"),
        "stability": _("Checking the stability"),
        "worklist": _("Scoring the list"),
        "write report": _("Writing the report"),
        "simulated patients": _("Reading simulated patients"),
        "training image": _("Training"),
        "training image+clinical": _("Training"),
        "measuring the speed": _("Measuring the speed"),
        "write DICOM": _("Writing DICOM objects"),
        "look": _("Checking what is sent"),
        "send": _("Sending"),
    }
    return titles.get(stage, stage[:1].upper() + stage[1:])
