"""Making a ROI from the CT when the user gives none."""

from __future__ import annotations

import numpy as np

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.volume import Volume
from MemorySurvivalLib.progress import ProgressCallback, ignore_progress
from MemorySurvivalLib.roi.builtin import derive_skeleton, derive_spine_dilated, segment_builtin
from MemorySurvivalLib.roi.roi import ROI_TITLES, Roi, RoiKind

MADE_BY = "built-in CT segmenter"


def segment_roi(ct: Volume, kind: RoiKind, progress: ProgressCallback = ignore_progress) -> Roi:
    """Segment bones and spine on the CT (HU) and derive the ROI `kind` from them (paper section 2.2).

    Raises InputError when the image holds nothing to derive it from.
    """
    segmentation = segment_builtin(ct, progress=progress)
    mask = derive_spine_dilated(segmentation) if kind == "spine_dilated" else derive_skeleton(segmentation)
    if not mask.voxels.any():
        reasons = " ".join(segmentation.notes)
        raise InputError(f"No {ROI_TITLES[kind]} was found on the CT ({reasons or 'no bone'}); give a mask with --roi.")
    on_grid = Volume(mask.reoriented().voxels.astype(np.bool_), ct.affine)
    return Roi(on_grid, kind, MADE_BY, ("The mask was made by the built-in segmenter; check it.", *segmentation.notes))
