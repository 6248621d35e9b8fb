"""A figure within groups of patients (sex, age, site), with groups named that are too small to judge."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.evaluation.estimates import Estimate
from MemorySurvivalLib.evaluation.outcomes import Bools, Floats, Index

FEWEST_PATIENTS = 30
FEWEST_EVENTS = 10
NOT_RECORDED = "not recorded"
METHOD = (
    "Each group by itself; no allowance for looking at several groups, and one interval beside another is no test of "
    "their difference."
)


@dataclass(frozen=True)
class Subgroup:
    """One group: its size, and either the figure or why there is none."""

    variable: str
    label: str
    n: int
    events: int
    estimate: Estimate | None
    refused: str = ""


def subgroup_table(
    variable: str,
    labels: Sequence[str],
    events: Bools,
    figure: Callable[[Index], Estimate],
    fewest_patients: int = FEWEST_PATIENTS,
    fewest_events: int = FEWEST_EVENTS,
) -> tuple[Subgroup, ...]:
    """`figure` of the rows of each group, groups in order of their label; an empty label is "not recorded".

    Groups with fewer patients or events than stated are refused, with the reason; so is one whose figure cannot be
    computed. METHOD belongs beside the table.
    """
    if len(labels) != len(events):
        raise InputError(f"There are {len(labels)} values of {variable} for {len(events)} patients; give one each.")
    groups = np.array([label.strip() or NOT_RECORDED for label in labels])
    rows_of = {str(label): np.flatnonzero(groups == label) for label in np.unique(groups)}
    table = []
    for label, rows in sorted(rows_of.items(), key=lambda item: item[0] == NOT_RECORDED):
        n, with_event = len(rows), int(events[rows].sum())
        estimate, refused = None, ""
        if n < fewest_patients or with_event < fewest_events:
            refused = (
                f"{n} patients with {with_event} events; at least {fewest_patients} and {fewest_events} are needed"
            )
        else:
            try:
                estimate = figure(rows)
            except InputError as error:
                refused = str(error)
        table.append(Subgroup(variable, label, n, with_event, estimate, refused))
    return tuple(table)


def bands(values: Floats, edges: Sequence[float], unit: str) -> tuple[str, ...]:
    """Labels (n,) of continuous values: "under 65 years", "65 years and over"; NaN is "not recorded".

    Edges (ascending) are part of a study's plan, chosen before outcomes are seen.
    """
    if not len(edges) or any(b <= a for a, b in itertools.pairwise(edges)):
        raise InputError("Edges of bands must be ascending numbers.")
    names = [
        f"under {edges[0]:g} {unit}",
        *(f"{low:g} to under {high:g} {unit}" for low, high in itertools.pairwise(edges)),
        f"{edges[-1]:g} {unit} and over",
    ]
    places = np.searchsorted(np.asarray(edges), values, side="right")
    return tuple(names[place] if known else "" for place, known in zip(places, np.isfinite(values), strict=True))
