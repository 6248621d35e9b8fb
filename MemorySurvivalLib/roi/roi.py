"""A region of interest: a mask on the CT grid, what kind it is, and how it was made."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.volume import Volume

RoiKind = Literal["spine_dilated", "skeleton", "other"]
ROI_KINDS: tuple[RoiKind, ...] = get_args(RoiKind)
ROI_TITLES: dict[RoiKind, str] = {
    "spine_dilated": "dilated spine (vertebrae, canal, paramedullary tissue)",
    "skeleton": "skeleton (all bones and the dilated spine)",
    "other": "another region",
}


@dataclass(frozen=True, eq=False)
class Roi:
    """A mask (bool, z, y, x) on a case's grid; never empty.

    `made_by` says in a few words how it came to be (a file, the built-in segmenter); `notes` are sentences for the
    user, such as that the mask was resampled.
    """

    mask: Volume
    kind: RoiKind
    made_by: str
    notes: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        if self.mask.voxels.dtype != np.bool_:
            raise InputError(f"A ROI needs a boolean mask, got {self.mask.voxels.dtype}.")
        if not self.mask.voxels.any():
            raise InputError(
                f"The ROI from {self.made_by} is empty on the CT; draw or choose a mask with voxels in it."
            )

    @property
    def bounds_zyx(self) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
        """The smallest box around the mask as (start, stop) along z, y, x."""
        start, stop = [], []
        for axis in range(3):
            hit = np.flatnonzero(self.mask.voxels.any(axis=tuple(a for a in range(3) if a != axis)))
            start.append(int(hit[0]))
            stop.append(int(hit[-1]) + 1)
        return (start[0], start[1], start[2]), (stop[0], stop[1], stop[2])

    @property
    def volume_ml(self) -> float:
        """Volume of the mask in millilitres."""
        return float(np.count_nonzero(self.mask.voxels) * np.prod(self.mask.spacing_mm) / 1000)
