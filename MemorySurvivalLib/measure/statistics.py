"""Numbers measured in the region that a head may take beside memory states: their names, definitions and values.

Training, scoring and explaining all measure them here, so that a name means one thing. They need the images and the
mask alone: what needs other structures segmented, such as a lesion list, is no statistic of a head.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.case import Case
from MemorySurvivalLib.imaging.window import Modality
from MemorySurvivalLib.measure.uptake import Mask, find_peak, voxel_ml

STATISTICS_VERSION = 1
"""Rises when a definition changes; a bundle says for which version its heads were trained."""

HOT_SUV = 4.0
"""Voxels of the region at or above this SUVbw make its MTV and TLG: one fixed threshold, no outline of lesions."""

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Statistic:
    """What a name means: its unit, a definition in words, and the image it is measured in (None: the mask alone)."""

    name: str
    title: str
    unit: str
    modality: Modality | None
    definition: str


@dataclass(frozen=True, eq=False)
class RegionValues:
    """The region's voxels of one image (n,), float64, and the volume of one voxel; `peak` finds SUVpeak when asked."""

    voxels: Values
    voxel_ml: float
    peak: Callable[[], float]


def _peak(region: RegionValues) -> float:
    return region.peak()


def _hot_volume(region: RegionValues) -> float:
    return float(np.count_nonzero(region.voxels >= HOT_SUV) * region.voxel_ml)


def _hot_mass(region: RegionValues) -> float:
    return float(region.voxels[region.voxels >= HOT_SUV].sum() * region.voxel_ml)


_COMPUTE: Mapping[str, Callable[[RegionValues], float]] = {
    "suv_max_g_ml": lambda region: float(region.voxels.max()),
    "suv_peak_g_ml": _peak,
    "suv_mean_g_ml": lambda region: float(region.voxels.mean()),
    "suv_median_g_ml": lambda region: float(np.median(region.voxels)),
    "mtv_ml": _hot_volume,
    "tlg_g": _hot_mass,
    "hu_mean": lambda region: float(region.voxels.mean()),
    "hu_sd": lambda region: float(region.voxels.std()),
    "hu_tenth_percentile": lambda region: float(np.percentile(region.voxels, 10)),
    "volume_ml": lambda region: float(region.voxels.size * region.voxel_ml),
}

STATISTICS: Mapping[str, Statistic] = {
    one.name: one
    for one in (
        Statistic("suv_max_g_ml", "SUVmax", "g/mL", "PET", "highest SUVbw of the region"),
        Statistic(
            "suv_peak_g_ml", "SUVpeak", "g/mL", "PET", "highest mean SUVbw in a 1 cm3 sphere centred in the region"
        ),
        Statistic("suv_mean_g_ml", "SUVmean", "g/mL", "PET", "mean SUVbw of the region"),
        Statistic("suv_median_g_ml", "SUV median", "g/mL", "PET", "median SUVbw of the region"),
        Statistic("mtv_ml", "MTV", "mL", "PET", f"volume of the region's voxels with SUVbw {HOT_SUV:g} or more"),
        Statistic("tlg_g", "TLG", "g", "PET", f"SUVbw summed over voxels of {HOT_SUV:g} or more, times a voxel's mL"),
        Statistic("hu_mean", "HU mean", "HU", "CT", "mean of the region"),
        Statistic("hu_sd", "HU SD", "HU", "CT", "standard deviation within the region"),
        Statistic("hu_tenth_percentile", "HU 10th percentile", "HU", "CT", "a tenth of the region is below it"),
        Statistic("volume_ml", "Volume", "mL", None, "volume of the region"),
    )
}
"""Every statistic that a head can take, by name; all on the CT's grid."""


def find_unknown(names: Iterable[str]) -> tuple[str, ...]:
    """Those names that are no statistic of a region."""
    return tuple(name for name in names if name not in STATISTICS)


def measure_statistics(case: Case, mask: Mask, names: Iterable[str] = tuple(STATISTICS)) -> dict[str, float]:
    """The statistics `names` of the voxels of `mask` (bool, z, y, x, on the case's grid), by name in that order.

    Raises InputError for an unknown name and for an empty mask.
    """
    names = tuple(names)
    check_names(names)
    if not mask.any():
        raise InputError("The region has no voxels, so nothing can be measured in it; choose another mask.")
    regions: dict[Modality, RegionValues] = {}

    def region(modality: Modality) -> RegionValues:
        if modality not in regions:
            regions[modality] = RegionValues(
                case.image(modality).voxels[mask].astype(np.float64),
                voxel_ml(case.ct.spacing_mm),
                lambda: find_peak(case.pet.voxels, case.pet.spacing_mm, np.argwhere(mask))[0],
            )
        return regions[modality]

    return {name: compute_statistic(name, region(STATISTICS[name].modality or "CT")) for name in names}


def compute_statistic(name: str, region: RegionValues) -> float:
    """One statistic of a region's voxels in the image that it is measured in."""
    return _COMPUTE[name](region)


def check_names(names: Iterable[str]) -> None:
    """Raise InputError for a name that is no statistic of a region."""
    unknown = find_unknown(names)
    if unknown:
        raise InputError(f"{unknown[0]} is no statistic of a region; known are {', '.join(STATISTICS)}.")
