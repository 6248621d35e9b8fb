"""The segmenters as a person chooses between them: what each is, whether it is here, and on what terms."""

from __future__ import annotations

from dataclasses import dataclass

from MemorySurvivalLib.roi.segmenters.choice import list_segmenters

TERMS = {
    "built-in": "Part of this program; no download.",
    "totalsegmentator": (
        "A program of others, run as it is installed; its code and the task used here (total) are under Apache-2.0. "
        "It downloads its weights itself when they are missing. Its usage statistics are switched off for this run. "
        "Please check the mask: this combination was only tested against recorded outputs."
    ),
    "moose": (
        "A program of others, run as it is installed; its code is under Apache-2.0, and the terms of its weights are "
        "for you to look up. It downloads its weights itself when they are missing. Please check the mask: this "
        "combination was only tested against recorded outputs."
    ),
}
"""By name: what a person should know before a run. The licences are those that TotalSegmentator's readme (2.18) and
moosez' package metadata (3.2.2) state."""


@dataclass(frozen=True)
class SegmenterDescription:
    """One segmenter: `reason` says why it can or cannot be used and what to do; `terms` what to know before a run."""

    name: str
    title: str
    found: bool
    version: str
    reason: str
    terms: str


def describe_segmenters() -> tuple[SegmenterDescription, ...]:
    """Every segmenter, in the order to offer them; fast, because nothing is started."""
    described = []
    for each in list_segmenters():
        here = each.available()
        described.append(
            SegmenterDescription(each.name, each.title, here.found, here.version, here.reason, TERMS[each.name])
        )
    return tuple(described)
