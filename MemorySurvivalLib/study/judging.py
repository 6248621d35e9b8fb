"""What the study's saved log-risks are worth: c, the share of an oracle's discrimination, differences, the goals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.evaluation.bootstrap import draw_counts, percentile_limits
from MemorySurvivalLib.evaluation.discrimination import harrell_pairs
from MemorySurvivalLib.evaluation.outcomes import Bools, Floats
from MemorySurvivalLib.simulation.patient import Patient, draw_patients
from MemorySurvivalLib.simulation.scenario import load_scenario
from MemorySurvivalLib.study.configuration import StudyConfiguration
from MemorySurvivalLib.study.models import (
    ALL,
    CLINICAL,
    EMBEDDING,
    EMBEDDING_STATISTICS,
    PUBLISHED,
    STATISTICS,
    embedding_name,
)
from MemorySurvivalLib.study.results import ScenarioResults

RECOVERED_GOAL = 0.85
GOAL_SCENARIOS = ("main", "spatial")


@dataclass(frozen=True)
class Interval:
    """A value and its 95 % percentile interval over resampled test patients (models are not refitted)."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


class Judge:
    """One test cohort of one file of results: the truth drawn anew, the log-risks as saved.

    With `patients`, only so many first test patients count: some models were asked about no others. With `first`, none
    before that number: some were looked at before.
    Harrell's c; the oracle knows the log hazard but not the frailty. All figures use the same resampled patients, so
    differences are paired. Raises InputError where the results do not belong to the configuration's patients.
    """

    def __init__(
        self,
        configuration: StudyConfiguration,
        results: ScenarioResults,
        test: str,
        patients: int | None = None,
        first: int = 0,
    ) -> None:
        name, _, scenario = test.partition("/")
        cohort = configuration.cohort(name)
        drawn = draw_tested(scenario, cohort.seed, patients or results.tests[test])
        self._tested = {results.tests[test], len(drawn)}
        self._asked = slice(first, len(drawn))
        drawn = drawn[self._asked]
        self.results, self.test, self.scenario = results, test, scenario
        self.times_months: Floats = np.array([patient.time_months for patient in drawn])
        self.events: Bools = np.array([patient.event for patient in drawn])
        self._hazard: Floats = np.array([patient.log_hazard for patient in drawn])
        self._frailty: Floats = np.array([patient.log_frailty for patient in drawn])
        self._pairs = harrell_pairs(self.times_months, self.events)
        self._counts = draw_counts(len(drawn), configuration.fitting.resamples, configuration.fitting.seed)
        self._shares: dict[str, Floats] = {}

    @cached_property
    def oracle(self) -> Interval:
        """c of the true log hazard."""
        return self._interval(self._pairs.value(self._hazard), self._oracle_shares)

    @property
    def oracle_with_frailty(self) -> float:
        """c of the log hazard with what nobody can know."""
        return self._pairs.value(self._hazard + self._frailty)

    def has(self, model: str) -> bool:
        """Whether this model was fitted and asked about these patients."""
        return model in self.results.models and self.test in self.results.models[model].log_risk

    def c_alone(self, model: str) -> float:
        """c without an interval: fast."""
        return self._pairs.value(self._risk(model))

    def c(self, model: str) -> Interval:
        """Harrell's c."""
        return self._interval(self.c_alone(model), self._resampled(model))

    def recovered(self, model: str) -> Interval:
        """(c - .5) / (c of the oracle - .5)."""
        value = (self.c_alone(model) - 0.5) / (self.oracle.value - 0.5)
        chance = self._oracle_shares == 0.5  # happens among a few patients; such a resample has no value
        known = np.where(chance, np.nan, self._oracle_shares - 0.5)
        return self._interval(value, (self._resampled(model) - 0.5) / known)

    def difference(self, first: str, second: str) -> Interval:
        """c of the first minus c of the second model."""
        value = self.c_alone(first) - self.c_alone(second)
        return self._interval(value, self._resampled(first) - self._resampled(second))

    @cached_property
    def _oracle_shares(self) -> Floats:
        return self._pairs.share(self._hazard, self._counts)

    def _resampled(self, model: str) -> Floats:
        if model not in self._shares:
            self._shares[model] = self._pairs.share(self._risk(model), self._counts)
        return self._shares[model]

    def _risk(self, model: str) -> Floats:
        risk = np.array(self.results.models[model].log_risk[self.test], dtype=np.float64)
        if len(risk) not in self._tested:
            raise InputError(
                f"The results of {model} are of {len(risk)} test patients, not of {self._asked.stop}; run the "
                "study again."
            )
        return risk[self._asked]

    def _interval(self, value: float, resampled: Floats) -> Interval:
        return Interval(value, *percentile_limits(resampled, "c"))


@dataclass(frozen=True)
class Goal:
    """One goal of the study on one test: what was asked, what came out. `met` None: not fitted yet."""

    goal: str
    test: str
    development: int
    tested: int
    outcome: Interval | None
    met: bool | None


@lru_cache(maxsize=8)
def draw_tested(scenario: str, seed: int, patients: int) -> tuple[Patient, ...]:
    """The first patients of a cohort under a scenario."""
    return tuple(draw_patients(load_scenario(scenario), seed, range(patients)))


def largest(results: Sequence[ScenarioResults]) -> dict[str, ScenarioResults]:
    """For each scenario the file with most development patients."""
    ordered = sorted(results, key=lambda one: one.patients)
    return {one.scenario: one for one in ordered}


def judge_goals(
    configuration: StudyConfiguration, results: Sequence[ScenarioResults], *, unseen: bool = False
) -> list[Goal]:
    """The goals stated before anything was fitted, each on the scenario's own test cohort, at the largest size.

    `unseen`: on those test patients alone whom no earlier configuration was asked about; none where they are too few.
    """
    goals: list[Goal] = []
    for scenario, found in largest(results).items():
        tests = [test for test in found.tests if test.endswith(f"/{scenario}")]
        if scenario in (*GOAL_SCENARIOS, "null") and tests:
            first = configuration.cohort(tests[0].partition("/")[0]).seen if unseen else 0
            if unseen and found.tests[tests[0]] - first < configuration.fitting.smallest_test:
                continue
            judge = Judge(configuration, found, tests[0], first=first)
            goals += _advantages(judge) if scenario in GOAL_SCENARIOS else _no_advantages(judge)
    return goals


def _advantages(judge: Judge) -> Iterator[Goal]:
    goal = f"{ALL} recovers at least {RECOVERED_GOAL:.0%} of the oracle's discrimination"
    if judge.has(ALL):
        share = judge.recovered(ALL)
        yield _goal(judge, goal, share, share.value >= RECOVERED_GOAL)
    else:
        yield _goal(judge, goal, None, None)
    last = embedding_name("PET+CT", "spine_dilated", "last", "grid")
    for rival, word in (
        (PUBLISHED, "the published readout and downsampler"),
        (last, "the published readout under ridge Cox"),
    ):
        yield _better(judge, f"the whole scan beats {word}", EMBEDDING, rival)
    for rival in (STATISTICS, f"{STATISTICS}, MLP"):
        yield _better(judge, f"{EMBEDDING_STATISTICS} beats {rival} alone", EMBEDDING_STATISTICS, rival)


def _no_advantages(judge: Judge) -> Iterator[Goal]:
    goal = "images alone are at chance"
    if judge.has(EMBEDDING):
        c = judge.c(EMBEDDING)
        yield _goal(judge, goal, c, c.low <= 0.5)
    else:
        yield _goal(judge, goal, None, None)
    goal = f"{ALL} does not beat {CLINICAL}"
    if judge.has(ALL) and judge.has(CLINICAL):
        gain = judge.difference(ALL, CLINICAL)
        yield _goal(judge, goal, gain, gain.low <= 0)
    else:
        yield _goal(judge, goal, None, None)


def _better(judge: Judge, goal: str, first: str, second: str) -> Goal:
    if not (judge.has(first) and judge.has(second)):
        return _goal(judge, goal, None, None)
    gain = judge.difference(first, second)
    return _goal(judge, goal, gain, gain.low > 0)


def _goal(judge: Judge, goal: str, outcome: Interval | None, met: bool | None) -> Goal:
    return Goal(goal, judge.test, judge.results.patients, len(judge.events), outcome, met)
