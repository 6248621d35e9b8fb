"""From image files to a folder of measurements."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from MemorySurvivalLib.files import atomic_folder
from MemorySurvivalLib.imaging.acquisition import Alignment
from MemorySurvivalLib.imaging.case import Case, prepare_case
from MemorySurvivalLib.imaging.intake import ImageRequest, take_in
from MemorySurvivalLib.imaging.reading import read_volume
from MemorySurvivalLib.measure.measuring import MeasureConfig, Measurements, measure_case, write_measurements
from MemorySurvivalLib.progress import ProgressCallback, ignore_progress
from MemorySurvivalLib.roi.automatic import derive_roi, segment_case
from MemorySurvivalLib.roi.existing import read_segmentation
from MemorySurvivalLib.roi.plausibility import accept_roi
from MemorySurvivalLib.roi.roi import Roi, RoiKind
from MemorySurvivalLib.roi.segments import Segmentation


@dataclass(frozen=True)
class MeasureRequest:
    """What to measure and where to write. Without `segmentation` the built-in segmenter runs; without `roi` the region
    `roi_kind` is derived from the segmentation. `labels` says what the labels of a label map are."""

    images: ImageRequest
    out: Path
    alignment: Alignment = "check"
    segmentation: Path | None = None
    labels: str | None = None
    roi: Path | None = None
    roi_kind: RoiKind = "skeleton"
    config: MeasureConfig = field(default_factory=MeasureConfig)
    overwrite: bool = False


def measure_to_folder(
    request: MeasureRequest,
    progress: ProgressCallback = ignore_progress,
    tell: Callable[[str], None] = lambda text: None,
) -> Measurements:
    """Read, segment where needed, measure, write. The folder appears whole or not at all.

    Raises MemorySurvivalError with one sentence for anything the user can put right.
    """
    with atomic_folder(request.out, overwrite=request.overwrite, ours="measurements.json") as folder:
        case = prepare_case(take_in(request.images, progress=progress), request.alignment)
        if request.segmentation is None:
            segmentation = segment_case(case.ct, progress)
        else:
            segmentation = read_segmentation(request.segmentation, case.ct, request.labels)
        roi = _region(request, case, segmentation)
        for note in dict.fromkeys((*case.notes, *segmentation.notes, *roi.notes)):
            tell(note)
        measurements = measure_case(case, segmentation, roi, request.config, progress)
        write_measurements(measurements, case, folder)
    return measurements


def _region(request: MeasureRequest, case: Case, segmentation: Segmentation) -> Roi:
    if request.roi is None:
        return derive_roi(segmentation, request.roi_kind, grid=case.ct)
    mask, kind = read_volume(request.roi, "mask"), request.roi_kind
    return accept_roi(mask, case.ct, kind, kind, str(request.roi), allow_other=kind == "other")
