"""The 41 % outline of one lesion, its longest diameter, and the marrow that it must stand out from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.spatial.distance import pdist

from MemorySurvivalLib.imaging.case import Case
from MemorySurvivalLib.measure.uptake import Spacing
from MemorySurvivalLib.roi.segments import Segmentation

Places = npt.NDArray[np.int64]
"""Voxel indices (n, 3; z, y, x)."""

OPEN_SHARE = 0.3
"""An outline is open when more of its surface than this meets uptake as high beyond it."""

LONGEST_MM = 150.0
"""No focal lesion is longer; what is, runs along the marrow."""

LEAST_COMPACT = 0.1
"""Least share of the sphere around its longest diameter that a lesion fills; what fills less runs along the marrow."""

LEAST_VERTEBRAE = 3
"""With fewer vertebrae in view all bones stand in for the marrow of the spine."""

_WAYS = 300
_GOLDEN = np.pi * (3.0 - np.sqrt(5.0))
_HEIGHT = 1.0 - (np.arange(_WAYS) + 0.5) / _WAYS
_AROUND = np.sqrt(1.0 - _HEIGHT**2)
_DIRECTIONS = np.stack(
    [_HEIGHT, _AROUND * np.cos(_GOLDEN * np.arange(_WAYS)), _AROUND * np.sin(_GOLDEN * np.arange(_WAYS))], axis=1
)
"""Directions spread evenly over half a sphere."""


@dataclass(frozen=True, eq=False)
class Outline:
    """The voxels of an outline (n, 3), its longest diameter, and whether it is a lesion's own (`closed`)."""

    places: Places
    diameter_mm: float
    closed: bool


def outline_lesion(suv: npt.NDArray[np.floating], own: Places, share: float, spacing_zyx: Spacing) -> Outline:
    """Outline what reaches `share` of the maximum among a lesion's own voxels `own`, connected with the maximum.

    It is not closed when much of its surface is where the lesion's own voxels end and not where the uptake falls, or
    when it is too long or too thin: then it follows the surrounding marrow.
    """
    values = suv[tuple(own.T)]
    level = share * float(values.max())
    low = np.maximum(own.min(axis=0) - 1, 0)
    high = np.minimum(own.max(axis=0) + 2, suv.shape)
    inside = np.zeros(high - low, dtype=np.bool_)
    inside[tuple((own[values >= level] - low).T)] = True
    pieces, _ = ndimage.label(inside, np.ones((3, 3, 3)))
    piece = pieces == pieces[tuple(own[int(values.argmax())] - low)]
    as_hot = suv[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] >= level
    beyond = ndimage.binary_dilation(piece) & ~piece
    places = np.argwhere(piece) + low
    diameter = longest_mm(places, spacing_zyx)
    volume = len(places) * float(np.prod(spacing_zyx))
    closed = (
        np.count_nonzero(beyond & as_hot) <= OPEN_SHARE * np.count_nonzero(beyond)
        and diameter <= LONGEST_MM
        and volume >= LEAST_COMPACT * np.pi / 6.0 * diameter**3
    )
    return Outline(places, diameter, bool(closed))


def longest_mm(places: Places, spacing_zyx: Spacing) -> float:
    """The longest distance within a set of voxels, from edge to edge."""
    points = places * np.asarray(spacing_zyx)
    if len(points) > 2:  # the two ends of the longest distance lie furthest out along some direction
        ways = _DIRECTIONS @ points.T
        points = points[np.unique(np.r_[ways.argmax(axis=1), ways.argmin(axis=1)])]
    if len(points) < 2:
        return float(np.mean(spacing_zyx))
    first, second = np.triu_indices(len(points), 1)
    longest = int(pdist(points).argmax())
    way = points[second[longest]] - points[first[longest]]
    length = float(np.linalg.norm(way))
    return length + float(np.linalg.norm(way / length * np.asarray(spacing_zyx)))


def measure_marrow(case: Case, segmentation: Segmentation) -> float:
    """Uptake of the marrow at large: the median over vertebrae of each one's 95th percentile.

    The percentile is of a vertebral body's middle rather than of cortex and blurred edges; the median over vertebrae
    leaves lesions of a few out.
    """
    labels = segmentation.labels.voxels
    levels = []
    for label, box in enumerate(ndimage.find_objects(labels), start=1):
        if box is not None and segmentation.structures[label].group == "vertebra":
            levels.append(float(np.percentile(case.pet.voxels[box][labels[box] == label], 95)))
    if len(levels) >= LEAST_VERTEBRAE:
        return float(np.median(levels))
    bones = segmentation.of("vertebra", "sacrum", "bone")
    return float(np.percentile(case.pet.voxels[bones], 95)) if bones.any() else 0.0
