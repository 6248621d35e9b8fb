"""The exclusion flow: how many patients the table names, who is left out for which reason, who remains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from MemorySurvivalLib.report.document import Bullets, Cell, Section, Table

Reason = Literal[
    "no outcome",
    "no follow-up after the scan",
    "scanned after treatment began",
    "no image",
    "image file missing",
    "image cannot be used",
]
REASONS: tuple[Reason, ...] = get_args(Reason)
"""In the order in which they are looked at: a patient is counted for the first that applies."""

MEANINGS: dict[Reason, str] = {
    "no outcome": "no time to progression, death or last contact",
    "no follow-up after the scan": "the observed time is zero",
    "scanned after treatment began": "the scan does not show the disease before treatment",
    "no image": "the table names no PET/CT",
    "image file missing": "the table names a file that is not there",
    "image cannot be used": "the images could not be read, brought to SUV, segmented or embedded",
}


@dataclass(frozen=True)
class Excluded:
    """One patient who is left out: the row of the table, why, and what exactly in one sentence."""

    row: int
    reason: Reason
    sentence: str


@dataclass(frozen=True)
class ExclusionFlow:
    """Counts that add up: `named` in the table, those excluded, the rest kept. Checked when made."""

    named: int
    excluded: tuple[Excluded, ...]

    def __post_init__(self) -> None:
        rows = [one.row for one in self.excluded]
        if len(set(rows)) != len(rows) or len(rows) > self.named:
            raise ValueError("a patient is excluded at most once, and only if the table names them")

    @property
    def kept(self) -> int:
        """How many remain."""
        return self.named - len(self.excluded)

    @property
    def steps(self) -> tuple[tuple[Reason, int, int], ...]:
        """Each reason that applied, in the fixed order: (reason, how many, how many remain after it)."""
        steps: list[tuple[Reason, int, int]] = []
        left = self.named
        for reason in REASONS:
            count = sum(one.reason == reason for one in self.excluded)
            if count:
                left -= count
                steps.append((reason, count, left))
        return tuple(steps)

    @property
    def sentence(self) -> str:
        """The flow in one sentence."""
        parts = [f"{count} {reason}" for reason, count, _left in self.steps]
        return f"{self.named} patients in the table, {', '.join(parts) or 'none excluded'}, {self.kept} remain."

    def and_also(self, more: Sequence[Excluded]) -> ExclusionFlow:
        """The same flow with patients who dropped out later."""
        return ExclusionFlow(self.named, (*self.excluded, *more))


def flow_section(flow: ExclusionFlow) -> Section:
    """The flow as a table, and a sentence for each patient who was left out (by row, never by name)."""
    rows = [(Cell("In the table"), Cell(""), Cell(str(flow.named), flow.named))]
    for reason, count, left in flow.steps:
        rows.append((Cell(f"Excluded: {reason} ({MEANINGS[reason]})"), Cell(str(count), count), Cell(str(left), left)))
    rows.append((Cell("Analysed"), Cell(""), Cell(str(flow.kept), flow.kept)))
    blocks = [Table(("Step", "Left out", "Remain"), tuple(rows), numeric=(1, 2), wide=(0.7, 0.15, 0.15))]
    if not flow.excluded:
        return Section("Exclusion flow", tuple(blocks))
    sentences = Bullets(tuple(one.sentence for one in sorted(flow.excluded, key=lambda one: one.row)), tone="quiet")
    return Section("Exclusion flow", (*blocks, sentences))
