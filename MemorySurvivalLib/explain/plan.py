"""Which patches of tissue are occluded, one at a time: a lattice whose centres lie in the ROI (paper appendix A)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.window import MODALITIES, Modality
from MemorySurvivalLib.roi.roi import Roi

FillName = Literal["roi_median", "volume_mean", "blur"]
FILLS: tuple[FillName, ...] = get_args(FillName)

MOST_PATCHES = 20_000
"""More patches take days with any model; who asks for them mistyped a number."""


@dataclass(frozen=True)
class ExplainConfig:
    """Edge length and spacing of the cubic patches in millimetres, what occluded voxels become, and in which images.

    `volume_mean` is the paper's fill; `roi_median` is the median inside the ROI, because a mean over the whole volume
    is mostly air and turns an occluded vertebra into a hole; `blur` is the image itself, blurred until nothing of the
    size of a patch is left. A patch is occluded in all `modalities` at once. `coarse` spends about a fifth and
    estimates the rest.
    """

    patch_mm: float
    stride_mm: float
    fill: FillName = "roi_median"
    modalities: tuple[Modality, ...] = ("PET", "CT")
    coarse: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.stride_mm <= self.patch_mm <= 500:
            raise InputError(
                f"Occlusion needs 0 < stride <= patch <= 500 mm, got patch {self.patch_mm:g} mm and stride "
                f"{self.stride_mm:g} mm; choose others."
            )
        if self.fill not in FILLS:
            raise InputError(f"Unknown fill {self.fill!r} for occluded tissue; choose one of {', '.join(FILLS)}.")
        known = set(MODALITIES)
        if not self.modalities or len(set(self.modalities)) != len(self.modalities) or set(self.modalities) - known:
            raise InputError(
                f"Occlusion works in PET, CT or both, got {', '.join(self.modalities) or 'none'}; choose among these."
            )


@dataclass(frozen=True)
class ExplainChoice:
    """What a user asks of a map; None takes the bundle's default. Of `modalities` those count that the head reads."""

    patch_mm: float | None = None
    stride_mm: float | None = None
    fill: FillName | None = None
    modalities: tuple[Modality, ...] | None = None
    coarse: bool | None = None

    def config(
        self, patch_mm: float, stride_mm: float, fill: FillName, modalities: tuple[Modality, ...] = MODALITIES
    ) -> ExplainConfig:
        """The settings, with defaults for what was left open. Raises InputError for what cannot be."""
        patch = patch_mm if self.patch_mm is None else self.patch_mm
        stride = min(stride_mm, patch) if self.stride_mm is None else self.stride_mm
        images = modalities if self.modalities is None else self.modalities
        return ExplainConfig(patch, stride, self.fill or fill, images, bool(self.coarse))


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

    @property
    def plane(self) -> tuple[int, int, int, int]:
        """Rows and columns: y0, y1, x0, x1. Patches of one plane change a slice in the same way."""
        return self.y0, self.y1, self.x0, self.x1

    def touches(self, z: int) -> bool:
        """Whether the patch changes slice `z`."""
        return self.z0 <= z < self.z1

    def where(self, z: int) -> tuple[slice, slice]:
        """The voxels of slice `z` that are replaced, as an index into its rows and columns."""
        return slice(self.y0, self.y1), slice(self.x0, self.x1)


@dataclass(frozen=True, eq=False)
class Blob:
    """Voxels of any shape (bool, z, y, x, on the case's grid) that are occluded together, such as an organ."""

    mask: npt.NDArray[np.bool_]

    def touches(self, z: int) -> bool:
        """Whether any voxel of slice `z` is replaced."""
        return bool(self.mask[z].any())

    def where(self, z: int) -> npt.NDArray[np.bool_]:
        """The voxels of slice `z` that are replaced."""
        section: npt.NDArray[np.bool_] = self.mask[z]
        return section


Occlusion = Patch | Blob


def plan_patches(roi: Roi, config: ExplainConfig) -> tuple[Patch, ...]:
    """Patches in rising z; never empty: a ROI that no lattice centre meets gets one patch on its middle voxel.

    Raises InputError where there would be more than `MOST_PATCHES`.
    """
    shape = roi.mask.shape
    start, stop = roi.bounds_zyx
    spacing = roi.mask.spacing_mm[::-1]
    size = [max(1, round(config.patch_mm / mm)) for mm in spacing]
    step = [max(1, round(config.stride_mm / mm)) for mm in spacing]
    centres = [
        np.arange(low + min(stride, high - low) // 2, high, stride)
        for low, high, stride in zip(start, stop, step, strict=True)
    ]
    found = np.argwhere(roi.mask.voxels[np.ix_(*centres)])
    if len(found) > MOST_PATCHES:
        raise InputError(
            f"A map with patches {config.stride_mm:g} mm apart would need {len(found)} of them, at most {MOST_PATCHES} "
            "are possible; choose a larger stride."
        )
    inside = np.stack([axis[found[:, n]] for n, axis in enumerate(centres)], axis=1)
    if not len(inside):
        voxels = np.argwhere(roi.mask.voxels)
        inside = voxels[[np.argmin(np.abs(voxels - voxels.mean(axis=0)).sum(axis=1))]]
    patches = []
    for index in inside.tolist():
        lows = [max(0, centre - extent // 2) for centre, extent in zip(index, size, strict=True)]
        highs = [
            min(count, centre - extent // 2 + extent) for centre, extent, count in zip(index, size, shape, strict=True)
        ]
        patches.append(Patch(lows[0], highs[0], lows[1], highs[1], lows[2], highs[2]))
    return tuple(patches)
