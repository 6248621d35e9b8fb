"""The step "Explain" brought into the states that are worth a picture; the worker may be the real one or a fake."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

WaitCallback = Callable[[Callable[[], bool]], None]
"""Lets the event loop run until something is so."""


def estimate(widget: Any, wait: WaitCallback) -> None:
    """A case that was scored, and how long explaining it would take."""
    wait(lambda: bool(widget.ui.estimateLabel.text) and "…" not in widget.ui.estimateLabel.text)


def explain(widget: Any, wait: WaitCallback, *, until_done: bool = True) -> Any:
    """Explain the case that was scored; the heatmap, or None where the run is only to be seen under way."""
    widget.ui.explainButton.click()
    if not until_done:
        wait(lambda: "(" in widget.ui.explainStageLabel.text or not widget.parts.explain.running)
        return None
    wait(lambda: not widget.parts.explain.running)
    return widget._parameters.heatmap


def interrupt_and_resume(widget: Any, wait: WaitCallback) -> None:
    """Cancel in the middle and wait for what the button then offers; `explain` goes on where it was."""
    widget.ui.explainButton.click()
    bar = widget.ui.explainProgressBar
    wait(lambda: "Replacing" in widget.ui.explainStageLabel.text and bar.value > bar.maximum // 8)
    widget.ui.explainCancelButton.click()
    wait(lambda: not widget.parts.explain.running)
    estimate(widget, wait)


def go_to_hotspot(widget: Any, number: int = 1) -> tuple[float, float, float]:
    """Step to a hotspot in every view; its place in RAS (mm)."""
    from MemorySurvivalPanels.explanation import read_explanation
    from MemorySurvivalPanels.hotspots import position_of

    widget.ui.hotspotTable.setCurrentCell(number - 1, 0)
    x, y, z = position_of(read_explanation(widget._parameters.heatmap).hotspots[number - 1])
    return -x, -y, z


def photograph_explain(
    widget: Any,
    wait: WaitCallback,
    photograph: Callable[[str], None],
    views: Callable[[tuple[float, float, float], str], None],
) -> None:
    """Pictures of a scored case: estimated, interrupted, explained, and at its first hotspot, with its views.

    `photograph` takes the panel under a name, `views` draws the slice views through a point (RAS) under a name.
    """
    estimate(widget, wait)
    photograph("explain-estimated")
    interrupt_and_resume(widget, wait)
    photograph("explain-resume")
    heatmap = explain(widget, wait)
    wait(lambda: bool(widget.ui.estimateLabel.text))
    if heatmap is not None and widget.ui.hotspotTable.rowCount:
        views(go_to_hotspot(widget), "explain-hotspot")
    photograph("explain-done")
