"""What a lesion is: the settings that decide it and the record of one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.volume import Volume
from MemorySurvivalLib.measure.reference import References
from MemorySurvivalLib.measure.uptake import Point

ThresholdKind = Literal["absolute", "liver", "percist"]
THRESHOLD_KINDS: tuple[ThresholdKind, ...] = get_args(ThresholdKind)

LesionKind = Literal["focal", "diffuse", "spill-in"]

MTV_SHARE = 0.41
"""A lesion's volume is where its uptake reaches this share of its own SUVmax (EANM procedure guideline 2.0)."""

LYTIC_HU = 100.0
"""Median HU of a bone lesion below which lysis is likely: no spongy bone is left."""


@dataclass(frozen=True)
class LesionConfig:
    """What counts as a lesion. Raises InputError for values that cannot work.

    `threshold` "absolute" takes `suv`; "liver" takes `liver_factor` times the liver's mean; "percist" takes 1.5 times
    the liver's mean plus two of its standard deviations. There is no volume by a share of the whole region's maximum:
    the 41 % outline exists for single lesions only.
    """

    threshold: ThresholdKind = "absolute"
    suv: float = 4.0
    liver_factor: float = 1.5
    least_volume_ml: float = 0.3
    """Uptake above the threshold that fills less than this is noise."""
    prominence: float = 0.25
    """Two peaks are two lesions when uptake between them falls by this share of the lower one."""
    smoothing_mm: float = 2.5
    """Standard deviation of the blur under which peaks are looked for; what is measured is not blurred."""
    margin_mm: float = 5.0
    """How far a lesion's outline, blurred by the scanner, may reach beyond the region."""
    focal_contrast: float = 1.4
    """A focal lesion's SUVpeak is at least this many times the marrow's uptake; what is less is diffuse."""

    def __post_init__(self) -> None:
        if self.threshold not in THRESHOLD_KINDS:
            known = ", ".join(THRESHOLD_KINDS)
            raise InputError(f"The lesion threshold {self.threshold!r} is unknown; choose one of {known}.")
        for name in ("suv", "liver_factor", "least_volume_ml", "smoothing_mm", "margin_mm", "focal_contrast"):
            value = getattr(self, name)
            if not (np.isfinite(value) and value > 0):
                raise InputError(f"The lesion setting {name} must be a positive number, got {value}.")
        if not 0 < self.prominence < 1:
            raise InputError(f"The lesion setting prominence must lie between 0 and 1, got {self.prominence}.")


@dataclass(frozen=True)
class Lesion:
    """One lesion. SUVbw (g/mL), volumes in ml, lengths in mm, positions in LPS mm.

    `kind` is "focal"; "diffuse" where the marrow elsewhere is nearly as hot; or "spill-in" where the uptake leads up to
    a hotter place outside (`spill_in` names it). Only focal lesions count in totals. `mtv_ml`, `tlg_g` (SUVmean x MTV,
    g), `suv_mean` and `diameter_mm` belong to the 41 % outline; they are None for the other kinds and for a focal
    lesion whose 41 % lies within the marrow's own uptake, so that the outline would run along the bone. `site` is the
    bone at the maximum or the nearest one (`site_distance_mm` away).
    """

    number: int
    kind: LesionKind
    spill_in: str | None
    site: str
    site_distance_mm: float
    suv_max: float
    suv_peak: float
    suv_mean: float | None
    mtv_ml: float | None
    tlg_g: float | None
    diameter_mm: float | None
    volume_above_threshold_ml: float
    centre_lps_mm: Point
    suv_max_lps_mm: Point
    hu_mean: float
    hu_median: float
    low_density: bool
    """Median HU of the outlined bone below `LYTIC_HU`: a hint at lysis, no more."""
    in_region: float
    """Share of the outlined voxels inside the ROI."""


@dataclass(frozen=True)
class LesionTotals:
    """Sums over focal lesions; diffuse uptake and spill-in are only counted. `without_volume` focal lesions have no
    41 % outline and add nothing to the volumes."""

    focal: int
    without_volume: int
    diffuse: int
    spill_in: int
    mtv_ml: float
    tlg_g: float
    suv_max: float | None


@dataclass(frozen=True, eq=False)
class LesionList:
    """Lesions, hottest first, the label map (uint16, case grid; the lesion's number), the threshold and
    the marrow's uptake, totals."""

    lesions: tuple[Lesion, ...]
    labels: Volume
    threshold_suv: float
    marrow_suv: float
    totals: LesionTotals
    notes: tuple[str, ...]


def threshold_suv(config: LesionConfig, references: References) -> float:
    """The threshold as SUV. Raises InputError when it needs a liver reference that is not there."""
    if config.threshold == "absolute":
        return config.suv
    if references.liver is None:
        raise InputError(
            f"The lesion threshold {config.threshold!r} needs a liver reference and none was found; place it by a "
            "click (--liver-at) or choose an absolute threshold."
        )
    if config.threshold == "liver":
        return config.liver_factor * references.liver.suv_mean
    return 1.5 * references.liver.suv_mean + 2.0 * references.liver.suv_sd
