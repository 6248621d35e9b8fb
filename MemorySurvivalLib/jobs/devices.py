"""The job that lists the devices of this computer."""

from __future__ import annotations

from typing import Any

import msgspec

from MemorySurvivalLib.compute import list_devices
from MemorySurvivalLib.jobs.context import JobContext, JobOutput


def list_for_panel(parameters: dict[str, Any], context: JobContext) -> JobOutput:
    """What "auto" takes, and every device with its free memory or the reason why it cannot be used."""
    automatic, devices = list_devices()
    return JobOutput({"automatic": automatic, "devices": msgspec.to_builtins(devices)})
