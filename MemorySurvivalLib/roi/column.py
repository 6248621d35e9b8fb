"""The vertebral column around a canal: its curve, its size along the curve, and which bone belongs to it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from MemorySurvivalLib.roi.canal import GRID_MM, RAYS, CanalPath
from MemorySurvivalLib.roi.working_grid import Image, Mask

Curve = npt.NDArray[np.float64]

FRONT_RAY = 3 * RAYS // 4
LUNG_HU = -500.0
HALF_WIDTH_MM = (8.0, 28.0)
DEPTH_MM = (12.0, 38.0)
"""Half-width and depth of vertebral bodies from the atlas to L5 in small and large adults."""


@dataclass(frozen=True, eq=False)
class Column:
    """The column on the cubic grid; arrays have one entry a slice from `first` on, lengths in mm.

    `body_yx` (n, 2) is the vertebral bodies' centre line and `canal_yx` the canal's, both in grid steps;
    `half_width`, `depth` and `front` (canal centre to the body's back wall) are smoothed along the column. `lung` is 1
    where lungs lie beside the column, so that ribs are to be expected, else 0.
    """

    first: int
    canal_yx: Curve
    body_yx: Curve
    half_width: Curve
    depth: Curve
    front: Curve
    lung: Curve

    @property
    def unit_height(self) -> Curve:
        """Usual height of a vertebra with one disc: about one and a half half-widths at all levels."""
        return 1.5 * self.half_width


@dataclass(frozen=True, eq=False)
class ColumnFrame:
    """Where voxels lie relative to the column, for voxels listed in `index` (three index arrays z, y, x).

    `along` is the position on the curve (slices from `first`, fractional), `left` and `back` the offsets from the
    canal's centre across the curve in mm.
    """

    index: tuple[npt.NDArray[np.intp], ...]
    along: Curve
    left: Curve
    back: Curve


def measure_column(ct_hu: Image, filled: Mask, canal: Mask, path: CanalPath) -> Column:
    """Measure vertebral bodies in front of the canal on the cubic grid; discs and faults are bridged by medians."""
    count = len(path.centre_yx)
    half = np.full(count, np.nan)
    depth = np.full(count, np.nan)
    front = path.wall[:, FRONT_RAY] * GRID_MM
    bone = filled & ~canal
    for i, (cy, cx) in enumerate(path.centre_yx):
        plane = bone[path.first + i]
        back_wall = cy - path.wall[i, FRONT_RAY]
        x = int(np.clip(round(cx), 1, plane.shape[1] - 2))
        rows = plane[max(0, round(back_wall - 5)) : max(1, round(back_wall - 1))]
        if rows.size:
            across = rows.mean(axis=0) > 0.5
            half[i] = 0.5 * GRID_MM * (_run_length(across[x:]) + _run_length(across[: x + 1][::-1]))
        ahead = plane[: max(1, round(back_wall)), x - 1 : x + 2].mean(axis=1) > 0.5
        depth[i] = GRID_MM * _run_length(ahead[::-1])
    half[(half < HALF_WIDTH_MM[0] - 2) | (half > HALF_WIDTH_MM[1] + 4)] = np.nan
    depth[(depth < DEPTH_MM[0] - 2) | (depth > DEPTH_MM[1] + 6)] = np.nan
    half = _bridge(half, 14.0, HALF_WIDTH_MM)
    depth = _bridge(depth, 1.3 * float(np.median(half)), DEPTH_MM)
    front = ndimage.gaussian_filter1d(ndimage.median_filter(front, 9, mode="nearest"), 3.0, mode="nearest")
    canal_yx = ndimage.gaussian_filter1d(path.centre_yx, 3.0, axis=0, mode="nearest")
    body_yx = canal_yx - np.stack([(front + depth / 2) / GRID_MM, np.zeros(count)], axis=1)
    return Column(path.first, canal_yx, body_yx, half, depth, front, _find_lung(ct_hu, path))


def _find_lung(ct_hu: Image, path: CanalPath) -> Curve:
    """1 for slices with lung on some side of the column, 0 without; short changes are smoothed away."""
    near, far, ahead, behind = (round(mm / GRID_MM) for mm in (18.0, 66.0, 36.0, 18.0))
    seen = np.zeros(len(path.centre_yx))
    for i, (cy, cx) in enumerate(path.centre_yx):
        y, x = round(cy), round(cx)
        plane = ct_hu[path.first + i, max(0, y - ahead) : y + behind] < LUNG_HU
        sides = (plane[:, max(0, x - far) : max(0, x - near)], plane[:, x + near : x + far])
        seen[i] = max(float(side.sum()) for side in sides) * GRID_MM**2 > 200.0
    smooth: Curve = ndimage.gaussian_filter1d(ndimage.median_filter(seen, 9, mode="nearest"), 2.0, mode="nearest")
    return smooth


def extend_column(column: Column, slices: int) -> Column:
    """The column continued straight towards the feet by `slices`.

    The direction is that of the fifth centimetre or so above its end: the last bit of a canal is often found askew,
    and sideways it is replaced as well.
    """
    slices = min(slices, column.first)
    low, high = (min(len(column.front) - 1, round(mm / GRID_MM)) for mm in (12.0, 60.0))
    if slices <= 0 or high - low < 3:
        return column
    places = np.arange(low, high)
    below = np.arange(-slices, 0)

    def straight(curve: Curve) -> Curve:
        slope = np.clip(np.polyfit(places, curve[low:high], 1)[0], -1.0, 1.0)
        return np.concatenate([curve[0] + slope * below, curve])

    def level(curve: Curve) -> Curve:
        return np.concatenate([np.full(slices, curve[0]), curve])

    def sideways(curve: Curve) -> Curve:
        line = np.polyval(np.polyfit(places, curve[low:high], 1), np.arange(-slices, low))
        return np.concatenate([line, curve[low:]])

    canal_yx = np.stack([straight(column.canal_yx[:, 0]), sideways(column.canal_yx[:, 1])], axis=1)
    body_yx = np.stack([straight(column.body_yx[:, 0]), sideways(column.body_yx[:, 1])], axis=1)
    return Column(
        column.first - slices,
        canal_yx,
        body_yx,
        level(column.half_width),
        level(column.depth),
        level(column.front),
        level(column.lung),
    )


def _run_length(line: npt.NDArray[np.bool_]) -> int:
    """How many entries from the start are True."""
    stops = np.flatnonzero(~line)
    return int(stops[0]) if len(stops) else len(line)


def _bridge(values: Curve, usual: float, limits: tuple[float, float]) -> Curve:
    """Fill missing values by a moving median over about 7 cm, then smooth."""
    known = np.isfinite(values)
    if not known.any():
        return np.full(values.shape, usual)
    reach = round(35.0 / GRID_MM)
    result = np.array(
        [
            np.median(window[np.isfinite(window)]) if np.isfinite(window).any() else np.nan
            for window in (values[max(0, i - reach) : i + reach + 1] for i in range(len(values)))
        ]
    )
    places = np.arange(len(values))
    good = np.isfinite(result)
    result = np.interp(places, places[good], result[good])
    smooth: Curve = np.clip(ndimage.gaussian_filter1d(result, 5.0, mode="nearest"), *limits)
    return smooth


def place_in_column(column: Column, candidates: Mask) -> ColumnFrame:
    """Locate every True voxel of `candidates` (cubic grid) on the column's curve by its nearest cross-section."""
    index = np.nonzero(candidates)
    count = len(column.body_yx)
    slices = np.arange(count)
    slope = (
        ndimage.gaussian_filter1d(np.gradient(column.body_yx, axis=0), 4.0, axis=0, mode="nearest")
        if count > 1
        else np.zeros((1, 2))
    )
    slope = np.clip(slope, -1.2, 1.2)
    z = index[0] - float(column.first)
    along = np.clip(z, 0, count - 1).astype(np.float64)

    def at(curve: Curve) -> Curve:
        value: Curve = np.interp(along, slices, curve)
        return value

    for _ in range(4):
        sy, sx = at(slope[:, 0]), at(slope[:, 1])
        dy, dx = index[1] - at(column.body_yx[:, 0]), index[2] - at(column.body_yx[:, 1])
        step = ((z - along) + dy * sy + dx * sx) / (1 + sy * sy + sx * sx)
        along = along + 0.7 * np.clip(step, -4, 4)
        # Beyond the ends the curve goes on straight.
        along = np.clip(along, -0.5, count - 0.5)
    sy = at(slope[:, 0])
    left = (index[2] - at(column.canal_yx[:, 1])) * GRID_MM
    back = ((index[1] - at(column.canal_yx[:, 0])) - sy * (z - along)) / np.sqrt(1 + sy * sy) * GRID_MM
    return ColumnFrame(index, along, left, back)


def is_vertebra(column: Column, frame: ColumnFrame, from_sacrum: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Which voxels of `frame` lie where vertebrae have bone: body, arch, transverse and spinous processes.

    Extents scale with the measured half-width. Ribs and iliac bones lie beside it; where a rib crosses in front of
    a transverse process it is cut off along an oblique line. `from_sacrum` counts vertebrae upwards from the
    sacrum: of the sacrum (0) only the body without wings and arches is taken, and the vertebra above (1) stays clear of
    the iliac crests.
    """
    slices = np.arange(len(column.half_width))
    half, depth, front, lung = (
        np.interp(frame.along, slices, curve) for curve in (column.half_width, column.depth, column.front, column.lung)
    )
    side = np.abs(frame.left)
    middle = -(front + depth / 2)
    body = (side / (half + 4)) ** 4 + (np.abs(frame.back - middle) / (depth / 2 + 6)) ** 4 <= 1
    ribs = lung * np.clip((22 - half) / 4, 0, 1)
    behind_ribs = 0.3 * np.maximum(side - half, 0)
    foremost = ribs * behind_ribs + (1 - ribs) * (-front - 6)
    foremost = np.where(side <= half + 2, -front - 4, foremost)
    arch = (frame.back >= foremost) & (frame.back <= half + 14) & (side <= 1.35 * half + 15)
    spinous = (frame.back > 0) & (frame.back <= 1.6 * half + 30) & (side <= 0.25 * half + 8)
    middle_part = (side <= half + 4) & (frame.back <= 4 - front)
    result: npt.NDArray[np.bool_] = (body | arch | spinous) & np.where(from_sacrum == 0, middle_part, True)
    result &= (from_sacrum != 1) | (side <= half + 14)
    return result


def measure_density(column: Column, frame: ColumnFrame, density: Image) -> Curve:
    """Mean density (0 to 1) inside the vertebral bodies at half steps along the column; discs are its dips."""
    slices = np.arange(len(column.half_width))
    half, depth, front = (
        np.interp(frame.along, slices, curve) for curve in (column.half_width, column.depth, column.front)
    )
    place = (frame.back + front) / depth
    inside = (np.abs(frame.left) < 0.65 * half) & (place < -0.15) & (place > -0.85)
    bins = np.clip(np.round(frame.along[inside] * 2).astype(np.intp), 0, 2 * len(slices) - 1)
    total = np.bincount(bins, density[frame.index][inside], 2 * len(slices))
    number = np.bincount(bins, minlength=2 * len(slices))
    places = np.flatnonzero(number)
    if len(places) == 0:
        return np.zeros(2 * len(slices))
    mean: Curve = np.interp(np.arange(2 * len(slices)), places, total[places] / number[places])
    return mean


def measure_wings(column: Column, frame: ColumnFrame, bone: Mask) -> Curve:
    """Share of bone beside the vertebral bodies (the smaller of both sides) at half steps along the column.

    It is high only where the sacrum's wings are; transverse processes and ribs fill little of that space.
    """
    slices = np.arange(len(column.half_width))
    half, depth, front = (
        np.interp(frame.along, slices, curve) for curve in (column.half_width, column.depth, column.front)
    )
    place = (frame.back + front) / depth
    side = np.abs(frame.left)
    beside = (side > 1.15 * half) & (side < 1.6 * half) & (place < 0.2) & (place > -0.6)
    bins = np.clip(np.round(frame.along).astype(np.intp), 0, len(slices) - 1)
    hits = bone[frame.index]
    shares = []
    for chosen in (beside & (frame.left > 0), beside & (frame.left < 0)):
        total = np.bincount(bins[chosen], hits[chosen], len(slices))
        shares.append(total / np.maximum(np.bincount(bins[chosen], minlength=len(slices)), 1))
    return np.repeat(np.minimum(*shares), 2)
