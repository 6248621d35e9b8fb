"""Every segment of a label map, and the ROI itself, in numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from MemorySurvivalLib.imaging.case import Case
from MemorySurvivalLib.imaging.volume import Volume, resample_onto
from MemorySurvivalLib.measure.uptake import RegionMeasure, measure_region
from MemorySurvivalLib.progress import ProgressCallback, ignore_progress, track
from MemorySurvivalLib.roi.roi import Roi
from MemorySurvivalLib.roi.segments import Segmentation


@dataclass(frozen=True)
class SegmentMeasure:
    """A named segment, its label in the label map (0 for the ROI), its group and its numbers."""

    name: str
    label: int
    group: str
    measure: RegionMeasure


def on_grid(segmentation: Segmentation, grid: Volume) -> Segmentation:
    """The same segmentation on the grid of `grid`, nearest neighbour where the grids differ."""
    body = segmentation.body
    if segmentation.labels.same_grid(grid) and segmentation.labels.affine.orientation == grid.affine.orientation:
        return segmentation
    return Segmentation(
        labels=resample_onto(segmentation.labels, grid, linear=False),
        structures=segmentation.structures,
        maker=segmentation.maker,
        body=None if body is None else resample_onto(body, grid, linear=False),
        notes=segmentation.notes,
    )


def measure_segments(
    case: Case, segmentation: Segmentation, progress: ProgressCallback = ignore_progress
) -> tuple[SegmentMeasure, ...]:
    """Measure every structure that has voxels on the case's grid, in the order of the labels."""
    labels = on_grid(segmentation, case.ct).labels.voxels
    boxes = ndimage.find_objects(labels)
    present = [(label, box) for label, box in enumerate(boxes, start=1) if box is not None]
    rows = []
    for label, box in track(present, "measuring segments", len(present), progress):
        structure = segmentation.structures[label]
        start = (box[0].start, box[1].start, box[2].start)
        rows.append(
            SegmentMeasure(structure.name, label, structure.group, measure_region(case, labels[box] == label, start))
        )
    return tuple(rows)


def measure_roi(case: Case, roi: Roi) -> SegmentMeasure:
    """Measure the whole region of interest."""
    (z0, y0, x0), (z1, y1, x1) = roi.bounds_zyx
    mask = np.asarray(roi.mask.voxels[z0:z1, y0:y1, x0:x1])
    return SegmentMeasure(roi.kind, 0, "roi", measure_region(case, mask, (z0, y0, x0)))
