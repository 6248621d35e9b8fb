"""The spinal canal, followed from slice to slice as the tunnel that vertebrae form."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from MemorySurvivalLib.roi.bones import measure_pockets
from MemorySurvivalLib.roi.working_grid import Image, Mask

GRID_MM = 3.0
"""The canal is followed on a cubic grid of this step."""

Curve = npt.NDArray[np.float64]

RAYS = 24
WEAK_SCORE, END_SCORE, SURE_SCORE = 0.2, 0.32, 0.45
"""A stretch of canal is everything above the first, ends above the second, and somewhere passes the third."""
GAP_MM = 30.0
ALONG_MM = 9.0
"""Discs and gaps between arches are bridged by looking this far up and down."""
LARGEST_CANAL_MM2 = 1200.0
SKULL_BASE_MM = 75.0
LEAST_SYMMETRY = 0.45
SEALED_SHARE = 0.5
"""What closed marrow cavities keep of their score: vertebral bodies of light marrow look like canals in section."""
SEALED_COST, LEAST_QUALITY = 0.6, 0.33
REACH_MM = 21.0
"""A canal is at most about 30 mm wide, so every wall is nearer than this."""


@dataclass(frozen=True, eq=False)
class CanalPath:
    """The canal on the cubic grid: slices `first` to `last` (included), for each the centre and the wall distances.

    `centre_yx` (n, 2) and `wall` (n, RAYS) are in grid steps; ray k leaves at the angle 2 pi k / RAYS from +x (left)
    towards +y (posterior). `score` (n,) is the likeness to a canal, 0 to 1.
    """

    first: int
    last: int
    centre_yx: Curve
    wall: Curve
    score: Curve


def ray_directions() -> tuple[Curve, Curve]:
    """Unit steps (dy, dx) of all rays."""
    angle = 2 * np.pi * np.arange(RAYS) / RAYS
    return np.sin(angle), np.cos(angle)


def find_canal(
    ct_hu: Image, dense: Mask, filled: Mask, sealed: Mask, tissue_hu: float, shortest_mm: float
) -> CanalPath | None:
    """Follow the canal on a cubic grid of GRID_MM; None where there is none.

    A canal voxel is soft, walled by bone in most directions, has a vertebral body in front and an arch behind, and
    lies in a tunnel open at its ends (unlike a marrow cavity). The best path through all slices is found at once.
    """
    score = score_canal(ct_hu, dense, filled, sealed, tissue_hu)
    if not score.any():
        return None
    path = _best_path(score)
    along = score[np.arange(len(score)), path[:, 0], path[:, 1]]
    for first, last in _find_runs(along):
        if (last - first + 1) * GRID_MM < shortest_mm:
            continue
        steps = path[first : last + 1]
        closed_share = float(sealed[np.arange(first, last + 1), steps[:, 0], steps[:, 1]].mean())
        # Thick slices seal parts of a cervical canal, a long bone's marrow cavity is sealed everywhere.
        if along[first : last + 1].mean() * (1 - SEALED_COST * closed_share) < LEAST_QUALITY:
            continue
        centre, wall = _trace_walls(dense, steps.astype(np.float64), first)
        if measure_symmetry(ct_hu, tissue_hu, centre, first) >= LEAST_SYMMETRY:
            kept = _below_skull(dense, centre, first)
            return CanalPath(
                first, first + kept - 1, centre[:kept], wall[:kept], along[first : first + kept].astype(np.float64)
            )
    return None


def _below_skull(dense: Mask, centre: Curve, first: int) -> int:
    """How many slices of a path lie below the skull, whose cavity is far larger than a canal in section."""
    large = measure_pockets(dense[first : first + len(centre)], 0, (GRID_MM,) * 3) > LARGEST_CANAL_MM2
    upper = max(0, len(centre) - round(SKULL_BASE_MM / GRID_MM))
    for i in range(upper, len(centre)):
        y, x = (int(np.clip(round(c), 0, n - 1)) for c, n in zip(centre[i], dense.shape[1:], strict=True))
        if large[i, y, x] and i >= 1:
            return i
    return len(centre)


def score_canal(ct_hu: Image, dense: Mask, filled: Mask, sealed: Mask, tissue_hu: float) -> Image:
    """Likeness to a spinal canal, 0 to 1, for every voxel (z, y, x)."""
    reach = round(REACH_MM / GRID_MM)
    soft = ~dense & (ct_hu > tissue_hu - 120) & (ct_hu < tissue_hu + 110)
    near = dense.astype(np.uint8)  # what no ray can reach scores nothing anyway
    for axis in (1, 2):
        near = ndimage.maximum_filter1d(near, 2 * reach + 1, axis=axis, mode="constant")
    where = np.nonzero(soft & (near > 0))
    score = np.zeros(ct_hu.shape, dtype=np.float32)
    if len(where[0]) == 0:
        return score
    padded = np.pad(dense, ((0, 0), (reach, reach), (reach, reach)))
    start = np.ravel_multi_index((where[0], where[1] + reach, where[2] + reach), padded.shape)
    flat, row = padded.ravel(), padded.shape[2]
    dy, dx = ray_directions()
    hits = np.zeros((RAYS, len(where[0])), dtype=np.bool_)
    for ray in range(RAYS):
        for step in range(1, reach + 1):
            hits[ray] |= flat[start + (round(step * dy[ray]) * row + round(step * dx[ray]))]
    # The worst quarter decides as much as the mean: a notch open to one side is no canal.
    quarters = np.stack(
        [np.roll(hits, RAYS // 8, axis=0)[k : k + RAYS // 4].mean(0) for k in range(0, RAYS, RAYS // 4)]
    )
    closed = 0.5 * hits.mean(0) + 0.5 * quarters.min(0)
    boneness = np.clip((ct_hu - tissue_hu) / 120.0, 0, 1).astype(np.float32)
    boneness[filled] = 1.0  # light marrow
    front = _window_mean(boneness, (-30, -9), (-9, 9))[where]
    behind = _window_mean(boneness, (6, 24), (-6, 6))[where]
    body_in_front = 0.1 + 0.9 * np.clip((front - 0.2) / 0.3, 0, 1)
    arch_behind = 0.6 + 0.4 * np.clip(behind / 0.3, 0, 1)
    score[where] = closed * body_in_front * arch_behind * np.where(sealed[where], SEALED_SHARE, 1.0)
    smooth: Image = ndimage.gaussian_filter(score, (ALONG_MM / GRID_MM, 1.0, 1.0))
    return smooth


def _window_mean(image: Image, y_mm: tuple[float, float], x_mm: tuple[float, float]) -> Image:
    """Mean of `image` in a window placed relative to every voxel, in its slice."""
    y0, y1 = (round(v / GRID_MM) for v in y_mm)
    x0, x1 = (round(v / GRID_MM) for v in x_mm)
    mean = ndimage.uniform_filter1d(image, y1 - y0 + 1, axis=1, mode="constant")
    mean = ndimage.uniform_filter1d(mean, x1 - x0 + 1, axis=2, mode="constant")
    shifted: Image = ndimage.shift(mean, (0, -(y0 + y1) / 2, -(x0 + x1) / 2), order=1, mode="constant")
    return shifted


def _best_path(score: Image) -> npt.NDArray[np.intp]:
    """The chain of one (y, x) a slice with the highest sum of scores, moving at most two steps from slice to slice."""
    depth, height, width = score.shape
    moves = [(dy, dx) for dy in (-2, -1, 0, 1, 2) for dx in (-1, 0, 1)]
    cost = np.array([0.04 * (dy * dy + dx * dx) for dy, dx in moves], dtype=np.float32)
    best = score[0].copy()
    came = np.zeros((depth, height, width), dtype=np.int8)
    for z in range(1, depth):
        padded = np.pad(best, 2, constant_values=-np.inf)
        options = np.stack(
            [
                padded[2 + dy : 2 + dy + height, 2 + dx : 2 + dx + width] - c
                for (dy, dx), c in zip(moves, cost, strict=True)
            ]
        )
        came[z] = options.argmax(0)
        best = options.max(0) + score[z]
    y, x = np.unravel_index(int(best.argmax()), best.shape)
    path = np.zeros((depth, 2), dtype=np.intp)
    for z in range(depth - 1, -1, -1):
        path[z] = y, x
        dy, dx = moves[came[z, y, x]]
        if z:
            y, x = y + dy, x + dx
    return path


def _find_runs(along: Image) -> list[tuple[int, int]]:
    """First and last slices of the stretches that look like a canal, weak ends and short gaps included; longest
    first."""
    level = ndimage.uniform_filter1d(along.astype(np.float64), 5, mode="nearest")
    pad = round(GAP_MM / GRID_MM)
    weak = ndimage.binary_closing(np.pad(level > WEAK_SCORE, pad), np.ones(pad))[pad:-pad]
    labels, count = ndimage.label(weak)
    runs = []
    for number in range(1, count + 1):
        inside = np.flatnonzero((labels == number) & (level > END_SCORE))
        if len(inside) and level[inside].max() > SURE_SCORE:
            runs.append((int(inside[0]), int(inside[-1])))
    return sorted(runs, key=lambda run: run[0] - run[1])


def measure_symmetry(ct_hu: Image, tissue_hu: float, path: Curve, first: int) -> float:
    """How well the bone around a path (y, x a slice) matches its mirror image: 0.6 to 0.9 for vertebrae."""
    half = round(30.0 / GRID_MM)
    boneness = np.clip((ct_hu - tissue_hu) / 200.0, 0, 1)
    offsets = np.arange(-half, half + 1)
    values = []
    for i, (cy, cx) in enumerate(path):
        y, x = np.meshgrid(cy + offsets, cx + offsets, indexing="ij")
        patch = ndimage.map_coordinates(boneness[first + i], [y, x], order=1, mode="constant")
        if patch.std() < 0.02:
            continue
        matches = []
        for shift in (-2, -1, 0, 1, 2):
            moved = np.roll(patch, shift, axis=1)[:, 2:-2]
            matches.append(float(np.corrcoef(moved.ravel(), moved[:, ::-1].ravel())[0, 1]))
        values.append(max(matches))
    return float(np.median(values)) if values else 0.0


def _trace_walls(dense: Mask, centre: Curve, first: int) -> tuple[Curve, Curve]:
    """Centre the path in its tunnel and measure the walls, bridging foramina from slices above and below."""
    reach = REACH_MM / GRID_MM
    dy, dx = ray_directions()
    steps = np.arange(0.25, reach + 0.25, 0.25)
    count = len(centre)
    wall = np.full((count, RAYS), np.nan)
    for _ in range(3):
        centre = ndimage.gaussian_filter1d(centre, 1.0, axis=0, mode="nearest")
        for i in range(count):
            y = centre[i, 0] + np.outer(dy, steps)
            x = centre[i, 1] + np.outer(dx, steps)
            hit = ndimage.map_coordinates(dense[first + i].astype(np.float32), [y, x], order=1, mode="nearest") > 0.5
            wall[i] = np.where(hit.any(1), steps[hit.argmax(1)], np.nan)
        # A wall further than the tunnel's own usual width is a foramen's far side, not the canal's.
        usual = np.nanmedian(wall)
        far = wall > 2.0 * usual
        wall[far] = np.nan
        filled = _fill_gaps(wall)
        centre = centre + 0.7 * np.stack([(filled * dy).mean(1), (filled * dx).mean(1)], axis=1) * 2
    around = np.pad(np.pad(_fill_gaps(wall), ((1, 1), (0, 0)), mode="edge"), ((0, 0), (1, 1)), mode="wrap")
    return centre, ndimage.median_filter(around, size=3)[1:-1, 1:-1]


def _fill_gaps(wall: Curve) -> Curve:
    """Replace missing wall distances by the mean of known ones close by (slices, angles)."""
    known = np.isfinite(wall)
    if not known.any():
        return np.full(wall.shape, 2.5)
    weight, value = known.astype(np.float64), np.where(known, wall, 0.0)
    blur = {"sigma": (3.0, 1.0), "mode": ("nearest", "wrap")}
    below = ndimage.gaussian_filter(weight, **blur)
    mean = ndimage.gaussian_filter(value, **blur) / np.maximum(below, 1e-9)
    result: Curve = np.where(known, wall, np.where(below > 1e-3, mean, np.nanmedian(wall)))
    return result


def draw_canal(path: CanalPath, shape: tuple[int, ...]) -> Mask:
    """The canal's mask (z, y, x) on the cubic grid."""
    mask = np.zeros(shape, dtype=np.bool_)
    yy, xx = np.mgrid[: shape[1], : shape[2]]
    for i in range(len(path.centre_yx)):
        cy, cx = path.centre_yx[i]
        angle = np.mod(np.arctan2(yy - cy, xx - cx), 2 * np.pi)
        limit = np.interp(angle, 2 * np.pi * np.arange(RAYS + 1) / RAYS, np.append(path.wall[i], path.wall[i, 0]))
        mask[path.first + i] = np.hypot(yy - cy, xx - cx) <= limit - 0.25
    return mask
