"""Quality flags of a PET: what a reader of the score should know about the scan, recorded and never hidden."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.quality_flag import QualityFlag
from MemorySurvivalLib.imaging.volume import Volume, resample_onto

if TYPE_CHECKING:
    from MemorySurvivalLib.imaging.suv import SuvConversion

BODY_HU = -300.0
WORKING_MM = 8.0
TRUNK_LENGTH_MM = 550.0
TRUNK_AREA_CM2 = (200.0, 2500.0)
MUCH = 0.25
"""Share of slices in which the body may run out of the image before the image counts as a crop of it."""

_FDG_WORDS = {"FDG", "FFDG"}
_FDG_PARTS = ("DEOXYGLUCOSE", "DESOXYGLUCOSE", "FLUDEOXYGLUCOSE")


@dataclass(frozen=True)
class PetLimits:
    """What a model bundle accepts without a flag; ends belong to the range.

    The uptake time is that of the EANM guideline for FDG (60 minutes, 55-75, widened to 50). 11 mmol/L glucose is the
    same guideline's limit. The SUV ranges are wide: they catch wrong units, dose, weight or decay, not disease. Normal
    liver is 1.9 +- 0.4 g/mL; the mean over a whole body is 1 g/mL less what was passed as urine.
    """

    uptake_min: tuple[float, float] = (50.0, 75.0)
    glucose_mmol_l: float = 11.0
    liver_mean_suv: tuple[float, float] = (1.0, 4.5)
    body_mean_suv: tuple[float, float] = (0.3, 2.0)

    def __post_init__(self) -> None:
        for name in ("uptake_min", "liver_mean_suv", "body_mean_suv"):
            low, high = getattr(self, name)
            if not 0 <= low < high:
                raise InputError(f"The PET limit {name} must be two numbers of zero or more, the lower one first.")
        if not self.glucose_mmol_l > 0:
            raise InputError("The PET limit glucose_mmol_l must be above zero.")


def check_pet(conversion: SuvConversion, limits: PetLimits | None = None) -> tuple[QualityFlag, ...]:
    """Every flag of the conversion, then those of tracer, uptake time and glucose against `limits`."""
    limits = limits or PetLimits()
    found = [_check_tracer(conversion.tags.tracer, conversion.tags.isotope)]
    if not any(flag.name == "uptake_time" for flag in conversion.flags):  # which says why it cannot be told
        found.append(_check_uptake_time(conversion.uptake_min, limits))
    found.append(_check_glucose(conversion.tags.glucose_mmol_l, conversion.tags.glucose_text, limits))
    return (*conversion.flags, *(flag for flag in found if flag))


def check_uptake(
    pet: Volume, ct: Volume | None = None, liver_mean: float | None = None, limits: PetLimits | None = None
) -> tuple[QualityFlag, ...]:
    """Flag a PET (SUVbw) whose liver or whole-body mean is implausible.

    `ct` (HU, any grid) is needed for the whole-body mean, which is judged only where the images show a whole trunk:
    the body at least 550 mm long and not cut at the sides. `liver_mean` is a reference measurement (SUVbw).
    """
    limits = limits or PetLimits()
    found = []
    if liver_mean is not None:
        found.append(_check_mean("liver_mean", "liver", liver_mean, limits.liver_mean_suv))
    body_mean = measure_body_mean(pet, ct) if ct is not None else None
    if body_mean is not None:
        found.append(_check_mean("body_mean", "whole body in view", body_mean, limits.body_mean_suv))
    return tuple(flag for flag in found if flag)


def measure_body_mean(pet: Volume, ct: Volume) -> float | None:
    """Mean SUV over the body in view (CT above -300 HU with what it encloses); None unless a whole trunk is seen."""
    coarse_ct = _coarse(ct)
    body = _find_body(coarse_ct.voxels)
    if not _is_whole_trunk(body, coarse_ct.spacing_mm):
        return None
    inside = _coverage(pet, coarse_ct)
    seen = body & inside
    if np.count_nonzero(seen.any(axis=(1, 2))) * coarse_ct.spacing_mm[2] < TRUNK_LENGTH_MM:
        return None
    uptake = resample_onto(_coarse(pet), coarse_ct, linear=True).voxels
    return float(uptake[seen].mean(dtype=np.float64))


def is_fdg(tracer: str) -> bool:
    """Whether a radiopharmaceutical's name means fluorodeoxyglucose, however it is spelled."""
    letters = re.sub(r"[^A-Z]+", " ", tracer.upper())
    joined = letters.replace(" ", "")
    return bool(_FDG_WORDS & set(letters.split())) or any(part in joined for part in _FDG_PARTS)


def _check_tracer(tracer: str, isotope: str) -> QualityFlag | None:
    if tracer and not is_fdg(tracer):
        return QualityFlag(
            "tracer", "warning", f"The tracer is {tracer}, not FDG; the model's scores hold for FDG only."
        )
    if isotope and isotope != "F-18":
        return QualityFlag(
            "tracer", "warning", f"The radionuclide is {isotope}, but FDG is labelled with F-18; check the tracer."
        )
    if not tracer:
        return QualityFlag("tracer", "warning", "The PET does not say which tracer was given; make sure it was FDG.")
    return None


def _check_uptake_time(uptake_min: float | None, limits: PetLimits) -> QualityFlag | None:
    low, high = limits.uptake_min
    if uptake_min is None:
        return QualityFlag(
            "uptake_time",
            "warning",
            f"The time from injection to scan cannot be told, so it is unknown whether it was {low:g} to {high:g} min.",
        )
    if low <= uptake_min <= high:
        return None
    return QualityFlag(
        "uptake_time",
        "warning",
        f"The scan began {uptake_min:.0f} min after the injection, outside {low:g} to {high:g} min; "
        "uptake is not comparable with the model's reference.",
        round(uptake_min, 2),
    )


def _check_glucose(mmol_l: float | None, words: str, limits: PetLimits) -> QualityFlag | None:
    if mmol_l is None:
        if not words:
            return None
        return QualityFlag(
            "glucose", "note", f'The blood glucose is recorded as "{words}" without a unit, so it was not judged.'
        )
    if mmol_l <= limits.glucose_mmol_l:
        return None
    return QualityFlag(
        "glucose",
        "warning",
        f"The blood glucose was {mmol_l:.1f} mmol/L, above {limits.glucose_mmol_l:g}; it lowers FDG uptake.",
        round(mmol_l, 2),
    )


def _check_mean(name: str, where: str, mean: float, limits: tuple[float, float]) -> QualityFlag | None:
    low, high = limits
    if low <= mean <= high:
        return None
    return QualityFlag(
        name,
        "warning",
        f"The mean SUV of the {where} is {mean:.3g}, outside {low:g} to {high:g}; "
        "check dose, weight, times and units of the PET.",
        round(mean, 4),
    )


def _coarse(volume: Volume) -> Volume:
    """The volume along LPS with voxels averaged by whole factors to about 8 mm: enough for a mean, and quick."""
    turned = volume.reoriented()
    factors = [max(1, round(WORKING_MM / mm)) for mm in turned.spacing_mm[::-1]]
    kept = [n // f * f for n, f in zip(turned.shape, factors, strict=True)]
    if 0 in kept:
        return turned
    z, y, x = kept
    fz, fy, fx = factors
    blocks = turned.voxels[:z, :y, :x].reshape(z // fz, fz, y // fy, fy, x // fx, fx)
    means = blocks.mean(axis=(1, 3, 5), dtype=np.float32)
    scale = np.diag([fx, fy, fz, 1.0])
    first = [(f - 1) / 2 for f in (fx, fy, fz)]
    matrix = turned.affine.matrix @ scale
    matrix[:3, 3] = turned.affine.points_mm(first)
    return Volume(means, type(turned.affine)(matrix))


def _find_body(hu: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    dense = ndimage.binary_opening(hu > BODY_HU, iterations=1)
    labels, count = ndimage.label(dense)
    if count == 0:
        return np.zeros(hu.shape, dtype=np.bool_)
    largest = labels == np.bincount(labels.ravel())[1:].argmax() + 1
    return np.stack([ndimage.binary_fill_holes(section) for section in largest])


def _is_whole_trunk(body: npt.NDArray[np.bool_], spacing_mm: tuple[float, float, float]) -> bool:
    x_mm, y_mm, z_mm = spacing_mm
    areas = body.sum(axis=(1, 2)) * x_mm * y_mm / 100
    areas = areas[areas > 0]
    if areas.size * z_mm < TRUNK_LENGTH_MM:
        return False
    # Arms leave the field of view in many scans; a crop of the trunk shows dense voxels on every side of most slices.
    sides = [body[:, 0, :], body[:, -1, :], body[:, :, 0], body[:, :, -1]]
    cut = np.mean([side.sum(axis=1).astype(bool) for side in sides], axis=0) >= 0.5
    low, high = TRUNK_AREA_CM2
    return bool(low <= float(np.median(areas)) <= high and cut.mean() <= MUCH)


def _coverage(pet: Volume, grid: Volume) -> npt.NDArray[np.bool_]:
    """Which voxel centres of `grid` lie inside the PET's field of view (bool, z, y, x)."""
    z, y, x = grid.shape
    index = np.stack(np.meshgrid(np.arange(x), np.arange(y), np.arange(z), indexing="ij"), axis=-1)
    found = pet.affine.indices(grid.affine.points_mm(index))
    size = np.asarray(pet.shape[::-1])
    inside = np.asarray(((found > -0.5) & (found < size - 0.5)).all(axis=-1))
    return inside.transpose(2, 1, 0)
