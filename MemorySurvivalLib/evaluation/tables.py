"""Evaluations as rows of plain values, for pages, benchmarks and files."""

from __future__ import annotations

import math
from collections.abc import Sequence

from MemorySurvivalLib.evaluation.estimates import Estimate
from MemorySurvivalLib.evaluation.evaluation import Comparison, Evaluation, Figure
from MemorySurvivalLib.evaluation.repeated_folds import FoldMean
from MemorySurvivalLib.evaluation.risk_groups import RiskQuartiles
from MemorySurvivalLib.evaluation.subgroups import Subgroup

Row = dict[str, str | int]

_NONE = "not judged"

FEWEST_TOLD = 5
"""Groups of fewer patients are told as "< 5". A courtesy of printed tables, no protection: sums may give them away."""


def figure_rows(judged: Evaluation | Comparison) -> list[Row]:
    """A row a figure: the mean over folds and pooled, both with 95 % intervals; the corrected p and the naive one."""
    return [_figure_row(figure) for figure in judged.figures]


def method_sentences(judged: Evaluation | Comparison) -> list[str]:
    """How each figure was made, each sentence once, and what was not judged: to stand under the table."""
    said = [part.method for figure in judged.figures for part in (figure.folds, figure.pooled) if part is not None]
    naive = [figure.folds.naive_method for figure in judged.figures if figure.folds is not None]
    return list(dict.fromkeys([*said, *naive, *judged.notes]))


def quartile_rows(quartiles: RiskQuartiles) -> list[Row]:
    """A row a quartile of risk: patients, events, median time to the event."""
    return [
        {
            "quartile of risk": group.quartile,
            "n": group.n,
            "events": group.events,
            "median months": "not reached" if group.curve.median_months is None else f"{group.curve.median_months:.1f}",
        }
        for group in quartiles.groups
    ]


def subgroup_rows(table: Sequence[Subgroup]) -> list[Row]:
    """A row a group: its size (few are told as "< 5"), and the figure with its interval or why there is none."""
    return [
        {
            row.variable: row.label,
            "n": _few(row.n),
            "events": _few(row.events),
            "figure (95 % interval)": str(row.estimate) if row.estimate else f"{_NONE}: {_say_refused(row)}",
        }
        for row in table
    ]


def _few(count: int) -> str | int:
    return count if count >= FEWEST_TOLD or count == 0 else f"< {FEWEST_TOLD}"


def _say_refused(row: Subgroup) -> str:
    return "too few" if min(row.n, row.events) < FEWEST_TOLD else row.refused


def say_p(p_value: float) -> str:
    """A p value in three digits, small ones as a bound."""
    return "< 0.001" if p_value < 0.001 else f"{math.floor(p_value * 1000 + 0.5) / 1000:.3f}"


def _figure_row(figure: Figure) -> Row:
    folds, pooled = figure.folds, figure.pooled
    return {
        "figure": figure.name,
        "mean over folds (95 % interval)": _with_interval(folds),
        "p against chance": _p_of(folds, naive=False),
        "naive one-sided p": _p_of(folds, naive=True),
        "pooled (95 % interval)": _with_interval(pooled),
    }


def _with_interval(value: FoldMean | Estimate | None) -> str:
    return _NONE if value is None else str(value)


def _p_of(folds: FoldMean | None, *, naive: bool) -> str:
    # Chance has no meaning for a figure that cannot reach it, such as a mean distance.
    if folds is None or folds.name.startswith("ICI"):
        return ""
    return say_p(folds.naive_p_value_one_sided if naive else folds.p_value)
