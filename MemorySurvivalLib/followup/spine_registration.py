"""Laying a prior study over the current one by the spine: a rigid move, and how well it fits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk
from scipy import ndimage

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.volume import Affine, FloatMatrix, Volume, resample_onto

WORKING_MM = 3.0
"""Both CTs are compared on this spacing."""
AROUND_MM = 12.0
"""How far around the spine the CTs are compared: ribs and soft tissue beside it tell the vertebrae apart."""
SHIFTS_MM = tuple(float(shift) for shift in range(-160, 161, 8))
"""Starts along the body tried beside the one that lays the spines' middles over each other: the two scans may show
different parts, and one vertebra looks like the next."""
APART_MM = 20.0
PROMISING = 5
"""Starts that are followed, and how far apart they are."""
_HU = (-200.0, 800.0)
_STEPS = 100
SEED = 1

GOOD_DICE = 0.65
"""Below this overlap of the two spines the registration is called doubtful."""

Bool = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class SpineMatch:
    """`current_to_prior` (4 x 4, row by row) takes an LPS point (mm) of the current study to its spot in the prior one.

    `spine_dice` is the overlap of the two spines after it, over the part that both scans show. `doubtful` says that it
    is low.
    """

    current_to_prior: tuple[tuple[float, ...], ...]
    spine_dice: float

    @property
    def matrix(self) -> FloatMatrix:
        """As an array."""
        return np.asarray(self.current_to_prior, dtype=np.float64)

    @property
    def doubtful(self) -> bool:
        """Whether the two spines hardly overlap."""
        return self.spine_dice < GOOD_DICE

    def to_prior(self, points_mm: npt.ArrayLike) -> FloatMatrix:
        """LPS points (..., 3) of the current study as the prior has them."""
        moved: FloatMatrix = np.asarray(points_mm, dtype=np.float64) @ self.matrix[:3, :3].T + self.matrix[:3, 3]
        return moved


def match_spines(current_ct: Volume, current_spine: Volume, prior_ct: Volume, prior_spine: Volume) -> SpineMatch:
    """Find the rigid move between two CTs (HU) by what they show around the spine (masks on any grid, any orientation).

    Correlation of the CTs near the current spine, from several starts along the body. The same images always give the
    same answer. Raises InputError where a spine is empty or the two cannot be compared.
    """
    fixed, fixed_spine = _prepare(current_ct, current_spine, "current")
    moving, moving_spine = _prepare(prior_ct, prior_spine, "prior")
    threads = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)  # sums in another order would change the last digits
    try:
        best = _search(fixed, fixed_spine, moving, moving_spine)
    except RuntimeError as error:
        raise InputError(
            "The two CTs cannot be compared around the spine; choose studies of the same patient that both show it."
        ) from error
    finally:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)
    rows = tuple(tuple(round(float(value), 9) for value in row) for row in best)
    return SpineMatch(rows, round(_dice(best, fixed_spine, moving_spine, moving), 4))


def _prepare(ct: Volume, spine: Volume, which: str) -> tuple[Volume, Volume]:
    """CT (limited HU, smoothed) and spine on a working grid around the spine, along LPS."""
    voxels = np.argwhere(spine.voxels != 0)
    if len(voxels) == 0:
        raise InputError(f"The {which} study has no spine to be registered by; correct its mask or choose another.")
    points = spine.affine.points_mm(voxels[:, ::-1])
    margin = AROUND_MM + 2 * WORKING_MM
    low, high = points.min(axis=0) - margin, points.max(axis=0) + margin
    shape = tuple(int(n) for n in np.ceil((high - low) / WORKING_MM)[::-1] + 1)
    affine = Affine.from_parts((WORKING_MM,) * 3, np.eye(3), low)
    grid = Volume(np.zeros(shape, dtype=np.uint8), affine)
    limited = Volume(np.clip(ct.voxels, *_HU).astype(np.float32), ct.affine)
    blur = [max(0.0, WORKING_MM / 2 / mm) for mm in reversed(ct.spacing_mm)]
    smooth = Volume(ndimage.gaussian_filter(limited.voxels, blur), ct.affine)
    on_grid = resample_onto(smooth, grid, linear=True, outside=_HU[0])
    mask = resample_onto(Volume((spine.voxels != 0).astype(np.uint8), spine.affine), grid, linear=False)
    return Volume(on_grid.voxels, affine), Volume(mask.voxels.astype(np.uint8), affine)


def _search(fixed: Volume, spine: Volume, moving: Volume, moving_spine: Volume) -> FloatMatrix:
    near = sitk.BinaryDilate(spine.to_sitk(), [max(1, round(AROUND_MM / WORKING_MM))] * 3)
    fine = _Pair(fixed.to_sitk(), moving.to_sitk(), near)
    rough = fine.rough()
    middle = _middle(spine)
    by_middles = _middle(moving_spine) - middle
    starts = [_rigid(middle, by_middles + np.array([0.0, 0.0, shift])) for shift in SHIFTS_MM]
    values = np.array([rough.compare(start) for start in starts])
    found = [rough.descend(starts[index], first_step_mm=6.0) for index in _promising(values)]
    found = [fine.descend(each[1], first_step_mm=2.0) for each in sorted(found, key=lambda each: each[0])[:2]]
    return _matrix(min(found, key=lambda each: each[0])[1])


def _promising(values: npt.NDArray[np.float64]) -> list[int]:
    """The best starts, none beside another: one who lies askew makes all neighbours of a wrong start look good."""
    chosen: list[int] = []
    for index in np.argsort(values, kind="stable"):
        if all(abs(SHIFTS_MM[index] - SHIFTS_MM[other]) >= APART_MM for other in chosen):
            chosen.append(int(index))
        if len(chosen) == PROMISING:
            break
    return chosen


@dataclass(frozen=True, eq=False)
class _Pair:
    """The two CTs on one spacing, and where they are compared."""

    fixed: sitk.Image
    moving: sitk.Image
    near: sitk.Image

    def rough(self) -> _Pair:
        """The same at half the resolution, smoothed, for finding the way."""
        fixed, moving = (
            sitk.Shrink(sitk.SmoothingRecursiveGaussian(image, WORKING_MM), [2, 2, 2])
            for image in (self.fixed, self.moving)
        )
        return _Pair(fixed, moving, sitk.Shrink(self.near, [2, 2, 2]))

    def compare(self, transform: sitk.Transform) -> float:
        """The negative squared correlation: smaller is better."""
        return float(self._method(transform).MetricEvaluate(self.fixed, self.moving))

    def descend(self, transform: sitk.Transform, first_step_mm: float) -> tuple[float, sitk.Transform]:
        """The best value near a start, and the move there."""
        method = self._method(transform)
        method.SetOptimizerAsRegularStepGradientDescent(
            learningRate=first_step_mm, minStep=0.05, numberOfIterations=_STEPS, relaxationFactor=0.6
        )
        method.SetOptimizerScalesFromPhysicalShift()
        found = method.Execute(self.fixed, self.moving)
        return float(method.GetMetricValue()), sitk.Euler3DTransform(found.GetNthTransform(0)) if isinstance(
            found, sitk.CompositeTransform
        ) else found

    def _method(self, transform: sitk.Transform) -> sitk.ImageRegistrationMethod:
        method = sitk.ImageRegistrationMethod()
        method.SetMetricAsCorrelation()
        method.SetMetricFixedMask(self.near)
        method.MetricUseMovingImageGradientFilterOff()
        method.SetMetricSamplingStrategy(method.REGULAR)
        method.SetMetricSamplingPercentage(0.25, seed=SEED)
        method.SetInterpolator(sitk.sitkLinear)
        method.SetInitialTransform(transform, inPlace=False)
        return method


def _rigid(centre: FloatMatrix, translation: FloatMatrix) -> sitk.Euler3DTransform:
    transform = sitk.Euler3DTransform()
    transform.SetCenter(centre.tolist())
    transform.SetTranslation(translation.tolist())
    return transform


def _middle(spine: Volume) -> FloatMatrix:
    middle: FloatMatrix = spine.affine.points_mm(np.argwhere(spine.voxels != 0)[:, ::-1]).mean(axis=0)
    return middle


def _matrix(transform: sitk.Transform) -> FloatMatrix:
    corners = np.vstack([np.zeros(3), np.eye(3)])
    moved = np.array([transform.TransformPoint(point.tolist()) for point in corners])
    matrix = np.eye(4)
    matrix[:3, :3] = (moved[1:] - moved[0]).T
    matrix[:3, 3] = moved[0]
    return matrix


def _dice(rigid: FloatMatrix, spine: Volume, prior_spine: Volume, prior: Volume) -> float:
    """Overlap of the spines where both scans reach: what only one scan shows says nothing of the fit."""
    inverse = np.linalg.inv(rigid)
    brought = Affine(inverse @ prior_spine.affine.matrix)
    other = resample_onto(Volume(prior_spine.voxels, brought), spine, linear=False).voxels != 0
    mine: Bool = spine.voxels != 0
    rows = np.flatnonzero(mine.any(axis=(1, 2)) & other.any(axis=(1, 2)))
    if len(rows) == 0:
        return 0.0
    part = slice(rows[0], rows[-1] + 1)
    total = int(mine[part].sum() + other[part].sum())
    return 2.0 * int((mine[part] & other[part]).sum()) / total
