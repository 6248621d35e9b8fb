"""The built-in segmenter behind the protocol that all segmenters share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from MemorySurvivalLib import __version__
from MemorySurvivalLib.imaging.volume import Volume
from MemorySurvivalLib.processes import Stopped, never
from MemorySurvivalLib.progress import ProgressCallback, ProgressEvent, ignore_progress
from MemorySurvivalLib.roi.automatic import segment_case
from MemorySurvivalLib.roi.segmentation import DEFAULT_CONFIG, SegmenterConfig
from MemorySurvivalLib.roi.segmenters.protocol import Availability
from MemorySurvivalLib.roi.segments import Segmentation


@dataclass(frozen=True)
class BuiltIn:
    """The adapter; there on every machine, without any download."""

    config: SegmenterConfig = DEFAULT_CONFIG

    name = "built-in"
    title = "the built-in segmenter"

    def available(self) -> Availability:
        """Always."""
        return Availability(True, __version__, "The built-in segmenter is part of this program.")

    def segment(
        self, ct: Volume, progress: ProgressCallback = ignore_progress, stop: Callable[[], bool] = never
    ) -> Segmentation:
        """Segment the CT (HU) in this process. Stopping waits for the step at hand. See Segmenter.segment."""

        def watch(event: ProgressEvent) -> None:
            if stop():
                raise Stopped("The built-in segmenter was stopped.")
            progress(event)

        return segment_case(ct, watch, self.config)
