"""The steps "Result" and "Report" brought into the states that are worth a picture; the worker may be any."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

WaitCallback = Callable[[Callable[[], bool]], None]
"""Lets the event loop run until something is so."""


def score(widget: Any, wait: WaitCallback, *, measure: bool = True) -> None:
    """Score the chosen case without waiting for an accepted mask, with measurements or without."""
    widget._parameters.score_without_accepting = True
    widget._parameters.measure = measure
    widget.ui.scoreButton.click()
    wait(lambda: not widget.parts.run_panel.running)


def change_pet(widget: Any, suv: float) -> float:
    """Set the PET's first voxel, as a person who paints by mistake, or takes it back; what it was before."""
    import slicer

    pet = widget._parameters.pet
    voxels = slicer.util.arrayFromVolume(pet)
    before, voxels[0, 0, 0] = float(voxels[0, 0, 0]), suv
    slicer.util.arrayFromVolumeModified(pet)
    widget.onParametersChanged()
    return before


def save_and_reopen(widget: Any, path: Path) -> None:
    """Save the scene as .mrb, close it, and open it again with the module in sight."""
    from mrml_bundles import open_bundle, save_bundle

    save_bundle(path)
    open_bundle(path)
    widget.initializeParameterNode()


def photograph_result(widget: Any, wait: WaitCallback, photograph: Callable[[str], None], folder: Path) -> None:
    """Pictures of a scored case, of the same with a changed PET, and of the scene opened again.

    `photograph` takes the panel under a name; `folder` is for the saved scene.
    """
    score(widget, wait)
    photograph("result")
    before = change_pet(widget, 9.0)
    photograph("result-stale")
    change_pet(widget, before)
    save_and_reopen(widget, folder / "case.mrb")
    photograph("result-reopened")
