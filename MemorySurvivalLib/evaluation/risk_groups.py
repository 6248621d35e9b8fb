"""Kaplan-Meier curves of the quartiles of risk, and whether the outer two differ, by permutation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.evaluation.curves import KaplanMeier, kaplan_meier
from MemorySurvivalLib.evaluation.outcomes import Bools, Floats, Index, check_outcomes, check_risks

PERMUTATIONS = 9999
_FEWEST = 5
_AT_ONCE = 1000


@dataclass(frozen=True, eq=False)
class RiskGroup:
    """One quartile of risk, 1 the lowest."""

    quartile: int
    n: int
    events: int
    curve: KaplanMeier


@dataclass(frozen=True, eq=False)
class RiskQuartiles:
    """Quartiles of risk with the log-rank test of the first against the fourth.

    `p_value` is by permutation, `p_value_chi_square` the usual one beside it. Neither knows that the models of
    different folds saw each other's patients: the permutation of the whole procedure does.
    """

    groups: tuple[RiskGroup, ...]
    statistic: float
    p_value: float
    p_value_chi_square: float
    n: int
    events: int
    method: str


def risk_quartiles(
    times_months: Floats,
    events: Bools,
    log_risk: Floats,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
    folds: Index | None = None,
) -> RiskQuartiles:
    """Patients (n,) by quartile of out-of-fold log-risk, standardised by fold before.

    Labels of the outer quartiles are permuted among their patients, within `folds` (n,) where given. Raises InputError
    where a quartile would hold fewer than five patients or risks are too equal to be cut in four.
    """
    check_outcomes(times_months, events)
    check_risks(log_risk, len(events))
    edges = np.quantile(log_risk, [0.25, 0.5, 0.75])
    quartile = 1 + np.searchsorted(edges, log_risk, side="left")
    sizes = np.bincount(quartile, minlength=5)[1:]
    if sizes.min() < _FEWEST:
        raise InputError(
            f"Quartiles of risk would hold {', '.join(map(str, sizes))} of the {len(events)} patients, and each needs "
            f"{_FEWEST}: there are too few patients, or too many have an equal risk."
        )
    groups = []
    for number in range(1, 5):
        rows = quartile == number
        curve = kaplan_meier(times_months[rows], events[rows])
        groups.append(RiskGroup(number, int(rows.sum()), int(events[rows].sum()), curve))
    outer = (quartile == 1) | (quartile == 4)
    strata = None if folds is None else folds[outer]
    statistic, p_value = permuted_log_rank(
        times_months[outer], events[outer], quartile[outer] == 4, permutations, seed, strata
    )
    where = "" if folds is None else " within folds"
    method = (
        f"Kaplan-Meier by quartile of out-of-fold log-risk; log-rank of the fourth against the first, p by "
        f"{permutations} permutations of their labels{where}."
    )
    chi_square = float(stats.chi2.sf(statistic, 1))
    return RiskQuartiles(tuple(groups), statistic, p_value, chi_square, len(events), int(events.sum()), method)


def permuted_log_rank(
    times_months: Floats,
    events: Bools,
    second: Bools,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
    strata: Index | None = None,
) -> tuple[float, float]:
    """Log-rank statistic (chi-square, one degree of freedom) of two groups (n,), and its p by permutation.

    p = (1 + permuted statistics as large) / (1 + permutations), so never 0. Labels move within `strata` (n,) where
    given.
    """
    check_outcomes(times_months, events)
    if second.all() or not second.any():
        raise InputError("A log-rank test needs patients in both groups.")
    observed = float(_log_rank(times_months, events, second[None, :])[0])
    rng = np.random.default_rng(seed)
    strata = np.zeros(len(events), dtype=np.intp) if strata is None else strata
    as_large, done = 0, 0
    while done < permutations:
        labels = np.tile(second, (min(_AT_ONCE, permutations - done), 1))
        for stratum in np.unique(strata):
            rows = np.flatnonzero(strata == stratum)
            labels[:, rows] = rng.permuted(labels[:, rows], axis=1)
        as_large += int((_log_rank(times_months, events, labels) >= observed * (1 - 1e-9)).sum())
        done += len(labels)
    return observed, (1 + as_large) / (1 + permutations)


def _log_rank(times_months: Floats, events: Bools, second: Bools) -> Floats:
    """Statistics (m,) for the labels of each row (m, n): events in the second group against those expected."""
    curve = kaplan_meier(times_months, events)
    died, at_risk = curve.events, curve.at_risk
    labels = second.astype(np.float64)
    there = (times_months[:, None] >= curve.times_months).astype(np.float64)
    share = labels @ there / at_risk
    excess = labels @ events - share @ died
    ties = np.divide(at_risk - died, at_risk - 1, out=np.zeros_like(died), where=at_risk > 1)
    variance = (share * (1 - share)) @ (died * ties)
    statistics: Floats = np.divide(excess**2, variance, out=np.zeros_like(excess), where=variance > 0)
    return statistics
