"""The statistics of measure/statistics.py after patches were occluded, without measuring all anew."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import numpy.typing as npt

from MemorySurvivalLib.explain.fills import AIR_HU, Filling, Fills, box_of
from MemorySurvivalLib.explain.plan import Patch
from MemorySurvivalLib.imaging.case import Case
from MemorySurvivalLib.imaging.window import MODALITIES, Modality
from MemorySurvivalLib.measure.uptake import PEAK_RADIUS_MM, peak_lattice, sphere_means, sphere_weights
from MemorySurvivalLib.roi.roi import Roi

Values = npt.NDArray[np.float64]


def _summarise(suv: Values, hu: Values, peak: float, volume_ml: float, lesion_suv: float) -> dict[str, float]:
    hot = suv[suv >= lesion_suv]
    voxel_ml = volume_ml / len(suv)
    return {
        "suv_max_g_ml": float(suv.max()),
        "suv_peak_g_ml": peak,
        "suv_mean_g_ml": float(suv.mean()),
        "suv_median_g_ml": float(np.median(suv)),
        "mtv_ml": float(len(hot) * voxel_ml),
        "tlg_g": float(hot.sum() * voxel_ml),
        "hu_mean": float(hu.mean()),
        "hu_sd": float(hu.std()),
        "hu_tenth_percentile": float(np.percentile(hu, 10)),
        "volume_ml": volume_ml,
    }


class RegionValues:
    """The voxels of one ROI, ready to be measured after patches were filled with one value each (not blurred).

    SUVpeak is tried at every centre of the lattice that `measure.uptake` tries first: on voxels of 2.6 mm and more,
    all of them, which is what `measure_statistics` gives.
    """

    def __init__(self, case: Case, roi: Roi, lesion_suv: float) -> None:
        self._case, self._roi, self._lesion_suv = case, roi, lesion_suv
        inside = roi.mask.voxels
        self._index = np.full(inside.shape, -1, dtype=np.int64)
        self._index[inside] = np.arange(np.count_nonzero(inside))
        self._suv, self._hu = (case.image(m).voxels[inside].astype(np.float64) for m in ("PET", "CT"))
        self._pet = case.pet.voxels.copy()
        self._centres = peak_lattice(case.pet.spacing_mm, np.argwhere(inside))
        self._offsets, self._weights = sphere_weights(case.pet.spacing_mm, PEAK_RADIUS_MM)
        self._means = sphere_means(self._pet, self._centres, self._offsets, self._weights)

    @cached_property
    def as_they_are(self) -> dict[str, float]:
        """Statistics of the case as it is."""
        return self._measure(self._suv, self._hu, float(self._means.max()))

    def occluded(self, patch: Patch, fills: Fills, modalities: tuple[Modality, ...] = MODALITIES) -> dict[str, float]:
        """Statistics after the patch took the fills' values in these images."""
        where = self._index[box_of(patch)]
        rows = where[where >= 0]
        suv, hu, peak = self._suv, self._hu, float(self._means.max())
        if "CT" in modalities:
            hu = self._filled(hu, rows, fills["CT"])
        if "PET" in modalities:
            suv, peak = self._filled(suv, rows, fills["PET"]), self._peak(patch, fills["PET"])
        return self._measure(suv, hu, peak)

    def _filled(self, values: Values, rows: npt.NDArray[np.int64], filling: Filling) -> Values:
        filled = values.copy()
        filled[rows if filling.ct is None else rows[self._hu[rows] >= AIR_HU]] = _value(filling)
        return filled

    def _peak(self, patch: Patch, filling: Filling) -> float:
        """Spheres that do not reach into the patch keep their means."""
        reach = np.abs(self._offsets).max(axis=0)
        low = np.array((patch.z0, patch.y0, patch.x0)) - reach
        high = np.array((patch.z1, patch.y1, patch.x1)) + reach
        near = ((self._centres >= low) & (self._centres < high)).all(axis=1)
        best = [float(self._means[~near].max())] if not near.all() else []
        if near.any():
            box = box_of(patch)
            kept = self._pet[box].copy()
            self._pet[box] = _value(filling)
            if filling.ct is not None:
                self._pet[box] = np.where(filling.ct[box] < AIR_HU, kept, self._pet[box])
            best.append(float(sphere_means(self._pet, self._centres[near], self._offsets, self._weights).max()))
            self._pet[box] = kept
        return max(best)

    def _measure(self, suv: Values, hu: Values, peak: float) -> dict[str, float]:
        volume_ml = len(suv) * float(np.prod(self._case.ct.spacing_mm)) / 1000
        return _summarise(suv, hu, peak, volume_ml, self._lesion_suv)


def _value(filling: Filling) -> float:
    if filling.value is None:
        raise ValueError("statistics of a blurred patch are not kept up; use a fill of one value")
    return filling.value
