"""The job that says about how long a case will take."""

from __future__ import annotations

from typing import Any

import msgspec

from MemorySurvivalLib.devices import choose_device, describe_device
from MemorySurvivalLib.estimating import EstimateRequest, estimate
from MemorySurvivalLib.jobs.context import JobContext, JobOutput, convert
from MemorySurvivalLib.memory.speed import seconds_per_slice


def about(parameters: dict[str, Any], context: JobContext) -> JobOutput:
    """The estimate; the first one for a bundle on a device loads it and measures a few slices."""
    request = convert(parameters, EstimateRequest)
    models = context.warm.models
    bundle, device = models.bundle(request.bundle), choose_device(request.device)
    slice_s = seconds_per_slice(models.engine(bundle, device), bundle.manifest.backbone.sha256)
    found = estimate(request, bundle.manifest, slice_s)
    return JobOutput({**msgspec.to_builtins(found), "device": describe_device(device)})
