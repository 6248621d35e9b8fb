"""The region of interest of a case: made from the CT or taken from a file, checked, with who made it and what was
edited."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from MemorySurvivalLib.imaging.reading import read_volume
from MemorySurvivalLib.imaging.study_identity import check_mask_identity
from MemorySurvivalLib.imaging.volume import Volume
from MemorySurvivalLib.progress import ProgressCallback, ignore_progress
from MemorySurvivalLib.roi.derive import DEFAULT_ROI, RoiConfig, derive_roi
from MemorySurvivalLib.roi.plausibility import accept_roi
from MemorySurvivalLib.roi.provenance import ROI_ATTRIBUTE, RoiPart, stamp_mask
from MemorySurvivalLib.roi.review import MaskReview, review_mask
from MemorySurvivalLib.roi.roi import Roi, RoiKind
from MemorySurvivalLib.roi.segments import Segmentation

if TYPE_CHECKING:
    from MemorySurvivalLib.imaging.dicom_series import Identity

BUILT_IN = "built-in"


@dataclass(frozen=True)
class RegionRequest:
    """Where the region comes from.

    `mask` is a mask or a segmentation (NRRD, .seg.nrrd, NIfTI, MHA, DICOM SEG, RTSTRUCT); None lets `segmenter` make
    it. `segment` names the segment of a file to use, `labels` says what the labels of a label map are, `generated` is
    the mask as its maker handed it over, to count what a person changed. `kind` is what the user says the mask is.
    """

    mask: Path | None = None
    kind: RoiKind | None = None
    segment: str | None = None
    labels: str | None = None
    generated: Path | None = None
    segmenter: str = BUILT_IN
    allow_other: bool = False


@dataclass(frozen=True, eq=False)
class Region:
    """The ROI on the case's grid, its review, and the structures it was derived from where there are any.

    `attributes` are what its file should carry on: the stamp by which a later edit is recognised.
    """

    roi: Roi
    review: MaskReview
    segmentation: Segmentation | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for the user, once each: how the mask came to be, edits, stray pieces."""
        edited = self.review.sentences if self.review.provenance.edited else self.review.sentences[1:]
        return tuple(dict.fromkeys((*self.roi.notes, *edited)))


def prepare_region(
    request: RegionRequest,
    ct: Volume,
    required: RoiKind,
    slice_step: int,
    progress: ProgressCallback = ignore_progress,
    *,
    most_slices: int | None = None,
    config: RoiConfig = DEFAULT_ROI,
    identity: Identity | None = None,
    confirmed: bool = False,
) -> Region:
    """The region `required` by a bundle, derived by its `config`, on the grid of `ct` (HU, axes running to LPS).

    `slice_step` and `most_slices` tell which prompts an edit changed (`prompt_boxes`). A file is never altered and
    never re-derived: the mask that a person drew is the mask that is used. Raises InputError with one sentence for a
    mask that is missing, empty, of another kind or elsewhere, and when no region is found, IdentityMismatch for a DICOM
    mask of another patient than the CT's (`identity`) unless `confirmed`.
    """
    if request.mask is None:
        return _make(request.segmenter, ct, required, slice_step, progress, config)
    generated = None if request.generated is None else read_volume(request.generated, "generated mask")
    segmentation, mask, origin = _read(request.mask, request, ct, required, config)
    whose = check_mask_identity(identity, origin, confirmed=confirmed)
    roi = accept_roi(mask, ct, required, request.kind, str(request.mask), allow_other=request.allow_other)
    review = review_mask(mask, ct, slice_step, generated, most_slices)
    notes = segmentation.notes if segmentation else ()
    stamp = {key: text for key, text in mask.attributes.items() if key == ROI_ATTRIBUTE}
    return Region(replace(roi, notes=(*whose, *notes, *roi.notes)), review, segmentation, stamp)


def _make(
    segmenter: str, ct: Volume, kind: RoiKind, slice_step: int, progress: ProgressCallback, config: RoiConfig
) -> Region:
    # The segmenter's morphology packages load only when it runs.
    from MemorySurvivalLib.roi.segmenters.choice import choose_segmenter

    segmentation = choose_segmenter(segmenter).segment(ct, progress)
    roi = derive_roi(segmentation, kind, config, grid=ct)
    plain = roi.mask.with_voxels(roi.mask.voxels.astype(np.uint8))
    stamped = stamp_mask(plain, kind, (RoiPart(kind, segmentation.maker),))
    return Region(roi, review_mask(stamped, ct, slice_step), segmentation, stamped.attributes)


def _read(
    path: Path, request: RegionRequest, ct: Volume, kind: RoiKind, config: RoiConfig
) -> tuple[Segmentation | None, Volume, Mapping[str, str]]:
    """The mask that a file holds, the structures beside it where the file names any, and what DICOM states of it."""
    if request.segment is None and request.labels is None and not _names_segments(path):
        mask = read_volume(path, "mask")
        if int(np.count_nonzero(np.unique(mask.voxels))) <= 1:
            return None, mask, {}
    from MemorySurvivalLib.roi.existing import choose_roi, read_existing

    existing = read_existing(path, ct, request.labels)
    roi = choose_roi(existing, request.kind or kind, config, segment=request.segment, ct=ct)
    mask = roi.mask.with_voxels(roi.mask.voxels.astype(np.uint8))
    return replace(existing.flatten(), notes=roi.notes), mask, existing.origin


def _names_segments(path: Path) -> bool:
    """Whether a file says itself what its segments are: DICOM SEG and RTSTRUCT, Slicer's .seg.nrrd."""
    from MemorySurvivalLib.imaging.dicom_magic import is_dicom_source
    from MemorySurvivalLib.roi.existing_nrrd import is_segmentation_nrrd

    return is_dicom_source(path) or (path.is_file() and is_segmentation_nrrd(path))
