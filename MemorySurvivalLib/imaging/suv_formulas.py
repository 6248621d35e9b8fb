"""The arithmetic of SUV: radioactive decay, and the body measures that an uptake can be divided by."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Literal

from MemorySurvivalLib.imaging.suv_supplied import Sex

SuvType = Literal["BW", "LBM", "LBMJAMES128", "LBMJANMA", "IBW", "BSA"]


def remaining(seconds: float, half_life_s: float) -> float:
    """Share of activity left after `seconds` (more than 1 for a time before)."""
    return math.exp2(-seconds / half_life_s)


def frame_decay(duration_s: float, half_life_s: float) -> float:
    """Activity at a frame's start over its mean during the frame: lambda T / (1 - exp(-lambda T))."""
    decay = math.log(2) * duration_s / half_life_s
    return decay / -math.expm1(-decay) if decay > 0 else 1.0


def mean_count_time_s(duration_s: float, half_life_s: float) -> float:
    """Seconds from a frame's start to when its activity equals the mean over the frame (QIBA's pseudo-code)."""
    return math.log(frame_decay(duration_s, half_life_s)) * half_life_s / math.log(2)


def body_measure(suv_type: SuvType, weight_kg: float, height_m: float, sex: Sex) -> float:
    """What an SUV of this type is normalised to, in kg, or for BSA in m2.

    Formulas as DICOM PS3.3 C.8.9.1 names them for (0054,1006) and the SUV manual with the digital reference objects
    writes them out; `sex` O takes the mean of both, which that manual proposes for want of a consensus. The result of
    the quadratic lean body masses falls again, and below zero, in very heavy patients.
    """
    if suv_type == "BW":
        return weight_kg
    if suv_type == "BSA":
        return 0.007184 * math.pow(weight_kg, 0.425) * math.pow(100 * height_m, 0.725)
    female, male = (formula(weight_kg, 100 * height_m) for formula in _FORMULAS[suv_type])
    return {"F": female, "M": male, "O": (female + male) / 2}[sex]


def _quadratic(slope: float, curb: float) -> Callable[[float, float], float]:
    return lambda kg, cm: slope * kg - curb * (kg / cm) ** 2


def _janmahasatian(offset: float, slope: float) -> Callable[[float, float], float]:
    return lambda kg, cm: 9270 * kg / (offset + slope * kg / (cm / 100) ** 2)


def _ideal(base: float, slope: float) -> Callable[[float, float], float]:
    return lambda kg, cm: base + slope * (cm - 152)


_FORMULAS: Mapping[str, tuple[Callable[[float, float], float], Callable[[float, float], float]]] = MappingProxyType(
    {
        "LBM": (_quadratic(1.07, 148), _quadratic(1.10, 120)),
        "LBMJAMES128": (_quadratic(1.07, 148), _quadratic(1.10, 128)),
        "LBMJANMA": (_janmahasatian(8780, 244), _janmahasatian(6680, 216)),
        "IBW": (_ideal(45.5, 0.91), _ideal(48.0, 1.06)),
    }
)
"""For women and for men, from weight in kg and height in cm."""
