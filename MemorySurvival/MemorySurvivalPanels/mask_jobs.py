"""From the chosen mask to files for the worker: as a region to score, a mask to check, a CT to segment."""

from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from MemorySurvivalPanels.errors import UserError
from MemorySurvivalPanels.parameters import ScoreParameters
from MemorySurvivalPanels.segmentations import export_generated, export_mask, read_stamp
from MemorySurvivalPanels.volumes import volume_file


def segment_job(parameters: ScoreParameters, folder: Path) -> dict[str, Any]:
    """The parameters of a job that makes masks from the chosen CT, in a folder inside `folder`."""
    if parameters.ct is None:
        raise UserError(_("Choose the CT volume."))
    return {"ct": str(volume_file(parameters.ct, "CT", folder)), "out": str(folder / "masks")}


def check_mask_job(parameters: ScoreParameters, folder: Path) -> dict[str, Any]:
    """The parameters of a job that says who made the chosen mask, what was edited, and what is stray."""
    if parameters.ct is None:
        raise UserError(_("Choose the CT volume."))
    files = mask_files(parameters, folder)
    return {
        "ct": str(volume_file(parameters.ct, "CT", folder)),
        "mask": files["roi"],
        "generated": files["roi_generated"],
        "bundle": parameters.bundle,
    }


def mask_files(parameters: ScoreParameters, folder: Path) -> dict[str, str | None]:
    """The chosen region exactly as it is, the same as it was generated where that was kept, and its kind if stated."""
    roi = parameters.roi
    if roi is None:
        return {"roi": None, "roi_generated": None, "roi_kind": None}
    if not is_segmentation(roi):
        return {"roi": str(volume_file(roi, "ROI", folder)), "roi_generated": None, "roi_kind": None}
    mask = export_mask(roi, parameters.segment_id, folder, parameters.ct)
    generated = export_generated(roi, parameters.segment_id, folder, parameters.ct)
    stamp = read_stamp(roi.GetSegmentation().GetSegment(parameters.segment_id)) or {}
    return {
        "roi": str(mask),
        "roi_generated": None if generated is None else str(generated),
        "roi_kind": stamp.get("kind"),
    }


def is_segmentation(node: slicer.vtkMRMLNode | None) -> bool:
    """Whether a region is a segmentation, not a label map."""
    return node is not None and node.IsA("vtkMRMLSegmentationNode")
