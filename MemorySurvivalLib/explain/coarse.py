"""Coarse-to-fine: wide tiles over the whole region, and the patches that were asked for where tiles show most.

What a map costs is the number of distinct (slice, rows, columns), so tiles are coarse in the plane only and keep every
slice: the effects of neighbouring slices differ too much to leave slices out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from MemorySurvivalLib.explain.fills import Fills
from MemorySurvivalLib.explain.heatmap import spread_effects
from MemorySurvivalLib.explain.occlusion import count_encodings, occluded_log_risks, touched_positions
from MemorySurvivalLib.explain.plan import ExplainConfig, Patch, plan_patches
from MemorySurvivalLib.explain.subject import Subject
from MemorySurvivalLib.imaging.volume import Volume
from MemorySurvivalLib.memory.cache import MemoryCache
from MemorySurvivalLib.progress import ProgressCallback, ignore_progress
from MemorySurvivalLib.roi.roi import Roi

SHARE = 0.2
"""What tiles and patches together may encode of what the whole map would."""

TILES_SHARE = 0.6
"""The tiles may take this part of it, unless even one tile a slice takes more."""


@dataclass(frozen=True, eq=False)
class Level:
    """Patches and their effects (patches, variants)."""

    patches: tuple[Patch, ...]
    effects: npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class CoarseToFine:
    """Tiles (their effects scaled to one patch) and patches, how many an earlier run had finished, and what the whole
    fine map would encode."""

    tiles: Level
    fine: Level
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
    """Occlude all tiles, then the patches under the strongest of them, until a fifth of the whole map is spent."""
    wanted = plan_patches(roi, config)
    full = count_encodings(subject, wanted)
    tiles, tile_of = plan_tiles(subject, wanted, TILES_SHARE * SHARE * full)
    baseline = subject.baseline()
    found = occluded_log_risks(subject, tiles, fills, batch_size=batch_size, cache=cache, progress=progress)
    effects = baseline - found.risks
    promised = np.abs(effects[tile_of, 0])
    chosen = _affordable(subject, wanted, promised, SHARE * full - count_encodings(subject, tiles))
    finer = occluded_log_risks(subject, chosen, fills, batch_size=batch_size, cache=cache, progress=progress)
    # If the parts of a tile add up, one patch has the effect of its part of the tile's area.
    sizes = np.asarray([_area(wanted[int(np.flatnonzero(tile_of == n)[0])]) / _area(t) for n, t in enumerate(tiles)])
    return CoarseToFine(
        Level(tiles, effects * sizes[:, None]),
        Level(chosen, baseline - finer.risks),
        found.resumed + finer.resumed,
        full,
    )


def spread_levels(roi: Roi, found: CoarseToFine, column: int) -> tuple[Volume, float]:
    """One map of both levels, fine where there are fine patches, and the share of the ROI that it covers."""
    below, covered = spread_effects(roi, found.tiles.patches, found.tiles.effects[:, column])
    if not found.fine.patches:
        return below, covered
    above, _ = spread_effects(roi, found.fine.patches, found.fine.effects[:, column])
    held, _ = spread_effects(roi, found.fine.patches, np.ones(len(found.fine.patches)))
    return above.with_voxels(np.where(held.voxels > 0, above.voxels, below.voxels)), covered


def plan_tiles(
    subject: Subject, patches: Sequence[Patch], budget: float
) -> tuple[tuple[Patch, ...], npt.NDArray[np.intp]]:
    """Tiles that hold n x n neighbouring columns of patches, n as small as the budget allows; and each patch's tile.

    A tile is as deep as a patch, and there is one wherever there is a patch in it, so nothing of the map is left out.
    """
    rows = sorted({(p.y0, p.y1) for p in patches})
    columns = sorted({(p.x0, p.x1) for p in patches})
    width = 2
    while True:
        found: dict[Patch, list[int]] = {}
        for n, patch in enumerate(patches):
            y, x = rows.index((patch.y0, patch.y1)) // width, columns.index((patch.x0, patch.x1)) // width
            across, along = rows[y * width : (y + 1) * width], columns[x * width : (x + 1) * width]
            tile = Patch(patch.z0, patch.z1, across[0][0], across[-1][1], along[0][0], along[-1][1])
            found.setdefault(tile, []).append(n)
        tiles = tuple(found)
        if count_encodings(subject, tiles) <= budget or width >= max(len(rows), len(columns)):
            tile_of = np.empty(len(patches), dtype=np.intp)
            for number, members in enumerate(found.values()):
                tile_of[members] = number
            return tiles, tile_of
        width += 1


def _area(patch: Patch) -> int:
    return (patch.y1 - patch.y0) * (patch.x1 - patch.x0)


def _affordable(
    subject: Subject, patches: Sequence[Patch], promised: npt.NDArray[np.float64], budget: float
) -> tuple[Patch, ...]:
    """The most promising patches that the budget pays for, in rising z; one at least."""
    works: set[tuple[int, tuple[int, int, int, int]]] = set()
    chosen: list[int] = []
    for n in np.argsort(-promised, kind="stable"):
        new = {(k, patches[n].plane) for k in touched_positions(subject, patches[n])} - works
        if not chosen or (len(works) + len(new)) * len(subject.modalities) <= budget:
            works |= new
            chosen.append(int(n))
    return tuple(patches[n] for n in sorted(chosen))
