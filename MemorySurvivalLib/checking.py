"""Checking one mask against its CT before it is scored: the panel's question, answered from files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from MemorySurvivalLib.bundle.archive import read_archive
from MemorySurvivalLib.bundle.registry import find_bundle
from MemorySurvivalLib.imaging.reading import read_volume
from MemorySurvivalLib.roi.review import MaskReview, review_mask


@dataclass(frozen=True)
class CheckMaskRequest:
    """The CT, the mask, the mask as it was generated where it was kept, and the bundle that will be used."""

    ct: Path
    mask: Path
    generated: Path | None = None
    bundle: str = "demonstration"


def check_mask(request: CheckMaskRequest) -> MaskReview:
    """Read the files and review the mask with the bundle's slice step; nothing is written."""
    manifest = read_archive(find_bundle(request.bundle)).manifest
    ct, mask = read_volume(request.ct, "CT"), read_volume(request.mask, "mask")
    generated = None if request.generated is None else read_volume(request.generated, "generated mask")
    return review_mask(mask, ct, manifest.propagation.slice_step, generated)
