"""Where the fields of view of CT and PET meet, and the CT cut to that place without touching a voxel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import linprog

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.volume import Affine, FloatMatrix, Volume

EDGE_VOXELS = 1e-5
"""A voxel whose centre lies this little outside the PET's edge still counts as inside: rounding decides nothing."""

NOTED_MM = 5.0
"""Cuts that leave out less than this along an axis are not worth a sentence."""

Corner = tuple[int, int, int]

_ENDS = {"S": "head", "I": "foot", "L": "left", "R": "right", "A": "front", "P": "back"}
_OPPOSITE = {"L": "R", "R": "L", "P": "A", "A": "P", "S": "I", "I": "S"}


@dataclass(frozen=True)
class Overlap:
    """The smallest box of CT voxels (start <= index < stop along z, y, x) holding all whose centres the PET covers.

    `cut_mm` says how much of the CT lies outside, by the end of the body ("head", "foot", "left", "right", "front",
    "back"; ends without a cut are left out). `covered` is the share of the box's voxels that the PET really covers:
    1.0 unless the grids are turned against each other.
    """

    start_zyx: Corner
    stop_zyx: Corner
    cut_mm: dict[str, float]
    covered: float

    @property
    def note(self) -> str:
        """One sentence on what of the CT is left out, or "" where it is less than NOTED_MM everywhere."""
        worth = {end: mm for end, mm in self.cut_mm.items() if mm >= NOTED_MM}
        if not worth:
            return ""
        parts = [f"{mm:.0f} mm at the {end}" + (" end" if end in ("head", "foot") else "") for end, mm in worth.items()]
        listed = parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
        return f"The PET does not cover the whole CT: {listed} of the CT was left out."


def overlap(ct: Volume, pet: Volume, *, margin_mm: float = 0.0, body_axis_only: bool = False) -> Overlap:
    """The box of CT voxels where the PET has data, `margin_mm` larger on every side as far as the CT reaches.

    Works for any two grids (flipped, permuted, oblique): the bounds are those of the intersection of the two boxes,
    found exactly by linear programming. Slices at the PET's ends that hold nothing but the smallest value (padding)
    count as no data. With `body_axis_only` the CT keeps its full slices and is only shortened along the axis that
    runs from head to feet. Raises InputError where the two do not meet.
    """
    reach = _reach(ct, _without_padding(pet))
    if reach is None:
        raise InputError(
            "The PET and the CT do not overlap in space; choose images of the same patient and study, with their "
            "places as the scanner wrote them."
        )
    margin = margin_mm / np.asarray(ct.spacing_mm)
    size = np.asarray(ct.shape[::-1])
    start = np.clip(np.ceil(reach[0] - margin - EDGE_VOXELS), 0, size).astype(int)
    stop = np.clip(np.floor(reach[1] + margin + EDGE_VOXELS) + 1, 0, size).astype(int)
    if body_axis_only:
        others = [axis for axis in range(3) if axis != body_axis(ct.affine)]
        start[others], stop[others] = 0, size[others]
    if (stop - start < 2).any():
        raise InputError(
            "The PET and the CT overlap in less than two voxels along one axis; choose images of the same study."
        )
    (x0, y0, z0), (x1, y1, z1) = start.tolist(), stop.tolist()
    low, high = (z0, y0, x0), (z1, y1, x1)
    return Overlap(low, high, _cuts(ct, start, stop), _covered(ct, pet, start, stop))


def crop_to_overlap(
    ct: Volume, pet: Volume, *, margin_mm: float = 0.0, body_axis_only: bool = False
) -> tuple[Volume, Overlap]:
    """The CT cut to where the PET has data, and what was cut; the voxels that stay are the same at the same place.

    Arguments and errors as in `overlap`.
    """
    found = overlap(ct, pet, margin_mm=margin_mm, body_axis_only=body_axis_only)
    if found.start_zyx == (0, 0, 0) and found.stop_zyx == ct.shape:
        return ct, found
    return ct.cropped(found.start_zyx, found.stop_zyx), found


def body_axis(affine: Affine) -> int:
    """The voxel axis (0 = x, 1 = y, 2 = z) that runs closest to the patient's head-to-feet line."""
    return int(np.abs(affine.direction[2]).argmax())


def _without_padding(pet: Volume) -> Volume:
    """The PET without end slices across the body that hold only its smallest value."""
    axis = 2 - body_axis(pet.affine)
    others = tuple(i for i in range(3) if i != axis)
    filled = np.flatnonzero(pet.voxels.max(axis=others) > pet.voxels.min())
    if filled.size == 0:
        raise InputError("The PET has the same value everywhere; choose the PET itself.")
    start, stop = [0, 0, 0], list(pet.shape)
    start[axis], stop[axis] = int(filled[0]), int(filled[-1]) + 1
    return pet.cropped((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))


def _reach(ct: Volume, pet: Volume) -> FloatMatrix | None:
    """Smallest and largest CT index (2, 3; x, y, z) that lies in both fields of view; None where there is none."""
    to_pet = np.linalg.inv(pet.affine.matrix) @ ct.affine.matrix
    turn, offset = to_pet[:3, :3], to_pet[:3, 3]
    size = np.asarray(pet.shape[::-1])
    inequalities = np.vstack([turn, -turn])
    limits = np.concatenate([size - 0.5 - offset, offset + 0.5])
    inside_ct = [(-0.5, n - 0.5) for n in reversed(ct.shape)]
    reach = np.empty((2, 3))
    for axis in range(3):
        for row, sign in ((0, 1.0), (1, -1.0)):
            goal = np.zeros(3)
            goal[axis] = sign
            solution = linprog(goal, A_ub=inequalities, b_ub=limits, bounds=inside_ct)
            if not solution.success:
                return None
            reach[row, axis] = solution.x[axis]
    return reach


def _cuts(ct: Volume, start: npt.NDArray[np.int_], stop: npt.NDArray[np.int_]) -> dict[str, float]:
    cuts = {}
    for axis, letter in enumerate(ct.affine.orientation):
        before, after = int(start[axis]), ct.shape[2 - axis] - int(stop[axis])
        for end, voxels in ((_OPPOSITE[letter], before), (letter, after)):
            if voxels:
                cuts[_ENDS[end]] = round(voxels * ct.spacing_mm[axis], 3)
    return {end: cuts[end] for end in _ENDS.values() if end in cuts}


def _covered(ct: Volume, pet: Volume, start: npt.NDArray[np.int_], stop: npt.NDArray[np.int_]) -> float:
    """Share of a lattice of the box's voxel centres that lies inside the PET's field of view."""
    axes = [np.linspace(low, high - 1, 24) for low, high in zip(start, stop, strict=True)]
    lattice = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    return float(inside(pet, ct.affine.points_mm(lattice)).mean())


def inside(volume: Volume, points_mm: FloatMatrix) -> npt.NDArray[np.bool_]:
    """Which LPS points (n, 3) lie inside the volume's field of view, borders included."""
    index = volume.affine.indices(points_mm)
    size = np.asarray(volume.shape[::-1])
    within = (index >= -0.5 - EDGE_VOXELS) & (index <= size - 0.5 + EDGE_VOXELS)
    return np.asarray(within.all(axis=1))
