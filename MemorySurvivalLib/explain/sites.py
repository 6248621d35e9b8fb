"""The name of a place: the bone it lies in, or the nearest one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from MemorySurvivalLib.explain.hotspots import Point
from MemorySurvivalLib.roi.segments import Segmentation

REACH_MM = 30.0
"""Farther bones say nothing about a place."""

INSIDE_MM = 6.0
"""A place this close to a bone is called by its name alone."""


def name_sites(segmentation: Segmentation | None) -> Callable[[Point], str]:
    """A function from a point (LPS, mm) to a name: "L3", "near L3", or "" where no bone lies within 30 mm.

    `segmentation` may lie on any grid; None knows no names.
    """
    if segmentation is None:
        return lambda point: ""
    labels = segmentation.labels
    spacing = np.asarray(labels.spacing_mm)
    bones = np.zeros(max(segmentation.structures, default=0) + 1, dtype=np.bool_)
    for label, structure in segmentation.structures.items():
        bones[label] = structure.group in ("vertebra", "sacrum", "bone")

    def name(point: Point) -> str:
        index = labels.affine.indices(point)
        low = np.maximum(np.ceil(index - REACH_MM / spacing), 0).astype(int)
        high = np.minimum(np.floor(index + REACH_MM / spacing) + 1, labels.shape[::-1]).astype(int)
        if (low >= high).any():
            return ""
        block = labels.voxels[low[2] : high[2], low[1] : high[1], low[0] : high[0]]
        places = np.argwhere(bones[block])
        if not len(places):
            return ""
        away = np.linalg.norm(((places[:, ::-1] + low) - index) * spacing, axis=1)
        nearest = int(away.argmin())
        if away[nearest] > REACH_MM:
            return ""
        found = segmentation.structures[int(block[tuple(places[nearest])])].name
        return found if away[nearest] <= INSIDE_MM else f"near {found}"

    return name
