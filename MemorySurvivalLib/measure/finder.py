"""Describes the uptake around one peak as a lesion of a ROI, or as spill-in from elsewhere."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from MemorySurvivalLib.imaging.case import Case
from MemorySurvivalLib.measure.basins import Indices
from MemorySurvivalLib.measure.delineation import Outline, Places, measure_marrow, outline_lesion
from MemorySurvivalLib.measure.lesion import LYTIC_HU, MTV_SHARE, Lesion, LesionConfig, LesionKind
from MemorySurvivalLib.measure.organs import HotSpot, Organs
from MemorySurvivalLib.measure.uptake import Mask, Spacing, measure_region, point_of, voxel_ml
from MemorySurvivalLib.roi.segments import Segmentation

OUTSIDE = "uptake outside the region"

IN_BONE_MM = 3.0
"""A peak this close to bone is the bone's."""

SITE_REACH_MM = 30.0


class LesionFinder:
    """Describes basins of one case."""

    def __init__(
        self,
        case: Case,
        segmentation: Segmentation,
        region: Mask,
        organs: Organs,
        threshold: float,
        config: LesionConfig,
    ) -> None:
        self.case, self.segmentation, self.region = case, segmentation, region
        self.organs, self.threshold, self.config = organs, threshold, config
        self.suv = case.pet.voxels
        self.bones = segmentation.of("vertebra", "sacrum", "bone")
        self.marrow_suv = measure_marrow(case, segmentation)
        self.hot_in_region: Mask = region & (self.suv >= threshold)
        self.spacing_zyx: Spacing = (case.ct.spacing_mm[2], case.ct.spacing_mm[1], case.ct.spacing_mm[0])
        self.voxel_ml = voxel_ml(case.ct.spacing_mm)

    def describe(self, voxels: Indices, peak: int) -> tuple[Lesion, Places] | None:
        """The lesion of one basin (flat indices) and its voxels; None when too little is hot inside the region."""
        places = np.stack(np.unravel_index(voxels, self.suv.shape), axis=1)
        hot = places[self.hot_in_region[tuple(places.T)]]
        if len(hot) * self.voxel_ml < self.config.least_volume_ml:
            return None
        source = self._source(places, np.asarray(np.unravel_index(peak, self.suv.shape)))
        if source is not None:
            return self._measure(hot, hot, "spill-in", source), hot
        outline = outline_lesion(self.suv, self._own(places), MTV_SHARE, self.spacing_zyx)
        lesion = self._measure(outline.places, hot, "focal", None, outline)
        if lesion.suv_peak < self.config.focal_contrast * self.marrow_suv:
            return self._measure(hot, hot, "diffuse"), hot
        if not outline.closed or MTV_SHARE * lesion.suv_max < self.marrow_suv:
            return self._measure(hot, hot, "focal"), hot
        return lesion, outline.places

    def _source(self, places: Places, peak: Places) -> str | None:
        """What a basin's peak is outside the region's bones: an organ, or uptake outside the region; else None."""
        if self._distance(self.bones, peak, IN_BONE_MM) is not None:
            return None
        organ = self.organs.name(self._spot(places, peak))
        if organ is not None:
            return organ
        return OUTSIDE if self._distance(self.region, peak, self.config.margin_mm) is None else None

    def _spot(self, places: Places, peak: Places) -> HotSpot:
        values = self.suv[tuple(places.T)]
        core = places[values >= 0.5 * values.max()]
        height, depth, width = (core.max(axis=0) - core.min(axis=0) + 1) * self.spacing_zyx
        return HotSpot(point_of(self.case.ct.affine, peak), float(np.sqrt(depth * width)), float(height))

    def _own(self, places: Places) -> Places:
        """The part of a basin that lies in the region or within its margin."""
        reach = np.asarray([int(np.ceil(self.config.margin_mm / mm)) for mm in self.spacing_zyx])
        low = np.maximum(places.min(axis=0) - reach, 0)
        high = np.minimum(places.max(axis=0) + reach + 1, self.suv.shape)
        block = self.region[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
        near = ndimage.distance_transform_edt(~block, sampling=self.spacing_zyx) <= self.config.margin_mm
        own: Places = places[near[tuple((places - low).T)]]
        return own

    def _distance(self, mask: Mask, place: Places, reach_mm: float) -> float | None:
        """How far the nearest voxel of a mask is from a place; None beyond `reach_mm`."""
        window, away = self._window(place, reach_mm)
        here = mask[window] & (away <= reach_mm)
        return float(away[here].min()) if here.any() else None

    def _window(self, place: Places, reach_mm: float) -> tuple[tuple[slice, ...], npt.NDArray[np.float64]]:
        """A block around a place and every voxel's distance to it."""
        window, squares = [], []
        for at, mm, size in zip(place.tolist(), self.spacing_zyx, self.suv.shape, strict=True):
            reach = int(reach_mm / mm)
            part = slice(max(0, at - reach), min(size, at + reach + 1))
            window.append(part)
            squares.append(((np.arange(part.start, part.stop) - at) * mm) ** 2)
        z, y, x = squares
        return tuple(window), np.sqrt(z[:, None, None] + y[None, :, None] + x[None, None, :])

    def _measure(
        self, places: Places, hot: Places, kind: LesionKind, source: str | None = None, outline: Outline | None = None
    ) -> Lesion:
        low = places.min(axis=0)
        mask = np.zeros(places.max(axis=0) + 1 - low, dtype=np.bool_)
        mask[tuple((places - low).T)] = True
        region = measure_region(self.case, mask, (int(low[0]), int(low[1]), int(low[2])))
        values = self.suv[tuple(places.T)].astype(np.float64)
        site, distance = self._site(places[int(values.argmax())])
        in_bone = places[self.bones[tuple(places.T)]]
        low_density = bool(len(in_bone)) and bool(np.median(self.case.ct.voxels[tuple(in_bone.T)]) < LYTIC_HU)
        return Lesion(
            number=0,
            kind=kind,
            spill_in=source,
            site=site,
            site_distance_mm=distance,
            suv_max=region.suv_max,
            suv_peak=region.suv_peak,
            suv_mean=region.suv_mean if outline else None,
            mtv_ml=region.volume_ml if outline else None,
            tlg_g=region.volume_ml * region.suv_mean if outline else None,
            diameter_mm=outline.diameter_mm if outline else None,
            volume_above_threshold_ml=len(hot) * self.voxel_ml,
            centre_lps_mm=point_of(self.case.ct.affine, np.average(places, axis=0, weights=values)),
            suv_max_lps_mm=region.suv_max_lps_mm,
            hu_mean=region.hu_mean,
            hu_median=region.hu_median,
            low_density=low_density,
            in_region=float(self.region[tuple(places.T)].mean()),
        )

    def _site(self, place: Places) -> tuple[str, float]:
        """The bone at a place or the nearest one, and how far away; "" where none lies within `SITE_REACH_MM`."""
        window, away = self._window(place, SITE_REACH_MM)
        bone = self.bones[window]
        if not bone.any():
            return "", SITE_REACH_MM
        away = np.where(bone, away, np.inf)
        nearest = np.unravel_index(int(away.argmin()), away.shape)
        label = int(self.segmentation.labels.voxels[window][nearest])
        return self.segmentation.structures[label].name, float(away[nearest])
