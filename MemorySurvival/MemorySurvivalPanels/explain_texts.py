"""What the step "Explain" says about a job: how far it is, and how much work it would be."""

from collections.abc import Mapping
from typing import Any

from slicer.i18n import tr as _

from MemorySurvivalPanels.localised import show_number
from MemorySurvivalPanels.run_panel import describe_duration
from MemorySurvivalPanels.worker_protocol import Progress


def describe_stage(progress: Progress) -> str:
    """Such as "Occluding patches (41 of 212), about 12 s left"."""
    titles = {
        "memory PET": _("Reading the PET slices"),
        "memory CT": _("Reading the CT slices"),
        "segmentation": _("Finding the region"),
        "occlusion": _("Replacing tissue"),
        "noise floor": _("Finding the noise floor"),
        "outside the region": _("Looking outside the region"),
    }
    stage = titles.get(progress.stage, progress.stage[:1].upper() + progress.stage[1:])
    if progress.total > 1:
        stage = _("{stage} ({done} of {total})").format(stage=stage, done=progress.done, total=progress.total)
    if progress.eta_s is None:
        return stage
    return _("{stage}, about {time} left").format(stage=stage, time=describe_duration(progress.eta_s))


def describe_estimate(estimate: Mapping[str, Any]) -> str:
    """Such as "About 3 min: 212 patches, 1040 slices to encode."; empty where nobody knows."""
    patches, seconds = estimate.get("patches"), estimate.get("seconds")
    if not isinstance(patches, int):
        return ""
    work = _("{n} patches, {m} slices to encode").format(
        n=show_number(patches, 0), m=show_number(estimate.get("encoded_slices"), 0)
    )
    if not isinstance(seconds, int | float):
        return _("{work}; how long that takes is not known yet.").format(work=work)
    return _("About {time}: {work}.").format(time=describe_duration(seconds), work=work)
