"""Cases made up for the measuring tests: balls of uptake in a block of tissue, and a phantom with its own truth."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from MemorySurvivalLib.imaging.case import Case, make_case
from MemorySurvivalLib.imaging.volume import Affine, Volume
from MemorySurvivalLib.roi.roi import Roi
from MemorySurvivalLib.roi.segments import Code, Maker, Segmentation, Structure, StructureGroup
from MemorySurvivalLib.simulation.case import SimulatedCase, simulate_case
from MemorySurvivalLib.simulation.tissues import BONES, VERTEBRAE, Tissue

TILT = np.asarray([[0.936, -0.289, 0.201], [0.307, 0.949, -0.067], [-0.171, 0.125, 0.977]])
"""A rotation by some 20 degrees, made exact below."""

Ball = tuple[tuple[float, float, float], float, float]
"""Centre (LPS, mm), radius (mm), SUV."""


def rotation() -> np.ndarray:
    """The nearest exact rotation to TILT."""
    u, _, v = np.linalg.svd(TILT)
    return np.asarray(u @ v)


def make_structure(name: str, group: StructureGroup) -> Structure:
    return Structure(name, group, Code(name, "99TEST", name))


def ball_case(
    *balls: Ball,
    spacing_mm: tuple[float, float, float] = (2.0, 2.0, 2.0),
    size_mm: float = 96.0,
    direction: np.ndarray | None = None,
    background: float = 0.5,
) -> Case:
    """Balls (with edges one voxel wide) in a cube of tissue around the origin of LPS."""
    count = [int(np.ceil(size_mm / mm)) for mm in spacing_mm]
    turn = np.eye(3) if direction is None else direction
    middle = (np.asarray(count) - 1) / 2 * spacing_mm
    affine = Affine.from_parts(spacing_mm, turn, -turn @ middle)
    z, y, x = np.indices(count[::-1])
    suv = np.full(z.shape, background)
    points = affine.points_mm(np.stack([x, y, z], axis=-1))
    voxel_mm = float(np.prod(spacing_mm) ** (1 / 3))
    for centre, radius, value in balls:
        away = np.linalg.norm(points - np.asarray(centre), axis=-1)
        suv += np.clip((radius - away) / voxel_mm + 0.5, 0, 1) * (value - background)
    hu = np.full(z.shape, 40.0)
    return Case(
        Volume(hu.astype(np.float32), affine), Volume(suv.astype(np.float32), affine), affine.orientation, False, {}
    )


def whole(case: Case) -> Roi:
    return Roi(Volume(np.ones(case.ct.shape, dtype=np.bool_), case.ct.affine), "other", "a test")


def all_bone(case: Case) -> Segmentation:
    labels = np.ones(case.ct.shape, dtype=np.uint8)
    return Segmentation(
        Volume(labels, case.ct.affine),
        {1: make_structure("Block", "bone")},
        Maker("a test"),
        Volume(labels, case.ct.affine),
    )


@lru_cache(maxsize=4)
def phantom(seed: int) -> tuple[SimulatedCase, Case, Segmentation]:
    """A simulated patient, its case, and its truth as a segmentation."""
    simulated = simulate_case(seed)
    return simulated, make_case(simulated.ct, simulated.pet), true_segmentation(simulated)


def true_segmentation(simulated: SimulatedCase) -> Segmentation:
    tissues = np.asarray(simulated.phantom.labels.voxels)
    structures = {int(tissue): make_structure(tissue.name, _group(tissue)) for tissue in (*BONES, Tissue.SPINAL_CANAL)}
    labels = np.where(np.isin(tissues, list(structures)), tissues, 0).astype(np.uint8)
    body = (tissues > 0).astype(np.uint8)
    affine = simulated.ct.affine
    return Segmentation(Volume(labels, affine), structures, Maker("the phantom's truth"), Volume(body, affine))


def _group(tissue: Tissue) -> StructureGroup:
    if tissue in VERTEBRAE:
        return "vertebra"
    if tissue == Tissue.SPINAL_CANAL:
        return "canal"
    return "sacrum" if tissue == Tissue.SACRUM else "bone"


def true_roi(simulated: SimulatedCase, case: Case) -> Roi:
    return Roi(Volume(simulated.skeleton.voxels != 0, case.ct.affine), "skeleton", "the phantom's truth")
