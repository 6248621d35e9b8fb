"""How a case's images came to be what the model saw: origin, SUV conversion, flags, cut, alignment. For the record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from MemorySurvivalLib.imaging.quality_flag import QualityFlag
from MemorySurvivalLib.imaging.window import Modality

Alignment = Literal["off", "check", "correct"]
"""What is done about a PET that lies beside the CT: nothing, estimate and warn, or also move it rigidly."""


@dataclass(frozen=True)
class SuvRecord:
    """How the PET's stored values became SUVbw: in words, the minutes of uptake, every number that went in and where
    it came from, and what the user supplied."""

    method: str
    uptake_min: float | None
    facts: Mapping[str, Any]
    supplied: Mapping[str, str | float]


@dataclass(frozen=True)
class AlignmentRecord:
    """Where the PET lies relative to the CT by an estimate from the images (LPS millimetres), and what was done.

    `reliable` is false where the number should not be acted upon; `reasons` say why. `correction` holds the rigid
    movement that was applied (plain values), None where nothing was moved.
    """

    shift_lps_mm: tuple[float, float, float] | None
    magnitude_mm: float | None
    reliable: bool
    warning: str
    reasons: tuple[str, ...]
    details: Mapping[str, Any]
    correction: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Acquisition:
    """The images' way into a case.

    `origin` says per modality what was read ("DICOM series", "image file"). `flags` are findings about the PET that can
    change the score. `identity` holds what was confirmed or could not be compared; it never names the patient.
    `cropped_mm` says how much of the CT was cut off where there is no PET, `pet_coverage` which share of the rest the
    PET covers.
    """

    origin: Mapping[Modality, str] = field(default_factory=dict)
    suv: SuvRecord | None = None
    flags: tuple[QualityFlag, ...] = ()
    identity: tuple[str, ...] = ()
    cropped_mm: Mapping[str, float] = field(default_factory=dict)
    pet_coverage: float = 1.0
    alignment: AlignmentRecord | None = None
