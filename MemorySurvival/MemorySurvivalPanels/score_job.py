"""From what the user chose to the parameters of one score job."""

from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from MemorySurvivalPanels.errors import UserError
from MemorySurvivalPanels.mask_jobs import is_segmentation, mask_files
from MemorySurvivalPanels.parameters import ScoreParameters
from MemorySurvivalPanels.volumes import volume_file


def missing_choice(parameters: ScoreParameters) -> str | None:
    """What still has to be chosen before the case can be scored, as a sentence; None when nothing is missing."""
    if parameters.ct is None:
        return _("Choose the CT volume.")
    if parameters.pet is None:
        return _("Choose the PET volume.")
    if parameters.ct is parameters.pet:
        return _("CT and PET are the same volume; choose two different ones.")
    if is_segmentation(parameters.roi) and not parameters.segment_id:
        return _("Choose a segment of the segmentation.")
    if not parameters.bundle:
        return _("Choose a model bundle.")
    return None


def score_job(parameters: ScoreParameters, folder: Path, out: Path) -> dict[str, Any]:
    """Write what has to be written into `folder` and name every file; the worker makes the folder `out`.

    Raises UserError with one sentence.
    """
    missing = missing_choice(parameters)
    if missing is not None:
        raise UserError(missing)
    return {
        "ct": str(volume_file(parameters.ct, "CT", folder)),
        "pet": str(volume_file(parameters.pet, "PET", folder)),
        **mask_files(parameters, folder),
        "covariates": parameters.covariates or None,
        "bundle": parameters.bundle,
        "out": str(out),
        "explain": parameters.explain,
        "device": parameters.device.value,
        "allow_other_roi": parameters.allow_other_roi,
        "patch_mm": None,
        "stride_mm": None,
    }
