"""Observed progression-free survival of groups of cases: Kaplan-Meier with intervals and numbers at risk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np

LEAST_CASES = 10
"""A group with fewer cases gets no curve: its steps would be single patients."""
CONFIDENCE = 0.95
AT_RISK_POINTS = 5
NO_PACKAGE = "No curves: the package lifelines is not installed; install the extra `train`."


@dataclass(frozen=True)
class Outcome:
    """Months from the scan to progression or death (`event`), or to the last look without."""

    months: float
    event: bool


@dataclass(frozen=True)
class FollowedCase:
    """A case with its outcome and what it is grouped by."""

    log_risk: float
    risk_group: str | None
    outcome: Outcome


@dataclass(frozen=True)
class GroupCurve:
    """One group's Kaplan-Meier estimate at rising times (months), its pointwise 95 % interval (log-log), the median
    with interval where it is reached (None: not), and numbers at risk at `at_risk_months`."""

    name: str
    cases: int
    events: int
    times_months: tuple[float, ...]
    survival: tuple[float, ...]
    lower: tuple[float, ...]
    upper: tuple[float, ...]
    median_months: float | None
    at_risk_months: tuple[float, ...]
    at_risk: tuple[int, ...]

    @property
    def sentence(self) -> str:
        """The curve in words."""
        median = "median not reached" if self.median_months is None else f"median {self.median_months:.0f} months"
        return f"{self.name}: {self.cases} cases, {self.events} events, {median}"


@dataclass(frozen=True)
class GroupedSurvival:
    """Curves of groups, or none and why. `grouping` says how the groups were made."""

    grouping: str
    curves: tuple[GroupCurve, ...]
    sentence: str


def group_survival(cases: Sequence[FollowedCase]) -> GroupedSurvival:
    """Curves by the model's own risk groups where all cases have one, else by quarters of the cohort's log-risks, else
    by halves where quarters would be too small. No test is made: groups of a cohort's own quantiles invite fishing.
    """
    count = len(cases)
    if count < 2 * LEAST_CASES:
        sentence = f"Outcomes are known of {count} cases; curves need {LEAST_CASES} in each of two groups."
        return GroupedSurvival("", (), sentence)
    grouping, groups = _group(cases)
    small = [name for name, members in groups if len(members) < LEAST_CASES]
    if small or len(groups) < 2:
        few = f"too few cases are in {' and '.join(small)}" if small else "all cases are in one group"
        return GroupedSurvival(grouping, (), f"No curves by {grouping}: {few} ({LEAST_CASES} are needed in each).")
    if find_spec("lifelines") is None:
        return GroupedSurvival(grouping, (), NO_PACKAGE)
    last = max(case.outcome.months for case in cases)
    curves = tuple(_estimate(name, members, last) for name, members in groups)
    return GroupedSurvival(grouping, curves, "")


def _group(cases: Sequence[FollowedCase]) -> tuple[str, list[tuple[str, list[FollowedCase]]]]:
    if all(case.risk_group is not None for case in cases):
        order = sorted(cases, key=lambda case: case.log_risk)
        names = dict.fromkeys(str(case.risk_group) for case in order)
        return "the model's risk groups", [(name, [c for c in order if c.risk_group == name]) for name in names]
    risks = np.asarray([case.log_risk for case in cases])
    words = (
        ("lowest quarter", "second quarter", "third quarter", "highest quarter")
        if len(cases) >= 4 * LEAST_CASES
        else ("lower half", "upper half")
    )
    edges = np.quantile(risks, np.linspace(0, 1, len(words) + 1)[1:-1])
    places = np.searchsorted(edges, risks, side="left")
    groups = [(word, [c for c, p in zip(cases, places, strict=True) if p == n]) for n, word in enumerate(words)]
    kind = "quarters" if len(words) == 4 else "halves"
    return f"{kind} of this cohort's log-risks", groups


def _estimate(name: str, members: Sequence[FollowedCase], last_months: float) -> GroupCurve:
    from lifelines import KaplanMeierFitter  # an extra, and slow to import

    months = np.asarray([member.outcome.months for member in members])
    events = np.asarray([member.outcome.event for member in members])
    fitter = KaplanMeierFitter(alpha=1 - CONFIDENCE).fit(months, events)
    interval = fitter.confidence_interval_.to_numpy()
    survival = fitter.survival_function_.to_numpy()[:, 0]
    # Before the first event nothing is in doubt; where nobody is left the interval is not defined (NaN).
    lower, upper = (np.where(survival == 1, 1.0, edge) for edge in interval.T)
    times = fitter.timeline
    points = tuple(float(point) for point in np.linspace(0, last_months, AT_RISK_POINTS).round())
    median = float(fitter.median_survival_time_)
    return GroupCurve(
        name,
        len(members),
        int(events.sum()),
        tuple(times.tolist()),
        tuple(survival.tolist()),
        tuple(lower.tolist()),
        tuple(upper.tolist()),
        median if np.isfinite(median) else None,
        points,
        tuple(int((months >= point).sum()) for point in points),
    )
