"""Explanations of simulated patients against their planted lesions: read from saved results, nothing is computed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from MemorySurvivalLib.study.configuration import load_configuration
from MemorySurvivalLib.study.hotspot_results import hotspot_path, read_hotspots
from MemorySurvivalLib.study.hotspot_summary import summarise
from MemorySurvivalLib.study.models import EMBEDDING_STATISTICS

RESULTS = Path(__file__).resolve().parents[1] / "Study" / "results"
RERUN = "in Testing/Study: python -m MemorySurvivalLib.study explain --parts parts --out results (docs/study.md)"
LEAST = 0.9


def run(results: Path = RESULTS) -> dict[str, Any]:
    configuration = load_configuration()
    settings = configuration.explaining
    common = {
        "goal": f"on {settings.cases} simulated test cases of {settings.scenario} the top hotspot of "
        f"{EMBEDDING_STATISTICS} lies in or within {settings.tolerance_mm / 10:g} cm of a planted lesion in "
        f">= {LEAST:.0%}",
        "rerun": RERUN,
    }
    kept = read_hotspots(hotspot_path(configuration, results))
    if kept is None or not kept.cases:
        return {**common, "measured": "not measured: no cases of this configuration are explained", "ok": None}
    rows = summarise(kept, settings.tolerance_mm)
    share = next(row["top_in_or_near_a_lesion"] for row in rows if row["map"] == EMBEDDING_STATISTICS)
    assert isinstance(share, float)
    seconds = [case.seconds for case in kept.cases.values()]
    return {
        **common,
        "simulated": "every patient is simulated; this says nothing about lesions in persons",
        "learned_from": kept.learned_from,
        "cases": len(kept.cases),
        "passed_over_without_disease_in_the_region": len(kept.passed_over),
        "cpu_seconds_a_map": round(sum(seconds) / len(seconds), 1),
        "mean_patches": round(sum(case.patches for case in kept.cases.values()) / len(seconds)),
        "maps": rows,
        "ok": None if len(kept.cases) < settings.cases else share >= LEAST,
    }
