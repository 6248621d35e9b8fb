"""The one type that carries voxels together with their place in the patient."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from MemorySurvivalLib.errors import InputError

FloatMatrix = npt.NDArray[np.float64]
Voxels = npt.NDArray[Any]

NOTHING_MM = 1e-12

SLAB_VOXELS = 1 << 24
"""Voxels that are resampled in one go; larger volumes are handled piece by piece."""

CANONICAL_ORIENTATION = "LPS"
"""Axis x runs to the patient's left, y to posterior, z to superior."""

_OPPOSITE = {"L": "R", "R": "L", "P": "A", "A": "P", "S": "I", "I": "S"}


@dataclass(frozen=True, eq=False)
class Affine:
    """Maps a voxel index (x, y, z) to a point in millimetres in the patient's LPS frame.

    `matrix` is 4 x 4; its columns are orthogonal axes whose lengths are the spacing. Raises InputError for
    anything else: sheared grids, zero or non-finite spacing.
    """

    matrix: FloatMatrix

    def __post_init__(self) -> None:
        matrix = np.array(self.matrix, dtype=np.float64)
        if matrix.shape != (4, 4):
            raise InputError(f"An affine must be 4 x 4, got {matrix.shape}.")
        if not np.isfinite(matrix).all() or not np.array_equal(matrix[3], [0, 0, 0, 1]):
            raise InputError("An affine must be finite and end in the row 0 0 0 1.")
        matrix[np.abs(matrix) < NOTHING_MM] = 0.0  # ITK places images wrongly whose direction holds denormal numbers
        spacing = np.linalg.norm(matrix[:3, :3], axis=0)
        if (spacing <= 0).any():
            raise InputError("The voxel spacing must be positive along every axis.")
        cosines = matrix[:3, :3] / spacing
        if np.abs(cosines.T @ cosines - np.eye(3)).max() > 1e-3:
            raise InputError("The voxel axes are not at right angles; resample the image to a regular grid.")
        matrix.flags.writeable = False
        object.__setattr__(self, "matrix", matrix)

    @classmethod
    def from_parts(cls, spacing_mm: npt.ArrayLike, direction: npt.ArrayLike, origin_mm: npt.ArrayLike) -> Affine:
        """Build from spacing (x, y, z), a 3 x 3 (or flat 9) direction matrix, and the first voxel's centre."""
        matrix = np.eye(4)
        matrix[:3, :3] = np.asarray(direction, dtype=np.float64).reshape(3, 3) * np.asarray(spacing_mm)
        matrix[:3, 3] = origin_mm
        return cls(matrix)

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Voxel size along x, y, z."""
        x, y, z = np.linalg.norm(self.matrix[:3, :3], axis=0)
        return float(x), float(y), float(z)

    @property
    def direction(self) -> FloatMatrix:
        """Unit axis vectors as columns, 3 x 3."""
        cosines: FloatMatrix = self.matrix[:3, :3] / np.asarray(self.spacing_mm)
        return cosines

    @property
    def origin_mm(self) -> tuple[float, float, float]:
        """Centre of the voxel with index (0, 0, 0)."""
        x, y, z = self.matrix[:3, 3]
        return float(x), float(y), float(z)

    @property
    def orientation(self) -> str:
        """Three letters naming where each axis runs, such as "LPS"."""
        return str(sitk.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(self.direction.ravel().tolist()))

    def points_mm(self, index_xyz: npt.ArrayLike) -> FloatMatrix:
        """Map indices (..., 3) in x, y, z order to LPS points (..., 3)."""
        index = np.asarray(index_xyz, dtype=np.float64)
        points: FloatMatrix = index @ self.matrix[:3, :3].T + self.matrix[:3, 3]
        return points

    def indices(self, points_mm: npt.ArrayLike) -> FloatMatrix:
        """Map LPS points (..., 3) to continuous indices (..., 3) in x, y, z order."""
        inverse = np.linalg.inv(self.matrix)
        index: FloatMatrix = np.asarray(points_mm, dtype=np.float64) @ inverse[:3, :3].T + inverse[:3, 3]
        return index

    def shifted(self, start_xyz: npt.ArrayLike) -> Affine:
        """The affine of a crop that begins at voxel `start_xyz`."""
        matrix = self.matrix.copy()
        matrix[:3, 3] = self.points_mm(start_xyz)
        return Affine(matrix)


@dataclass(frozen=True, eq=False)
class Volume:
    """Voxels (z, y, x) and the affine that places them.

    `attributes` are short texts that travel with the file (NRRD key/value pairs). Volumes are never changed in
    place: their voxels are read-only.
    """

    voxels: Voxels
    affine: Affine
    attributes: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.voxels.ndim != 3:
            raise InputError(f"A volume needs three axes (z, y, x), got {self.voxels.ndim}.")
        view = self.voxels.view()
        view.flags.writeable = False
        object.__setattr__(self, "voxels", view)
        object.__setattr__(self, "attributes", MappingProxyType(dict(self.attributes)))

    @classmethod
    def from_sitk(cls, image: sitk.Image) -> Volume:
        """Take over a scalar 3D SimpleITK image (copied)."""
        affine = Affine.from_parts(image.GetSpacing(), image.GetDirection(), image.GetOrigin())
        attributes = {key: image.GetMetaData(key) for key in image.GetMetaDataKeys()}
        return cls(sitk.GetArrayFromImage(image), affine, attributes)

    def to_sitk(self) -> sitk.Image:
        """A SimpleITK image with the same voxels, place and attributes (copied)."""
        voxels = self.voxels.astype(np.uint8) if self.voxels.dtype == np.bool_ else self.voxels
        image = sitk.GetImageFromArray(voxels)
        image.SetSpacing(self.affine.spacing_mm)
        image.SetDirection(self.affine.direction.ravel().tolist())
        image.SetOrigin(self.affine.origin_mm)
        for key, text in self.attributes.items():
            image.SetMetaData(key, text)
        return image

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of voxels along z, y, x."""
        z, y, x = self.voxels.shape
        return z, y, x

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Voxel size along x, y, z."""
        return self.affine.spacing_mm

    def with_voxels(self, voxels: Voxels) -> Volume:
        """Other voxels of the same shape at the same place."""
        if voxels.shape != self.voxels.shape:
            raise InputError(f"Expected voxels of shape {self.voxels.shape}, got {voxels.shape}.")
        return Volume(voxels, self.affine, self.attributes)

    def reoriented(self, orientation: str = CANONICAL_ORIENTATION) -> Volume:
        """The same voxels with axes permuted and flipped to run towards `orientation`; nothing is resampled.

        Only the origin is computed anew; the axes are the same numbers, so nothing drifts.
        """
        source = self.affine.orientation
        if source == orientation:
            return self
        axes = [
            next(i for i, letter in enumerate(source) if goal in (letter, _OPPOSITE[letter])) for goal in orientation
        ]
        signs = np.array([1 if source[i] == goal else -1 for i, goal in zip(axes, orientation, strict=True)])
        first = np.zeros(3)
        for axis, sign in zip(axes, signs, strict=True):
            first[axis] = 0 if sign > 0 else self.shape[2 - axis] - 1
        matrix = self.affine.matrix.copy()
        matrix[:3, :3] = matrix[:3, axes] * signs
        matrix[:3, 3] = self.affine.points_mm(first)
        voxels = self.voxels.transpose([2 - axis for axis in reversed(axes)])[
            tuple(slice(None, None, s) for s in signs[::-1])
        ]
        return Volume(np.ascontiguousarray(voxels), Affine(matrix), self.attributes)

    def cropped(self, start_zyx: tuple[int, int, int], stop_zyx: tuple[int, int, int]) -> Volume:
        """Voxels start <= index < stop along each axis, kept at their place."""
        (z0, y0, x0), (z1, y1, x1) = start_zyx, stop_zyx
        return Volume(
            np.ascontiguousarray(self.voxels[z0:z1, y0:y1, x0:x1]),
            self.affine.shifted((x0, y0, z0)),
            self.attributes,
        )

    def same_grid(self, other: Volume, tolerance_mm: float = 1e-3) -> bool:
        """Whether both volumes have the same voxels at the same places."""
        if self.shape != other.shape:
            return False
        corners = [(x, y, z) for z in (0, self.shape[0]) for y in (0, self.shape[1]) for x in (0, self.shape[2])]
        difference = self.affine.points_mm(corners) - other.affine.points_mm(corners)
        return bool(np.abs(difference).max() <= tolerance_mm)

    def sha256(self) -> str:
        """Hash of voxels, type, shape and affine (rounded to 1e-6 mm)."""
        digest = hashlib.sha256(f"{self.voxels.dtype.str}{self.shape}".encode())
        digest.update((np.round(self.affine.matrix, 6) + 0.0).tobytes())  # -0.0 and 0.0 are one place
        digest.update(np.ascontiguousarray(self.voxels).tobytes())
        return digest.hexdigest()


def resample_onto(moving: Volume, grid: Volume, *, linear: bool, outside: float = 0.0) -> Volume:
    """Bring `moving` onto the grid of `grid` (paper section 2.2: SimpleITK, rigid, same origin, spacing and size).

    Linear interpolation for images (float32), nearest neighbour for labels; voxels outside `moving` become `outside`.
    Beyond its result this needs memory for about SLAB_VOXELS voxels: large volumes are handled in slabs along z, each
    with the piece of `moving` that it needs. The voxels are those of one go.
    """
    if moving.same_grid(grid):
        return Volume(moving.voxels, grid.affine, moving.attributes)
    slabs = -(-max(grid.voxels.size, moving.voxels.size) // SLAB_VOXELS)
    if slabs == 1:
        return Volume(_resample(moving, grid.affine, grid.shape, linear, outside), grid.affine, moving.attributes)
    depth, height, width = grid.shape
    kind = np.uint8 if moving.voxels.dtype == np.bool_ else moving.voxels.dtype
    result = np.empty(grid.shape, dtype=np.float32 if linear else kind)
    step = -(-depth // slabs)
    for start in range(0, depth, step):
        shape = (min(step, depth - start), height, width)
        affine = grid.affine.shifted((0, 0, start))
        piece = _needed(moving, affine, shape)
        part = outside if piece is None else _resample(piece, affine, shape, linear, outside)
        result[start : start + shape[0]] = part
    return Volume(result, grid.affine, moving.attributes)


def _needed(moving: Volume, affine: Affine, shape: tuple[int, int, int]) -> Volume | None:
    """The part of `moving` around a grid, two voxels larger for the interpolation; None where they do not meet."""
    corners = [(x, y, z) for z in (0, shape[0] - 1) for y in (0, shape[1] - 1) for x in (0, shape[2] - 1)]
    index = moving.affine.indices(affine.points_mm(corners))
    size = np.asarray(moving.shape[::-1])
    start = np.clip(np.floor(index.min(axis=0)).astype(int) - 2, 0, size)
    stop = np.clip(np.ceil(index.max(axis=0)).astype(int) + 3, 0, size)
    if (start >= stop).any():
        return None
    (x0, y0, z0), (x1, y1, z1) = start.tolist(), stop.tolist()
    return moving.cropped((z0, y0, x0), (z1, y1, x1))


def _resample(moving: Volume, affine: Affine, shape: tuple[int, int, int], linear: bool, outside: float) -> Voxels:
    image = moving.to_sitk()
    if linear:
        image = sitk.Cast(image, sitk.sitkFloat32)
    result = sitk.Resample(
        image,
        [int(n) for n in reversed(shape)],
        sitk.Transform(3, sitk.sitkIdentity),
        sitk.sitkLinear if linear else sitk.sitkNearestNeighbor,
        affine.origin_mm,
        affine.spacing_mm,
        affine.direction.ravel().tolist(),
        outside,
    )
    voxels: Voxels = sitk.GetArrayFromImage(result)
    return voxels
