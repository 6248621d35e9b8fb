"""Reference uptake: a sphere in the liver and one in the mediastinal blood pool, found or placed by a click."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.case import Case
from MemorySurvivalLib.measure.aorta import find_aorta
from MemorySurvivalLib.measure.frame import BodyFrame
from MemorySurvivalLib.measure.liver import find_liver
from MemorySurvivalLib.measure.uptake import Point, sphere_weights
from MemorySurvivalLib.roi.segments import Segmentation

Organ = Literal["liver", "blood_pool", "other"]
TITLES: dict[Organ, str] = {"liver": "liver", "blood_pool": "mediastinal blood pool", "other": "sphere"}

FOUND = "found automatically"
BY_HAND = "placed by hand"

LIVER_DIAMETER_MM = 30.0
"""PERCIST 1.0 and the EANM procedure guideline 2.0: a 3 cm sphere in the right lobe."""

BLOOD_POOL_DIAMETER_MM = 12.4
"""1 cm3, so that it stays clear of the wall of a thoracic aorta."""

EXPECTED_SUV: dict[Organ, tuple[float, float]] = {"liver": (1.3, 3.0), "blood_pool": (0.8, 3.0)}
"""Liver: EANM procedure guideline 2.0 for FDG. Blood pool: our own, wide choice."""

SOFT_HU = (0.0, 250.0)
"""Mean HU of liver and blood with or without contrast agent; fat, lung and bone lie outside."""

MOST_VARIATION = 0.3
"""More relative spread of uptake (SD / mean) within a reference sphere than this is not noise alone."""

MOST_HU_SD = 50.0
"""Of the blood pool: a larger spread of HU means bone, lung or calcification in the sphere."""

HOT_SPOT = 1.8
"""A voxel this many times the sphere's mean means something hot in it."""


@dataclass(frozen=True)
class ReferenceSphere:
    """A sphere and what lies in it: SUVbw and HU, partial voxels weighted. `quality` names every doubt in sentences.

    `made_by` is "found automatically" or "placed by hand".
    """

    organ: Organ
    centre_lps_mm: tuple[float, float, float]
    diameter_mm: float
    suv_mean: float
    suv_sd: float
    suv_max: float
    hu_mean: float
    hu_sd: float
    made_by: str
    quality: tuple[str, ...] = ()

    @property
    def homogeneous(self) -> bool:
        """Whether the uptake within varies no more than noise does."""
        return self.suv_sd <= MOST_VARIATION * self.suv_mean and self.suv_max <= HOT_SPOT * self.suv_mean


@dataclass(frozen=True)
class References:
    """The two references; None with a sentence in `notes` for one that is not there."""

    liver: ReferenceSphere | None = None
    blood_pool: ReferenceSphere | None = None
    notes: tuple[str, ...] = ()


def sphere_at(
    case: Case,
    point_lps_mm: tuple[float, float, float],
    diameter_mm: float,
    organ: Organ = "other",
    made_by: str = BY_HAND,
) -> ReferenceSphere:
    """Measure a sphere around a point. Raises InputError for a point or sphere that is not inside the image."""
    if not (np.isfinite(diameter_mm) and 2.0 <= diameter_mm <= 100.0):
        raise InputError(f"A reference sphere of {diameter_mm:g} mm cannot be measured; give a diameter of 2-100 mm.")
    name = TITLES[organ]
    if not np.isfinite(point_lps_mm).all():
        raise InputError(f"The point of the {name} must be three finite numbers, in LPS millimetres.")
    places, weights = sphere_voxels(case, point_lps_mm, diameter_mm)
    where = ", ".join(f"{v:.0f}" for v in point_lps_mm)
    if ((places < 0) | (places >= np.asarray(case.ct.shape))).any():
        raise InputError(f"The sphere of the {name} around ({where}) mm LPS leaves the image; place it inside.")
    suv = case.pet.voxels[tuple(places.T)].astype(np.float64)
    hu = case.ct.voxels[tuple(places.T)].astype(np.float64)
    suv_mean, suv_sd = _weighted(suv, weights)
    hu_mean, hu_sd = _weighted(hu, weights)
    sphere = ReferenceSphere(
        organ=organ,
        centre_lps_mm=(float(point_lps_mm[0]), float(point_lps_mm[1]), float(point_lps_mm[2])),
        diameter_mm=float(diameter_mm),
        suv_mean=suv_mean,
        suv_sd=suv_sd,
        suv_max=float(suv[weights >= 0.5].max(initial=0.0)),
        hu_mean=hu_mean,
        hu_sd=hu_sd,
        made_by=made_by,
    )
    return ReferenceSphere(**{**vars(sphere), "quality": _doubts(sphere)})


def sphere_voxels(
    case: Case, point_lps_mm: tuple[float, float, float], diameter_mm: float
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Voxels (n, 3; z, y, x) of a sphere on the case's grid and the share of each inside; may leave the image."""
    index = case.ct.affine.indices(point_lps_mm)
    nearest = np.rint(index)
    ox, oy, oz = (float(v) for v in index - nearest)
    offsets, weights = sphere_weights(case.ct.spacing_mm, diameter_mm / 2.0, (ox, oy, oz))
    return offsets + nearest[::-1].astype(np.int64), weights


def find_references(
    case: Case,
    segmentation: Segmentation,
    frame: BodyFrame,
    liver: ReferenceSphere | None = None,
    blood_pool: ReferenceSphere | None = None,
) -> References:
    """Find both spheres from CT and PET, except those that are given. `segmentation` lies on the case's grid.

    What is not found beyond doubt is None and said in a sentence.
    """
    notes: tuple[str, ...] = ()
    if liver is None:
        liver, said = _accept(case, find_liver(frame), LIVER_DIAMETER_MM, "liver")
        notes += said
    else:
        notes += liver.quality
    if blood_pool is None:
        place = find_aorta(case, segmentation, frame)
        blood_pool, said = _accept(case, place, BLOOD_POOL_DIAMETER_MM, "blood_pool")
        notes += said
    else:
        notes += blood_pool.quality
    return References(liver, blood_pool, notes)


def _accept(
    case: Case, found: Point | str, diameter_mm: float, organ: Organ
) -> tuple[ReferenceSphere | None, tuple[str, ...]]:
    """Measure what was found; a sphere that is not homogeneous is no reference."""
    if isinstance(found, str):
        return None, (found,)
    sphere = sphere_at(case, found, diameter_mm, organ, FOUND)
    dense = organ == "blood_pool" and sphere.hu_sd > MOST_HU_SD
    if not sphere.homogeneous or dense or not SOFT_HU[0] <= sphere.hu_mean <= SOFT_HU[1]:
        reasons = " ".join(sphere.quality)
        return None, (f"No {TITLES[organ]} reference: the place that was found cannot be used. {reasons}",)
    return sphere, sphere.quality


def _doubts(sphere: ReferenceSphere) -> tuple[str, ...]:
    """What speaks against a sphere, in sentences."""
    name = TITLES[sphere.organ]
    doubts = []
    if not sphere.homogeneous:
        doubts.append(
            f"The uptake in the {name} sphere is not homogeneous (mean {sphere.suv_mean:.2f}, SD {sphere.suv_sd:.2f}, "
            f"maximum {sphere.suv_max:.2f}); a lesion or an edge may lie in it."
        )
    if sphere.organ != "other" and not SOFT_HU[0] <= sphere.hu_mean <= SOFT_HU[1]:
        doubts.append(f"The {name} sphere has {sphere.hu_mean:.0f} HU, which is not soft tissue or blood.")
    if sphere.organ == "blood_pool" and sphere.hu_sd > MOST_HU_SD:
        doubts.append(f"The {name} sphere is not even on CT (SD {sphere.hu_sd:.0f} HU); bone or lung may lie in it.")
    expected = EXPECTED_SUV.get(sphere.organ)
    if expected and not expected[0] <= sphere.suv_mean <= expected[1]:
        doubts.append(
            f"The {name}'s mean SUV of {sphere.suv_mean:.2f} lies outside the expected "
            f"{expected[0]:g}-{expected[1]:g}; check dose, weight, times and the sphere's place."
        )
    return tuple(doubts)


def _weighted(values: npt.NDArray[np.float64], weights: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Weighted mean and standard deviation."""
    mean = float(np.average(values, weights=weights))
    return mean, float(np.sqrt(np.average((values - mean) ** 2, weights=weights)))
