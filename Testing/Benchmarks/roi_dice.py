"""The built-in segmenter on a real CT (T11 to upper femora, 3 mm) against a TotalSegmentator label map."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from MemorySurvivalLib.imaging.reading import read_volume
from MemorySurvivalLib.roi.automatic import segment_case
from MemorySurvivalLib.roi.derive import DEFAULT_ROI, RoiConfig, derive_skeleton, derive_spine_dilated, select_spine
from Testing.Benchmarks.real_data import need
from Testing.Benchmarks.roi_plain import find_body_plainly, find_bones_plainly

# Label values of the reference (TotalSegmentator v2, class map "total").
VERTEBRAE, CANAL = range(26, 51), 79
BONES = (25, *VERTEBRAE, *range(69, 79), *range(91, 117))
S1 = 26
SKELETON_FLOOR, VERTEBRAE_FLOOR, COVER_FLOOR, MOST_SWALLOWED = 0.92, 0.88, 0.97, 0.10


def run() -> dict[str, Any]:
    folder = need("ct_labels")
    ct = read_volume(folder / "example_ct.nii.gz", "the CT")
    labels = read_volume(folder / "example_seg_fast_force_split.nii.gz", "the reference").voxels
    spacing_zyx = ct.spacing_mm[2], ct.spacing_mm[1], ct.spacing_mm[0]
    found = segment_case(ct)
    bones, vertebrae = np.isin(labels, BONES), np.isin(labels, VERTEBRAE)
    spine = vertebrae | (labels == CANAL)
    away_mm = ndimage.distance_transform_edt(~spine, sampling=spacing_zyx)
    reference = away_mm <= DEFAULT_ROI.paramedullary_mm
    own_bones = found.of("bone", "vertebra", "sacrum")
    own_vertebrae = select_spine(found) & ~found.of("canal")
    dilated = derive_spine_dilated(found).voxels != 0
    without_s1 = derive_spine_dilated(found, RoiConfig(include_s1=False)).voxels != 0
    reference_without_s1 = (
        ndimage.distance_transform_edt(~(spine & (labels != S1)), sampling=spacing_zyx) <= DEFAULT_ROI.paramedullary_mm
    )
    plain = find_bones_plainly(ct.voxels, find_body_plainly(ct.voxels, spacing_zyx), spacing_zyx)
    skeleton_dice, vertebrae_dice = dice(own_bones, bones), dice(own_vertebrae, vertebrae)
    cover, swallowed = float(dilated[spine].mean()), float((away_mm[dilated] > DEFAULT_ROI.paramedullary_mm).mean())
    levels = []
    for name, value in zip(("S1", "L5", "L4", "L3", "L2", "L1"), range(S1, S1 + 6), strict=True):
        label = found.label_of(name)
        own = np.zeros(labels.shape, dtype=np.bool_) if label is None else found.labels.voxels == label
        levels.append({"vertebra": name, "dice": dice(own, labels == value)})
    return {
        "skeleton_dice": skeleton_dice,
        "skeleton_dice_plain": dice(plain, bones),
        "vertebrae_dice": vertebrae_dice,
        "skeleton_roi_dice": dice(derive_skeleton(found).voxels != 0, bones | reference),
        "spine_dilated_dice": dice(dilated, reference),
        "spine_dilated_dice_without_s1": dice(without_s1, reference_without_s1),
        "spine_covered": round(cover, 4),
        "swallowed_beyond_10_mm": round(swallowed, 4),
        "swallowed_beyond_20_mm": round(float((away_mm[dilated] > 2 * DEFAULT_ROI.paramedullary_mm).mean()), 4),
        "notes": list(found.notes),
        "levels": levels,
        "goal": f"skeleton Dice >= {SKELETON_FLOOR}, vertebrae with S1 >= {VERTEBRAE_FLOOR}, dilated spine covers >= "
        f"{COVER_FLOOR:.0%} of vertebrae and canal, at most {MOST_SWALLOWED:.0%} of it beyond the reference so dilated",
        "ok": skeleton_dice >= SKELETON_FLOOR
        and vertebrae_dice >= VERTEBRAE_FLOOR
        and cover >= COVER_FLOOR
        and swallowed <= MOST_SWALLOWED,
    }


def dice(a: npt.NDArray[np.bool_], b: npt.NDArray[np.bool_]) -> float:
    """Overlap of two masks, 0 to 1."""
    return round(2.0 * float(np.count_nonzero(a & b)) / max(1, int(np.count_nonzero(a)) + int(np.count_nonzero(b))), 4)
