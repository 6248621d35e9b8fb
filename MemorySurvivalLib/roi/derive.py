"""The paper's two regions of interest, derived from any segmentation of bones and spine (section 2.2)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.volume import Volume, resample_onto
from MemorySurvivalLib.roi.dilation import dilate_mm
from MemorySurvivalLib.roi.roi import ROI_TITLES, Roi, RoiKind
from MemorySurvivalLib.roi.segments import Segmentation

FIRST_SACRAL = "S1"


@dataclass(frozen=True)
class RoiConfig:
    """How the regions are derived. Raises InputError for a radius that cannot work.

    The paper gives neither the radius nor the lower end of the spine; both defaults are this project's choice.
    """

    paramedullary_mm: float = 10.0
    """How far the paramedullary region reaches from vertebrae and canal."""

    include_s1: bool = True
    """Whether the first sacral vertebra belongs to the spine, where the segmenter tells it from the sacrum."""

    def __post_init__(self) -> None:
        radius_mm = self.paramedullary_mm
        if not (np.isfinite(radius_mm) and radius_mm >= 0):
            raise InputError(f"The spine cannot be dilated by {radius_mm} mm; give a radius of zero or more.")


DEFAULT_ROI = RoiConfig()


def derive_spine_dilated(segmentation: Segmentation, config: RoiConfig = DEFAULT_ROI) -> Volume:
    """Vertebrae and spinal canal with everything inside the body near them (uint8, the segmentation's grid).

    Where the segmentation has no body mask the region may reach beyond the skin. Empty without a spine.
    """
    spine = select_spine(segmentation, config)
    near: npt.NDArray[np.bool_] = dilate_mm(segmentation.labels.with_voxels(spine), config.paramedullary_mm).voxels != 0
    if segmentation.body is not None:
        near &= (segmentation.body.voxels != 0) | spine
    return Volume(near.astype(np.uint8), segmentation.labels.affine)


def derive_skeleton(segmentation: Segmentation, config: RoiConfig = DEFAULT_ROI) -> Volume:
    """Every bone united with the dilated spine (uint8, the segmentation's grid)."""
    spine = derive_spine_dilated(segmentation, config)
    bones = segmentation.of("bone", "vertebra", "sacrum")
    return spine.with_voxels(((spine.voxels != 0) | bones).astype(np.uint8))


def select_spine(segmentation: Segmentation, config: RoiConfig = DEFAULT_ROI) -> npt.NDArray[np.bool_]:
    """Vertebrae and spinal canal (bool, z, y, x), with S1 as the configuration says; the sacrum is no part of it."""
    spine = segmentation.of("vertebra", "canal")
    first_sacral = segmentation.label_of(FIRST_SACRAL)
    if config.include_s1 and first_sacral is not None:
        spine |= segmentation.labels.voxels == first_sacral
    return spine


def derive_roi(
    segmentation: Segmentation, kind: RoiKind, config: RoiConfig = DEFAULT_ROI, grid: Volume | None = None
) -> Roi:
    """The region `kind` as a `Roi`, on `grid` (a case's CT) where one is given, else on the segmentation's own grid.

    The mask is permuted and flipped to LPS like every case; only where the grids still differ is it resampled
    (nearest neighbour), and said so. Raises InputError when the segmentation holds nothing to derive the region from,
    and for the kind "other", which is never derived.
    """
    if kind == "other":
        raise InputError("A region of another kind cannot be derived; give it as a mask.")
    mask = (derive_spine_dilated if kind == "spine_dilated" else derive_skeleton)(segmentation, config)
    if not mask.voxels.any():
        raise InputError(f"No {ROI_TITLES[kind]} was found on the CT; give a mask with --roi.")
    mask = mask.reoriented()
    notes = segmentation.notes
    if grid is not None:
        if not mask.same_grid(grid):
            mask = resample_onto(mask, grid, linear=False)
            notes = (*notes, "The mask was resampled from the segmentation's grid to the CT's.")
        mask = Volume(mask.voxels, grid.affine)
    return Roi(Volume(mask.voxels != 0, mask.affine), kind, str(segmentation.maker), notes)
