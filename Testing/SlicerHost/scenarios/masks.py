"""The step "Masks" brought into the states that are worth a picture; the worker may be the real one or a fake."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

WaitCallback = Callable[[Callable[[], bool]], None]
"""Lets the event loop run until something is so."""

Point = tuple[float, float, float]


def generate(widget: Any, wait: WaitCallback) -> Any:
    """Masks made from the chosen CT, and what the library says of them; the segmentation."""
    widget.ui.generateButton.click()
    wait(lambda: not widget.parts.run_panel.running)
    wait_for_check(widget, wait)
    return widget._parameters.roi


def wait_for_check(widget: Any, wait: WaitCallback) -> None:
    """Until the library has looked at the mask as it is now."""
    wait(lambda: widget.parts.masks.checker.answer is not None)


def unfold_editor(widget: Any) -> Any:
    """The Segment Editor on the chosen mask."""
    widget.ui.correctSection.collapsed = False
    return widget.parts.masks.editor.widget


def paint(widget: Any, *, stray: bool = False) -> Point:
    """A block beside the spine's middle, and with `stray` two voxels far away; the block's place in RAS (mm)."""
    import slicer
    from scenes import ijk_to_ras
    from slicer_host.segment_editor import stroke

    parameters = widget._parameters
    editor = unfold_editor(widget)
    voxels = slicer.util.arrayFromSegmentBinaryLabelmap(parameters.roi, parameters.segment_id, parameters.ct)
    z, y, x = (int(each.mean()) for each in voxels.nonzero())
    stroke(editor, (slice(z - 2, z + 3), slice(y - 6, y + 2), slice(x + 6, x + 14)))
    if stray:
        stroke(editor, (slice(z + 12, z + 14), slice(y, y + 1), slice(x + 40, x + 41)))
    point = ijk_to_ras(parameters.ct) @ [x, y - 4, z, 1.0]
    return float(point[0]), float(point[1]), float(point[2])


def photograph_masks(
    widget: Any,
    wait: WaitCallback,
    photograph: Callable[[str], None],
    views: Callable[[Point, str], None],
) -> None:
    """Pictures of masks just made, accepted with their boxes shown, and corrected after that, with the editor open.

    `photograph` takes the panel under a name, `views` draws the slice views through a point (RAS) under a name.
    """
    generate(widget, wait)
    photograph("masks-made")
    widget.ui.showBoxesCheck.checked = True
    widget.ui.acceptButton.click()
    photograph("masks-accepted")
    x, y, z = paint(widget, stray=True)
    wait(lambda: bool(widget.ui.maskPromptLabel.text))
    photograph("masks-corrected")
    # The views go to the middle of the nearest slice that has a box.
    answer = widget.parts.masks.checker.answer
    heights = [sum(corner[2] for corner in box["corners_lps_mm"]) / 8 for box in answer.placed]
    views((x, y, min(heights, key=lambda height: abs(height - z))), "masks-corrected")
