"""The jobs that make a demonstration bundle for weights that a user has, and that say before how long it takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from MemorySurvivalLib.bundle.summary import summarize_bundles
from MemorySurvivalLib.devices import DeviceName, choose_device
from MemorySurvivalLib.jobs.context import JobContext, JobOutput, convert


@dataclass(frozen=True)
class RebuildRequest:
    """Which stored weights (a name, "medsam2", a sha256), of how many simulated patients, and where to compute."""

    weights: str
    cases: int = 300
    device: DeviceName = "auto"


def estimate(parameters: dict[str, Any], context: JobContext) -> JobOutput:
    """How long it will take; `made` says that the bundle is there already (then nothing is measured)."""
    from MemorySurvivalLib.study.rebuild_estimate import estimate_rebuild
    from MemorySurvivalLib.study.rebuilding import find_made, plan_rebuild

    request = convert(parameters, RebuildRequest)
    plan = plan_rebuild(request.weights, request.cases)
    if find_made(plan) is not None:
        return JobOutput({"name": plan.out.stem, "made": True})
    found = estimate_rebuild(plan, plan.load_engine(choose_device(request.device)), context.progress)
    plain: dict[str, Any] = msgspec.to_builtins(found)
    return JobOutput({**plain, "name": plan.out.stem, "made": False, "seconds": found.seconds})


def rebuild(parameters: dict[str, Any], context: JobContext) -> JobOutput:
    """Make it, or go on with it; its name, and the list of bundles as it is then."""
    from MemorySurvivalLib.study.rebuilding import find_made, plan_rebuild, rebuild_bundle

    request = convert(parameters, RebuildRequest)
    plan = plan_rebuild(request.weights, request.cases)
    if find_made(plan) is None:
        rebuild_bundle(plan, plan.load_engine(choose_device(request.device)), context.progress)
    plain = msgspec.to_builtins(summarize_bundles())
    return JobOutput({"name": plan.out.stem, "bundles": plain}, {"bundle": str(plan.out)})
