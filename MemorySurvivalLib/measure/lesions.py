"""The list of lesions inside a ROI: focal uptake, each outlined by its own maximum, spill-in told apart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import ndimage

from MemorySurvivalLib.imaging.case import Case
from MemorySurvivalLib.imaging.volume import Volume
from MemorySurvivalLib.measure.basins import divide
from MemorySurvivalLib.measure.delineation import Places
from MemorySurvivalLib.measure.finder import LesionFinder
from MemorySurvivalLib.measure.frame import BodyFrame
from MemorySurvivalLib.measure.lesion import MTV_SHARE, Lesion, LesionConfig, LesionList, LesionTotals, threshold_suv
from MemorySurvivalLib.measure.organs import find_organs
from MemorySurvivalLib.measure.reference import References
from MemorySurvivalLib.progress import ProgressCallback, ignore_progress, track
from MemorySurvivalLib.roi.roi import Roi
from MemorySurvivalLib.roi.segments import Segmentation

__all__ = ["LesionConfig", "LesionList", "find_lesions"]

DEFAULT_LESIONS = LesionConfig()


def find_lesions(
    case: Case,
    segmentation: Segmentation,
    roi: Roi,
    frame: BodyFrame,
    references: References,
    config: LesionConfig = DEFAULT_LESIONS,
    progress: ProgressCallback = ignore_progress,
) -> LesionList:
    """List the uptake at or above the threshold inside the ROI. `segmentation` and `roi` lie on the case's grid.

    All uptake of the image is divided among its peaks first, so that what spills over from an organ belongs to the
    organ's peak and not to the bone beside it.
    """
    threshold = threshold_suv(config, references)
    sigma = [config.smoothing_mm / mm for mm in reversed(case.pet.spacing_mm)]
    smooth = ndimage.gaussian_filter(np.asarray(case.pet.voxels, dtype=np.float32), sigma)
    basins = divide(smooth, MTV_SHARE * threshold, config.prominence)
    finder = LesionFinder(case, segmentation, roi.mask.voxels, find_organs(frame), threshold, config)
    hot = finder.hot_in_region
    groups = basins.groups()
    wanted = [n for n, voxels in enumerate(groups) if hot.ravel()[voxels].any()]
    found: list[tuple[Lesion, Places]] = []
    for n in track(wanted, "listing lesions", len(wanted), progress):
        entry = finder.describe(groups[n], int(basins.peaks[n]))
        if entry is not None:
            found.append(entry)
    order = {"focal": 0, "diffuse": 1, "spill-in": 2}
    found.sort(key=lambda entry: (order[entry[0].kind], -entry[0].suv_max))
    labels = np.zeros(case.ct.shape, dtype=np.uint16)
    lesions = []
    for number, (lesion, places) in enumerate(found, start=1):
        labels[tuple(places.T)] = number
        lesions.append(replace(lesion, number=number))
    return LesionList(
        tuple(lesions), Volume(labels, case.ct.affine), threshold, finder.marrow_suv, _totals(lesions), _notes(lesions)
    )


def _totals(lesions: list[Lesion]) -> LesionTotals:
    focal = [lesion for lesion in lesions if lesion.kind == "focal"]
    return LesionTotals(
        focal=len(focal),
        without_volume=sum(lesion.mtv_ml is None for lesion in focal),
        diffuse=sum(lesion.kind == "diffuse" for lesion in lesions),
        spill_in=sum(lesion.kind == "spill-in" for lesion in lesions),
        mtv_ml=sum(lesion.mtv_ml or 0.0 for lesion in focal),
        tlg_g=sum(lesion.tlg_g or 0.0 for lesion in focal),
        suv_max=max((lesion.suv_max for lesion in focal), default=None),
    )


def _notes(lesions: list[Lesion]) -> tuple[str, ...]:
    notes = []
    sources = sorted({lesion.spill_in for lesion in lesions if lesion.spill_in})
    if sources:
        notes.append(
            f"Uptake that leads up to a hotter place is listed but not counted ({', '.join(sources)}); look at it, "
            "because a lesion may hide in it."
        )
    if any(lesion.kind == "diffuse" for lesion in lesions):
        notes.append(
            "Some uptake above the threshold hardly exceeds that of the marrow elsewhere; it is listed as diffuse and "
            "not counted as a lesion."
        )
    if any(lesion.kind == "focal" and lesion.mtv_ml is None for lesion in lesions):
        notes.append(
            "Some lesions have no volume: 41 % of their maximum lies within the uptake of the marrow around, and the "
            "outline would run along the bone. The total volume leaves them out."
        )
    return tuple(notes)
