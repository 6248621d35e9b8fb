"""The jobs about masks: make them from a CT, and say what is to be known of one."""

from __future__ import annotations

from typing import Any

import msgspec

from MemorySurvivalLib.checking import CheckMaskRequest, check_mask
from MemorySurvivalLib.jobs.context import JobContext, JobOutput, convert, name_files
from MemorySurvivalLib.segmenting import DERIVED_KINDS, SegmentRequest, segment_to_folder


def segment(parameters: dict[str, Any], context: JobContext) -> JobOutput:
    """Make masks from a CT into a folder."""
    output = segment_to_folder(convert(parameters, SegmentRequest), context.progress, context.tell)
    files: dict[str, str | None] = {**dict.fromkeys(DERIVED_KINDS), **name_files(output.files)}
    return JobOutput(msgspec.to_builtins(output.record, str_keys=True), files)


def check(parameters: dict[str, Any], context: JobContext) -> JobOutput:
    """Who made a mask, what was edited, what is stray; nothing is written."""
    review = check_mask(convert(parameters, CheckMaskRequest))
    return JobOutput({**msgspec.to_builtins(review), "sentences": review.sentences})
