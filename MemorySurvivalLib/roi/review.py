"""What to tell a person about a mask before it is used: who made it, what was edited, what is stray."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.volume import Volume, resample_onto
from MemorySurvivalLib.roi.edits import BoxesChanged, EditSummary, boxes_changed, describe_edit
from MemorySurvivalLib.roi.fingerprint import fingerprint_mask
from MemorySurvivalLib.roi.provenance import RoiProvenance, read_roi_provenance, read_stamp
from MemorySurvivalLib.roi.stray import StrayPiece, find_stray

MOST_STRAY_SENTENCES = 5


@dataclass(frozen=True)
class MaskReview:
    """Provenance, edit and stray pieces of one mask; `edit` and `boxes` only where the generated mask was given."""

    provenance: RoiProvenance
    edit: EditSummary | None
    boxes: BoxesChanged | None
    stray: tuple[StrayPiece, ...]

    @property
    def sentences(self) -> tuple[str, ...]:
        """All of it for the user, one sentence each."""
        said = [self.provenance.sentence]
        if self.edit is not None and self.boxes is not None:
            said += [self.edit.sentence, self.boxes.sentence]
        elif self.provenance.edited:
            said.append("How many voxels were changed is not known, because the generated mask was not kept.")
        said += [piece.sentence for piece in self.stray[:MOST_STRAY_SENTENCES]]
        if len(self.stray) > MOST_STRAY_SENTENCES:
            said.append(f"{len(self.stray) - MOST_STRAY_SENTENCES} more stray pieces were found.")
        return tuple(said)


def review_mask(
    mask: Volume, ct: Volume, slice_step: int, generated: Volume | None = None, most_slices: int | None = None
) -> MaskReview:
    """Review a mask (any grid, with the attributes of its file) for use on a CT's grid; nothing is changed.

    `slice_step` and `most_slices` are those of `prompt_boxes`. `generated` is the mask as its maker handed it over; one
    that does not match the stamp of `mask` is left out, because it belongs to another mask. Raises InputError for a
    mask that is empty on the CT.
    """
    provenance = read_roi_provenance(mask)
    grid = ct.reoriented()
    used = _on_grid(mask, grid)
    if not used.voxels.any():
        raise InputError("The mask is empty on the CT; draw or choose a mask of this study.")
    edit = boxes = None
    if provenance.edited and generated is not None and _belongs(generated, mask):
        edit = describe_edit(generated, mask)
        provenance = provenance.with_voxels_changed(edit.voxels_changed)
        boxes = boxes_changed(_on_grid(generated, grid), used, slice_step, most_slices)
    return MaskReview(provenance, edit, boxes, find_stray(used))


def _belongs(generated: Volume, mask: Volume) -> bool:
    stamp = read_stamp(mask)
    return stamp is not None and fingerprint_mask(generated).matches(stamp.generated)


def _on_grid(mask: Volume, grid: Volume) -> Volume:
    """The mask (bool) on the CT's grid towards LPS, exactly as scoring brings it there."""
    binary = mask.with_voxels((mask.voxels > 0).astype(np.uint8)).reoriented()
    return Volume(resample_onto(binary, grid, linear=False).voxels.astype(np.bool_), grid.affine)
