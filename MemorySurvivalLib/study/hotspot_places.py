"""Where in a simulated patient a point lies: at a lesion, at a distractor that is hot without hazard, at an organ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from MemorySurvivalLib.imaging.volume import Volume, resample_onto
from MemorySurvivalLib.simulation.scenario_case import ScenarioCase
from MemorySurvivalLib.simulation.tissues import Tissue
from MemorySurvivalLib.simulation.uptake import list_benign

Place = Literal["lesion", "distractor", "organ", "elsewhere"]
"""The first that holds: within the tolerance of a lesion, of a benign change of bone that is hot (a healing fracture,
worn end plates, bone around an implant), of an organ with much uptake of its own; or none of these."""

HOT_ORGANS: tuple[Tissue, ...] = (
    Tissue.GREY_MATTER,
    Tissue.WHITE_MATTER,
    Tissue.CEREBELLUM,
    Tissue.KIDNEY,
    Tissue.RENAL_PELVIS,
    Tissue.BLADDER,
    Tissue.HEART_BLOOD,
    Tissue.MYOCARDIUM,
    Tissue.LIVER,
)

_PLACES: tuple[Place, ...] = get_args(Place)

Voxels = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Truth:
    """Voxels (bool, z y x, one grid with `spacing_mm` along x y z) of lesions, hot benign changes and hot organs."""

    lesions: Voxels
    distractors: Voxels
    organs: Voxels
    spacing_mm: tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class PlaceMap:
    """Distance of each voxel's centre to the nearest lesion voxel's (mm, 0 inside), and its place by number."""

    away_mm: npt.NDArray[np.float64]
    places: npt.NDArray[np.uint8]

    def distance_mm(self, index_zyx: npt.NDArray[np.intp]) -> float:
        """How far a voxel lies from the nearest lesion."""
        return round(float(self.away_mm[tuple(index_zyx)]), 1)

    def at(self, index_zyx: npt.NDArray[np.intp]) -> Place:
        """Where a voxel lies."""
        return _PLACES[int(self.places[tuple(index_zyx)])]

    def shares(self, inside: Voxels) -> dict[Place, float]:
        """The part of a region's voxels that lies at each place."""
        found = self.places[inside]
        return {name: round(float((found == number).mean()), 4) for number, name in enumerate(_PLACES)}


def read_truth(images: ScenarioCase, grid: Volume) -> Truth:
    """The truth of a simulated patient's images on the grid of the case that was made of them."""
    labels = images.phantom.labels
    benign = np.zeros(labels.voxels.shape, np.bool_)
    for voxels, _suv in list_benign(images.phantom):
        benign |= voxels
    on_grid = (
        _bring(images.lesions, images.lesions.voxels > 0, grid),
        _bring(labels, benign, grid),
        _bring(labels, np.isin(labels.voxels, HOT_ORGANS), grid),
    )
    return Truth(*on_grid, grid.spacing_mm)


def find_places(truth: Truth, tolerance_mm: float) -> PlaceMap:
    """Distances to lesions and the place of every voxel."""
    away = _distance_mm(truth.lesions, truth)
    others = (_distance_mm(truth.distractors, truth), _distance_mm(truth.organs, truth))
    near = np.select([one <= tolerance_mm for one in (away, *others)], [0, 1, 2], default=3)
    return PlaceMap(away, near.astype(np.uint8))


def _distance_mm(there: Voxels, truth: Truth) -> npt.NDArray[np.float64]:
    if not there.any():
        return np.full(there.shape, np.inf)
    found: npt.NDArray[np.float64] = ndimage.distance_transform_edt(~there, sampling=truth.spacing_mm[::-1])
    return found


def _bring(like: Volume, voxels: Voxels, grid: Volume) -> Voxels:
    mask = like.with_voxels(voxels.astype(np.uint8)).reoriented()
    there: Voxels = (mask if mask.same_grid(grid) else resample_onto(mask, grid, linear=False)).voxels > 0
    return there
