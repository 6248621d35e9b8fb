"""Where another fill shows the same: occlusion asks what would be without tissue, and the answer depends on what is put
there instead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from MemorySurvivalLib.explain.fills import Fills
from MemorySurvivalLib.explain.heatmap import spread_effects
from MemorySurvivalLib.explain.hotspots import Hotspot
from MemorySurvivalLib.explain.occlusion import count_encodings, occluded_log_risks
from MemorySurvivalLib.explain.plan import FillName, Patch
from MemorySurvivalLib.explain.subject import Subject
from MemorySurvivalLib.imaging.volume import Volume
from MemorySurvivalLib.memory.cache import MemoryCache
from MemorySurvivalLib.progress import ProgressCallback, ignore_progress
from MemorySurvivalLib.roi.roi import Roi

STAGE = "noise floor"

BUDGET = 0.25
"""Looking at another fill may encode this share of what the map itself took; the strongest patches come first."""

NOTHING, ALONE, AGREED = 0, 1, 2
MEANING = "0 below noise or not looked at, 1 one fill alone, 2 at least two fills agree"


@dataclass(frozen=True, eq=False)
class Agreement:
    """The map (uint8) and the share of its looked-at voxels above the floor where at least two fills agree."""

    volume: Volume
    share: float | None


def find_agreement(
    subject: Subject,
    roi: Roi,
    patches: Sequence[Patch],
    effects: npt.NDArray[np.float64],
    effect: Volume,
    floor: float,
    others: Mapping[FillName, Fills],
    *,
    batch_size: int = 1,
    cache: MemoryCache | None = None,
    progress: ProgressCallback = ignore_progress,
) -> Agreement:
    """Occlude the patches above the floor with the other fills too, as far as the budget goes.

    A patch agrees when another fill changes the log-risk in the same direction by more than the floor. `effects` are
    those of the patches, `effect` is the map.
    """
    chosen = _affordable(subject, patches, effects, floor)
    agreed = np.zeros(len(patches), dtype=np.bool_)
    baseline = subject.baseline()
    for fills in others.values():
        left = [n for n in chosen if not agreed[n]]
        if left:
            found = occluded_log_risks(
                subject,
                [patches[n] for n in left],
                fills,
                stage=STAGE,
                batch_size=batch_size,
                cache=cache,
                progress=progress,
            )
            again = baseline - found.risks[:, 0]
            agreed[left] = (np.abs(again) > floor) & (np.sign(again) == np.sign(effects[left]))
    levels = np.zeros(effect.shape, dtype=np.uint8)
    if chosen:
        share, _ = spread_effects(roi, [patches[n] for n in chosen], np.where(agreed[chosen], 2.0, 1.0))
        above = (np.abs(effect.voxels) > floor) & (share.voxels > 0)
        levels[above] = np.where(share.voxels[above] >= 1.5, AGREED, ALONE)
    looked_at = int(np.count_nonzero(levels))
    share_agreed = float(np.count_nonzero(levels == AGREED) / looked_at) if looked_at else None
    return Agreement(Volume(levels, effect.affine, {"meaning": MEANING}), share_agreed)


def _affordable(
    subject: Subject, patches: Sequence[Patch], effects: npt.NDArray[np.float64], floor: float
) -> list[int]:
    """The patches above the floor, strongest first, that the budget of one other fill pays for."""
    ordered = [int(n) for n in np.argsort(-np.abs(effects), kind="stable") if abs(effects[n]) > floor]
    budget = BUDGET * count_encodings(subject, patches)
    low, high = 0, len(ordered)
    while low < high:  # the cost rises with every patch
        middle = (low + high + 1) // 2
        if count_encodings(subject, [patches[n] for n in ordered[:middle]]) <= budget:
            low = middle
        else:
            high = middle - 1
    return ordered[: max(low, min(1, len(ordered)))]


def mark_agreement(hotspots: Sequence[Hotspot], agreement: Volume) -> tuple[Hotspot, ...]:
    """The hotspots with what the map of agreement says at their place."""
    marked = []
    for spot in hotspots:
        x, y, z = np.rint(agreement.affine.indices(spot.position_lps_mm)).astype(int)
        level = int(agreement.voxels[z, y, x])
        marked.append(replace(spot, agreed=None if level == NOTHING else level == AGREED))
    return tuple(marked)
