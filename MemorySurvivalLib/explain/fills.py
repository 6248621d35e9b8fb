"""What occluded voxels become: one value, or the blurred image. Air stays air."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from MemorySurvivalLib.explain.plan import FillName, Occlusion, Patch
from MemorySurvivalLib.imaging.case import Case
from MemorySurvivalLib.imaging.volume import Affine, Volume
from MemorySurvivalLib.imaging.window import MODALITIES, Modality
from MemorySurvivalLib.roi.roi import Roi
from MemorySurvivalLib.roi.working_grid import shrink

FloatArray = npt.NDArray[np.float32]

BLUR_SHARE = 0.5
"""Standard deviation of the blur as a share of the patch's edge: nothing of a patch's size is left."""

AIR_HU = -300.0
"""Below this the CT shows lung or air (fat is near -100). Tissue put there would be a mass that nobody has: beside the
spine a model that knows masses finds it, and the map shows the patch's own trace instead of the patient's tissue."""

FILLING_VERSION = 2
"""Goes up when the same plan replaces other voxels."""


@dataclass(frozen=True, eq=False)
class Filling:
    """The replacement for occluded voxels of one modality (HU or SUVbw), taken once from the unoccluded image.

    `value` is put everywhere, or where it is None what `blurred` (a coarse grid of the same axes) shows there, between
    its voxels linearly; `grid` places the slices. Voxels where `ct` (z, y, x; HU, on the grid of both images) is below
    AIR_HU stay as they are; with None all are replaced.
    """

    value: float | None
    blurred: Volume | None = None
    grid: Affine | None = None
    ct: npt.NDArray[Any] | None = None

    def occlude(self, pixels: npt.NDArray[Any], z: int, occlusion: Occlusion) -> FloatArray:
        """A copy of slice `z` (rows, columns), float32, with the occluded voxels replaced."""
        occluded = pixels.astype(np.float32)
        where = occlusion.where(z)
        occluded[where] = self._put(z, where, occluded.shape)
        if self.ct is not None:
            air = np.zeros(occluded.shape, dtype=bool)
            air[where] = self.ct[z][where] < AIR_HU
            occluded[air] = pixels[air]
        return occluded

    def _put(self, z: int, where: Any, shape: tuple[int, ...]) -> FloatArray | float | None:
        if self.blurred is None or self.grid is None:
            return self.value
        window = where if isinstance(where, tuple) else (slice(None), slice(None))
        rows, columns = (np.arange(count)[part] for count, part in zip(shape, window, strict=True))
        blurred = self._slice(z, rows, columns)
        return blurred if isinstance(where, tuple) else blurred[where]

    def _slice(self, z: int, rows: npt.NDArray[np.intp], columns: npt.NDArray[np.intp]) -> FloatArray:
        assert self.blurred is not None
        assert self.grid is not None
        # The axes are the same, so the corners tell where all voxels lie.
        corners = self.blurred.affine.indices(
            self.grid.points_mm([(columns[0], rows[0], z), (columns[-1], rows[-1], z)])
        )
        x, y = (np.linspace(corners[0, axis], corners[1, axis], n) for axis, n in ((0, len(columns)), (1, len(rows))))
        places = np.meshgrid([corners[0, 2]], y, x, indexing="ij")
        return np.asarray(ndimage.map_coordinates(self.blurred.voxels, places, order=1, mode="nearest")[0])


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
    """The replacement of every modality. `volume_mean` is the paper's and fills air too; the others leave it."""
    if fill == "blur":
        return {modality: _blur(case, modality, patch_mm) for modality in MODALITIES}
    ct = None if fill == "volume_mean" else case.ct.voxels
    return {modality: Filling(value, ct=ct) for modality, value in fill_values(case, roi, fill).items()}


def _blur(case: Case, modality: Modality, patch_mm: float) -> Filling:
    """Blurred by a Gaussian in millimetres, on a grid as coarse as the blur allows: it takes seconds otherwise."""
    image = case.image(modality)
    sigma_mm = BLUR_SHARE * patch_mm
    coarse = shrink(image, sigma_mm / 3)
    sigma = [sigma_mm / mm for mm in coarse.spacing_mm[::-1]]
    blurred = ndimage.gaussian_filter(coarse.voxels, sigma, mode="nearest", truncate=3.0)
    return Filling(None, coarse.with_voxels(blurred), image.affine, case.ct.voxels)


def box_of(patch: Patch) -> tuple[slice, slice, slice]:
    """A patch as an index into (z, y, x)."""
    return slice(patch.z0, patch.z1), slice(patch.y0, patch.y1), slice(patch.x0, patch.x1)
