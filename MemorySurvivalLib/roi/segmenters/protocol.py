"""What every segmenter is to the rest of the program: a name, whether it is there, and a CT turned into structures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from MemorySurvivalLib.imaging.volume import Volume
from MemorySurvivalLib.processes import never
from MemorySurvivalLib.progress import ProgressCallback, ignore_progress
from MemorySurvivalLib.roi.segments import Segmentation


@dataclass(frozen=True)
class Availability:
    """Whether a segmenter can be used; `version` ("" where unknown); `reason` is a sentence for the user either way."""

    found: bool
    version: str
    reason: str


class Segmenter(Protocol):
    """Turns a CT into named structures on the CT's own grid."""

    @property
    def name(self) -> str:
        """Short name by which the user chooses it."""
        ...

    @property
    def title(self) -> str:
        """How it is called in sentences."""
        ...

    def available(self) -> Availability:
        """Whether it can be used here; fast, starts nothing."""
        ...

    def segment(
        self, ct: Volume, progress: ProgressCallback = ignore_progress, stop: Callable[[], bool] = never
    ) -> Segmentation:
        """Segment a CT (HU, any orientation). Raising from `progress`, or `stop` saying so, ends the work at once.

        Raises a MemorySurvivalError with one sentence for whatever went wrong, and Stopped where `stop` asked for it.
        """
        ...
