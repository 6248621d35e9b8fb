"""Uptake divided among its peaks: every voxel belongs to the peak that it leads up to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int64]

_NEIGHBOURS = [(z, y, x) for z in (-1, 0, 1) for y in (-1, 0, 1) for x in (-1, 0, 1) if (z, y, x) != (0, 0, 0)]


@dataclass(frozen=True, eq=False)
class Basins:
    """Voxels above a level (flat indices into the image) and the number of the basin (0 to count - 1) of each.

    `peaks` are the flat indices of the basins' highest voxels.
    """

    voxels: Indices
    basin: Indices
    peaks: Indices

    def groups(self) -> list[Indices]:
        """The voxels (flat indices) of every basin."""
        if self.peaks.size == 0:
            return []
        order = np.argsort(self.basin, kind="stable")
        cuts = np.searchsorted(self.basin[order], np.arange(1, len(self.peaks)))
        return np.split(self.voxels[order], cuts)


def divide(uptake: FloatArray, level: float, prominence: float) -> Basins:
    """Divide the voxels of `uptake` (z, y, x) at or above `level` among peaks, 26-connected.

    Two peaks stay apart when the way between them falls below (1 - prominence) times the lower one; otherwise they
    are one. This is a watershed whose basins are merged by topological persistence relative to the peak.
    """
    padded = np.pad(uptake, 1)
    strides = np.asarray([padded.shape[1] * padded.shape[2], padded.shape[2], 1])
    flat = padded.ravel()
    where = np.flatnonzero(flat >= level)
    if where.size == 0:
        return Basins(where, where, where)
    number = np.full(flat.size, -1, dtype=np.int32)
    number[where] = np.arange(where.size, dtype=np.int32)
    values = flat[where]
    root = _climb(flat, where, number, values, strides)
    tops, basin = np.unique(root, return_inverse=True)
    merged = _merge(flat, where, number, basin, values[tops], strides, prominence)
    kept, final = np.unique(merged[basin], return_inverse=True)
    return Basins(_unpad(where, uptake.shape), final, _unpad(where[tops[kept]], uptake.shape))


def _climb(
    flat: FloatArray, where: Indices, number: npt.NDArray[np.int32], values: FloatArray, strides: Indices
) -> Indices:
    """The highest voxel that steepest ascent from each voxel ends in; equal neighbours go to the one listed later."""
    target = np.arange(where.size)
    best = values.copy()
    for offset in _NEIGHBOURS:
        neighbour = number[where + int(np.dot(offset, strides))]
        there = np.where(neighbour >= 0, values[neighbour], -np.inf)
        higher = (there > best) | ((there == best) & (neighbour > target))
        target = np.where(higher, neighbour, target)
        best = np.where(higher, there, best)
    while True:
        further = target[target]
        if np.array_equal(further, target):
            return np.asarray(target, dtype=np.int64)
        target = further


def _merge(
    flat: FloatArray,
    where: Indices,
    number: npt.NDArray[np.int32],
    basin: Indices,
    heights: FloatArray,
    strides: Indices,
    prominence: float,
) -> Indices:
    """For every first basin the basin it ends up in, joining over the highest passes first."""
    pairs, passes = [], []
    values = flat[where]
    for offset in _NEIGHBOURS[13:]:
        neighbour = number[where + int(np.dot(offset, strides))]
        other = np.where(neighbour >= 0, basin[neighbour], basin)
        border = np.flatnonzero(other != basin)
        low, high = np.minimum(basin[border], other[border]), np.maximum(basin[border], other[border])
        pairs.append(low * np.int64(len(heights)) + high)
        passes.append(np.minimum(values[border], values[neighbour[border]]))
    key, height = np.concatenate(pairs), np.concatenate(passes)
    parent = np.arange(len(heights))
    if key.size:
        order = np.lexsort((-height, key))
        key, height = key[order], height[order]
        first = np.flatnonzero(np.r_[True, key[1:] != key[:-1]])
        key, height = key[first], height[first]
        for index in np.argsort(-height, kind="stable"):
            a, b = _find(parent, int(key[index] // len(heights))), _find(parent, int(key[index] % len(heights)))
            if a == b:
                continue
            upper, lower = (a, b) if heights[a] >= heights[b] else (b, a)
            if height[index] >= (1.0 - prominence) * heights[lower]:
                parent[lower] = upper
    return np.asarray([_find(parent, index) for index in range(len(heights))])


def _find(parent: Indices, index: int) -> int:
    while parent[index] != index:
        parent[index] = parent[parent[index]]
        index = int(parent[index])
    return index


def _unpad(index: Indices, shape: tuple[int, ...]) -> Indices:
    z, y, x = np.unravel_index(index, [n + 2 for n in shape])
    return np.asarray(np.ravel_multi_index((z - 1, y - 1, x - 1), shape), dtype=np.int64)
