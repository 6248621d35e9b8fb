"""The hash by which a mask is known again after other programs have cropped, flipped, retyped and saved it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from MemorySurvivalLib.imaging.volume import Volume

PLACE_TOLERANCE_MM = 0.01
"""Programs keep positions in other frames and precisions; an edit moves a mask by more than that."""

Point = tuple[float, float, float]


@dataclass(frozen=True)
class Fingerprint:
    """Hash of what lies in the smallest box around a mask, and where that box is.

    `sha256` covers the voxels inside the box in LPS order and its shape, not the grid around it. `first_mm` and
    `last_mm` are the centres of the box's first and last voxel (LPS); they are compared with a tolerance, which a hash
    cannot do. An empty mask has its box at the frame's origin.
    """

    sha256: str
    first_mm: Point
    last_mm: Point

    def matches(self, other: Fingerprint) -> bool:
        """Whether both masks have the same voxels at the same place."""
        if self.sha256 != other.sha256:
            return False
        away_mm = np.subtract((self.first_mm, self.last_mm), (other.first_mm, other.last_mm))
        return bool(np.abs(away_mm).max() <= PLACE_TOLERANCE_MM)


def fingerprint_mask(mask: Volume) -> Fingerprint:
    """The fingerprint of where a mask is not zero; other values than 1 (255, a label) count alike."""
    return _fingerprint(mask, labelled=False)


def fingerprint_labels(labels: Volume) -> Fingerprint:
    """The fingerprint of a label map, where every value counts."""
    return _fingerprint(labels, labelled=True)


def _fingerprint(volume: Volume, *, labelled: bool) -> Fingerprint:
    content = crop_to_content(volume.reoriented())
    voxels = content.voxels
    digest = hashlib.sha256(f"{'labels' if labelled else 'mask'}{voxels.shape}".encode())
    digest.update(voxels.astype("<u2").tobytes() if labelled else np.packbits(voxels != 0).tobytes())
    if voxels.size == 0:
        return Fingerprint(digest.hexdigest(), (0.0, 0.0, 0.0), (0.0, 0.0, 0.0))
    z, y, x = voxels.shape
    first, last = content.affine.points_mm([(0, 0, 0), (x - 1, y - 1, z - 1)])
    return Fingerprint(digest.hexdigest(), _point(first), _point(last))


def crop_to_content(volume: Volume) -> Volume:
    """The smallest box that holds every voxel that is not zero; no voxels at all where there is none."""
    start, stop = [], []
    for axis in range(3):
        hit = np.flatnonzero(volume.voxels.any(axis=tuple(a for a in range(3) if a != axis)))
        start.append(int(hit[0]) if hit.size else 0)
        stop.append(int(hit[-1]) + 1 if hit.size else 0)
    return volume.cropped((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))


def _point(values: np.ndarray) -> Point:
    x, y, z = (round(float(value), 4) for value in values)
    return x, y, z
