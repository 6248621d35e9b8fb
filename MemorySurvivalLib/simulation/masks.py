"""The two regions of interest as the paper defines them, from a phantom's labels."""

from __future__ import annotations

import numpy as np

from MemorySurvivalLib.imaging.volume import Volume
from MemorySurvivalLib.roi.derive import DEFAULT_ROI
from MemorySurvivalLib.roi.dilation import dilate_mm
from MemorySurvivalLib.simulation.tissues import BONES, VERTEBRAE, Tissue


def spine_dilated(labels: Volume, radius_mm: float = DEFAULT_ROI.paramedullary_mm) -> Volume:
    """C1 to L5 and the spinal canal with the paramedullary region around them (uint8)."""
    spine = np.isin(labels.voxels, [*VERTEBRAE, Tissue.SPINAL_CANAL])
    return dilate_mm(labels.with_voxels(spine.astype(np.uint8)), radius_mm)


def skeleton(labels: Volume, spine: Volume) -> Volume:
    """Every bone united with the dilated spine (uint8)."""
    bones = np.isin(labels.voxels, BONES)
    return labels.with_voxels((bones | (np.asarray(spine.voxels) != 0)).astype(np.uint8))
