"""How far the PET lies from the CT: measured between two contours, or estimated from the images alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from types import MappingProxyType
from typing import Any, Literal, get_args

import numpy as np
import SimpleITK as sitk

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.grid import inside
from MemorySurvivalLib.imaging.registration import ImagePair, Rigid, find_translation, make_pair, mutual_information
from MemorySurvivalLib.imaging.volume import FloatMatrix, Volume

Source = Literal["contours", "images"]
Shift = tuple[float, float, float]

CONTOUR_WARNING_MM = 2.0
"""About half a PET voxel: the same structure drawn on both images agrees better than this."""

IMAGE_WARNING_MM = 5.0
"""About a PET voxel; well above the error of the estimate on phantoms, below what moves a lesion out of a vertebra."""

PARTS = 3
LARGEST_SPREAD_MM = 3.0
LEAST_BODY_ML = 8000.0
LEAST_INFORMATION = 0.3
LARGEST_SHIFT_MM = 30.0


@dataclass(frozen=True)
class Misregistration:
    """Where the PET lies relative to the CT: add `shift_lps_mm` to a CT point to find the same spot on the PET.

    `reliable` is false where the number should not be acted upon; `reasons` then say why, one sentence each.
    `details` holds the figures behind it (plain JSON values).
    """

    shift_lps_mm: Shift
    source: Source
    reliable: bool
    reasons: tuple[str, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.source not in get_args(Source):
            raise InputError(f'A misregistration comes from "contours" or "images", not from "{self.source}".')
        if len(self.shift_lps_mm) != 3 or not np.isfinite(self.shift_lps_mm).all():
            raise InputError("A misregistration needs three finite millimetres.")
        if self.reliable == bool(self.reasons):
            raise InputError("A misregistration is either reliable or says why not.")
        object.__setattr__(self, "details", MappingProxyType(dict(self.details)))

    @property
    def magnitude_mm(self) -> float:
        """Length of the shift."""
        return float(np.linalg.norm(self.shift_lps_mm))

    def exceeds(self, threshold_mm: float | None = None) -> bool:
        """Whether a reliable shift is longer than the threshold (by default that of its source)."""
        default = CONTOUR_WARNING_MM if self.source == "contours" else IMAGE_WARNING_MM
        return self.reliable and self.magnitude_mm > (default if threshold_mm is None else threshold_mm)

    @property
    def directions(self) -> str:
        """The shift in words, such as "3.4 mm left, 6.4 mm towards the feet"; parts below 0.5 mm are left out."""
        names = (("right", "left"), ("towards the front", "towards the back"), ("towards the feet", "towards the head"))
        parts = [
            f"{abs(mm):.1f} mm {pair[int(mm > 0)]}"
            for mm, pair in zip(self.shift_lps_mm, names, strict=True)
            if abs(mm) >= 0.5
        ]
        return ", ".join(parts) or "less than 0.5 mm along every axis"

    def warning(self, threshold_mm: float | None = None) -> str:
        """One sentence where the shift exceeds the threshold, else ""."""
        if not self.exceeds(threshold_mm):
            return ""
        by = "contours of the same structure" if self.source == "contours" else "an estimate from the images"
        return (
            f"The PET lies {self.magnitude_mm:.1f} mm from the CT ({self.directions}) by {by}; "
            "look at both before trusting the result."
        )


def shift_between_masks(ct_mask: Volume, pet_mask: Volume) -> Misregistration:
    """How far the structure drawn on the PET lies from the same structure drawn on the CT (centroids, sub-voxel).

    Masks are of any type and on any two grids; floating-point masks count by their values (partial volume), others by
    nonzero. Both are compared only where both fields of view are, and are called unreliable where more than 5 % of one
    is cut off there or their volumes differ by more than a quarter: then the centroids tell something else. Raises
    InputError for an empty mask or masks without common ground.
    """
    for mask, name in ((ct_mask, "CT"), (pet_mask, "PET")):
        if not (mask.voxels > 0).any():
            raise InputError(f"The contour on the {name} is empty; choose a mask with voxels in it.")
    centre_ct, volume_ct, kept_ct = _centroid(ct_mask, pet_mask)
    centre_pet, volume_pet, kept_pet = _centroid(pet_mask, ct_mask)
    shift = centre_pet - centre_ct
    reasons = []
    for kept, name, other in ((kept_ct, "CT", "PET"), (kept_pet, "PET", "CT")):
        if kept < 0.95:
            reasons.append(f"{1 - kept:.0%} of the contour on the {name} lies outside the {other}.")
    ratio = volume_pet / volume_ct
    if not 0.8 <= ratio <= 1.25:
        reasons.append(f"The contours differ in volume ({volume_ct:.1f} mL on the CT, {volume_pet:.1f} mL on the PET).")
    details = {"ct_ml": round(volume_ct, 3), "pet_ml": round(volume_pet, 3)}
    return Misregistration(_shift(shift), "contours", not reasons, tuple(reasons), details)


def estimate_misregistration(ct: Volume, pet: Volume) -> Misregistration:
    """Estimate from CT (HU) and PET (SUVbw) alone how far the PET lies from the CT, as one shift.

    The shift with the largest mutual information (Mattes) over the body and the air around it. It is searched for again
    in thirds of the body, and called unreliable where these disagree (breathing, movement, other patients), where less
    than LEAST_BODY_ML of the body lies in both images (cropped limbs hold too few edges), where the images share little
    information, or beyond LARGEST_SHIFT_MM. Rotation is not estimated. Raises InputError where the images do not
    overlap or cannot be compared at all.
    """
    pair = make_pair(ct, pet)
    rigid = find_translation(pair).rigid
    shift = _shift(rigid[:3, 3])
    reasons, details = judge_match(pair, rigid)
    if np.linalg.norm(shift) > LARGEST_SHIFT_MM:
        reasons.append(f"A shift of {np.linalg.norm(shift):.0f} mm is implausible within one study.")
    return Misregistration(shift, "images", not reasons, tuple(reasons), details)


def judge_match(pair: ImagePair, rigid: Rigid) -> tuple[list[str], dict[str, Any]]:
    """Why a move that was found should not be trusted (one sentence each, none if it may be), and the figures."""
    spreads = [_left_over(part, rigid) for part in _parts(pair)]
    information = mutual_information(pair, rigid)
    reasons = []
    if pair.body_ml < LEAST_BODY_ML:
        reasons.append(
            f"Only {pair.body_ml / 1000:.1f} litres of the body are in both images, too little to tell "
            f"(at least {LEAST_BODY_ML / 1000:.0f})."
        )
    if max(spreads) > LARGEST_SPREAD_MM:
        told = ", ".join(f"{mm:.1f}" for mm in spreads)
        reasons.append(
            f"Parts of the body (thirds) disagree with the whole by {told} mm, more than {LARGEST_SPREAD_MM:g} mm: "
            "breathing, a turn, movement, or images that do not belong together."
        )
    if information < LEAST_INFORMATION:
        reasons.append(f"CT and PET have little in common (mutual information {information:.2f}).")
    details = {
        "method": "Mattes mutual information",
        "mutual_information": round(information, 4),
        "parts_differ_mm": [round(mm, 2) for mm in spreads],
        "body_ml": round(pair.body_ml, 1),
    }
    return reasons, details


def _left_over(part: ImagePair, rigid: Rigid) -> float:
    """How far (mm) a part of the body would go on from where `rigid` brings it."""
    further = np.linalg.inv(rigid) @ find_translation(part, rigid).rigid
    return float(np.linalg.norm(further[:3, 3]))


def _centroid(mask: Volume, other: Volume) -> tuple[FloatMatrix, float, float]:
    """Centroid (mm) and volume (mL) of a mask inside the other's field of view, and the share of it that lies there."""
    z, y, x = np.nonzero(mask.voxels > 0)
    points = mask.affine.points_mm(np.stack([x, y, z], axis=1))
    values = mask.voxels[z, y, x]
    floating = np.issubdtype(values.dtype, np.floating)
    weights = values.astype(np.float64) if floating else np.ones(values.shape)
    common = inside(other, points)
    if not common.any():
        raise InputError(
            "The contours on CT and PET lie outside each other's images; choose contours of the same study."
        )
    centre = np.average(points[common], axis=0, weights=weights[common])
    volume = float(weights.sum() * np.prod(mask.spacing_mm) / 1000)
    return centre, volume, float(weights[common].sum() / weights.sum())


def _parts(pair: ImagePair) -> Iterator[ImagePair]:
    """The compared region in PARTS of equal length along its longest axis."""
    filled = [
        np.flatnonzero(sitk.GetArrayViewFromImage(pair.body).any(axis=tuple(i for i in range(3) if i != 2 - axis)))
        for axis in range(3)
    ]
    axis = int(np.argmax([np.ptp(hit) * step for hit, step in zip(filled, pair.body.GetSpacing(), strict=True)]))
    edges = np.linspace(filled[axis][0], filled[axis][-1] + 1, PARTS + 1).round().astype(int).tolist()
    for start, stop in pairwise(edges):
        yield pair.part(axis, start, stop)


def _shift(vector: FloatMatrix) -> Shift:
    x, y, z = (round(float(mm), 3) for mm in vector)
    return x, y, z
