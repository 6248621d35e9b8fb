"""What the chosen mask is right now: its voxels and its place as a fingerprint, worked out once for each change."""

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _

from MemorySurvivalPanels import busy
from MemorySurvivalPanels.errors import UserError
from MemorySurvivalPanels.mask_jobs import is_segmentation
from MemorySurvivalPanels.parameters import ScoreParameters
from MemorySurvivalPanels.segmentations import SegmentVoxels, crop_label, segment_voxels
from MemorySurvivalPanels.volumes import ijk_to_world

if TYPE_CHECKING:
    from MemorySurvivalLib.roi.fingerprint import Fingerprint

_KEPT = 16
_FINGERPRINTS: OrderedDict[tuple[Any, ...], "Fingerprint | None"] = OrderedDict()
"""By identifiers and VTK's modification times: no two states of a mask have the same while Slicer runs."""


def mask_state(parameters: ScoreParameters) -> str:
    """A short text that is the same as long as the chosen mask has the same voxels at the same place.

    Empty without a mask. Undoing an edit gives the earlier text again; names and colours play no part.
    """
    if parameters.roi is None:
        return ""
    fingerprint = mask_fingerprint(parameters)
    if fingerprint is None:
        return "empty"
    place = (*fingerprint.first_mm, *fingerprint.last_mm)
    return " ".join([fingerprint.sha256, *(f"{value:.2f}" for value in place)])


def mask_fingerprint(parameters: ScoreParameters) -> "Fingerprint | None":
    """The library's fingerprint of the chosen mask as it lies in the world; None where there is no voxel to see."""
    if parameters.roi is None:
        return None
    key = _change_key(parameters)
    if key not in _FINGERPRINTS:
        with busy.phase(_("Looking at the mask")):
            _FINGERPRINTS[key] = _work_out(parameters)
        while len(_FINGERPRINTS) > _KEPT:
            _FINGERPRINTS.popitem(last=False)
    _FINGERPRINTS.move_to_end(key)
    return _FINGERPRINTS[key]


def describe_hindrance(parameters: ScoreParameters) -> str | None:
    """Why the chosen mask cannot be used at all, in one sentence, as far as the panel can see; None where it can."""
    roi = parameters.roi
    if roi is None or mask_fingerprint(parameters) is not None:
        return None
    if is_segmentation(roi) and roi.GetSegmentation().GetSegment(parameters.segment_id) is None:
        return _("Choose a segment of the segmentation.")
    try:
        _read(parameters)
    except UserError as error:
        return str(error)
    return _("The mask is empty; draw it or choose another.")


def _work_out(parameters: ScoreParameters) -> "Fingerprint | None":
    # Imported late, so that Reload reads it again and a panel without its library can still say so.
    from MemorySurvivalLib.imaging.volume import Affine, Volume
    from MemorySurvivalLib.roi.fingerprint import fingerprint_mask

    try:
        found = _read(parameters)
    except UserError:  # under a transform that bends: describe_hindrance says so
        return None
    if found is None:
        return None
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ found.ijk_to_ras
    return fingerprint_mask(Volume(found.voxels, Affine(lps)))


def _read(parameters: ScoreParameters) -> SegmentVoxels | None:
    roi = parameters.roi
    if is_segmentation(roi):
        if roi.GetSegmentation().GetSegment(parameters.segment_id) is None:
            return None
        return segment_voxels(roi, parameters.segment_id)
    if roi.GetImageData() is None:
        return None
    return crop_label(slicer.util.arrayFromVolume(roi), None, ijk_to_world(roi, "ROI"))


def _change_key(parameters: ScoreParameters) -> tuple[Any, ...]:
    """Cheap to read, and another one whenever voxels or place may have changed."""
    roi = parameters.roi
    moved = ()
    transform = roi.GetParentTransformNode()
    if transform is not None:
        moved = (transform.GetID(), transform.GetTransformToWorldMTime())
    if not is_segmentation(roi):
        image, matrix = roi.GetImageData(), vtk.vtkMatrix4x4()
        roi.GetIJKToRASMatrix(matrix)
        place = tuple(slicer.util.arrayFromVTKMatrix(matrix).ravel())
        return (roi.GetID(), 0 if image is None else image.GetMTime(), place, moved)
    segment = roi.GetSegmentation().GetSegment(parameters.segment_id)
    if segment is None:
        return (roi.GetID(), parameters.segment_id)
    shapes = [segment.GetRepresentation(name) for name in ("Binary labelmap", "Closed surface")]
    times = tuple(0 if shape is None else shape.GetMTime() for shape in shapes)
    return (roi.GetID(), parameters.segment_id, segment.GetLabelValue(), times, moved)
