"""Which slice a picture shows: cutting planes with the radiological layout, crops, and places in millimetres."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from MemorySurvivalLib.imaging.volume import Volume

Plane = Literal["axial", "coronal", "sagittal"]
Triple = tuple[int, int, int]
Image = npt.NDArray[Any]

# (axis across the slice, axis of the rows, axis of the columns) in z, y, x order, and whether rows run backwards.
_LAYOUT: dict[Plane, tuple[int, int, int, bool]] = {
    "axial": (0, 1, 2, False),
    "coronal": (1, 0, 2, True),
    "sagittal": (2, 0, 1, True),
}

LETTERS: dict[Plane, tuple[str, str, str, str]] = {
    "axial": ("R", "L", "A", "P"),
    "coronal": ("R", "L", "S", "I"),
    "sagittal": ("A", "P", "S", "I"),
}
"""What lies at the left, right, top and bottom of each picture: the patient's right is on the left."""

BODY_HU = -300.0


@dataclass(frozen=True)
class View:
    """One slice of volumes on an LPS grid, cropped to start <= index < stop (z, y, x).

    Picture coordinates are millimetres from the upper left corner: u to the right, v downwards.
    """

    plane: Plane
    index: int
    start_zyx: Triple
    stop_zyx: Triple
    spacing_mm: tuple[float, float, float]

    def cut(self, voxels: Image) -> Image:
        """The slice (rows, columns) as it is looked at, row 0 at the top."""
        across = _LAYOUT[self.plane][0]
        window: list[slice | int] = list(self._window())
        window[across] = self.index
        return self._turned(voxels[tuple(window)])

    def project(self, voxels: Image) -> Image:
        """The maximum across the cropped volume (rows, columns), row 0 at the top."""
        return self._turned(voxels[self._window()].max(axis=_LAYOUT[self.plane][0]))

    @property
    def size_mm(self) -> tuple[float, float]:
        """Width and height in the patient."""
        _, row, column, _ = _LAYOUT[self.plane]
        return self._extent(column), self._extent(row)

    def place(self, index_xyz: npt.ArrayLike) -> tuple[float, float]:
        """Where a voxel index (x, y, z; may be fractional) lies in the picture: (u, v) in millimetres."""
        index = np.asarray(index_xyz, dtype=np.float64)[::-1]
        _, row, column, flipped = _LAYOUT[self.plane]
        u, v = (float((index[axis] - self.start_zyx[axis] + 0.5) * self.spacing_mm[2 - axis]) for axis in (column, row))
        return u, self._extent(row) - v if flipped else v

    def _window(self) -> tuple[slice, slice, slice]:
        z, y, x = (slice(low, high) for low, high in zip(self.start_zyx, self.stop_zyx, strict=True))
        return z, y, x

    def _turned(self, image: Image) -> Image:
        return image[::-1] if _LAYOUT[self.plane][3] else image

    def _extent(self, axis: int) -> float:
        return (self.stop_zyx[axis] - self.start_zyx[axis]) * self.spacing_mm[2 - axis]


def find_body(ct: Volume, keep: tuple[Triple, Triple]) -> tuple[Triple, Triple]:
    """The box (start, stop in z, y, x) around the body and around the box `keep`; full length along z.

    Thin things such as the table's edges and arms' tips may be cut off: a row of voxels counts only when it holds at
    least 1 % as much body as the fullest one.
    """
    step = max(1, min(ct.shape) // 64)
    body = ct.voxels[::step, ::step, ::step] > BODY_HU
    start, stop = [0], [ct.shape[0]]
    for axis in (1, 2):
        counts = body.sum(axis=tuple(other for other in range(3) if other != axis))
        rows = np.flatnonzero(counts >= max(1, 0.01 * counts.max()))
        low, high = (int(rows[0]) * step, (int(rows[-1]) + 1) * step) if rows.size else (0, ct.shape[axis])
        margin = round(6 / ct.spacing_mm[2 - axis])
        start.append(max(0, min(low - margin, keep[0][axis])))
        stop.append(min(ct.shape[axis], max(high + margin, keep[1][axis])))
    return (start[0], start[1], start[2]), (stop[0], stop[1], stop[2])


def crop_around(
    index_zyx: Triple, size_mm_yx: tuple[float, float], box: tuple[Triple, Triple], spacing_mm: tuple[float, ...]
) -> tuple[Triple, Triple]:
    """A box of about the given in-plane size around a voxel, moved to stay within `box`; smaller if that is smaller."""
    start, stop = [box[0][0]], [box[1][0]]
    for axis, wanted in zip((1, 2), size_mm_yx, strict=True):
        low, high = box[0][axis], box[1][axis]
        count = min(high - low, max(1, round(wanted / spacing_mm[2 - axis])))
        first = min(max(low, index_zyx[axis] - count // 2), high - count)
        start.append(first)
        stop.append(first + count)
    return (start[0], start[1], start[2]), (stop[0], stop[1], stop[2])
