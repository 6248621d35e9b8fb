"""Does a mask look like the region it is said to be? Read from the CT, because file names lie."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.volume import Volume, resample_onto
from MemorySurvivalLib.roi.roi import ROI_TITLES, Roi, RoiKind

BONE_HU = 150.0
BODY_HU = -300.0

MINIMUM_BONE_SHARE: dict[RoiKind, float] = {"spine_dilated": 0.08, "skeleton": 0.20, "other": 0.0}
"""Least share of ROI voxels at bone density. A spine dilated by 10 mm is a fifth to a third bone at this threshold
even in osteoporosis; tumours and organs hold next to none."""

MINIMUM_BONE_COVERED: dict[RoiKind, float] = {"spine_dilated": 0.12, "skeleton": 0.5, "other": 0.0}
"""Least share of the image's bone (on the ROI's slices) inside the ROI: a tumour grown into a bone holds a few percent,
a spine a quarter or more even on slices with shoulders, ribs and pelvis."""


@dataclass(frozen=True)
class RoiCheck:
    """Bone inside the ROI as shares of the ROI and of all bone on its slices."""

    bone_share: float
    bone_covered: float


def measure_bone(mask: Volume, ct: Volume) -> RoiCheck:
    """Measure bone in a mask on the CT's grid."""
    bone = ct.voxels >= BONE_HU
    inside = bone & mask.voxels
    slices = mask.voxels.any(axis=(1, 2))
    on_slices = int(np.count_nonzero(bone[slices]))
    count = int(np.count_nonzero(inside))
    return RoiCheck(count / max(int(np.count_nonzero(mask.voxels)), 1), count / max(on_slices, 1))


def accept_roi(
    mask: Volume, ct: Volume, required: RoiKind, declared: RoiKind | None, source: str, *, allow_other: bool
) -> Roi:
    """Turn a mask (any grid, any integer labels) into a ROI on the CT's grid, or refuse it.

    `required` is the kind the bundle was trained on, `declared` what the user says the mask is (None: taken to be
    what the bundle needs, and checked). Raises InputError for an empty mask, one of another declared kind, and one
    that does not look like its kind on the CT; `allow_other` turns the last two into a ROI of kind "other" with a note.
    """
    notes: list[str] = []
    binary = mask.with_voxels((mask.voxels > 0).astype(np.uint8)).reoriented()
    if not binary.voxels.any():
        raise InputError(f"The mask {source} is empty; draw or choose a mask with voxels in it.")
    if not binary.same_grid(ct):
        binary = resample_onto(binary, ct, linear=False)
        notes.append("The mask was on another grid and was resampled to the CT's (nearest neighbour).")
        if not binary.voxels.any():
            raise InputError(f"The mask {source} does not overlap the CT; choose the mask of this study.")
    on_grid = Volume(binary.voxels.astype(np.bool_), ct.affine)
    problem = _problem(measure_bone(on_grid, ct), required, declared)
    kind: RoiKind = required
    if problem:
        if not allow_other:
            raise InputError(
                f"The mask {source} {problem}; this model bundle needs a {ROI_TITLES[required]} mask. "
                "Give one, or allow another ROI for engineering use (--allow-other-roi)."
            )
        kind = "other"
        notes.append(f"The mask {problem}; it was allowed for engineering use only.")
    return Roi(on_grid, kind, source, tuple(notes))


def _problem(check: RoiCheck, required: RoiKind, declared: RoiKind | None) -> str | None:
    if declared is not None and declared != required:
        return f"is declared as {ROI_TITLES[declared]}"
    name = required.split("_")[0]
    if check.bone_share < MINIMUM_BONE_SHARE[required]:
        return (
            f"does not look like a {name}: {check.bone_share:.1%} of it is bone on the CT "
            f"(at least {MINIMUM_BONE_SHARE[required]:.0%} expected)"
        )
    if check.bone_covered < MINIMUM_BONE_COVERED[required]:
        return (
            f"does not look like a {name}: it holds {check.bone_covered:.0%} of the bone on its slices "
            f"(at least {MINIMUM_BONE_COVERED[required]:.0%} expected)"
        )
    return None
