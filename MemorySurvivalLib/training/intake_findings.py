"""What the checks of a cohort's table find, gathered so that all of it can be told at once."""

from __future__ import annotations

from dataclasses import dataclass, field

from MemorySurvivalLib.training.exclusion import Excluded, Reason


@dataclass(frozen=True)
class Flag:
    """Something in the table that was not taken as it stands: the row, the column, a sentence."""

    row: int
    column: str
    sentence: str


@dataclass
class Findings:
    """Problems stop the intake, flags and exclusions are told."""

    problems: list[str] = field(default_factory=list)
    flags: list[Flag] = field(default_factory=list)
    excluded: list[Excluded] = field(default_factory=list)

    def exclude(self, row: int, reason: Reason, what: str) -> None:
        """Leave the patient of a row out; `what` goes on after "Row 7"."""
        self.excluded.append(Excluded(row, reason, f"Row {row} {what}."))
