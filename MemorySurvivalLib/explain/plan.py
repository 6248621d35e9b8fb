"""Which patches of tissue are occluded, one at a time: a lattice whose centres lie in the ROI (paper appendix A)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Literal

import numpy as np

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.roi.roi import Roi

FillName = Literal["roi_median", "volume_mean"]


@dataclass(frozen=True)
class ExplainConfig:
    """Edge length and spacing of the cubic patches in millimetres, and what occluded voxels become.

    `volume_mean` is the paper's fill; `roi_median` is the median inside the ROI, because a mean over the whole volume
    is mostly air and turns an occluded vertebra into a hole.
    """

    patch_mm: float
    stride_mm: float
    fill: FillName = "roi_median"

    def __post_init__(self) -> None:
        if not 0 < self.stride_mm <= self.patch_mm <= 500:
            raise InputError(
                f"Occlusion needs 0 < stride <= patch <= 500 mm, got patch {self.patch_mm:g} mm and stride "
                f"{self.stride_mm:g} mm; choose others."
            )


@dataclass(frozen=True)
class Patch:
    """A box of voxels, start <= index < stop, on the case's grid."""

    z0: int
    z1: int
    y0: int
    y1: int
    x0: int
    x1: int

    @property
    def centre_xyz(self) -> tuple[float, float, float]:
        """Centre as a continuous voxel index in x, y, z order."""
        return (self.x0 + self.x1 - 1) / 2, (self.y0 + self.y1 - 1) / 2, (self.z0 + self.z1 - 1) / 2


def plan_patches(roi: Roi, config: ExplainConfig) -> tuple[Patch, ...]:
    """Patches in rising z; never empty: a ROI that no lattice centre meets gets one patch on its middle voxel."""
    shape = roi.mask.shape
    start, stop = roi.bounds_zyx
    spacing = roi.mask.spacing_mm[::-1]
    size = [max(1, round(config.patch_mm / mm)) for mm in spacing]
    step = [max(1, round(config.stride_mm / mm)) for mm in spacing]
    centres = [
        range(low + min(stride, high - low) // 2, high, stride)
        for low, high, stride in zip(start, stop, step, strict=True)
    ]
    inside = [index for index in product(*centres) if roi.mask.voxels[index]]
    if not inside:
        voxels = np.argwhere(roi.mask.voxels)
        middle = voxels[np.argmin(np.abs(voxels - voxels.mean(axis=0)).sum(axis=1))]
        inside = [(int(middle[0]), int(middle[1]), int(middle[2]))]
    patches = []
    for index in inside:
        lows = [max(0, centre - extent // 2) for centre, extent in zip(index, size, strict=True)]
        highs = [
            min(count, centre - extent // 2 + extent) for centre, extent, count in zip(index, size, shape, strict=True)
        ]
        patches.append(Patch(lows[0], highs[0], lows[1], highs[1], lows[2], highs[2]))
    return tuple(patches)
