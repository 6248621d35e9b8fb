"""Coarse-to-fine: some columns of patches that show most of the region, then the patches beside the strongest of them.

What a map costs is the number of distinct (slice, rows, columns), so whole columns are left out and every slice is
kept: neighbouring slices differ too much to leave slices out, and wider patches say too little about those inside them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from MemorySurvivalLib.explain.fills import Fills
from MemorySurvivalLib.explain.occlusion import count_encodings, occluded_log_risks, touched_positions
from MemorySurvivalLib.explain.plan import ExplainConfig, Patch, plan_patches
from MemorySurvivalLib.explain.subject import Subject
from MemorySurvivalLib.memory.cache import MemoryCache
from MemorySurvivalLib.progress import ProgressCallback, ignore_progress
from MemorySurvivalLib.roi.roi import Roi

SHARE = 0.2
"""What columns and patches together may encode of what the whole map would."""

COLUMNS_SHARE = 0.75
"""The part of it that the columns may take."""

FloatMatrix = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class CoarseToFine:
    """Some patches of the whole map and their effects (patches, variants), how many an earlier run had finished, and
    what the whole map would encode."""

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
    """Occlude the columns, then the patches that overlap the strongest of theirs, until a fifth of the map is spent."""
    wanted = plan_patches(roi, config)
    full = count_encodings(subject, wanted)
    overlap = _overlaps(wanted)
    first = choose_columns(subject, wanted, overlap, COLUMNS_SHARE * SHARE * full)
    baseline = subject.baseline()
    columns = [wanted[n] for n in first]
    found = occluded_log_risks(subject, columns, fills, batch_size=batch_size, cache=cache, progress=progress)
    effects = baseline - found.risks
    promised = np.zeros(len(wanted))
    _, numbers = _planes(wanted)
    for n, effect in zip(first, np.abs(effects[:, 0]), strict=True):
        beside = np.asarray([patch.z0 == wanted[n].z0 for patch in wanted])
        promised = np.maximum(promised, np.where(beside, overlap[numbers[n], numbers] * effect, 0))
    promised[list(first)] = 0
    more = _affordable(subject, wanted, promised, SHARE * full - count_encodings(subject, columns))
    finer = occluded_log_risks(
        subject, [wanted[n] for n in more], fills, batch_size=batch_size, cache=cache, progress=progress
    )
    return CoarseToFine(
        (*columns, *(wanted[n] for n in more)),
        np.concatenate([effects, baseline - finer.risks]),
        found.resumed + finer.resumed,
        full,
    )


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
