"""Making a ROI from the CT when the user gives none."""

from __future__ import annotations

from dataclasses import replace

from MemorySurvivalLib.imaging.volume import Volume
from MemorySurvivalLib.progress import ProgressCallback, ignore_progress
from MemorySurvivalLib.roi.builtin import segment_builtin
from MemorySurvivalLib.roi.derive import DEFAULT_ROI, RoiConfig, derive_roi
from MemorySurvivalLib.roi.labelled import METHOD, as_segmentation
from MemorySurvivalLib.roi.roi import Roi, RoiKind
from MemorySurvivalLib.roi.segmentation import DEFAULT_CONFIG, SegmenterConfig
from MemorySurvivalLib.roi.segments import Segmentation

__all__ = ["CHECK_NOTE", "MADE_BY", "derive_roi", "segment_case", "segment_roi"]

MADE_BY = METHOD
CHECK_NOTE = "The mask was made by the built-in segmenter; check it."


def segment_case(
    ct: Volume, progress: ProgressCallback = ignore_progress, config: SegmenterConfig = DEFAULT_CONFIG
) -> Segmentation:
    """Segment body, bones, canal and vertebrae on the CT (HU) and hand them on as one label map on its grid."""
    found = as_segmentation(segment_builtin(ct, config, progress), config)
    return replace(found, notes=(CHECK_NOTE, *found.notes))


def segment_roi(
    ct: Volume, kind: RoiKind, progress: ProgressCallback = ignore_progress, config: RoiConfig = DEFAULT_ROI
) -> Roi:
    """Segment the CT (HU) and derive the region `kind` (paper section 2.2) on its grid, along LPS axes.

    Whoever needs the labels too calls `segment_case` and then `derive_roi`. Raises InputError when the image holds
    nothing to derive the region from.
    """
    return derive_roi(segment_case(ct, progress), kind, config)
