"""The rotating maximum projection of a PET: frames around the patient's long axis, and how deep each maximum lies."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.volume import Affine, FloatMatrix, Volume, resample_onto
from MemorySurvivalLib.progress import ProgressCallback, ignore_progress, track

STAGE = "rotating view"
SPACING_MM = 4.0
"""Width and height of a pixel, and the step along the rays."""
HALF_TURN_FRAMES = 24
AIR_SHARE = 0.01
"""Voxels below this share of the 99.9th percentile are taken for air; the frames are cut to the rest."""


@dataclass(frozen=True, eq=False)
class RotatingProjection:
    """Maximum projections over half a turn; the other half is their mirror image.

    `frames` (frame, v, u) in the PET's unit, float32: u runs to the right of the picture, v upwards (superior), and the
    first frame is seen from the front, the patient's left on the right. From frame to frame the viewer walks
    towards the patient's left. `depth_mm` (frame, v, u) is where on its ray a pixel's maximum lies, towards the viewer
    from `centre_mm` (LPS), which lies in the middle of every frame. Both sides of a frame are as far from the centre.
    """

    frames: npt.NDArray[np.float32]
    depth_mm: npt.NDArray[np.float32]
    centre_mm: tuple[float, float, float]
    spacing_mm: float

    @property
    def angles_deg(self) -> FloatMatrix:
        """How far the viewer has walked, for each frame."""
        count = len(self.frames)
        return np.arange(count, dtype=np.float64) * (180.0 / count)

    def point_mm(self, frame: int, v: int, u: int) -> FloatMatrix:
        """The LPS point of a pixel's maximum."""
        right, towards = view_axes(self.angles_deg[frame])
        _count, height, width = self.frames.shape
        across = (u - (width - 1) / 2) * self.spacing_mm
        up = (v - (height - 1) / 2) * self.spacing_mm
        depth = float(self.depth_mm[frame, v, u])
        middle = np.asarray(self.centre_mm, dtype=np.float64)
        point: FloatMatrix = middle + across * right + up * np.array([0, 0, 1.0]) + depth * towards
        return point


def view_axes(angle_deg: float) -> tuple[FloatMatrix, FloatMatrix]:
    """LPS unit vectors of a view: to the right of its picture, and from the patient towards the viewer."""
    angle = np.radians(angle_deg)
    right = np.array([np.cos(angle), np.sin(angle), 0.0])
    return right, np.array([np.sin(angle), -np.cos(angle), 0.0])


def project_rotating(
    pet: Volume,
    *,
    spacing_mm: float = SPACING_MM,
    half_turn_frames: int = HALF_TURN_FRAMES,
    progress: ProgressCallback = ignore_progress,
) -> RotatingProjection:
    """Project the PET's maxima along parallel rays around the patient's head-to-feet line (LPS z).

    The PET is sampled linearly every `spacing_mm` along the rays; of a finer PET the maxima of blocks of voxels are, so
    that no small lesion falls between the samples. Raises InputError for a PET without any signal.
    """
    pet = _coarsened(pet, spacing_mm)
    low, high, radius = _body(pet)
    centre = (low + high) / 2
    across = 2 * int(np.ceil(radius / spacing_mm)) + 1
    up = int(np.ceil((high[2] - low[2]) / spacing_mm)) + 1
    frames = np.empty((half_turn_frames, up, across), np.float32)
    depth = np.empty_like(frames)
    angles = np.arange(half_turn_frames) * (180.0 / half_turn_frames)
    half = np.array([across - 1, across - 1, up - 1]) / 2 * spacing_mm
    for index, angle in enumerate(track(angles, STAGE, half_turn_frames, progress)):
        right, towards = view_axes(angle)
        # Right, away from the viewer, up: a right-handed grid, whose first sample on a ray is the nearest.
        direction = np.stack([right, -towards, [0.0, 0.0, 1.0]], axis=1)
        affine = Affine.from_parts([spacing_mm] * 3, direction, centre - direction @ half)
        grid = Volume(np.broadcast_to(np.uint8(0), (up, across, across)), affine)
        turned = resample_onto(pet, grid, linear=True, outside=float("-inf")).voxels
        nearest = turned.argmax(axis=1)
        frames[index] = np.take_along_axis(turned, nearest[:, None], axis=1)[:, 0]
        depth[index] = half[1] - nearest * spacing_mm
    frames[~np.isfinite(frames)] = 0.0
    x, y, z = centre
    return RotatingProjection(frames, depth, (float(x), float(y), float(z)), spacing_mm)


def _coarsened(pet: Volume, spacing_mm: float) -> Volume:
    """The PET in blocks of whole voxels, as large as `spacing_mm` allows; each holds its largest value."""
    block = [max(int(spacing_mm / size + 1e-6), 1) for size in reversed(pet.spacing_mm)]  # z, y, x
    if block == [1, 1, 1]:
        return pet
    largest = pet.voxels
    for axis, step in enumerate(block):
        largest = np.maximum.reduceat(largest, np.arange(0, largest.shape[axis], step), axis=axis)
    steps = np.array(block[::-1])
    first = pet.affine.points_mm((steps - 1) / 2)
    affine = Affine.from_parts(steps * pet.spacing_mm, pet.affine.direction, first)
    return Volume(largest, affine)


def _body(pet: Volume) -> tuple[FloatMatrix, FloatMatrix, float]:
    """Corners (LPS) of the box around what is not air, and the largest distance from its middle line."""
    threshold = AIR_SHARE * float(np.percentile(pet.voxels, 99.9))
    if not threshold > 0:
        raise InputError("The PET has no signal to project; choose the PET itself.")
    zyx = np.argwhere(pet.voxels > threshold)
    points = pet.affine.points_mm(zyx[:, ::-1])
    low, high = points.min(axis=0) - SPACING_MM, points.max(axis=0) + SPACING_MM
    aside = points[:, :2] - ((low + high) / 2)[:2]
    return low, high, float(np.sqrt((aside**2).sum(axis=1).max())) + SPACING_MM
