"""The jobs about masks: make them from a CT, and say what is to be known of one."""

from __future__ import annotations

from typing import Any

import msgspec

from MemorySurvivalLib.checking import CheckMaskRequest, check_mask
from MemorySurvivalLib.jobs.context import JobContext, JobOutput, convert, name_files
from MemorySurvivalLib.segmenter_list import describe_segmenters
from MemorySurvivalLib.segmenting import DERIVED_KINDS, SegmentRequest, segment_to_folder


def segment(parameters: dict[str, Any], context: JobContext) -> JobOutput:
    """Make masks from a CT, or from a segmentation file on it, into a folder."""
    output = segment_to_folder(convert(parameters, SegmentRequest), context.progress, context.tell)
    files: dict[str, str | None] = {**dict.fromkeys(DERIVED_KINDS), **name_files(output.files)}
    # What a DICOM file says of its patient is for the person at the screen; it stands in no file of ours.
    return JobOutput({**msgspec.to_builtins(output.record, str_keys=True), "origin": dict(output.origin)}, files)


def check(parameters: dict[str, Any], context: JobContext) -> JobOutput:
    """Who made a mask, what was edited, what is stray, and which boxes it prompts with; nothing is written."""
    checked = check_mask(convert(parameters, CheckMaskRequest))
    result: dict[str, Any] = msgspec.to_builtins(checked.review)
    # The review's "boxes" say what an edit changed; the boxes themselves are "prompt_boxes".
    result["sentences"] = checked.review.sentences
    result["stray_sentences"] = [piece.sentence for piece in checked.review.stray]
    result["prompt_boxes"] = msgspec.to_builtins(checked.boxes)
    result["placed_boxes"] = msgspec.to_builtins(checked.placed)
    result["prompts"] = msgspec.to_builtins(checked.prompts)
    return JobOutput(result)


def list_segmenters(parameters: dict[str, Any], context: JobContext) -> JobOutput:
    """The segmenters, whether each can be used here and what to do where it cannot; nothing is started."""
    return JobOutput({"segmenters": [msgspec.to_builtins(each) for each in describe_segmenters()]})
