"""Putting a mask or map back onto the slices of the DICOM series that it came from: by place, never by index."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.dicom_series import DicomSeries
from MemorySurvivalLib.imaging.volume import FloatMatrix, Volume

GRID_TOLERANCE = 0.02
"""Voxels by which a result's grid may miss the source's before it counts as another grid."""


@dataclass(frozen=True, eq=False)
class Placed:
    """Voxels (z, y, x) along the source's own axes; `start_zyx` is the source's slice, row and column of the first."""

    voxels: npt.NDArray[np.generic]
    start_zyx: tuple[int, int, int]

    @property
    def slices(self) -> range:
        """Which slices of the source these are."""
        return range(self.start_zyx[0], self.start_zyx[0] + self.voxels.shape[0])


def place_on(result: Volume, series: DicomSeries, what: str) -> Placed:
    """Turn a result's axes to run along those of its source series and find where it begins there.

    The result is a part of the source's grid whose axes may have been permuted and flipped (the case is cropped and
    turned to LPS on its way in). Nothing is resampled: InputError where the grids do not fall on each other or the
    result reaches beyond the source. `what` names the result.
    """
    if series.affine is None:
        raise InputError(f"The series {series.title} cannot be read as a volume: {' '.join(series.problems)}")
    signs, axes = _axes(series.affine.matrix[:3, :3], result.affine.matrix[:3, :3], what)
    voxels = result.voxels.transpose([2 - axis for axis in reversed(axes)])
    voxels = voxels[tuple(slice(None, None, sign) for sign in reversed(signs))]
    first = np.zeros(3)
    for axis, sign in zip(axes, signs, strict=True):
        first[axis] = 0 if sign > 0 else result.shape[2 - axis] - 1
    last = [n - 1 for n in reversed(result.shape)] - first  # the opposite corner, in the result's own index
    begin = series.affine.indices(result.affine.points_mm(first))
    end = series.affine.indices(result.affine.points_mm(last))
    start = np.rint(begin)
    size = np.asarray(voxels.shape[::-1])
    if np.abs(begin - start).max() > GRID_TOLERANCE or np.abs(end - (start + size - 1)).max() > GRID_TOLERANCE:
        raise _elsewhere(what)
    if (start < 0).any() or (start + size > np.asarray(series.shape_zyx[::-1])).any():
        raise InputError(f"The {what} reaches beyond the CT series; give the series that was scored.")
    x, y, z = (int(v) for v in start)
    return Placed(np.ascontiguousarray(voxels), (z, y, x))


def whole_frames(placed: Placed, series: DicomSeries, slices: npt.NDArray[np.intp]) -> npt.NDArray[np.generic]:
    """The chosen slices (indices of the source) in the source's full rows and columns; outside is 0."""
    _, rows, columns = series.shape_zyx
    frames = np.zeros((len(slices), rows, columns), dtype=placed.voxels.dtype)
    z, y, x = placed.start_zyx
    _, height, width = placed.voxels.shape
    frames[:, y : y + height, x : x + width] = placed.voxels[slices - z]
    return frames


def _axes(source: FloatMatrix, result: FloatMatrix, what: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """For each axis of the source which axis of the result runs along it, and in which direction (signs, axes)."""
    cosines = (source / np.linalg.norm(source, axis=0)).T @ (result / np.linalg.norm(result, axis=0))
    axes = tuple(int(axis) for axis in np.abs(cosines).argmax(axis=1))
    if sorted(axes) != [0, 1, 2] or np.abs(cosines).max(axis=1).min() < 0.999:
        raise _elsewhere(what)
    return tuple(int(np.sign(cosines[i, axis])) for i, axis in enumerate(axes)), axes


def _elsewhere(what: str) -> InputError:
    return InputError(
        f"The {what} does not lie on the grid of the CT series, so its slices cannot be told apart there; give the "
        "series that was scored."
    )
