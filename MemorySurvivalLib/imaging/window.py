"""Fixed intensity windows: what the model sees of HU and SUV, the same for every patient."""

from __future__ import annotations

from typing import Literal, get_args

import msgspec

Modality = Literal["PET", "CT"]
MODALITIES: tuple[Modality, ...] = get_args(Modality)
UNITS: dict[Modality, str] = {"PET": "SUVbw g/mL", "CT": "HU"}


class Window(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Values from `low` to `high` (HU or SUVbw) become 0 to 1; beyond them they are clipped.

    A window is never taken from the volume itself: a full bladder must not rescale disease.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise ValueError(f"a window needs low < high, got {self.low} and {self.high}")
