"""What a bundle may show about a case: the one place where that is decided."""

from __future__ import annotations

from dataclasses import dataclass

from MemorySurvivalLib.bundle.manifest import HeadEntry, Manifest

SIMULATED_MODEL = "SIMULATED MODEL"
"""Stands beside every number of a demonstration bundle: its heads learned from simulated cases only."""

SIMULATED_CASE = "SIMULATED CASE"

OTHER_ROI = "ENGINEERING USE: ROI NOT OF THE MODEL'S KIND"


@dataclass(frozen=True)
class Rights:
    """Which results may be shown, and the labels that must stand beside them."""

    position: bool
    group: bool
    survival: bool
    labels: tuple[str, ...]


def decide_rights(manifest: Manifest, head: HeadEntry, *, simulated_case: bool, other_roi: bool) -> Rights:
    """What may be shown besides the log-risk and the heatmap.

    A demonstration bundle shows everything on simulated cases and only the position among its simulated reference on
    real ones. Other bundles show what their evidence allows: a position needs held-out reference risks, a group
    thresholds frozen in training, survival an out-of-fold calibration with horizon and interval. With a ROI of
    another kind only the log-risk remains.
    """
    labels: tuple[str, ...] = (SIMULATED_MODEL,) if manifest.status == "demonstration" else ()
    if simulated_case:
        labels = (*labels, SIMULATED_CASE)
    if other_roi:
        return Rights(position=False, group=False, survival=False, labels=(*labels, OTHER_ROI))
    if manifest.status == "demonstration":
        return Rights(
            position=head.reference is not None,
            group=simulated_case and head.groups is not None,
            survival=simulated_case and head.baseline is not None,
            labels=labels,
        )
    calibrated = head.calibration is not None and head.calibration.out_of_fold and head.baseline is not None
    return Rights(
        position=head.reference is not None, group=head.groups is not None, survival=calibrated, labels=labels
    )
