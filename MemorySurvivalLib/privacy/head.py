"""The head, whose surface shows a face: where it begins, whether voxels hold it, and images without it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from MemorySurvivalLib.imaging.volume import Volume, Voxels
from MemorySurvivalLib.roi.segments import Segmentation

PERHAPS_NOTE = (
    "Whether the exported images show the head cannot be told from them; look, and leave the head out if they are to "
    "go to others."
)
HEADLESS_NOTE = "The head was left out: above the neck the images hold air and no uptake."
PRECAUTION_NOTE = (
    "Neither skull nor neck was found in the CT, so whether there is a head cannot be told; what was left out is a "
    "precaution and may be chest. Look at what is left, and export with the head in where the images show none."
)

SKULL = ("skull", "mandible", "face", "cranium")
"""Bones that reach down to the chin or nearly so; the lowest voxel of any of them ends the head."""
CHIN_VERTEBRA = "C4"
"""The chin lies before C3 and C4 of an upright neck."""
ABOVE_CHIN = ("C1", "C2", "C3")

MARGIN_MM = 10.0
BELOW_BRAIN_MM = 130.0
"""From the lowest section of the brain's cavity to below the chin."""
BELOW_BRAIN_TOP_MM = 220.0
"""From the highest one; the lower sections are not found where the skull's base is thin in a coarse image."""
BELOW_TOP_MM = 300.0
"""From the crown to below the chin (adults about 230 mm), with room for a head that is bent back."""

BONE_HU = 250.0
BODY_HU = -300.0
BRAIN_MM2 = 4000.0
"""Soft tissue that bone encloses in an axial section; nothing but a skull encloses as much."""
SKULL_MM = 20.0
"""So much of the body's length at least must look like that."""
SEARCH_MM = 4.0
"""Sampling of the search for a skull."""

AIR_HU = -1000.0


@dataclass(frozen=True)
class Head:
    """Where the head begins: all above a plane across the body at `from_z_mm` (LPS, towards the crown).

    None means that the images show no head. `rule` says in a sentence how that was decided; `known` is false where
    nothing in the images tells whether there is a head, so that the plane is no more than a precaution.
    """

    from_z_mm: float | None
    rule: str
    known: bool = True


def find_head(ct: Volume, segmentation: Segmentation | None = None) -> Head:
    """Where the head begins in a CT (HU, any orientation and spacing), by the first of these rules that applies.

    1. Bones of the head among the structures: 10 mm below their lowest voxel. 2. A brain's cavity in the CT (bone
    round at least 40 cm2 of soft tissue, over 20 mm): 130 mm below its lowest and 220 mm below its highest section,
    whichever is lower. 3. Named vertebrae: the top of C4 (the chin lies before C3 and C4); none of C1 to C4 among
    them means that there is no head. 4. Otherwise 300 mm below the body's uppermost voxel, since a face cannot be
    ruled out. The lowest of the first three is taken where several apply.
    """
    found = [
        rule
        for rule in (_by_bones(segmentation), _by_brain(ct), _by_vertebrae(segmentation))
        if rule is not None and rule.from_z_mm is not None
    ]
    if found:
        return min(found, key=lambda head: head.from_z_mm or 0.0)
    if segmentation is not None and _names_neck_or_below(segmentation):
        return Head(None, "The topmost vertebra lies below C4 and no skull was found, so the images show no head.")
    body = _highest_z_mm(ct, ct.voxels > BODY_HU)
    if body is None:
        return Head(None, "There is nobody in the image.")
    return Head(
        body - BELOW_TOP_MM,
        f"No bone of the head and no vertebra is known, so the uppermost {BELOW_TOP_MM:.0f} mm of the body count as "
        "the head.",
        known=False,
    )


def shows_head(volume: Volume, head: Head, background: float = 0.0) -> bool:
    """Whether a volume (any grid) holds anything but `background` or less above the neck."""
    if head.from_z_mm is None:
        return False
    return bool((volume.voxels[above(volume, head)] > background).any())


def head_note(head: Head) -> str:
    """The sentence for an export from which the head was left out; "" where there was none."""
    if head.from_z_mm is None:
        return ""
    return HEADLESS_NOTE if head.known else PRECAUTION_NOTE


def leave_head_out(volume: Volume, head: Head, fill: float = 0.0) -> Volume:
    """The same grid with `fill` above the neck: AIR_HU for a CT, 0 for a PET in SUV, a mask, labels or a heatmap."""
    if head.from_z_mm is None:
        return volume
    place = above(volume, head)
    if not place.any():
        return volume
    voxels: Voxels = volume.voxels.copy()
    voxels[place] = np.asarray(fill).astype(voxels.dtype)
    return volume.with_voxels(voxels)


def above(volume: Volume, head: Head) -> npt.NDArray[np.bool_]:
    """Which voxels (z, y, x) have their centre at or above the plane, whatever way the axes run."""
    if head.from_z_mm is None:
        return np.zeros(volume.shape, dtype=np.bool_)
    return np.asarray(_z_mm(volume) >= head.from_z_mm)


def _z_mm(volume: Volume) -> npt.NDArray[np.float64]:
    """The height of every voxel's centre in the patient's frame (z, y, x), without listing all three coordinates."""
    row = volume.affine.matrix[2]
    z, y, x = (np.arange(count, dtype=np.float64) for count in volume.shape)
    height: npt.NDArray[np.float64] = (
        row[3] + row[2] * z[:, None, None] + row[1] * y[None, :, None] + row[0] * x[None, None, :]
    )
    return height


def _highest_z_mm(volume: Volume, mask: npt.NDArray[np.bool_]) -> float | None:
    return float(_z_mm(volume)[mask].max()) if mask.any() else None


def _by_bones(segmentation: Segmentation | None) -> Head | None:
    if segmentation is None:
        return None
    names = {
        label: one.name for label, one in segmentation.structures.items() if one.name.split("_")[0].lower() in SKULL
    }
    mask = np.isin(segmentation.labels.voxels, list(names))
    if not names or not mask.any():
        return None
    lowest = float(_z_mm(segmentation.labels)[mask].min())
    return Head(lowest - MARGIN_MM, f"The head begins {MARGIN_MM:.0f} mm below the bones of the head.")


def _by_brain(ct: Volume) -> Head | None:
    """Sections in which bone encloses as much as only a skull does."""
    straight = ct.reoriented()
    step = [max(1, round(SEARCH_MM / size)) for size in reversed(straight.spacing_mm)]
    hu = straight.voxels[:: step[0], :: step[1], :: step[2]]
    x_mm, y_mm, z_mm = (size * each for size, each in zip(straight.spacing_mm, reversed(step), strict=True))
    bone = hu > BONE_HU
    sections = []
    for index in range(len(bone)):
        closed = ndimage.binary_closing(np.pad(bone[index], 3), iterations=2)[3:-3, 3:-3]
        cavity = ndimage.binary_fill_holes(closed) & ~closed & (hu[index] > -100.0)
        labels, _count = ndimage.label(cavity)
        largest = np.bincount(labels.ravel())[1:].max(initial=0) * x_mm * y_mm
        sections.append(largest >= BRAIN_MM2)
    runs, count = ndimage.label(np.asarray(sections))
    long = [np.flatnonzero(runs == run) for run in range(1, count + 1)]
    long = [run for run in long if len(run) * z_mm >= SKULL_MM]
    if not long:
        return None
    skull = max(long, key=lambda run: run[-1])
    _, height, width = straight.shape

    def lowest_z_mm(section: int) -> float:
        corners = [(x, y, section * step[0]) for x in (0, width - 1) for y in (0, height - 1)]
        return float(straight.affine.points_mm(corners)[:, 2].min())

    planes = [lowest_z_mm(int(skull[0])) - BELOW_BRAIN_MM]
    if skull[-1] < len(bone) - 2:  # else the image ends within the head, and where the crown is nobody knows
        planes.append(lowest_z_mm(int(skull[-1])) - BELOW_BRAIN_TOP_MM)
    return Head(
        min(planes),
        f"The head begins {BELOW_BRAIN_MM:.0f} mm below the lowest and {BELOW_BRAIN_TOP_MM:.0f} mm below the highest "
        "section of the brain's cavity, whichever is lower.",
    )


def _by_vertebrae(segmentation: Segmentation | None) -> Head | None:
    if segmentation is None:
        return None
    voxels = segmentation.labels.voxels
    label = segmentation.label_of(CHIN_VERTEBRA)
    mask = np.isin(voxels, [label]) if label is not None else np.zeros(voxels.shape, dtype=np.bool_)
    if mask.any():
        top = float(_z_mm(segmentation.labels)[mask].max())
        return Head(top, f"The head begins at the top of {CHIN_VERTEBRA}, before which the chin lies.")
    upper = [number for name in ABOVE_CHIN if (number := segmentation.label_of(name)) is not None]
    mask = np.isin(voxels, upper)
    if not upper or not mask.any():
        return None
    return Head(
        float(_z_mm(segmentation.labels)[mask].min()), "The head begins at the lowest of C1 to C3; C4 is not known."
    )


def _names_neck_or_below(segmentation: Segmentation) -> bool:
    """Whether vertebrae are known by name, so that one knows where the image ends."""
    present = set(np.unique(segmentation.labels.voxels).tolist())
    named = {one.name for label, one in segmentation.structures.items() if label in present and one.group == "vertebra"}
    return any(len(name) in (2, 3) and name[0] in "CTL" and name[1:].isdigit() for name in named)
