"""The demo case (a simulated patient) end to end: results, seconds of each stage, the same numbers when run again."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

from MemorySurvivalLib.models import Models
from MemorySurvivalLib.pipeline import ScoreRequest, score_case
from MemorySurvivalLib.simulation.cohort import write_case_folder
from Testing.Benchmarks.demo_patient import simulate_demo_patient

SPACING_MM = (2.5, 2.5, 3.125)


def run() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        start = time.perf_counter()
        case = simulate_demo_patient(SPACING_MM)
        write_case_folder(case, folder / "case")
        simulate_s = time.perf_counter() - start
        models = Models()
        records = []
        for number in (1, 2):
            request = ScoreRequest(
                ct=folder / "case" / "ct.nrrd",
                pet=folder / "case" / "pet.nrrd",
                roi=folder / "case" / "spine_dilated.nrrd",
                covariates=folder / "case" / "covariates.csv",
                out=folder / f"report{number}",
                explain=True,
                device="cpu",
                use_cache=False,
            )
            records.append(score_case(request, models).record)
        files = sorted(path.name for path in (folder / "report1").iterdir())
    first, second = records
    same = first.risk == second.risk and first.memory == second.memory and first.heatmap == second.heatmap
    assert first.heatmap is not None
    return {
        "shape_zyx": case.ct.shape,
        "log_risk": first.risk.log_risk,
        "position": first.risk.position,
        "risk_group": first.risk.risk_group,
        "slices_used": first.roi.slices_used,
        "patches": first.heatmap.patches,
        "effect_range": [first.heatmap.minimum, first.heatmap.maximum],
        "encoded_for_heatmap": first.heatmap.encoded_slices,
        "naive_encodes_for_heatmap": 2 * 2 * first.heatmap.patches * first.roi.slices_used,
        "simulate_s": round(simulate_s, 2),
        "seconds": dict(first.seconds),
        "seconds_warm": dict(second.seconds),
        "device": first.device,
        "files": files,
        "goal": "a finished report on the generated case, and the same numbers when run again",
        "ok": same and {"report.html", "result.json", "heatmap.nrrd"} <= set(files),
    }
