"""A map for a fifth of its work: what is looked at next follows from what was found so far, and the rest is estimated.

Where slices do not look back, single slices of single planes are looked at (interpolation.py). Elsewhere that would
cost as much as a whole patch; there some columns of patches that show most of the region come first, then the patches
beside the strongest of them. Every slice is kept, since neighbouring slices differ too much to leave slices out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np
import numpy.typing as npt

from MemorySurvivalLib.explain.fills import Fills
from MemorySurvivalLib.explain.finished import Finished, key_of
from MemorySurvivalLib.explain.interpolation import Interpolation, Work
from MemorySurvivalLib.explain.occlusion import (
    OccludedRisks,
    count_encodings,
    occluded_log_risks,
    touched_positions,
)
from MemorySurvivalLib.explain.plan import ExplainConfig, Patch, plan_patches
from MemorySurvivalLib.explain.subject import Subject
from MemorySurvivalLib.memory.cache import MemoryCache
from MemorySurvivalLib.progress import Meter, ProgressCallback, ProgressEvent, ignore_progress
from MemorySurvivalLib.roi.roi import Roi

SHARE = 0.2
"""What may be encoded of what the whole map would."""

FIRST_EVERY = 4
"""One plane of every so many slices is looked at before anything is estimated."""

A_ROUND = 0.1
"""The share of slices that is looked at before what comes next is chosen anew: strong slices are soon looked at again,
the others left alone."""

COLUMNS_SHARE = 0.75
"""Where slices look back: the part of it that the columns may take."""

FloatMatrix = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class CoarseToFine:
    """Patches of the whole map and their effects (patches, variants), how much of the work an earlier run had finished
    (as a number of patches), and what the whole map would encode. In `boxed` mode all patches, with estimated effects;
    else some, with their own."""

    patches: tuple[Patch, ...]
    effects: npt.NDArray[np.float64]
    resumed: int
    full_encodings: int


def find_coarse_to_fine(
    subject: Subject,
    roi: Roi,
    config: ExplainConfig,
    fills: Fills,
    *,
    batch_size: int = 1,
    cache: MemoryCache | None = None,
    progress: ProgressCallback = ignore_progress,
) -> CoarseToFine:
    """The coarse map's patches and effects, for a fifth of the encodings of the whole map (one at least)."""
    return _find(subject, roi, config, _Asking(fills, batch_size, cache), progress)


def finished_share(subject: Subject, roi: Roi, config: ExplainConfig, fills: Fills, cache: MemoryCache) -> float:
    """How much of a coarse map's work an earlier run has finished, 0 to 1. What comes next follows from what was found,
    so what is finished is gone through in its order; nothing is encoded."""
    asking = _Asking(fills, 1, cache, only_finished=True)
    try:
        _find(subject, roi, config, asking, ignore_progress)
    except _UnfinishedError:
        return asking.finished
    return 1.0


class _UnfinishedError(Exception):
    """Ends going through finished work where it ends."""


class _Asking:
    """Asks for occluded log-risks and adds up how much of the map's work was finished already."""

    def __init__(
        self, fills: Fills, batch_size: int, cache: MemoryCache | None, *, only_finished: bool = False
    ) -> None:
        self.fills, self._batch_size, self._cache = fills, batch_size, cache
        self._only_finished = only_finished
        self.asked = self.finished = 0.0
        """Shares of the map's work."""

    def risks(
        self, subject: Subject, patches: Sequence[Patch], share: float, progress: ProgressCallback
    ) -> npt.NDArray[np.float64]:
        """Log-risks (patches, variants); `share` is what of the map's work this is."""
        if self._only_finished:
            kept = Finished(self._cache, key_of(subject, patches, self.fills), len(patches), len(subject.names))
            found = OccludedRisks(kept.risks, kept.resumed)
        else:
            found = occluded_log_risks(
                subject, patches, self.fills, batch_size=self._batch_size, cache=self._cache, progress=progress
            )
        if patches:
            self.asked += share
            self.finished += share * found.resumed / len(patches)
        if self._only_finished and found.resumed < len(patches):
            raise _UnfinishedError
        return found.risks

    def resumed(self, patches: int) -> int:
        """What was finished, as a number of patches of so many."""
        return round(patches * self.finished / self.asked) if self.asked else 0


def _find(
    subject: Subject, roi: Roi, config: ExplainConfig, asking: _Asking, progress: ProgressCallback
) -> CoarseToFine:
    find = _estimate_patches if subject.mode == "boxed" else _pick_patches
    return find(subject, roi, config, asking, progress)


def _estimate_patches(
    subject: Subject, roi: Roi, config: ExplainConfig, asking: _Asking, progress: ProgressCallback
) -> CoarseToFine:
    """Look at single slices where it tells most, and estimate every patch from them.

    Statistics of the region do not add up over slices; their part is measured for every patch and added, as if it did
    not depend on the memories.
    """
    wanted = plan_patches(roi, config)
    full = count_encodings(subject, wanted)
    spacing = roi.mask.spacing_mm
    touched = [touched_positions(subject, patch) for patch in wanted]
    count = len(subject.any_pass.boxes)
    known = Interpolation(wanted, touched, count, len(subject.modalities), config.patch_mm, spacing)
    left = budget = min(max(round(SHARE * full), 1), full)
    meter = Meter("occlusion", left, progress)
    works = known.spread(FIRST_EVERY)[:left]
    a_round = max(round(A_ROUND * count * len(subject.modalities)), 1)
    while works:
        _look(subject, known, works, asking, 1 / budget, meter)
        left -= len(works)
        works = known.choose(min(a_round, left)) if left else []
    effects = known.finish() + _of_statistics(subject, wanted, asking.fills)
    columns = [effects.sum(axis=0), *effects] if len(effects) > 1 else [effects[0]]
    return CoarseToFine(wanted, np.stack(columns, axis=1), asking.resumed(len(wanted)), full)


def _of_statistics(subject: Subject, patches: Sequence[Patch], fills: Fills) -> npt.NDArray[np.float64]:
    """What each patch does through the statistics alone (modalities, patches)."""
    effects = np.zeros((len(subject.modalities), len(patches)))
    if subject.statistics is None or not subject.follow_statistics:
        return effects
    states = subject.baseline_states()
    baseline = subject.baseline()
    for n, patch in enumerate(patches):
        measured = subject.measure(patch, fills)
        if measured:
            rows = [subject.statistics.with_changes(measured, (modality,)) for modality in subject.modalities]
            effects[:, n] = baseline - subject.log_risks([states] * len(rows), rows)
    return effects


def _look(
    subject: Subject,
    known: Interpolation,
    works: Sequence[Work],
    asking: _Asking,
    share: float,
    meter: Meter,
) -> None:
    """Occlude single slices, each of which is a `share` of the map's work, and take in their effects."""
    baseline = subject.baseline()
    for modality, members in groupby(sorted(works), key=lambda work: work.modality):
        alone = replace(subject, modalities=(subject.modalities[modality],), follow_statistics=False)
        group = list(members)
        slices = [_slice_patch(subject, known, work) for work in group]
        risks = asking.risks(alone, slices, share * len(group), _Follower(meter).follow)
        known.tell(group, (baseline - risks[:, 0]).tolist())


def _slice_patch(subject: Subject, known: Interpolation, work: Work) -> Patch:
    z = subject.any_pass.boxes[work.position].z
    return Patch(z, z + 1, *known.planes[work.plane])


class _Follower:
    """Passes the steps of a part on to the meter of the whole."""

    def __init__(self, meter: Meter) -> None:
        self._meter, self._done = meter, 0

    def follow(self, event: ProgressEvent) -> None:
        while self._done < event.done:
            self._done += 1
            self._meter.step()


def _pick_patches(
    subject: Subject, roi: Roi, config: ExplainConfig, asking: _Asking, progress: ProgressCallback
) -> CoarseToFine:
    """Occlude the columns, then the patches that overlap the strongest of theirs, until a fifth of the map is spent."""
    wanted = plan_patches(roi, config)
    full = count_encodings(subject, wanted)
    overlap = _overlaps(wanted)
    first = choose_columns(subject, wanted, overlap, COLUMNS_SHARE * SHARE * full)
    baseline = subject.baseline()
    columns = [wanted[n] for n in first]
    effects = baseline - asking.risks(subject, columns, COLUMNS_SHARE, progress)
    promised = np.zeros(len(wanted))
    _, numbers = _planes(wanted)
    for n, effect in zip(first, np.abs(effects[:, 0]), strict=True):
        beside = np.asarray([patch.z0 == wanted[n].z0 for patch in wanted])
        promised = np.maximum(promised, np.where(beside, overlap[numbers[n], numbers] * effect, 0))
    promised[list(first)] = 0
    more = _affordable(subject, wanted, promised, SHARE * full - count_encodings(subject, columns))
    finer = baseline - asking.risks(subject, [wanted[n] for n in more], 1 - COLUMNS_SHARE, progress)
    patches = (*columns, *(wanted[n] for n in more))
    return CoarseToFine(patches, np.concatenate([effects, finer]), asking.resumed(len(patches)), full)


def choose_columns(subject: Subject, patches: Sequence[Patch], overlap: FloatMatrix, budget: float) -> tuple[int, ...]:
    """The patches of whole columns, picked one after the other by how much more of all patches they overlap at what
    cost, until the budget is spent; one column at least."""
    planes, numbers = _planes(patches)
    deep = np.asarray([patch.z0 for patch in patches])
    there = [set(deep[numbers == n].tolist()) for n in range(len(planes))]
    cost = [
        count_encodings(subject, [patch for patch, n in zip(patches, numbers, strict=True) if n == c])
        for c in range(len(planes))
    ]
    # How much of every patch each column would show: only where it has a patch at the same depth.
    shown = np.stack([np.where(np.isin(deep, list(there[c])), overlap[c, numbers], 0) for c in range(len(planes))])
    seen = np.zeros(len(patches), dtype=np.float32)
    chosen: list[int] = []
    spent = 0.0
    while True:
        gains = np.maximum(shown - seen, 0).sum(axis=1) / np.maximum(cost, 1)
        gains[[c for c in range(len(planes)) if c in chosen or (chosen and spent + cost[c] > budget)]] = 0
        best = int(gains.argmax())
        if gains[best] <= 0:
            return tuple(n for n in range(len(patches)) if numbers[n] in chosen)
        chosen.append(best)
        spent += cost[best]
        seen = np.maximum(seen, shown[best])


def _planes(patches: Sequence[Patch]) -> tuple[list[tuple[int, int, int, int]], npt.NDArray[np.intp]]:
    """The distinct planes of patches, and the number of each patch's plane."""
    planes = sorted({patch.plane for patch in patches})
    number = {plane: n for n, plane in enumerate(planes)}
    return planes, np.asarray([number[patch.plane] for patch in patches])


def _overlaps(patches: Sequence[Patch]) -> FloatMatrix:
    """The share of each plane (columns) that each plane (rows) overlaps."""
    y0, y1, x0, x1 = np.asarray(_planes(patches)[0], dtype=np.float32).T
    down = np.minimum(y1[:, None], y1) - np.maximum(y0[:, None], y0)
    across = np.minimum(x1[:, None], x1) - np.maximum(x0[:, None], x0)
    area = (y1 - y0) * (x1 - x0)
    return np.asarray(np.clip(down, 0, None) * np.clip(across, 0, None) / area, dtype=np.float32)


def _affordable(
    subject: Subject, patches: Sequence[Patch], promised: npt.NDArray[np.float64], budget: float
) -> list[int]:
    """The most promising patches that the budget pays for, in rising z."""
    works: set[tuple[int, tuple[int, int, int, int]]] = set()
    chosen = []
    for n in np.argsort(-promised, kind="stable"):
        new = {(k, patches[n].plane) for k in touched_positions(subject, patches[n])} - works
        if promised[n] > 0 and (len(works) + len(new)) * len(subject.modalities) <= budget:
            works |= new
            chosen.append(int(n))
    return sorted(chosen)
