"""The heatmap: per voxel the change of log-risk that its tissue causes, and where it is largest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from MemorySurvivalLib.explain.hotspots import Hotspot
from MemorySurvivalLib.explain.plan import ExplainConfig, Patch
from MemorySurvivalLib.imaging.volume import Volume
from MemorySurvivalLib.imaging.window import Modality
from MemorySurvivalLib.roi.roi import Roi

__all__ = ["MEANING", "UNIT", "Heatmap", "Hotspot", "correlate_maps", "spread_effects"]

UNIT = "change of log-risk"
MEANING = "positive (red): this tissue raised the risk; negative (blue): it lowered it"


@dataclass(frozen=True, eq=False)
class Heatmap:
    """Effect = baseline - occluded log-risk per voxel, float32, cropped to the ROI's box and zero outside the ROI.

    Overlapping patches are averaged. `covered` is the share of ROI voxels that at least one patch occluded. `effects`
    are the maps of single modalities where two were occluded. Effects within `noise_floor` are no hotspots.
    """

    effect: Volume
    config: ExplainConfig
    fills: Mapping[Modality, float]
    patches: int
    covered: float
    hotspots: tuple[Hotspot, ...]
    display_limit: float
    noise_floor: float = 0.0
    effects: Mapping[Modality, Volume] = field(default_factory=dict)


def spread_effects(roi: Roi, patches: Sequence[Patch], effects: npt.NDArray[np.float64]) -> tuple[Volume, float]:
    """The patches' effects over the voxels of the ROI's bounding box, and the share of the ROI they cover.

    Where patches overlap, their mean.
    """
    start, stop = roi.bounds_zyx
    total = np.zeros([high - low for low, high in zip(start, stop, strict=True)], dtype=np.float32)
    count = np.zeros(total.shape, dtype=np.uint16)
    for patch, effect in zip(patches, effects, strict=True):
        window = tuple(
            slice(max(low - origin, 0), max(high - origin, 0))
            for low, high, origin in zip(
                (patch.z0, patch.y0, patch.x0), (patch.z1, patch.y1, patch.x1), start, strict=True
            )
        )
        total[window] += np.float32(effect)
        count[window] += 1
    crop = roi.mask.cropped(start, stop)
    inside = crop.voxels
    covered = float((count[inside] > 0).mean())
    np.divide(total, count, out=total, where=count > 0)
    total[~inside] = 0
    return Volume(total, crop.affine, {"unit": UNIT, "meaning": MEANING}), covered


def correlate_maps(one: Volume, other: Volume, roi: Roi) -> float:
    """How alike two maps of one case are: Pearson's correlation over the region's voxels.

    Both are cropped to the ROI's box, as `spread_effects` makes them. 0 where a map is the same everywhere.
    """
    inside = roi.mask.cropped(*roi.bounds_zyx).voxels
    a, b = (np.asarray(volume.voxels[inside], dtype=np.float64) for volume in (one, other))
    if a.std() == 0 or b.std() == 0:
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])
