"""What occluded voxels become: one value, or the blurred image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from MemorySurvivalLib.explain.plan import FillName, Occlusion, Patch
from MemorySurvivalLib.imaging.case import Case
from MemorySurvivalLib.imaging.window import MODALITIES, Modality
from MemorySurvivalLib.roi.roi import Roi

FloatArray = npt.NDArray[np.float32]

BLUR_SHARE = 0.5
"""Standard deviation of the blur as a share of the patch's edge: nothing of a patch's size is left."""


@dataclass(frozen=True, eq=False)
class Filling:
    """The replacement for occluded voxels of one modality (HU or SUVbw), taken once from the unoccluded image.

    `value` is put everywhere, or where it is None the voxels of `image`, which begins at slice `first`.
    """

    value: float | None
    image: FloatArray | None = None
    first: int = 0

    def occlude(self, pixels: npt.NDArray[Any], z: int, occlusion: Occlusion) -> FloatArray:
        """A copy of slice `z` (rows, columns), float32, with the occluded voxels replaced."""
        occluded = pixels.astype(np.float32)
        where = occlusion.where(z)
        if self.image is None:
            occluded[where] = self.value
        else:
            occluded[where] = self.image[z - self.first][where]
        return occluded


Fills = Mapping[Modality, Filling]


def fill_values(case: Case, roi: Roi, fill: FillName) -> dict[Modality, float]:
    """The one value of fill `roi_median` or `volume_mean` in HU and SUVbw. `blur` has none, and gives nothing."""
    values: dict[Modality, float] = {}
    for modality in MODALITIES:
        voxels = case.image(modality).voxels
        if fill == "roi_median":
            values[modality] = float(np.median(voxels[roi.mask.voxels]))
        elif fill == "volume_mean":
            values[modality] = float(voxels.mean(dtype=np.float64))
    return values


def make_fills(case: Case, roi: Roi, fill: FillName, patch_mm: float) -> dict[Modality, Filling]:
    """The replacement of every modality; the blur reaches every patch whose centre lies in the ROI."""
    if fill != "blur":
        return {modality: Filling(value) for modality, value in fill_values(case, roi, fill).items()}
    return {modality: _blur(case, roi, modality, patch_mm) for modality in MODALITIES}


def _blur(case: Case, roi: Roi, modality: Modality, patch_mm: float) -> Filling:
    """Blurred by a Gaussian in millimetres, in the slices that patches can reach and what those are blurred with."""
    image = case.image(modality)
    sigma = [BLUR_SHARE * patch_mm / mm for mm in image.spacing_mm[::-1]]
    margin = int(np.ceil(patch_mm / image.spacing_mm[2])) + 1
    (low, _, _), (high, _, _) = roi.bounds_zyx
    first, last = max(0, low - margin), min(image.shape[0], high + margin)
    around = int(3 * sigma[0]) + 1
    begin = max(0, first - around)
    voxels = np.asarray(image.voxels[begin : last + around], dtype=np.float32)
    blurred = ndimage.gaussian_filter(voxels, sigma, mode="nearest", truncate=3.0)
    return Filling(None, blurred[first - begin : last - begin], first)


def box_of(patch: Patch) -> tuple[slice, slice, slice]:
    """A patch as an index into (z, y, x)."""
    return slice(patch.z0, patch.z1), slice(patch.y0, patch.y1), slice(patch.x0, patch.x1)
