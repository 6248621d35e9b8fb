"""CT and PET compared by mutual information, and the rigid move of the PET that makes it largest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import SimpleITK as sitk

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.grid import crop_to_overlap
from MemorySurvivalLib.imaging.volume import FloatMatrix, Volume

WORKING_MM = 4.0
"""Both images are averaged down to about this spacing: a PET shows no finer detail."""

BINS = 32
SAMPLES = 150_000
"""Voxels compared in every step of the search."""
SEED = 1
COARSE_MM = 4.0
"""Smoothing of the first of the two levels."""

LAST_STEP_MM = 0.02
MOST_STEPS = 80

SEARCH_MARGIN_MM = 30.0
"""How far beyond the body's surface the images are compared, and how far beyond the PET the CT is kept."""

_CT_RANGE_HU = (-1000.0, 400.0)
_CT_BLUR_MM = 2.5
_PET_LIMIT_SUV = 6.0
_BODY_HU = -300.0
_DILATION_MM = 24.0

Value = TypeVar("Value")

Rigid = FloatMatrix
"""4 x 4: takes an LPS point of the CT to the same spot of the patient as the PET has it."""


@dataclass(frozen=True, eq=False)
class ImagePair:
    """CT and PET made comparable: on about WORKING_MM, CT limited to soft tissue and bone and blurred like a PET,
    PET as the square root of the SUV (limited, so that brain and bladder do not rule).

    `body` marks the compared voxels: the body and the air around it; the search looks at a `sampled` share of them.
    `body_ml` is the body's volume.
    """

    ct: sitk.Image
    pet: sitk.Image
    body: sitk.Image
    body_ml: float
    sampled: float

    def part(self, axis: int, start: int, stop: int) -> ImagePair:
        """Only the CT's voxels start <= index < stop along one axis (0 = x), against the whole PET."""
        place = tuple(slice(start, stop) if i == axis else slice(None) for i in range(3))
        share = (stop - start) / self.ct.GetSize()[axis]
        return ImagePair(self.ct[place], self.pet, self.body[place], self.body_ml * share, self.sampled)


@dataclass(frozen=True, eq=False)
class Match:
    """The best rigid move found and the mutual information (nats, larger is better) there."""

    rigid: Rigid
    mutual_information: float


def make_pair(ct: Volume, pet: Volume) -> ImagePair:
    """Prepare CT (HU) and PET (SUVbw), each on its own grid in any orientation.

    Raises InputError where they do not overlap or the CT shows no body there.
    """
    cropped, _ = crop_to_overlap(ct, pet, margin_mm=SEARCH_MARGIN_MM)
    fixed = _shrink(cropped)
    body = sitk.BinaryThreshold(fixed, _BODY_HU, 1e9)
    spacing = fixed.GetSpacing()
    body = sitk.BinaryMorphologicalOpening(body, [max(1, round(6.0 / mm)) for mm in spacing])  # off with the table
    parts = sitk.RelabelComponent(sitk.ConnectedComponent(body), sortByObjectSize=True)
    body = parts == 1
    voxels = int(sitk.GetArrayViewFromImage(body).sum())
    if voxels == 0:
        raise InputError("The CT shows no body where the PET is; choose images of the same patient and study.")
    around = sitk.BinaryDilate(body, [max(1, round(_DILATION_MM / mm)) for mm in spacing])
    low, high = _CT_RANGE_HU
    fixed = sitk.SmoothingRecursiveGaussian(sitk.Clamp(fixed, sitk.sitkFloat32, low, high), _CT_BLUR_MM)
    moving = sitk.Sqrt(sitk.Clamp(_shrink(pet), sitk.sitkFloat32, 0.0, _PET_LIMIT_SUV))
    compared = int(sitk.GetArrayViewFromImage(around).sum())
    return ImagePair(
        fixed, moving, around, voxels * float(np.prod(spacing)) / 1000, sampled=min(1.0, SAMPLES / compared)
    )


def _shrink(volume: Volume) -> sitk.Image:
    """Average whole voxels up to WORKING_MM; in slabs, so that a large image is never held twice."""
    factors = [
        max(1, min(int(WORKING_MM / step + 1e-3), size // 2))
        for step, size in zip(volume.spacing_mm, reversed(volume.shape), strict=True)
    ]
    depth, height, width = volume.shape
    rows = max(1, 64 // factors[2]) * factors[2]
    slabs = []
    for start in range(0, depth - factors[2] + 1, rows):
        part = volume.cropped((start, 0, 0), (min(start + rows, depth), height, width))
        image = sitk.Cast(part.to_sitk(), sitk.sitkFloat32)
        slabs.append(Volume.from_sitk(image if factors == [1, 1, 1] else sitk.BinShrink(image, factors)))
    return Volume(np.concatenate([slab.voxels for slab in slabs]), slabs[0].affine).to_sitk()


def find_translation(pair: ImagePair, start: Rigid | None = None) -> Match:
    """The shift with the largest mutual information, found by gradient descent: on top of a move `start` near the
    answer, else in two levels from none. The same images always give the same answer: one thread, fixed samples.

    Raises InputError where the images cannot be compared.
    """
    near = np.eye(4) if start is None else start
    method = _method(pair, sitk.TranslationTransform(3))
    method.SetMovingInitialTransform(_affine_transform(near))
    if start is None:
        method.SetShrinkFactorsPerLevel([2, 1])
        method.SetSmoothingSigmasPerLevel([COARSE_MM, 0.0])
        method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOn()
    _descend(method, first_step_mm=4.0 if start is None else 2.0)
    found = _compared(lambda: method.Execute(pair.ct, pair.pet))
    return Match(near @ _matrix(found), -float(method.GetMetricValue()))


def find_rigid(pair: ImagePair, start: Rigid) -> Match:
    """The turn (about the body's middle) and shift with the largest mutual information, from a shift `start` near it.

    Errors and sameness as in `find_translation`.
    """
    transform = sitk.Euler3DTransform()
    transform.SetCenter(body_middle(pair))
    transform.SetTranslation(start[:3, 3].tolist())
    method = _method(pair, transform)
    _descend(method, first_step_mm=2.0, relaxation=0.7)  # turns and shifts pull against each other: patience
    found = _compared(lambda: method.Execute(pair.ct, pair.pet))
    return Match(_matrix(found), -float(method.GetMetricValue()))


def mutual_information(pair: ImagePair, rigid: Rigid) -> float:
    """Mattes mutual information (nats) of CT and PET moved by `rigid`, from every voxel near the body.

    A little larger than a `Match` says: the search looks at a sample of the voxels.
    """
    method = _method(pair, _affine_transform(rigid))
    return _compared(lambda: -float(method.MetricEvaluate(pair.ct, pair.pet)))


def body_middle(pair: ImagePair) -> tuple[float, float, float]:
    """The middle of the compared region in LPS millimetres."""
    statistics = sitk.LabelShapeStatisticsImageFilter()
    statistics.Execute(sitk.Cast(pair.body, sitk.sitkUInt8))
    x, y, z = statistics.GetCentroid(1)
    return float(x), float(y), float(z)


def _method(pair: ImagePair, transform: sitk.Transform) -> sitk.ImageRegistrationMethod:
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(BINS)
    method.MetricUseMovingImageGradientFilterOff()  # gradients at the samples only: half the time, the same answer
    method.SetMetricFixedMask(pair.body)
    method.SetMetricSamplingStrategy(method.REGULAR)
    method.SetMetricSamplingPercentage(pair.sampled, seed=SEED)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetInitialTransform(transform, inPlace=False)
    return method


def _descend(method: sitk.ImageRegistrationMethod, first_step_mm: float, relaxation: float = 0.5) -> None:
    method.SetOptimizerAsRegularStepGradientDescent(
        learningRate=first_step_mm,
        minStep=LAST_STEP_MM,
        numberOfIterations=MOST_STEPS,
        relaxationFactor=relaxation,
        gradientMagnitudeTolerance=1e-8,
    )
    method.SetOptimizerScalesFromPhysicalShift()


def _compared(compare: Callable[[], Value]) -> Value:
    """Run a comparison in one thread: sums in another order would change the last digits from run to run.

    SimpleITK's metric heeds only the number for the whole process, so that is set and put back.
    """
    threads = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    try:
        return compare()
    except RuntimeError as error:
        raise InputError(
            "The CT and the PET cannot be compared where they overlap (too little of the body, or one of them is the "
            "same everywhere there); leave the misregistration check out or choose other images."
        ) from error
    finally:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)


def _affine_transform(rigid: Rigid) -> sitk.AffineTransform:
    transform = sitk.AffineTransform(3)
    transform.SetMatrix(rigid[:3, :3].ravel().tolist())
    transform.SetTranslation(rigid[:3, 3].tolist())
    return transform


def _matrix(transform: sitk.Transform) -> Rigid:
    """The transform as 4 x 4, read off at four points."""
    zero = np.asarray(transform.TransformPoint((0.0, 0.0, 0.0)))
    matrix = np.eye(4)
    matrix[:3, 3] = zero
    for axis in range(3):
        point = [0.0, 0.0, 0.0]
        point[axis] = 1.0
        matrix[:3, axis] = np.asarray(transform.TransformPoint(point)) - zero
    return matrix
