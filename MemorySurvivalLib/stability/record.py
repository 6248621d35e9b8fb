"""What is said of a score's stability: every change with what it did, the range, and the badge with its rule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from MemorySurvivalLib import RESEARCH_USE

Verdict = Literal["stable", "sensitive", "not judged"]

THRESHOLD_SD = 0.25
"""In the middle of a normal reference a quarter of a standard deviation is ten percentile points."""

RULE = (
    f"Stable: no change that was tried moved the log-risk by more than {THRESHOLD_SD:g} standard deviations of the "
    "model's reference cases."
)

MEANING = "Stable says that the score does not hang on these choices, not that it is right."


@dataclass(frozen=True)
class TrialRecord:
    """One change and its score. `moved` is the change of log-risk, `moved_sd` that in standard deviations of the
    reference, `moved_points` the change of the position in percentile points; None where the bundle may not say."""

    change: str
    log_risk: float
    moved: float
    moved_sd: float | None
    moved_points: float | None
    risk_group: str | None


@dataclass(frozen=True)
class StabilityRecord:
    """The badge of one case and what it rests on.

    `lowest` and `highest` log-risk are over the case as it is and all changes; `positions` (0 to 1) and `risk_groups`
    likewise, empty where the bundle may not show them. `largest` is the trial that moved the log-risk most. `left_out`
    are sentences about changes that the case did not allow.
    """

    verdict: Verdict
    sentence: str
    log_risk: float
    lowest: float
    highest: float
    positions: tuple[float, ...]
    risk_groups: tuple[str, ...]
    reference_sd: float | None
    largest: TrialRecord | None
    trials: tuple[TrialRecord, ...]
    left_out: tuple[str, ...]
    labels: tuple[str, ...]
    encoded_slices: int
    seconds: float
    rule: str = RULE
    meaning: str = MEANING
    research_use: str = RESEARCH_USE

    def as_builtins(self) -> dict[str, Any]:
        """The record as plain dictionaries and lists."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return plain


def judge(trials: tuple[TrialRecord, ...], reference_sd: float | None) -> Verdict:
    """The badge: `not judged` without reference cases to measure by, or where nothing could be tried."""
    moves = [abs(trial.moved_sd) for trial in trials if trial.moved_sd is not None]
    if reference_sd is None or not moves:
        return "not judged"
    return "stable" if max(moves) <= THRESHOLD_SD else "sensitive"


def word(trials: tuple[TrialRecord, ...], reference_sd: float | None, own_group: str | None) -> str:
    """The badge in one or two sentences."""
    if not trials:
        return "Nothing could be changed on this case, so its stability was not judged."
    largest = max(trials, key=lambda trial: abs(trial.moved))
    count = f"{len(trials)} changes were tried" if len(trials) > 1 else "One change was tried"
    most = f"{count}; the largest effect on the log-risk was {largest.moved:+.2g}"
    if reference_sd is None:
        return f"{most} ({largest.change}). Without a place among reference cases that is not judged."
    points = "" if largest.moved_points is None else f", {largest.moved_points:+.0f} percentile points"
    text = f"{most} ({largest.change}): {largest.moved_sd:+.2f} standard deviations{points}."
    others = sorted({trial.risk_group for trial in trials if trial.risk_group is not None} - {own_group})
    if own_group is not None and others:
        crossed = sum(trial.risk_group != own_group for trial in trials)
        text += f" The risk group was another one ({', '.join(others)}) in {crossed} of {len(trials)}."
    return text
