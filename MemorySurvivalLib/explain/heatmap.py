"""The heatmap: per voxel the change of log-risk that its tissue causes, and where it is largest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from MemorySurvivalLib.explain.plan import ExplainConfig, Patch
from MemorySurvivalLib.imaging.volume import Volume
from MemorySurvivalLib.imaging.window import Modality
from MemorySurvivalLib.roi.roi import Roi

UNIT = "change of log-risk"
MEANING = "positive (red): this tissue raised the risk; negative (blue): it lowered it"


@dataclass(frozen=True)
class Hotspot:
    """A patch with a large effect: its centre in millimetres (LPS) and the change of log-risk it causes."""

    position_lps_mm: tuple[float, float, float]
    effect: float


@dataclass(frozen=True, eq=False)
class Heatmap:
    """Effect = baseline - occluded log-risk per voxel, float32, cropped to the ROI's box and zero outside the ROI.

    Overlapping patches are averaged. `covered` is the share of ROI voxels that at least one patch occluded.
    """

    effect: Volume
    config: ExplainConfig
    fills: Mapping[Modality, float]
    patches: int
    covered: float
    hotspots: tuple[Hotspot, ...]
    display_limit: float


def make_heatmap(
    roi: Roi,
    config: ExplainConfig,
    fills: Mapping[Modality, float],
    patches: tuple[Patch, ...],
    effects: npt.NDArray[np.float64],
    display_limit: float,
) -> Heatmap:
    """Spread the patches' effects over the voxels of the ROI's bounding box."""
    start, stop = roi.bounds_zyx
    total = np.zeros([high - low for low, high in zip(start, stop, strict=True)])
    count = np.zeros(total.shape, dtype=np.int32)
    for patch, effect in zip(patches, effects, strict=True):
        window = tuple(
            slice(max(low - origin, 0), max(high - origin, 0))
            for low, high, origin in zip(
                (patch.z0, patch.y0, patch.x0), (patch.z1, patch.y1, patch.x1), start, strict=True
            )
        )
        total[window] += effect
        count[window] += 1
    inside = roi.mask.voxels[tuple(slice(low, high) for low, high in zip(start, stop, strict=True))]
    mean = np.where(inside & (count > 0), total / np.maximum(count, 1), 0.0)
    crop = roi.mask.cropped(start, stop)
    return Heatmap(
        effect=Volume(mean.astype(np.float32), crop.affine, {"unit": UNIT, "meaning": MEANING}),
        config=config,
        fills=fills,
        patches=len(patches),
        covered=float((count[inside] > 0).mean()),
        hotspots=_find_hotspots(roi, config, patches, effects),
        display_limit=display_limit,
    )


def _find_hotspots(
    roi: Roi, config: ExplainConfig, patches: tuple[Patch, ...], effects: npt.NDArray[np.float64], most: int = 5
) -> tuple[Hotspot, ...]:
    """The patches with the largest effects either way, no two closer than one patch edge."""
    points = roi.mask.affine.points_mm([patch.centre_xyz for patch in patches])
    chosen: list[int] = []
    for index in np.argsort(-np.abs(effects), kind="stable"):
        far = all(np.linalg.norm(points[index] - points[other]) >= config.patch_mm for other in chosen)
        if far and effects[index] != 0:
            chosen.append(int(index))
        if len(chosen) == most:
            break
    return tuple(
        Hotspot((float(points[i][0]), float(points[i][1]), float(points[i][2])), float(effects[i])) for i in chosen
    )
