"""A scored case looked at again: its stability, run again, laid beside another result, and all results on one page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

Wait = Callable[[Callable[[], bool]], None]


def check_stability(widget: Any, wait: Wait) -> None:
    """Measure the stability of the result that is shown."""
    widget.ui.stabilityButton.click()
    wait(lambda: not widget.parts.stability.running)


def run_again(widget: Any, wait: Wait) -> None:
    """Replay the result that is shown."""
    widget.parts.more.replay()
    wait(lambda: not widget.parts.run_panel.running)


def compare_with_other(widget: Any, wait: Wait) -> None:
    """Lay the newest other result of the scene beside the one that is shown."""
    widget.parts.more.compare(widget.parts.more.others()[0])
    wait(lambda: not widget.parts.run_panel.running)


def write_overview(widget: Any, wait: Wait, folder: Path) -> None:
    """Keep the result that is shown in `folder` and write the page of all results there."""
    widget.parts.report.copy_results(folder)
    widget._parameters.worklist_out = str(folder)
    widget.ui.reviewOverviewButton.click()
    wait(lambda: not widget.parts.run_panel.running)


def photograph_again(widget: Any, wait: Wait, photograph: Callable[[str], None], folder: Path) -> None:
    """Pictures of a scored case with its stability, of the same run again, and of the menu; pages go to the browser."""
    for name in ("scoreSection", "resultSection", "reviewSection"):
        getattr(widget.ui, name).collapsed = False
    photograph("stability-asked")
    check_stability(widget, wait)
    photograph("stability")
    run_again(widget, wait)
    photograph("run-again")
    widget.ui.resultMoreButton.click()
    photograph("more")
    widget.parts.more.menu.close()
    write_overview(widget, wait, folder)
    photograph("overview")
