"""The section "Reader study" brought into the states that are worth a picture; the worker does the reader's jobs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

WaitCallback = Callable[[Callable[[], bool]], None]
"""Lets the event loop run until something is so."""


def switch_on(widget: Any, wait: WaitCallback, study: Path, reader: str) -> None:
    """Choose a study, say who reads, and cover the score; wait for the list of cases."""
    widget.ui.readerSection.collapsed = False
    widget.ui.readerFolderPath.currentPath = str(study)
    widget.ui.readerNameEdit.text = reader
    widget.ui.readerNameEdit.editingFinished.emit()
    widget.ui.readerSwitch.click()
    wait(lambda: widget.ui.readerCaseCombo.count > 0)


def begin(widget: Any, wait: WaitCallback, case: str) -> None:
    """Begin a case with the images that are chosen, or those of the review list."""
    combo = widget.ui.readerCaseCombo
    combo.currentIndex = combo.findData(case)
    widget.ui.readerBeginButton.click()
    wait(lambda: widget._parameters.reader_case == case and not widget.parts.run_panel.running)


def estimate(widget: Any, wait: WaitCallback, group: str, confidence: int) -> None:
    """Lock in an estimate of the risk group."""
    for combo, value in ((widget.ui.readerGroupCombo, group), (widget.ui.readerConfidenceCombo, confidence)):
        combo.currentIndex = combo.findData(value)
        combo.activated.emit(combo.currentIndex)
    before = widget.ui.readerAnswerLabel.text
    widget.ui.readerLockButton.click()
    wait(lambda: widget.ui.readerAnswerLabel.text != before and not widget.parts.run_panel.running)


def photograph_reader_study(
    widget: Any, wait: WaitCallback, photograph: Callable[[str], None], study: Path, case: str
) -> None:
    """Pictures of a scored case that is covered, and of the same after the estimate; the case has been scored."""
    switch_on(widget, wait, study, "reader-1")
    begin(widget, wait, case)
    photograph("reader-study-covered")
    estimate(widget, wait, "high", 4)
    wait(lambda: "The model" in widget.ui.readerAnswerLabel.text)
    photograph("reader-study-shown")
