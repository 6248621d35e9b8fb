"""The job that says what is to be known of the chosen images before they are scored."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec

from MemorySurvivalLib.imaging.inspection import ImageFacts, inspect_images
from MemorySurvivalLib.imaging.suv_supplied import Supplied
from MemorySurvivalLib.jobs.context import JobContext, JobOutput, convert


@dataclass(frozen=True)
class InspectRequest:
    """The images as far as they are chosen, what the user states about the PET, and whether to align them."""

    ct: ImageFacts | None = None
    pet: ImageFacts | None = None
    supplied: Supplied = field(default_factory=Supplied)
    align: bool = False


def inspect(parameters: dict[str, Any], context: JobContext) -> JobOutput:
    """Findings in plain values; nothing is written."""
    request = convert(parameters, InspectRequest)
    found = inspect_images(request.ct, request.pet, request.supplied, align=request.align, progress=context.progress)
    return JobOutput(
        {
            "findings": [msgspec.to_builtins(each) for each in found.findings],
            "missing": list(found.missing),
            "uptake_min": found.uptake_min,
        }
    )
