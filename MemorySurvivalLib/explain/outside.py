"""What lies outside the region and still moves the score: the model sees whole slices, with bladder and brain."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from MemorySurvivalLib.explain.fills import Fills
from MemorySurvivalLib.explain.occlusion import occluded_log_risks
from MemorySurvivalLib.explain.plan import Blob
from MemorySurvivalLib.explain.subject import Subject
from MemorySurvivalLib.imaging.case import Case
from MemorySurvivalLib.imaging.volume import resample_onto
from MemorySurvivalLib.measure.basins import divide
from MemorySurvivalLib.measure.frame import BodyFrame, make_frame
from MemorySurvivalLib.measure.organs import HotSpot, Organs, find_organs
from MemorySurvivalLib.measure.segments import on_grid
from MemorySurvivalLib.memory.cache import MemoryCache
from MemorySurvivalLib.progress import ProgressCallback, ignore_progress
from MemorySurvivalLib.roi.roi import Roi
from MemorySurvivalLib.roi.segments import Segmentation

STAGE = "outside the region"
EVERYTHING = "everything outside the region"
ORGANS = ("bladder", "brain", "heart", "kidneys")

_WORDS = {"bladder": ("bladder",), "brain": ("brain",), "heart": ("heart", "myocard"), "kidneys": ("kidney",)}
_NOT = ("gall", "stem")
_FOUND_AS = {"bladder": "bladder", "brain": "brain", "myocardium": "heart", "kidney": "kidneys"}

HOT_SUV = 2.5
"""Organs that no segmentation names are looked for where uptake reaches this."""

CLEAR_SUV = 4.0
"""An organ that is no hotter than this at its peak cannot be told from what lies beside it."""

KIDNEY_MM = 80.0
"""Wider uptake is no kidney."""

CORE_SHARE = 0.3
"""An organ's uptake is where it reaches this share of its peak."""

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class OutsideEffect:
    """The change of log-risk when everything of an organ outside the region is replaced."""

    organ: str
    effect: float


@dataclass(frozen=True)
class Perspective:
    """Effects of the whole region and of what lies outside it, and the organs that could not be found."""

    whole_roi_effect: float
    outside: tuple[OutsideEffect, ...]
    unknown: tuple[str, ...]


def find_perspective(
    subject: Subject,
    roi: Roi,
    fills: Fills,
    segmentation: Segmentation | None,
    *,
    batch_size: int = 1,
    cache: MemoryCache | None = None,
    progress: ProgressCallback = ignore_progress,
) -> Perspective:
    """Occlude the whole region at once, everything outside it, and each organ outside it that can be found."""
    inside = roi.mask.voxels
    organs = find_organ_masks(subject.case, segmentation) if segmentation is not None else {}
    blobs = {"": np.asarray(inside), EVERYTHING: ~inside, **{name: mask & ~inside for name, mask in organs.items()}}
    found = occluded_log_risks(
        subject,
        [Blob(mask) for mask in blobs.values()],
        fills,
        stage=STAGE,
        batch_size=batch_size,
        cache=cache,
        progress=progress,
    )
    effects = dict(zip(blobs, (subject.baseline() - found.risks[:, 0]).tolist(), strict=True))
    whole = effects.pop("")
    return Perspective(
        whole,
        tuple(OutsideEffect(name, effect) for name, effect in effects.items()),
        tuple(name for name in ORGANS if name not in organs),
    )


def find_organ_masks(case: Case, segmentation: Segmentation) -> dict[str, Mask]:
    """Bladder, brain, heart and kidneys (bool, on the case's grid), those that are known.

    Organs that the segmentation names are taken from it. The built-in segmenter names bones only; then an organ is
    where its uptake is, recognised by place and density as for the lesion list, so an organ that takes up little is
    not found.
    """
    placed = on_grid(segmentation, case.ct)
    found: dict[str, Mask] = {}
    for organ, words in _WORDS.items():
        labels = [
            label
            for label, structure in placed.structures.items()
            if any(word in structure.name.lower() for word in words)
            and not any(word in structure.name.lower() for word in _NOT)
            and structure.group in ("organ", "other")
        ]
        mask = np.isin(placed.labels.voxels, labels)
        if labels and mask.any():
            found[organ] = mask
    if len(found) < len(ORGANS):
        found |= {name: mask for name, mask in _find_hot(case, placed).items() if name not in found}
    return {name: found[name] for name in ORGANS if name in found}


def _find_hot(case: Case, segmentation: Segmentation) -> dict[str, Mask]:
    frame = make_frame(case, segmentation)
    organs = find_organs(frame)
    suv = frame.suv.ravel()
    candidates: dict[str, list[tuple[float, npt.NDArray[np.int64]]]] = {name: [] for name in ORGANS}
    basins = divide(frame.suv, HOT_SUV, 0.25)
    for voxels, peak in zip(basins.groups(), basins.peaks, strict=True):
        top = float(suv[peak])
        if frame.bones.ravel()[peak] or top < CLEAR_SUV:
            continue
        core = voxels[suv[voxels] >= CORE_SHARE * top]
        spot = _spot(frame, core, int(peak), top)
        name = _FOUND_AS.get(organs.name(spot) or "")
        if name is not None and (name != "kidneys" or spot.width_mm <= KIDNEY_MM):
            candidates[name].append((top, core))
    coarse = np.zeros(frame.suv.shape, dtype=np.uint8)
    for name, found in candidates.items():
        found.sort(key=lambda one: -one[0])
        for top, core in found[: 2 if name == "kidneys" else 1]:
            if top >= 0.5 * found[0][0]:  # a stomach beside the kidneys is no second kidney
                coarse.ravel()[core] = ORGANS.index(name) + 1
    _add_brain(coarse, organs)
    fine = resample_onto(frame.grid.with_voxels(coarse), case.ct, linear=False).voxels
    return {name: fine == n for n, name in enumerate(ORGANS, start=1) if (fine == n).any()}


def _add_brain(coarse: npt.NDArray[np.uint8], organs: Organs) -> None:
    coarse[organs.cranium] = ORGANS.index("brain") + 1


def _spot(frame: BodyFrame, core: npt.NDArray[np.int64], peak: int, top: float) -> HotSpot:
    """The peak, and how wide and high the uptake above half of it is."""
    half = core[frame.suv.ravel()[core] >= 0.5 * top]
    places = np.stack(np.unravel_index(half, frame.suv.shape), axis=1)
    height, depth, width = (places.max(axis=0) - places.min(axis=0) + 1) * frame.spacing_zyx
    z, y, x = (int(n) for n in np.unravel_index(peak, frame.suv.shape))
    px, py, pz = frame.grid.affine.points_mm((x, y, z)).tolist()
    return HotSpot((px, py, pz), float(np.sqrt(depth * width)), float(height))
