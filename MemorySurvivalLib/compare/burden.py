"""Measured tumour burden in a handful of numbers, and how unlike two burdens are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.measure.lesion import LesionConfig
from MemorySurvivalLib.measure.tables import MeasurementRecord

Array = npt.NDArray[np.float64]

TITLES: Mapping[str, str] = {
    "mtv_ml": "focal MTV (ml)",
    "tlg_g": "focal TLG (g)",
    "suv_max": "hottest SUVmax",
    "focal_lesions": "focal lesions",
    "marrow_suv": "marrow SUV",
}

NORMAL_IQR = 1.349
"""Interquartile range of a normal distribution, in standard deviations."""


@dataclass(frozen=True)
class Burden:
    """What was measured in one region (SUVbw g/mL, ml, g). `suv_max` is None where there is no focal lesion.

    Raises InputError for negative numbers and for those that are not finite.
    """

    mtv_ml: float
    tlg_g: float
    suv_max: float | None
    focal_lesions: int
    marrow_suv: float

    def __post_init__(self) -> None:
        for name in TITLES:
            value = getattr(self, name)
            if value is not None and not (np.isfinite(value) and value >= 0):
                raise InputError(f"A burden's {name} must be a number of zero or more, got {value}.")

    @property
    def coordinates(self) -> Array:
        """The numbers as a distance sees them: logarithms, because burden spreads over decades. Where there is no focal
        lesion, nothing is hotter than the marrow."""
        hottest = self.marrow_suv if self.suv_max is None else self.suv_max
        return np.log1p([self.mtv_ml, self.tlg_g, hottest, self.focal_lesions, self.marrow_suv])


def burden_of(measurements: MeasurementRecord) -> Burden:
    """The burden that a measurement holds."""
    totals = measurements.totals
    return Burden(totals.mtv_ml, totals.tlg_g, totals.suv_max, totals.focal, measurements.marrow_suv)


def find_other_settings(one: LesionConfig, other: LesionConfig) -> tuple[str, ...]:
    """Names of the lesion settings in which two measurements differ: their counts and volumes are not comparable."""
    return tuple(field.name for field in fields(LesionConfig) if getattr(one, field.name) != getattr(other, field.name))


@dataclass(frozen=True, eq=False)
class Scale:
    """The robust spread (interquartile range / 1.349) of each coordinate over some cases.

    Where more than half of the cases agree, the standard deviation stands in; a coordinate in which all agree tells
    nothing and is left out of distances (`spread` 0).
    """

    spread: Array

    @classmethod
    def of(cls, burdens: Sequence[Burden]) -> Scale:
        """The spread of these cases."""
        points = np.stack([burden.coordinates for burden in burdens])
        low, high = np.quantile(points, [0.25, 0.75], axis=0)
        robust = (high - low) / NORMAL_IQR
        return cls(np.where(robust > 1e-6, robust, points.std(axis=0)))

    def distances(self, burden: Burden, others: Sequence[Burden]) -> Array:
        """How unlike each of the others is: root mean square over the coordinates, in standard deviations."""
        told = self.spread > 1e-6
        if not told.any():
            return np.zeros(len(others))
        points = np.stack([other.coordinates for other in others])
        steps = (points - burden.coordinates)[:, told] / self.spread[told]
        return np.asarray(np.sqrt(np.mean(steps**2, axis=1)))
