"""A figure with its interval, what it rests on, and a sentence that says how it was made."""

from __future__ import annotations

from dataclasses import dataclass

from MemorySurvivalLib.errors import InputError

LEVEL = 0.95
"""Coverage of every interval."""


@dataclass(frozen=True)
class Estimate:
    """A value on n patients with `events` events, and its 95 % interval.

    `chance` is what a useless model gives, None where that has no fixed value. `method` says how value and interval
    were made. A percentile interval need not hold the value of a figure that cannot be negative (ICI).
    """

    name: str
    value: float
    low: float
    high: float
    n: int
    events: int
    method: str
    chance: float | None = None

    def __post_init__(self) -> None:
        if not self.low <= self.high:
            raise InputError(f"The interval of {self.name} runs from {self.low:g} to {self.high:g}; it is upside down.")
        if not 0 < self.events <= self.n:
            raise InputError(f"{self.name} would rest on {self.events} events of {self.n} patients.")

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"
