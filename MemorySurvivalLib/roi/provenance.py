"""Who made each part of a ROI, whether a person changed it since, and how that travels inside the mask's file."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import msgspec

from MemorySurvivalLib.imaging.volume import Volume
from MemorySurvivalLib.roi.fingerprint import Fingerprint, fingerprint_labels, fingerprint_mask
from MemorySurvivalLib.roi.roi import RoiKind
from MemorySurvivalLib.roi.segments import Maker

ROI_ATTRIBUTE = "memory_survival_roi"
"""Key of the stamp in an NRRD file's header and in the tags of a Slicer segment."""

FORMAT = 1
UNKNOWN_MAKER = Maker("unknown")


@dataclass(frozen=True)
class RoiPart:
    """One part of a ROI: its name, its maker, and whether it was edited after the maker handed it over.

    `edited` is None where nobody can say (a file without our stamp). `voxels_changed` counts voxels added and removed
    on the edited mask's grid; None where the generated mask was not at hand to compare with, or where the mask has
    several parts and the change cannot be told apart. `generated_sha256` is the fingerprint of the generated mask.
    """

    name: str
    maker: Maker
    edited: bool | None = False
    voxels_changed: int | None = 0
    generated_sha256: str | None = None


@dataclass(frozen=True)
class RoiStamp:
    """What travels in a mask file: kind, parts, and the fingerprint of the mask as it was generated.

    Whoever edits the file keeps the stamp (NRRD keys survive), so the voxels no longer match it: that is how an edit
    is recognised.
    """

    kind: RoiKind | None
    parts: tuple[RoiPart, ...]
    generated: Fingerprint
    labels: bool = False
    """Whether the file is a label map, in which every value counts."""
    format: int = FORMAT

    def as_text(self) -> str:
        """One line of ASCII JSON without `|`, which separates the tags of a Slicer segment."""
        text = msgspec.json.encode(self).decode()
        return "".join(c if c.isascii() and c != "|" else _escape(c) for c in text)


@dataclass(frozen=True)
class RoiProvenance:
    """What is known of a mask that was read: its kind where stated, its parts, and whether a person changed it.

    `edited` is None where the file carries no stamp (NIfTI cannot, and other programs may drop it). `sentence` says
    all that to the user.
    """

    kind: RoiKind | None
    parts: tuple[RoiPart, ...]
    edited: bool | None
    sentence: str

    def with_voxels_changed(self, voxels: int) -> RoiProvenance:
        """The same with the number of voxels that the edit changed, counted by `edits.describe_edit`."""
        if len(self.parts) != 1 or not self.edited:
            return self
        return replace(self, parts=(replace(self.parts[0], voxels_changed=voxels),))


def stamp_mask(mask: Volume, kind: RoiKind | None, parts: Iterable[RoiPart], *, labels: bool = False) -> Volume:
    """The same mask with the stamp that says who made it; the voxels are taken to be as generated.

    An existing stamp is replaced, so never stamp a mask that a person corrected: keep its old stamp.
    """
    generated = fingerprint_labels(mask) if labels else fingerprint_mask(mask)
    signed = tuple(replace(part, generated_sha256=part.generated_sha256 or generated.sha256) for part in parts)
    stamp = RoiStamp(kind, signed, generated, labels)
    return Volume(mask.voxels, mask.affine, {**mask.attributes, ROI_ATTRIBUTE: stamp.as_text()})


def read_stamp(volume: Volume) -> RoiStamp | None:
    """The stamp that a file carries; None where there is none or it is not one of ours."""
    text = volume.attributes.get(ROI_ATTRIBUTE)
    if text is None:
        return None
    try:
        stamp = msgspec.json.decode(text, type=RoiStamp)
    except msgspec.DecodeError:
        return None
    return stamp if stamp.format == FORMAT and stamp.parts else None


def find_stamp(segment_tags: str) -> str | None:
    """The stamp's text among the tags of a segment in a .seg.nrrd file (`SegmentN_Tags`); None where there is none."""
    start = f"{ROI_ATTRIBUTE}:"
    return next((tag.removeprefix(start) for tag in segment_tags.split("|") if tag.startswith(start)), None)


def read_roi_provenance(volume: Volume) -> RoiProvenance:
    """Who made the mask that a file holds, and whether it was edited since; an unknown origin is said as unknown."""
    stamp = read_stamp(volume)
    if stamp is None:
        part = RoiPart("mask", UNKNOWN_MAKER, edited=None, voxels_changed=None)
        return RoiProvenance(
            None, (part,), None, "The mask's file does not say who made it or whether a person edited it."
        )
    now = fingerprint_labels(volume) if stamp.labels else fingerprint_mask(volume)
    makers = " and ".join(dict.fromkeys(str(part.maker) for part in stamp.parts))
    if now.matches(stamp.generated):
        return RoiProvenance(stamp.kind, stamp.parts, _any_edited(stamp.parts), f"The mask is as {makers} made it.")
    parts = tuple(replace(part, edited=True, voxels_changed=None) for part in stamp.parts)
    return RoiProvenance(stamp.kind, parts, True, f"The mask was edited after {makers} made it.")


def _any_edited(parts: tuple[RoiPart, ...]) -> bool | None:
    flags = [part.edited for part in parts]
    return True if any(flags) else None if None in flags else False


def _escape(character: str) -> str:
    units = character.encode("utf-16-be")
    return "".join(f"\\u{units[i : i + 2].hex()}" for i in range(0, len(units), 2))
