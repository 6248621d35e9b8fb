"""Real DICOM series as Slicer's own reader loads them: the worker takes the DICOM, and SUV is made from its tags."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.real_data

SECONDS = 120.0


def load_with_slicer(folder: Path, name: str) -> tuple[Any, list[Path]]:
    """A series as Slicer's reader makes a node of it (and not the library's), with its images' UIDs; and its files."""
    import pydicom
    import slicer
    import vtk

    headers = {path: pydicom.dcmread(path, stop_before_pixels=True) for path in folder.glob("*.dcm")}
    files = sorted(headers, key=lambda path: headers[path].ImagePositionPatient[2])
    listed = vtk.vtkStringArray()
    for path in files:
        listed.InsertNextValue(str(path))
    node = slicer.modules.volumes.logic().AddArchetypeVolume(str(files[0]), name, 0, listed)
    node.SetAttribute("DICOM.instanceUIDs", " ".join(str(headers[path].SOPInstanceUID) for path in files))
    return node, files


@pytest.fixture(params=["STS_002", "STS_041"])
def study(request: Any, panel: Any, real_data: Path) -> Any:
    """The panel with a real study chosen."""
    import slicer
    from slicer_host.dicom_database import DicomDatabase

    folder = real_data / "petct_sts_dicom" / request.param
    ct, ct_files = load_with_slicer(folder / "CT" / "image", "CT")
    pet, pet_files = load_with_slicer(folder / "PET" / "image", "PET")
    slicer.dicomDatabase = DicomDatabase([*ct_files, *pet_files])
    panel.widget._parameters.ct, panel.widget._parameters.pet = ct, pet
    return panel


def test_what_slicer_shows_is_what_the_library_reads(study: Any) -> None:
    from dicom_nodes import Recorder

    from MemorySurvivalLib.imaging.shown import ShownImages

    assert study.ui.petSourceLabel.text == "PET: SUVbw from DICOM tags"
    worker = study.widget.logic.worker = Recorder()
    study.ui.scoreButton.click()
    dicom = {name: Path(worker.job[name.lower()]) for name in ("CT", "PET")}
    shown = {name: Path(worker.job["shown"][name.lower()]) for name in ("CT", "PET")}
    assert ShownImages(dicom, shown).choose() == (dicom, ())


def test_a_real_study_is_scored_from_dicom(study: Any) -> None:
    import slicer
    from scenes import add_segmentation

    ct = study.widget._parameters.ct
    voxels = np.zeros(slicer.util.arrayFromVolume(ct).shape, np.uint8)
    voxels[10:30, 60:90, 60:90] = 1
    study.ui.roiSelector.setCurrentNode(add_segmentation(voxels, ct, "Regions", "block"))
    study.ui.explainCheckBox.checked = False
    study.ui.allowOtherRoiCheckBox.checked = True
    said: list[str] = []
    study.widget.parts.score.job_noted = said.append
    study.score(SECONDS)
    assert study.ui.messageLabel.text == ""
    record = study.widget.parts.result.report.with_name("result.json").read_text(encoding="utf-8")
    assert '"CT": "DICOM series' in record and '"PET": "DICOM series' in record
    assert not any("is shown otherwise" in text for text in said)
    assert "uptake" in study.ui.warningsLabel.text + study.ui.notesLabel.text
