"""The statistics of a head when tissue is occluded: only what an occlusion touches is measured again."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from MemorySurvivalLib.explain.fills import Fills
from MemorySurvivalLib.explain.plan import Occlusion, Patch
from MemorySurvivalLib.imaging.case import Case
from MemorySurvivalLib.imaging.window import MODALITIES, Modality
from MemorySurvivalLib.measure.statistics import (
    STATISTICS,
    STATISTICS_VERSION,
    RegionValues,
    check_names,
    compute_statistic,
)
from MemorySurvivalLib.measure.uptake import (
    PEAK_RADIUS_MM,
    near_centres,
    peak_lattice,
    sphere_means,
    sphere_weights,
    voxel_ml,
)
from MemorySurvivalLib.roi.roi import Roi

Measured = Mapping[Modality, Mapping[str, float]]
"""By occluded modality: its statistics after the occlusion, by name."""

_PEAK = "suv_peak_g_ml"


class OccludedStatistics:
    """The statistics `names` of a region as it is, and after an occlusion, as if the whole region were measured again.

    The region's voxels are kept as one vector a modality, of which an occlusion changes some entries. Of SUVpeak only
    the spheres that reach into an occlusion are averaged again. Raises InputError for an unknown name.
    """

    def __init__(self, case: Case, roi: Roi, names: tuple[str, ...]) -> None:
        check_names(names)
        self.names = names
        self._case, self._mask, self._bounds = case, roi.mask.voxels, roi.bounds_zyx
        self._sha256 = roi.mask.sha256()
        self._places = np.flatnonzero(self._mask)
        self._voxels = {m: case.image(m).voxels[self._mask].astype(np.float64) for m in MODALITIES if self._of(m)}
        self._peak = _Peak(case, np.argwhere(self._mask)) if _PEAK in names else None
        measured = {m: self._compute(m, self._voxels[m], self._peak.value if self._peak else 0.0) for m in self._voxels}
        one_ml = voxel_ml(case.ct.spacing_mm)
        plain = RegionValues(np.zeros(len(self._places)), one_ml, lambda: 0.0)
        of_mask = {name: compute_statistic(name, plain) for name in names if STATISTICS[name].modality is None}
        self._values: dict[str, float] = {**of_mask, **{k: v for one in measured.values() for k, v in one.items()}}

    @property
    def values(self) -> tuple[float, ...]:
        """The statistics of the region as it is, in the order of the names."""
        return tuple(self._values[name] for name in self.names)

    @property
    def key(self) -> tuple[str, ...]:
        """What they depend on besides the images: names, region, version of the definitions."""
        return (*self.names, self._sha256, str(STATISTICS_VERSION))

    def with_changes(self, measured: Measured, modalities: tuple[Modality, ...]) -> tuple[float, ...]:
        """The statistics when these modalities are occluded, the others as they are."""
        changed = {name: value for m in modalities for name, value in measured.get(m, {}).items()}
        return tuple(changed.get(name, self._values[name]) for name in self.names)

    def touched(self, occlusion: Occlusion) -> bool:
        """Whether an occlusion may change any of them."""
        if isinstance(occlusion, Patch):
            reach = self._peak.reach if self._peak else (0, 0, 0)
            low, high = self._bounds
            box = (occlusion.z0, occlusion.y0, occlusion.x0), (occlusion.z1, occlusion.y1, occlusion.x1)
            return all(box[0][n] < high[n] + reach[n] and box[1][n] > low[n] - reach[n] for n in range(3))
        return bool(occlusion.mask.any())

    def measure(self, occlusion: Occlusion, fills: Fills, modalities: tuple[Modality, ...]) -> Measured:
        """The statistics of each of these modalities after `occlusion`."""
        if not self.touched(occlusion):
            return {}
        return {m: self._measure(m, occlusion, fills) for m in modalities if m in self._voxels}

    def _measure(self, modality: Modality, occlusion: Occlusion, fills: Fills) -> dict[str, float]:
        image = self._case.image(modality).voxels
        vector = self._voxels[modality].copy()
        slices: dict[int, npt.NDArray[np.float32]] = {}
        peak = self._peak if modality == "PET" else None
        reach = peak.reach[0] if peak else 0
        _, rows, columns = image.shape
        for z in range(max(0, self._bounds[0][0] - reach), min(len(image), self._bounds[1][0] + reach)):
            if not occlusion.touches(z):
                continue
            pixels = fills[modality].occlude(image[z], z, occlusion)
            first, last = np.searchsorted(self._places, (z * rows * columns, (z + 1) * rows * columns))
            vector[first:last] = pixels[self._mask[z]]
            if peak:
                slices[z] = pixels
        top = peak.after(slices, occlusion) if peak else 0.0
        return self._compute(modality, vector, top)

    def _compute(self, modality: Modality, voxels: npt.NDArray[np.float64], peak: float) -> dict[str, float]:
        region = RegionValues(voxels, voxel_ml(self._case.ct.spacing_mm), lambda: peak)
        return {name: compute_statistic(name, region) for name in self._of(modality)}

    def _of(self, modality: Modality) -> tuple[str, ...]:
        return tuple(name for name in self.names if STATISTICS[name].modality == modality)


class _Peak:
    """SUVpeak, with the means of all spheres that are tried first, so that an occlusion moves only some of them."""

    def __init__(self, case: Case, places: npt.NDArray[np.int64]) -> None:
        self._suv, self._spacing = case.pet.voxels, case.pet.spacing_mm
        self._offsets, self._weights = sphere_weights(self._spacing, PEAK_RADIUS_MM)
        z, y, x = np.abs(self._offsets).max(axis=0).tolist()
        self.reach: tuple[int, int, int] = (z, y, x)
        self._places = places
        self._lattice = peak_lattice(self._spacing, places)
        self._means = sphere_means(self._suv, self._lattice, self._offsets, self._weights)
        self.value = self._finish(self._suv, self._means)

    def after(self, slices: Mapping[int, npt.NDArray[np.float32]], occlusion: Occlusion) -> float:
        """SUVpeak when the PET has these slices (z -> rows, columns) instead of its own."""
        if not slices:
            return self.value
        start, stop = _bounds_of(occlusion, slices)
        far = (self._lattice >= start - np.asarray(self.reach)) & (self._lattice < stop + np.asarray(self.reach))
        near = far.all(axis=1)
        # The last centres lie up to a step of the lattice and a sphere away from the best one.
        occluded = _Exchanged(self._suv, slices)
        means = self._means.copy()
        if near.any():
            means[near] = self._average(occluded, self._lattice[near])
        return self._finish(occluded, means)

    def _finish(self, suv: npt.NDArray[np.floating] | _Exchanged, means: npt.NDArray[np.float64]) -> float:
        if self._lattice is self._places:
            return float(means.max())
        best = self._lattice[int(means.argmax())]
        return float(self._average(suv, near_centres(self._spacing, self._places, best)).max())

    def _average(
        self, suv: npt.NDArray[np.floating] | _Exchanged, places: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float64]:
        if isinstance(suv, _Exchanged):
            low = np.maximum(places.min(axis=0) - self.reach, 0)
            high = np.minimum(places.max(axis=0) + np.asarray(self.reach) + 1, self._suv.shape)
            # A sphere is cut where the image ends and nowhere else, because the block holds all that spheres reach.
            return sphere_means(suv.block(low, high), places - low, self._offsets, self._weights)
        return sphere_means(suv, places, self._offsets, self._weights)


class _Exchanged:
    """An image some of whose slices are others."""

    def __init__(self, image: npt.NDArray[np.floating], slices: Mapping[int, npt.NDArray[np.float32]]) -> None:
        self._image, self._slices = image, slices

    def block(self, low: npt.NDArray[np.int64], high: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        (z0, y0, x0), (z1, y1, x1) = low.tolist(), high.tolist()
        block = self._image[z0:z1, y0:y1, x0:x1].astype(np.float32)
        for z, pixels in self._slices.items():
            if z0 <= z < z1:
                block[z - z0] = pixels[y0:y1, x0:x1]
        return block


def _bounds_of(
    occlusion: Occlusion, slices: Mapping[int, npt.NDArray[np.float32]]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The smallest box around what changes, as start and stop (z, y, x)."""
    if isinstance(occlusion, Patch):
        y0, y1, x0, x1 = occlusion.plane
    else:
        changed = np.any(occlusion.mask[sorted(slices)], axis=0)
        rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
        y0, y1, x0, x1 = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    return np.asarray([min(slices), y0, x0]), np.asarray([max(slices) + 1, y1, x1])
