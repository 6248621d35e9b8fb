"""CT and PET that came from DICOM reach the worker as DICOM, and the panel says where the SUV comes from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def study(panel: Any, tmp_path: Path) -> Any:
    """The panel with a CT and a PET of a DICOM study chosen, and a worker that only remembers its jobs."""
    from dicom_nodes import Recorder, load_study

    parameters = panel.widget._parameters
    parameters.ct, parameters.pet = load_study(tmp_path)
    panel.widget.logic.worker = Recorder()
    return panel


def sent(panel: Any) -> dict[str, Any]:
    panel.ui.scoreButton.click()
    panel.widget.parts.run_panel.show_idle()
    return panel.widget.logic.worker.job


def test_dicom_goes_to_the_worker_with_what_is_shown(study: Any, tmp_path: Path) -> None:
    assert study.ui.petSourceLabel.text == "PET: SUVbw from DICOM tags"
    assert study.ui.petSourceLabel.isVisible()
    job = sent(study)
    assert Path(job["ct"]).parent == tmp_path / "ct"
    assert Path(job["pet"]).parent == tmp_path / "pet"
    assert {Path(path).suffix for path in job["shown"].values()} == {".nrrd"}
    assert "P1" not in str(job) and "Made up" not in str(job)


def test_sentences_name_nodes_and_not_dicom_files(study: Any, tmp_path: Path) -> None:
    job = sent(study)
    said = study.widget.parts.score.with_node_names(f"{job['pet']} in {tmp_path / 'pet'} beside {job['shown']['ct']}")
    assert said == '"PET of the study" in "PET of the study" beside "CT of the study"'


@pytest.mark.parametrize("how", ["coded", "attribute"])
def test_a_pet_that_says_suvbw_is_taken_as_it_is(study: Any, how: str) -> None:
    from dicom_nodes import state_units

    pet = study.widget._parameters.pet
    if how == "coded":
        state_units(pet, "{SUVbw}g/ml")
    else:
        pet.SetAttribute("DICOM.MeasurementUnitsCodeValue", "{SUVbw}g/ml")
    assert study.ui.petSourceLabel.text == "PET: SUVbw, as the volume says"
    job = sent(study)
    assert Path(job["pet"]).suffix == ".nrrd"
    assert set(job["shown"]) == {"ct"}


def test_another_suv_is_refused(study: Any) -> None:
    from dicom_nodes import state_units

    state_units(study.widget._parameters.pet, "{SUVlbm}g/ml")
    sentence = 'The PET "PET of the study" says that it holds SUV LBM; load it as SUV by body weight (SUVbw).'
    assert study.ui.petSourceLabel.text == sentence
    assert study.ui.stageLabel.text == sentence
    assert not study.ui.scoreButton.enabled


def test_a_transformed_pet_is_taken_from_the_volume(study: Any) -> None:
    import slicer

    pet = study.widget._parameters.pet
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    pet.SetAndObserveTransformNodeID(transform.GetID())
    assert study.ui.petSourceLabel.text == "PET: taken as SUVbw from the volume (it is under a transform)"
    assert set(sent(study)["shown"]) == {"ct"}


@pytest.mark.parametrize("database", ["empty", "none"])
def test_a_pet_whose_files_are_not_known_is_taken_from_the_volume(study: Any, database: str) -> None:
    import slicer
    from slicer_host.dicom_database import DicomDatabase

    if database == "empty":
        slicer.dicomDatabase = DicomDatabase()
    else:
        del slicer.dicomDatabase
    study.widget.onParametersChanged()
    assert study.ui.petSourceLabel.text == "PET: taken as SUVbw from the volume (its DICOM is not at hand)"
    assert "shown" not in sent(study)


def test_files_in_several_folders_are_no_series(study: Any, tmp_path: Path) -> None:
    import slicer
    from slicer_host.dicom_database import DicomDatabase

    (tmp_path / "elsewhere").mkdir()
    files = sorted((tmp_path / "pet").iterdir())
    files[3] = files[3].rename(tmp_path / "elsewhere" / files[3].name)
    slicer.dicomDatabase = DicomDatabase([*files, *(tmp_path / "ct").iterdir()])
    assert set(sent(study)["shown"]) == {"ct"}


def test_a_pet_that_is_no_dicom_says_so(panel: Any) -> None:
    from scenes import add_small_case

    assert not panel.ui.petSourceLabel.isVisible()
    _ct, panel.widget._parameters.pet, _roi = add_small_case()
    assert panel.ui.petSourceLabel.text == "PET: taken as SUVbw from the volume"
