"""What is changed to see whether a score depends on it: boxes, mask, registration, slices, direction, prompts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.memory.propagation import Direction, Mode
from MemorySurvivalLib.stability.odd_boxes import BoxRule

Shift = tuple[float, float, float]

LARGEST_MOVE_MM = 100.0
"""Beyond this a mask or a PET is not disturbed but another one."""


@dataclass(frozen=True)
class Change:
    """One departure from how a bundle reads a case; what is not given stays as it is.

    `family` groups changes of one kind. `prompt` replaces fields of the bundle's `PromptConfig`. `boxes` says what is
    boxed in place of each slice's region (`seed` draws the places). `grow_mm` dilates the mask, below zero erodes it.
    `pet_shift_mm` moves the PET towards the patient's left, back and head, by whole voxels. `first_slice` n leaves
    out the top n slices of the region, so that 1 takes the other half of every second slice. `slice_step`,
    `direction` and `mode` replace the bundle's.
    """

    family: str
    prompt: dict[str, Any] = field(default_factory=dict)
    boxes: BoxRule = "region"
    seed: int = 0
    grow_mm: float = 0.0
    pet_shift_mm: Shift = (0.0, 0.0, 0.0)
    first_slice: int = 0
    slice_step: int | None = None
    direction: Direction | None = None
    mode: Mode | None = None

    def __post_init__(self) -> None:
        moves = (self.grow_mm, *self.pet_shift_mm)
        if not all(np.isfinite(one) and abs(one) <= LARGEST_MOVE_MM for one in moves):
            raise InputError(f"A mask or PET can be changed by {LARGEST_MOVE_MM:g} mm at most, got {moves}.")
        if self.first_slice < 0 or (self.slice_step is not None and self.slice_step < 1):
            raise InputError(
                f"The first slice must be 0 or more and the slice step 1 or more, got {self.first_slice} and "
                f"{self.slice_step}."
            )


UNCHANGED = Change("unchanged")


def jitter(share: float, seeds: int) -> tuple[Change, ...]:
    """Every edge of every box moved by a random share of the box's side, at most `share`; one change a seed."""
    return tuple(
        Change(f"boxes jittered by up to {share:.0%}", prompt={"jitter": share, "seed": seed})
        for seed in range(1, seeds + 1)
    )


def pad(padding_mm: float) -> Change:
    """Every box's edges moved outwards."""
    return Change(f"boxes {padding_mm:g} mm wider on each side", prompt={"padding_mm": padding_mm})


def grow(by_mm: float) -> Change:
    """The mask dilated, or eroded for a negative number."""
    return Change(f"mask {'dilated' if by_mm > 0 else 'eroded'} by {abs(by_mm):.3g} mm", grow_mm=by_mm)


def shift_pet(left_mm: float = 0.0, back_mm: float = 0.0, up_mm: float = 0.0) -> Change:
    """The PET moved against the CT."""
    parts = ((left_mm, "left", "right"), (back_mm, "back", "front"), (up_mm, "head", "feet"))
    where = " and ".join(f"{abs(by):.3g} mm to the {plus if by > 0 else minus}" for by, plus, minus in parts if by)
    return Change(f"PET {where}", pet_shift_mm=(left_mm, back_mm, up_mm))


OTHER_SLICES = Change("the slices between those used", first_slice=1)

BADGE: tuple[Change, ...] = (
    *jitter(0.05, seeds=3),
    pad(5.0),
    grow(2.0),
    grow(-2.0),
    OTHER_SLICES,
    shift_pet(left_mm=4.0),
    shift_pet(up_mm=4.0),
)
"""What is tried on one case: choices that two careful people, or two scans of one patient, would make differently."""
