"""From the chosen mask to files for the worker: as a region to score, a mask to check, a CT to segment."""

from pathlib import Path
from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from MemorySurvivalPanels import busy
from MemorySurvivalPanels.errors import UserError
from MemorySurvivalPanels.parameters import MaskSource, ScoreParameters
from MemorySurvivalPanels.segmentations import export_generated, export_mask, read_stamp
from MemorySurvivalPanels.volumes import ijk_to_world, volume_file


def segment_job(parameters: ScoreParameters, folder: Path) -> dict[str, Any]:
    """The parameters of a job that makes masks from the chosen CT, or reads them from a file on it, inside `folder`."""
    if parameters.ct is None:
        raise UserError(_("Choose the CT volume."))
    job = {"ct": str(volume_file(parameters.ct, "CT", folder)), "out": str(folder / "masks")}
    if parameters.mask_source is not MaskSource.FILE:
        return {**job, "segmenter": parameters.mask_source.value}
    if not parameters.mask_file:
        raise UserError(_("Choose the file that holds the segmentation."))
    return {
        **job,
        "existing": parameters.mask_file,
        "labels": parameters.mask_labels.value or None,
        "bundle": parameters.bundle or None,
    }


def check_mask_job(parameters: ScoreParameters, folder: Path) -> dict[str, Any]:
    """The parameters of a job that says who made the chosen mask, what was edited, what is stray, where the boxes are.

    The CT's voxels play no part, so only its grid is handed over.
    """
    if parameters.ct is None:
        raise UserError(_("Choose the CT volume."))
    grid = image_grid(parameters.ct)
    files = mask_files(parameters, folder, whole_grid=False)
    return {
        "grid": grid,
        "mask": files["roi"],
        "generated": files["roi_generated"],
        "bundle": parameters.bundle,
    }


def image_grid(node: slicer.vtkMRMLVolumeNode) -> dict[str, Any]:
    """A volume's size (columns, rows, slices) and where it lies in the world, as the library takes them (LPS)."""
    if node.GetImageData() is None:
        raise UserError(_('The CT "{name}" holds no image; choose another.').format(name=node.GetName()))
    matrix = np.diag([-1.0, -1.0, 1.0, 1.0]) @ ijk_to_world(node, "CT")
    return {"size": list(node.GetImageData().GetDimensions()), "index_to_lps": matrix.tolist()}


def mask_files(parameters: ScoreParameters, folder: Path, *, whole_grid: bool = True) -> dict[str, str | None]:
    """The chosen region exactly as it is, the same as it was generated where that was kept, and its kind if stated.

    On the CT's whole grid where the region lies on it, or (`whole_grid` false) in the smallest box, which is quicker.
    """
    roi = parameters.roi
    if roi is None:
        return {"roi": None, "roi_generated": None, "roi_kind": None}
    if not is_segmentation(roi):
        return {"roi": str(volume_file(roi, "ROI", folder)), "roi_generated": None, "roi_kind": None}
    reference = parameters.ct if whole_grid else None
    with busy.phase(_("Handing the mask over")):
        mask = export_mask(roi, parameters.segment_id, folder, reference)
        generated = export_generated(roi, parameters.segment_id, folder, reference)
    stamp = read_stamp(roi.GetSegmentation().GetSegment(parameters.segment_id)) or {}
    return {
        "roi": str(mask),
        "roi_generated": None if generated is None else str(generated),
        "roi_kind": stamp.get("kind"),
    }


def is_segmentation(node: slicer.vtkMRMLNode | None) -> bool:
    """Whether a region is a segmentation, not a label map."""
    return node is not None and node.IsA("vtkMRMLSegmentationNode")
