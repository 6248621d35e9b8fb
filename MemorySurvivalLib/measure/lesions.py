"""The list of lesions inside a ROI: focal uptake, each outlined by its own maximum, spill-in told apart."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.spatial.distance import pdist

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.case import Case
from MemorySurvivalLib.imaging.volume import Volume
from MemorySurvivalLib.measure.basins import Indices, divide
from MemorySurvivalLib.measure.frame import BodyFrame
from MemorySurvivalLib.measure.organs import HotSpot, Organs, find_organs
from MemorySurvivalLib.measure.reference import References
from MemorySurvivalLib.measure.uptake import Mask, Point, Spacing, measure_region, point_of, voxel_ml
from MemorySurvivalLib.progress import ProgressCallback, ignore_progress, track
from MemorySurvivalLib.roi.roi import Roi
from MemorySurvivalLib.roi.segments import Segmentation

ThresholdKind = Literal["absolute", "liver", "percist"]
THRESHOLD_KINDS: tuple[ThresholdKind, ...] = get_args(ThresholdKind)

LesionKind = Literal["focal", "diffuse", "spill-in"]

MTV_SHARE = 0.41
"""A lesion's volume is where its uptake reaches this share of its own SUVmax (EANM procedure guideline 2.0)."""

OUTSIDE = "uptake outside the region"

LYTIC_HU = 100.0
"""Median HU of a bone lesion below which lysis is likely: no spongy bone is left."""


OPEN_SHARE = 0.3
"""An outline is open when more of its surface than this meets uptake as high beyond it."""

LONGEST_MM = 150.0
"""No focal lesion is longer; what is, runs along the marrow."""

SITE_REACH_MM = 30.0

LEAST_VERTEBRAE = 3
"""With fewer vertebrae in view all bones stand in for the marrow of the spine."""

_GOLDEN = np.pi * (3.0 - np.sqrt(5.0))
_HEIGHT = 1.0 - (np.arange(300) + 0.5) / 300.0
_DIRECTIONS = np.stack(
    [
        _HEIGHT,
        np.sqrt(1 - _HEIGHT**2) * np.cos(_GOLDEN * np.arange(300)),
        np.sqrt(1 - _HEIGHT**2) * np.sin(_GOLDEN * np.arange(300)),
    ],
    axis=1,
)
"""Directions spread evenly over half a sphere."""


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

    `kind` is "focal"; "diffuse" where the marrow around is nearly as hot or the 41 % outline runs on into it, so that
    there is no volume of its own; or "spill-in" where the uptake leads up to a hotter place outside
    (`spill_in` names it). Only focal lesions count in totals. `mtv_ml`, `tlg_g` (SUVmean x MTV, g), `suv_mean` and
    `diameter_mm` belong to the 41 % outline and are None without one. `site` is the bone at the maximum or the nearest one (`site_distance_mm` away).
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
    """Sums over focal lesions; spill-in and diffuse uptake are left out and counted separately."""

    focal: int
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


def find_lesions(
    case: Case,
    segmentation: Segmentation,
    roi: Roi,
    frame: BodyFrame,
    references: References,
    config: LesionConfig = LesionConfig(),
    progress: ProgressCallback = ignore_progress,
) -> LesionList:
    """List the uptake at or above the threshold inside the ROI. `segmentation` and `roi` lie on the case's grid.

    All uptake of the image is divided among its peaks first, so that what spills over from an organ belongs to the
    organ's peak and not to the bone beside it.
    """
    threshold = threshold_suv(config, references)
    sigma = [config.smoothing_mm / mm for mm in reversed(case.pet.spacing_mm)]
    smooth = ndimage.gaussian_filter(np.asarray(case.pet.voxels, dtype=np.float32), sigma)
    basins = divide(smooth, MTV_SHARE * threshold, config.prominence)
    finder = _Finder(case, segmentation, roi.mask.voxels, find_organs(frame), threshold, config)
    hot = finder.hot_in_region
    groups = basins.groups()
    wanted = [n for n, voxels in enumerate(groups) if hot.ravel()[voxels].any()]
    found: list[tuple[Lesion, Indices]] = []
    for n in track(wanted, "listing lesions", len(wanted), progress):
        entry = finder.describe(groups[n], int(basins.peaks[n]))
        if entry is not None:
            found.append(entry)
    order = {"focal": 0, "diffuse": 1, "spill-in": 2}
    found.sort(key=lambda entry: (order[entry[0].kind], -entry[0].suv_max))
    labels = np.zeros(case.ct.shape, dtype=np.uint16)
    lesions = []
    for number, (lesion, voxels) in enumerate(found, start=1):
        labels.ravel()[voxels] = number
        lesions.append(replace(lesion, number=number))
    return LesionList(
        tuple(lesions), Volume(labels, case.ct.affine), threshold, finder.marrow_suv, _totals(lesions), _notes(lesions)
    )


def measure_marrow(case: Case, segmentation: Segmentation) -> float:
    """Uptake of the marrow at large: the median over vertebrae of each one's 95th percentile.

    The percentile is of a vertebral body's middle rather than of cortex and blurred edges; the median over vertebrae
    leaves lesions of a few out.
    """
    labels = segmentation.labels.voxels
    levels = []
    for label, box in enumerate(ndimage.find_objects(labels), start=1):
        if box is not None and segmentation.structures[label].group == "vertebra":
            levels.append(float(np.percentile(case.pet.voxels[box][labels[box] == label], 95)))
    if len(levels) >= LEAST_VERTEBRAE:
        return float(np.median(levels))
    bones = segmentation.of("vertebra", "sacrum", "bone")
    return float(np.percentile(case.pet.voxels[bones], 95)) if bones.any() else 0.0


class _Finder:
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

    def describe(self, voxels: Indices, peak: int) -> tuple[Lesion, Indices] | None:
        """The lesion of one basin and its voxels; None when too little of it is hot inside the region."""
        hot = voxels[self.hot_in_region.ravel()[voxels]]
        if hot.size * self.voxel_ml < self.config.least_volume_ml:
            return None
        place = np.asarray(np.unravel_index(peak, self.suv.shape))
        source = self._source(voxels, place)
        if source is not None:
            return self._measure(hot, hot, "spill-in", source)
        box, near = self._near_region(voxels)
        inside = near[tuple((np.asarray(np.unravel_index(voxels, self.suv.shape)).T - box).T)]
        own = voxels[inside]
        outline, leaks = self._outline(own)
        lesion, _ = focal = self._measure(outline, hot, "focal", None)
        if leaks or lesion.suv_peak < self.config.focal_contrast * self.marrow_suv:
            return self._measure(hot, hot, "diffuse", None)
        return focal

    def _source(self, voxels: Indices, place: npt.NDArray[np.int64]) -> str | None:
        """What a basin's peak is outside the region's bones: an organ, or uptake outside the region; else None."""
        if self._within(self.bones, place, 3.0):
            return None
        organ = self.organs.name(self._spot(voxels, place))
        if organ is not None:
            return organ
        return None if self._within(self.region, place, self.config.margin_mm) else OUTSIDE

    def _spot(self, voxels: Indices, place: npt.NDArray[np.int64]) -> HotSpot:
        values = self.suv.ravel()[voxels]
        core = np.asarray(np.unravel_index(voxels[values >= 0.5 * values.max()], self.suv.shape))
        size = (core.max(axis=1) - core.min(axis=1) + 1) * self.spacing_zyx
        return HotSpot(
            point_of(self.case.ct.affine, place), float(values.max()), float(np.sqrt(size[1] * size[2])), float(size[0])
        )

    def _within(self, mask: Mask, place: npt.NDArray[np.int64], reach_mm: float) -> bool:
        """Whether a voxel of the mask lies within `reach_mm` of a place."""
        distance = self._distance(mask, place, reach_mm)
        return distance is not None

    def _distance(self, mask: Mask, place: npt.NDArray[np.int64], reach_mm: float) -> float | None:
        window, away = self._window(place, reach_mm)
        here = mask[window] & (away <= reach_mm)
        return float(away[here].min()) if here.any() else None

    def _window(
        self, place: npt.NDArray[np.int64], reach_mm: float
    ) -> tuple[tuple[slice, ...], npt.NDArray[np.float64]]:
        """A block around a place and every voxel's distance to it."""
        reach = [int(reach_mm / mm) for mm in self.spacing_zyx]
        window = tuple(
            slice(max(0, int(p) - r), min(n, int(p) + r + 1))
            for p, r, n in zip(place, reach, self.suv.shape, strict=True)
        )
        steps = [
            (np.arange(part.start, part.stop) - p) * mm
            for part, p, mm in zip(window, place, self.spacing_zyx, strict=True)
        ]
        away = np.sqrt(steps[0][:, None, None] ** 2 + steps[1][None, :, None] ** 2 + steps[2][None, None, :] ** 2)
        return window, away

    def _near_region(self, voxels: Indices) -> tuple[npt.NDArray[np.int64], Mask]:
        """Around a basin: where the block begins, and what lies in the region or within its margin."""
        index = np.asarray(np.unravel_index(voxels, self.suv.shape))
        reach = np.asarray([int(np.ceil(self.config.margin_mm / mm)) for mm in self.spacing_zyx])
        low = np.maximum(index.min(axis=1) - reach, 0)
        high = np.minimum(index.max(axis=1) + reach + 1, self.suv.shape)
        block = self.region[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
        if not block.any():
            return low, block
        return low, ndimage.distance_transform_edt(~block, sampling=self.spacing_zyx) <= self.config.margin_mm

    def _outline(self, own: Indices) -> tuple[Indices, bool]:
        """The piece of a basin at or above 41 % of its maximum that holds the maximum, and whether it is open.

        It is open when more than `OPEN_SHARE` of its surface is not where uptake falls below that level but where the
        basin ends: then the surrounding marrow is as hot, and the outline would be arbitrary.
        """
        values = self.suv.ravel()[own]
        level = MTV_SHARE * float(values.max())
        index = np.asarray(np.unravel_index(own, self.suv.shape))
        low = np.maximum(index.min(axis=1) - 1, 0)
        high = np.minimum(index.max(axis=1) + 2, self.suv.shape)
        block = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        inside = np.zeros(high - low, dtype=np.bool_)
        hot = values >= level
        local = tuple((index.T - low).T)
        inside[tuple(axis[hot] for axis in local)] = True
        pieces, _ = ndimage.label(inside, np.ones((3, 3, 3)))
        top = tuple(int(axis[values.argmax()]) for axis in local)
        piece = pieces == pieces[top]
        as_hot = self.suv[block] >= level
        # The region's own edge is no leak: there the outline is meant to end.
        surface, opened = 0, 0
        for axis in range(3):
            for shift in (-1, 1):
                beyond = np.roll(piece, shift, axis) & ~piece
                surface += np.count_nonzero(beyond)
                opened += np.count_nonzero(beyond & as_hot)
        outline = np.ravel_multi_index(tuple((np.argwhere(piece) + low).T), self.suv.shape)
        leaks = opened > OPEN_SHARE * max(surface, 1) or self._length_mm(outline) > LONGEST_MM
        return np.asarray(outline, dtype=np.int64), leaks

    def _length_mm(self, voxels: Indices) -> float:
        """The longest distance within a set of voxels, edge to edge."""
        places = np.asarray(np.unravel_index(voxels, self.suv.shape)).T * self.spacing_zyx
        if len(places) > 400:  # the two ends of the longest distance lie furthest out along some direction
            ways = _DIRECTIONS @ places.T
            places = places[np.unique(np.r_[ways.argmax(axis=1), ways.argmin(axis=1)])]
        if len(places) < 2:
            return float(np.mean(self.spacing_zyx))
        first, second = np.triu_indices(len(places), 1)
        longest = int(pdist(places).argmax())
        way = places[second[longest]] - places[first[longest]]
        length = float(np.linalg.norm(way))
        return length + float(np.linalg.norm(way / length * self.spacing_zyx))

    def _measure(self, outline: Indices, hot: Indices, kind: LesionKind, source: str | None) -> tuple[Lesion, Indices]:
        places = np.asarray(np.unravel_index(outline, self.suv.shape)).T
        low, high = places.min(axis=0), places.max(axis=0) + 1
        mask = np.zeros(high - low, dtype=np.bool_)
        mask[tuple((places - low).T)] = True
        region = measure_region(self.case, mask, (int(low[0]), int(low[1]), int(low[2])))
        top = places[int(self.suv.ravel()[outline].argmax())]
        site, distance = self._site(top)
        values = self.suv.ravel()[outline].astype(np.float64)
        centre = point_of(self.case.ct.affine, np.average(places, axis=0, weights=values))
        outlined = kind == "focal"
        in_bone = self.bones[tuple(places.T)]
        hu = self.case.ct.voxels[tuple(places[in_bone].T)] if in_bone.any() else np.asarray([region.hu_median])
        lesion = Lesion(
            number=0,
            kind=kind,
            spill_in=source,
            site=site,
            site_distance_mm=distance,
            suv_max=region.suv_max,
            suv_peak=region.suv_peak,
            suv_mean=region.suv_mean if outlined else None,
            mtv_ml=region.volume_ml if outlined else None,
            tlg_g=region.volume_ml * region.suv_mean if outlined else None,
            diameter_mm=self._length_mm(outline) if outlined else None,
            volume_above_threshold_ml=hot.size * self.voxel_ml,
            centre_lps_mm=centre,
            suv_max_lps_mm=region.suv_max_lps_mm,
            hu_mean=region.hu_mean,
            hu_median=region.hu_median,
            low_density=bool(in_bone.any() and np.median(hu) < LYTIC_HU),
            in_region=float(self.region[tuple(places.T)].mean()),
        )
        return lesion, outline

    def _site(self, place: npt.NDArray[np.int64]) -> tuple[str, float]:
        """The bone at a place or the nearest one, and how far away; "" where none lies within `SITE_REACH_MM`."""
        window, away = self._window(place, SITE_REACH_MM)
        bone = self.bones[window]
        if not bone.any():
            return "", SITE_REACH_MM
        away = np.where(bone, away, np.inf)
        nearest = np.unravel_index(int(away.argmin()), away.shape)
        label = int(self.segmentation.labels.voxels[window][nearest])
        return self.segmentation.structures[label].name, float(away[nearest])


def _totals(lesions: list[Lesion]) -> LesionTotals:
    focal = [lesion for lesion in lesions if lesion.kind == "focal"]
    return LesionTotals(
        focal=len(focal),
        diffuse=sum(lesion.kind == "diffuse" for lesion in lesions),
        spill_in=sum(lesion.kind == "spill-in" for lesion in lesions),
        mtv_ml=sum(lesion.mtv_ml or 0.0 for lesion in focal),
        tlg_g=sum(lesion.tlg_g or 0.0 for lesion in focal),
        suv_max=max((lesion.suv_max for lesion in focal), default=None),
    )


def _notes(lesions: list[Lesion]) -> tuple[str, ...]:
    notes = []
    sources = sorted({lesion.spill_in for lesion in lesions if lesion.spill_in})
    if sources:
        notes.append(
            f"Uptake that leads up to a hotter place is listed but not counted ({', '.join(sources)}); look at it, "
            "because a lesion may hide in it."
        )
    if any(lesion.kind == "diffuse" for lesion in lesions):
        notes.append(
            "Some uptake above the threshold has no outline of its own because the marrow around it is as hot; it is "
            "listed as diffuse, without a volume."
        )
    return tuple(notes)
