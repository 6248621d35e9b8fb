"""A simulated patient among Slicer's sample data: made on this machine, nothing is downloaded."""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from MemorySurvivalPanels import locations
from MemorySurvivalPanels.errors import UserError
from MemorySurvivalPanels.process_dialog import ProcessGivenUp, run_python

CATEGORY = "MemorySurvival"
SAMPLE_NAME = "MemorySurvivalPatient"
SCENARIO, SEED = "main", 6
"""A patient as those whom the demonstration model learned from, with all clinical values, and none of these."""
SPACING_MM = 2.0
"""CT voxels across; slices are 1.25 times as thick."""
_LABEL_MAP = 1
"""vtkSlicerVolumesLogic's option to read a volume as a label map."""


@dataclass(frozen=True)
class SimulatedPatient:
    """The nodes of a simulated patient, and the file with their clinical values."""

    ct: Any
    pet: Any
    region: Any
    covariates: Path


def register_sample_data() -> None:
    """Add the simulated patient to Slicer's Sample Data module; connect this to slicer.app's startupCompleted()."""
    import SampleData

    logic = SampleData.SampleDataLogic
    logic.registerCustomSampleDataCategory(CATEGORY, title=_("Memory Survival"))
    try:
        picture = str(locations.locate_resource("Icons/SimulatedPatient.png"))
    except UserError:
        picture = None
    logic.registerCustomSampleDataSource(
        category=CATEGORY,
        sampleName=SAMPLE_NAME,
        # Sample Data wants an address, and asks customDownloader instead of it.
        uris="",
        fileNames="ct.nrrd",
        nodeNames="SimulatedPatientCT",
        thumbnailFileName=picture,
        customDownloader=load_from_sample_data,
    )


def load_from_sample_data(_source: Any = None) -> SimulatedPatient | None:
    """What a click in Sample Data does; a problem is said in a dialog."""
    try:
        return load_simulated_patient()
    except UserError as error:
        slicer.util.errorDisplay(str(error))
        return None


def load_simulated_patient(spacing_mm: float = SPACING_MM) -> SimulatedPatient:
    """Make the patient unless it was made before, put CT, PET and spine into the scene, and show CT and PET.

    Raises UserError.
    """
    folder = _make(spacing_mm)
    add = slicer.modules.volumes.logic().AddArchetypeVolume
    files = (
        ("ct.nrrd", _("Simulated patient CT"), 0),
        ("pet.nrrd", _("Simulated patient PET (SUVbw)"), 0),
        ("spine_dilated.nrrd", _("Simulated patient spine"), _LABEL_MAP),
    )
    nodes = []
    for file, name, options in files:
        node = add(str(folder / file), name, options)
        if node is None:
            raise UserError(_("{file} cannot be read; remove the folder and try again.").format(file=folder / file))
        nodes.append(node)
    ct, pet, region = nodes
    slicer.util.setSliceViewerLayers(background=ct, foreground=pet, foregroundOpacity=0.3, fit=True)
    return SimulatedPatient(ct, pet, region, folder / "covariates.csv")


def _make(spacing_mm: float) -> Path:
    """The patient's folder in Slicer's cache. It appears whole or not at all, so what is there can be used."""
    version = locations.library_version()
    folder = _cache() / f"memory-survival-{version}-patient-{SCENARIO}-{SEED}-{spacing_mm:g}mm"
    if (folder / "truth.json").is_file():
        return folder
    if folder.exists():
        shutil.rmtree(folder, ignore_errors=True)
    arguments = ["-m", "MemorySurvivalLib.cli", "simulate", "case", "--out", str(folder)]
    arguments += ["--scenario", SCENARIO, "--seed", str(SEED), "--spacing-mm", f"{spacing_mm:g}"]
    try:
        ended = run_python(arguments, _("Making a simulated patient (about 15 s)…"))
    except ProcessGivenUp as error:
        raise UserError(_("The simulated patient was not made: {reason}.").format(reason=error)) from error
    if ended.exit_code != 0:
        raise UserError(_explain(ended.complaints))
    return folder


def _cache() -> Path:
    """Where Sample Data keeps its downloads."""
    manager = slicer.mrmlScene.GetCacheManager()
    cached = manager.GetRemoteCacheDirectory() if manager is not None else ""
    folder = Path(cached or slicer.app.temporaryPath)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _explain(complaints: str) -> str:
    """One sentence from what the command wrote."""
    missing = re.search(r"No module named '([\w.]+)'", complaints)
    if missing:
        return _(
            "The simulated patient needs the Python package {package}; "
            "open the module Memory Survival and press Install under Installation."
        ).format(package=missing.group(1).partition(".")[0])
    said = re.search(r"^memory-survival: (.+)$", complaints, re.MULTILINE)
    reason = said.group(1) if said else (complaints.strip().splitlines() or [_("no reason was given")])[-1]
    return _("The simulated patient was not made: {reason}").format(reason=reason)
