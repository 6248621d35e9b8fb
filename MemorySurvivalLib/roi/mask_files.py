"""Masks as files that know who made them: written with a stamp, and never written over a person's corrections."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from MemorySurvivalLib import RESEARCH_USE
from MemorySurvivalLib.errors import OutputError
from MemorySurvivalLib.imaging.reading import read_volume, write_volume
from MemorySurvivalLib.imaging.volume import Volume
from MemorySurvivalLib.roi.provenance import RoiPart, read_roi_provenance, stamp_mask
from MemorySurvivalLib.roi.roi import RoiKind


def write_roi(
    path: Path, mask: Volume, kind: RoiKind | None, parts: Iterable[RoiPart], *, replace_edited: bool = False
) -> None:
    """Write a freshly generated mask (bool or uint8, any grid) as uint8 with its stamp; use NRRD, which keeps it.

    Raises OutputError where `path` holds a mask that is not as it was generated, unless `replace_edited`, and where
    nothing can be written. A NIfTI file holds the voxels only.
    """
    if not replace_edited:
        refuse_edited(path)
    plain = mask.with_voxels((mask.voxels != 0).astype(np.uint8))
    write_volume(_labelled(stamp_mask(plain, kind, parts)), path)


def write_labels(path: Path, labels: Volume, parts: Iterable[RoiPart], *, replace_edited: bool = False) -> None:
    """Write a freshly generated label map with its stamp, under the same rules as `write_roi`."""
    if not replace_edited:
        refuse_edited(path)
    write_volume(_labelled(stamp_mask(labels, None, parts, labels=True)), path)


def refuse_edited(path: Path) -> None:
    """Raise OutputError where `path` holds a mask that a person may have corrected.

    Only a file whose voxels still match its stamp is free to be replaced: without a stamp nobody can tell.
    """
    if not path.exists():
        return
    edited = read_roi_provenance(read_volume(path, "mask")).edited
    if edited is False:
        return
    why = "was edited after it was made" if edited else "does not say who made it, so a person may have drawn it"
    raise OutputError(
        f"The mask {path} {why}, so it was left as it is; choose another folder, or replace it on purpose with "
        "--replace-edited."
    )


def _labelled(volume: Volume) -> Volume:
    return Volume(volume.voxels, volume.affine, {**volume.attributes, "research_use": RESEARCH_USE})
