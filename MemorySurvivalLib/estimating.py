"""About how long a case will take with a bundle on a device, from its mask's extent and a speed that was measured."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from MemorySurvivalLib.bundle.manifest import Manifest
from MemorySurvivalLib.devices import DeviceName
from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.roi.boxes import raise_step
from MemorySurvivalLib.roi.roi import RoiKind

TYPICAL_HEIGHT_MM: Mapping[RoiKind, float] = {"spine_dilated": 650.0, "skeleton": 1000.0}
"""How much of a whole-body CT an adult's region fills along the body, where no mask says so."""

TYPICAL_AREA_CM2: Mapping[RoiKind, float] = {"spine_dilated": 35.0, "skeleton": 48.0}
"""The mean section of such a region, measured on a phantom, for the number of patches."""


@dataclass(frozen=True)
class EstimateRequest:
    """What is known without reading a voxel: the CT's extent along the body and its slices' distance, in millimetres.

    `mask_mm` and `mask_ml` are the height and volume of the chosen region, None where the library finds it itself.
    `patch_mm` and `stride_mm` None take the bundle's. Raises InputError for lengths that are not positive.
    """

    ct_mm: float
    spacing_mm: float
    mask_mm: float | None = None
    mask_ml: float | None = None
    bundle: str = "demonstration"
    device: DeviceName = "auto"
    explain: bool = False
    patch_mm: float | None = None
    stride_mm: float | None = None

    def __post_init__(self) -> None:
        given = (self.ct_mm, self.spacing_mm, self.mask_mm, self.mask_ml, self.patch_mm, self.stride_mm)
        if any(value is not None and not (math.isfinite(value) and value > 0) for value in given):
            raise InputError("An estimate needs lengths and a volume above zero.")


@dataclass(frozen=True)
class Estimate:
    """Slices to encode (all images together) and the seconds for them; of the score and of the explanation.

    `assumed` is true where no mask was given. Reading the images, finding the region and writing the report come on
    top.
    """

    slices: int
    seconds: float
    explain_slices: int
    explain_seconds: float
    seconds_per_slice: float
    assumed: bool


def estimate(request: EstimateRequest, manifest: Manifest, slice_s: float) -> Estimate:
    """Count slices and multiply by `slice_s`, the seconds that one takes.

    An explanation encodes every used slice again for each column of patches that crosses it, so it grows with the
    region's volume over the square of the stride.
    """
    kind = manifest.roi
    height_mm = min(request.mask_mm or TYPICAL_HEIGHT_MM.get(kind, request.ct_mm), request.ct_mm)
    volume_ml = request.mask_ml or TYPICAL_AREA_CM2.get(kind, 50.0) * height_mm / 10
    read = {modality for head in manifest.heads for modality in head.spec.modalities}
    images = len(read)
    propagation = manifest.propagation
    there = math.ceil(height_mm / request.spacing_mm)
    between_mm = request.spacing_mm * raise_step(there, propagation.slice_step, propagation.most_slices)
    slices = max(math.ceil(height_mm / between_mm), 1) * images
    explained = 0
    if request.explain:
        patch_mm = request.patch_mm or manifest.explain.patch_mm
        stride_mm = request.stride_mm or min(manifest.explain.stride_mm, patch_mm)
        columns_mm = volume_ml * 1000 / stride_mm**2  # the lengths of all columns of patches together
        explained = max(math.ceil(columns_mm / between_mm), 1) * len(read & set(manifest.explain.modalities))
    return Estimate(slices, slices * slice_s, explained, explained * slice_s, slice_s, request.mask_mm is None)
