"""The reading layout on a case, for pictures: as it opens, and after a click on a lesion in the rotating view."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

Save = Callable[[str], None]
"""Takes a picture of the panel and the views under this name; see slicer_host.layout_picture.draw_window."""


def photograph_reading(widget: Any, lesion_ras: tuple[float, float, float], save: Save) -> None:
    """Open the reading layout on the chosen CT and PET, photograph it, click on a lesion, and photograph that.

    Leaves the layout on. The rotating view comes from the worker in the background.
    """
    import slicer
    from MemorySurvivalPanels.views import crosshair_node
    from slicer_host.layout_picture import settle_views

    reading = widget.parts.reading
    if not widget.ui.readingButton.checked:
        widget.ui.readingButton.click()
    settle_views()
    end = time.monotonic() + 300
    while reading.mip.node is None and time.monotonic() < end:
        slicer.app.processEvents()
        time.sleep(0.01)
    widget.ui.mipPlayButton.checked = False
    reading.mip.turn_to(0)
    reading.fit()
    save("reading")
    point = reading.mip.find_point(lesion_ras)
    reading.go_to_hottest(point if point is not None else lesion_ras)
    crosshair_node().SetCursorPositionRAS(crosshair_node().GetCrosshairRAS())
    save("reading-lesion")
    widget.ui.lowerRowCombo.currentIndex = 1
    widget.ui.ctWindowCombo.currentIndex = 1
    reading.mip.turn_to(reading.mip.frames.count // 8)
    save("reading-sagittal")
    widget.ui.lowerRowCombo.currentIndex = widget.ui.ctWindowCombo.currentIndex = 0
