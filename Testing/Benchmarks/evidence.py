"""The study of models on simulated cohorts: goals judged from saved results; reads them, fits nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from MemorySurvivalLib.study.configuration import load_configuration
from MemorySurvivalLib.study.evidence import load_results
from MemorySurvivalLib.study.judging import RECOVERED_GOAL, Judge, judge_goals, largest
from MemorySurvivalLib.study.models import ALL, CLINICAL, EMBEDDING, STATISTICS

RESULTS = Path(__file__).resolve().parents[1] / "Study" / "results"

RERUN = (
    "in Testing/Study: python -m MemorySurvivalLib.study embed --cohort all --out parts; "
    "python -m MemorySurvivalLib.study run --parts parts --out results; python -m MemorySurvivalLib.study probe "
    "--parts parts --out results; python -m MemorySurvivalLib.study evidence --results results "
    "--page ../../docs/evidence.md (docs/study.md)"
)

GOAL = (
    f"on main and spatial (simulated): images, statistics and clinical values recover >= {RECOVERED_GOAL:.0%} of the "
    "oracle's discrimination, the whole scan beats the published readout, embedding + statistics beats statistics, "
    "with intervals clear of zero; on null no advantage"
)


def run(results: Path = RESULTS) -> dict[str, Any]:
    configuration = load_configuration()
    found = load_results(configuration, results)
    common = {"goal": GOAL, "rerun": RERUN, "configuration": configuration.sha256[:12]}
    if not found:
        return {**common, "measured": "not measured: there are no saved results of this configuration", "ok": None}
    goals = judge_goals(configuration, found)
    rows = []
    for scenario, one in largest(found).items():
        judge = Judge(configuration, one, next(iter(one.tests)))
        for name in (CLINICAL, STATISTICS, EMBEDDING, ALL):
            if judge.has(name):
                rows.append(
                    {
                        "scenario": scenario,
                        "model": name,
                        "development": one.patients,
                        "test": len(judge.events),
                        "c": str(judge.c(name)),
                        "recovered": str(judge.recovered(name)),
                        "oracle_c": round(judge.oracle.value, 3),
                    }
                )
    met = [goal.met for goal in goals]
    return {
        **common,
        "simulated": "every patient is simulated; this tests software and method, never myeloma",
        "goals": [
            {
                "asked": goal.goal,
                "test": goal.test,
                "learned_from": goal.development,
                "tested_on": goal.tested,
                "outcome": str(goal.outcome or "not fitted yet"),
                "met": "not fitted yet" if goal.met is None else goal.met,
            }
            for goal in goals
        ],
        "models": rows,
        "ok": None if not met or None in met else all(met),
    }
