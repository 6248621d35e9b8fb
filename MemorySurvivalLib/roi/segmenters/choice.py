"""The segmenters a user can choose from, by name."""

from __future__ import annotations

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.roi.segmenters.builtin import BuiltIn
from MemorySurvivalLib.roi.segmenters.moose import Moose
from MemorySurvivalLib.roi.segmenters.protocol import Segmenter
from MemorySurvivalLib.roi.segmenters.totalsegmentator import TotalSegmentator


def list_segmenters() -> tuple[Segmenter, ...]:
    """Every segmenter, whether it is there or not; ask each with `available()`."""
    return BuiltIn(), TotalSegmentator(), Moose()


def choose_segmenter(name: str) -> Segmenter:
    """The segmenter with this name, if it can be used here. Raises InputError with the reason where it cannot."""
    known = {each.name: each for each in list_segmenters()}
    segmenter = known.get(name)
    if segmenter is None:
        raise InputError(f'There is no segmenter "{name}"; choose one of {", ".join(known)}.')
    availability = segmenter.available()
    if not availability.found:
        raise InputError(availability.reason)
    return segmenter
