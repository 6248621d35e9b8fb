"""From what the user chose to the parameters of one score job."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from MemorySurvivalPanels.accepted import mask_missing, mask_notes
from MemorySurvivalPanels.bundle_catalog import bundle_problem
from MemorySurvivalPanels.covariate_values import covariate_job, covariates_problem
from MemorySurvivalPanels.dicom_source import dicom_file, pet_file
from MemorySurvivalPanels.errors import UserError
from MemorySurvivalPanels.explain_settings import score_settings
from MemorySurvivalPanels.mask_jobs import is_segmentation, mask_files
from MemorySurvivalPanels.parameters import ScoreParameters
from MemorySurvivalPanels.pet_values import PET_VALUES, supplied_values, typed
from MemorySurvivalPanels.volumes import image_defect, volume_file


def image_problem(parameters: ScoreParameters) -> str | None:
    """Why the images cannot be scored yet, as a sentence; None when both are chosen and usable."""
    if parameters.ct is None:
        return _("Choose the CT volume.")
    if parameters.pet is None:
        return _("Choose the PET volume.")
    if parameters.ct is parameters.pet:
        return _("CT and PET are the same volume; choose two different ones.")
    defect = image_defect(parameters.ct, "CT") or image_defect(parameters.pet, "PET")
    if defect is not None:
        return defect
    try:
        pet_file(parameters.pet)
        supplied_values(parameters)
    except UserError as error:
        return str(error)
    return None


def missing_choice(parameters: ScoreParameters) -> str | None:
    """What still has to be chosen before the case can be scored, as a sentence; None when nothing is missing."""
    problem = image_problem(parameters)
    if problem is not None:
        return problem
    if is_segmentation(parameters.roi) and not parameters.segment_id:
        return _("Choose a segment of the segmentation.")
    problem = bundle_problem(parameters.bundle) or covariates_problem(parameters)
    if problem is not None:
        return problem
    return mask_missing(parameters)


def chosen_inputs(parameters: ScoreParameters) -> tuple[str, ...]:
    """What a run is about, to tell whether the choice is still the same when it ends."""
    nodes = (parameters.ct, parameters.pet, parameters.roi)
    return (*("" if node is None else node.GetID() for node in nodes), parameters.segment_id, parameters.covariates)


def chosen_values(parameters: ScoreParameters) -> dict[str, str]:
    """Everything chosen beside the images and the mask that can change a number, by name."""
    return {
        "segment_id": parameters.segment_id,
        "covariates": parameters.covariates,
        "covariate_values": parameters.covariate_values,
        "bundle": parameters.bundle,
        "alignment": parameters.alignment.value,
        "pet_values": "|".join(str(typed(parameters, value) or "") for value in PET_VALUES),
    }


def chosen_run(parameters: ScoreParameters) -> tuple[str, ...]:
    """Everything chosen that can change a number, to tell whether the same is chosen still."""
    return (*chosen_inputs(parameters), *chosen_values(parameters).values())


def score_job(
    parameters: ScoreParameters,
    folder: Path,
    out: Path,
    *,
    confirm_identity: bool = False,
    confirmed: Sequence[str] = (),
) -> dict[str, Any]:
    """Write what has to be written into `folder` and name every file; the worker makes the folder `out`.

    `confirm_identity` says that a person was asked and said that the images belong together; `confirmed` are doubts of
    the panel's own that this person set aside, which the record keeps. Raises UserError with one sentence.
    """
    missing = missing_choice(parameters)
    if missing is not None:
        raise UserError(missing)
    shown = {
        "ct": str(volume_file(parameters.ct, "CT", folder)),
        "pet": str(volume_file(parameters.pet, "PET", folder)),
    }
    dicom = {"ct": dicom_file(parameters.ct), "pet": pet_file(parameters.pet)}
    found = {name: str(path) for name, path in dicom.items() if path is not None}
    return {
        **shown,
        **found,
        # The worker takes the DICOM only where the scene shows exactly that.
        **({"shown": {name: shown[name] for name in found}} if found else {}),
        **mask_files(parameters, folder),
        "covariates": parameters.covariates or None,
        "covariate_values": covariate_job(parameters),
        "bundle": parameters.bundle,
        "out": str(out),
        "explain": parameters.explain,
        "measure": parameters.measure,
        "stability": parameters.check_stability,
        "alignment": parameters.alignment.value,
        "supplied": supplied_values(parameters),
        "confirm_identity": confirm_identity,
        "notes": [*(f"Confirmed by the user although: {doubt}" for doubt in confirmed), *mask_notes(parameters)],
        "device": parameters.device.value,
        "allow_other_roi": parameters.allow_other_roi,
        **score_settings(parameters),
    }


def name_files(job: Mapping[str, Any], parameters: ScoreParameters) -> dict[str, str]:
    """The node's name for every path that the worker may put into a sentence; longer paths first."""
    names = {}
    for key in ("ct", "pet", "roi"):
        if job.get(key) is not None:
            name = getattr(parameters, key).GetName()
            names[job[key]] = name
            names[job.get("shown", {}).get(key, job[key])] = name
    folders = {key: str(Path(job[key]).parent) for key in job.get("shown", {})}
    for key, folder in folders.items():  # the library names a series by its folder, which may hold several
        if list(folders.values()).count(folder) == 1:
            names[folder] = getattr(parameters, key).GetName()
    return dict(sorted(names.items(), key=lambda each: -len(each[0])))
