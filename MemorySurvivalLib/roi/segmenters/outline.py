"""The patient's outline for segmentations that come without one, so that no region reaches beyond the skin."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from MemorySurvivalLib.imaging.volume import Volume
from MemorySurvivalLib.roi.body import find_body
from MemorySurvivalLib.roi.segmentation import DEFAULT_CONFIG
from MemorySurvivalLib.roi.segments import Segmentation
from MemorySurvivalLib.roi.working_grid import shrink, spread_labels


def outline_body(ct: Volume) -> Volume:
    """The patient without table (uint8, 0 or 1) on the CT's grid; the CT is in HU and runs along any axes."""
    straight = ct.reoriented()
    coarse = shrink(straight, DEFAULT_CONFIG.working_spacing_mm)
    x_mm, y_mm, z_mm = coarse.spacing_mm
    body = find_body(coarse.voxels.astype(np.float32, copy=False), (z_mm, y_mm, x_mm))
    fine = spread_labels(coarse.with_voxels(body.astype(np.uint8)), straight)
    turned = Volume(fine, straight.affine).reoriented(ct.affine.orientation)
    return Volume(turned.voxels, ct.affine)


def with_body(segmentation: Segmentation, ct: Volume) -> Segmentation:
    """The same segmentation with the body's outline; `ct` lies on its grid. Left as it is where nobody is in the CT."""
    if segmentation.body is not None:
        return segmentation
    body = outline_body(ct)
    return replace(segmentation, body=body) if body.voxels.any() else segmentation
