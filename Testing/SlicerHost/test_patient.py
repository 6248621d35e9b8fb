"""Whose images these are: seen at the top of the panel, asked about when in doubt, and kept out of every job."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pytest

TODAY = datetime.date(2020, 2, 12)


@pytest.fixture
def study(panel: Any, tmp_path: Path) -> Any:
    """The panel with a DICOM study of 2020-01-31 chosen, twelve days later."""
    from dicom_nodes import load_study

    panel.widget.parts.banner.today = lambda: TODAY
    parameters = panel.widget._parameters
    parameters.ct, parameters.pet = load_study(tmp_path)
    return panel


def file_under_patient(node: Any, name: str, identifier: str, study_date: str) -> None:
    """Put a node under a patient and a study in the subject hierarchy, as an import from elsewhere does."""
    import slicer

    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    known = slicer.vtkMRMLSubjectHierarchyConstants
    patient = hierarchy.CreateSubjectItem(hierarchy.GetSceneItemID(), name)
    hierarchy.SetItemAttribute(patient, known.GetDICOMPatientNameAttributeName(), name)
    hierarchy.SetItemAttribute(patient, known.GetDICOMPatientIDAttributeName(), identifier)
    study = hierarchy.CreateStudyItem(patient, "study")
    hierarchy.SetItemAttribute(study, known.GetDICOMStudyDateAttributeName(), study_date)
    hierarchy.CreateItem(study, node)


def test_the_banner_says_who_and_how_old(study: Any) -> None:
    assert study.ui.patientLabel.isVisible()
    assert study.ui.patientLabel.text == (
        "P1, Made up  ·  ID P1  ·  born 1960-01-01  ·  study of 2020-01-31, 12 days old"
    )
    assert "#c0392b" not in study.ui.patientLabel.styleSheet


def test_the_banner_is_empty_without_images(panel: Any) -> None:
    assert not panel.ui.patientLabel.isVisible()


def test_files_without_a_name_say_so(panel: Any) -> None:
    from scenes import add_small_case

    panel.widget._parameters.ct, panel.widget._parameters.pet, _roi = add_small_case()
    assert panel.ui.patientLabel.text == "The images do not say whose they are."


def test_the_subject_hierarchy_is_asked_too(panel: Any) -> None:
    from scenes import add_small_case

    panel.widget.parts.banner.today = lambda: TODAY
    ct, pet, _roi = add_small_case()
    file_under_patient(ct, "Roe^Jan=^^", "4711", "20200212")
    panel.widget._parameters.ct, panel.widget._parameters.pet = ct, pet
    assert panel.ui.patientLabel.text == (
        "Roe, Jan  ·  ID 4711  ·  study of 2020-02-12, today\nThe PET does not say whose it is."
    )


def test_a_file_that_is_gone_says_nothing(study: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import slicer
    from slicer_host.dicom_database import DicomDatabase

    def gone(database: Any, uid: str, tag: str) -> str:
        raise RuntimeError(uid)

    monkeypatch.setattr(DicomDatabase, "instanceValue", gone)
    assert study.ui.patientLabel.text.startswith("P1, Made up")  # it has been asked already
    slicer.mrmlScene.RemoveNode(study.widget._parameters.ct)
    study.representation.leave()
    study.representation.select()
    assert study.ui.patientLabel.text == "The images do not say whose they are."


def test_two_patients_alarm(study: Any, tmp_path: Path) -> None:
    import slicer
    from dicom_nodes import load_series, write_study
    from slicer_host.dicom_database import DicomDatabase

    _ct, pet = write_study(tmp_path / "other", patient="P2")
    slicer.dicomDatabase = DicomDatabase([*(tmp_path / "ct").iterdir(), *pet])
    study.ui.petSelector.setCurrentNode(load_series(pet, "PET of another"))
    lines = study.ui.patientLabel.text.splitlines()
    assert lines[0] == "CT and PET seem to be of different patients or studies."
    assert lines[1].startswith("CT: P1, Made up")
    assert lines[2].startswith("PET: P2, Made up")
    assert "#c0392b" in study.ui.patientLabel.styleSheet


def test_spelling_is_no_difference(application: Any) -> None:
    import sys

    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "MemorySurvival"))
    from MemorySurvivalPanels.patient import Patient, describe_patient

    assert not Patient("DOE^JANE", "7").contradicts(Patient("Jane Doe", ""))
    assert Patient("Doe^Jane").contradicts(Patient("Doe^John"))
    assert Patient(study_date="20200101").contradicts(Patient(study_date="20200102"))
    assert describe_patient(Patient(study_date="20200211"), TODAY) == "study of 2020-02-11, 1 day old"
    assert describe_patient(Patient(study_date="20200301"), TODAY) == "study of 2020-03-01 (in the future)"
    assert describe_patient(Patient(study_date="soon"), TODAY) == "study of soon"


def test_nothing_of_the_patient_goes_to_the_worker(study: Any, tmp_path: Path) -> None:
    from dicom_nodes import Recorder

    worker = study.widget.logic.worker = Recorder()
    study.ui.scoreButton.click()
    assert not any(word in str(worker.job) for word in ("P1", "Made up", "1960", "20200131", "2020-01-31"))


@pytest.mark.parametrize("together", [True, False])
def test_doubt_about_identity_is_asked(study: Any, together: bool) -> None:
    asked: list[list[str]] = []

    def answer(differences: Any) -> bool:
        asked.append(list(differences))
        return together

    study.widget.parts.score.ask_identity = answer
    study.use_worker("identity")
    study.ui.scoreButton.click()
    study.wait_until(lambda: bool(asked) and not study.widget.parts.run_panel.running)
    assert asked == [["The CT and the PET are of different studies, 3 days apart."]]
    if together:
        assert study.ui.logRiskValue.text == "+0.421"
        asked.clear()
        study.ui.scoreButton.click()  # the answer held for that run alone
        study.wait_until(lambda: bool(asked) and not study.widget.parts.run_panel.running)
    else:
        assert study.ui.noResultLabel.isVisible()
        assert study.ui.messageLabel.text.startswith("The CT and the PET are of different studies")
        assert study.ui.scoreButton.enabled


@pytest.mark.parametrize("together", [True, False])
def test_a_doubt_that_the_library_cannot_have_is_asked_first(study: Any, together: bool) -> None:
    """A PET that is SUV already goes as a bare volume: only the panel knows whose it was."""
    from dicom_nodes import Recorder, state_units

    asked: list[list[str]] = []
    study.widget.parts.score.ask_identity = lambda differences: asked.append(list(differences)) or together
    worker = study.widget.logic.worker = Recorder()
    state_units(study.widget._parameters.pet, "{SUVbw}g/ml")
    study.ui.scoreButton.click()
    assert asked == [] and len(worker.sent) == 1
    study.widget.parts.run_panel.show_idle()
    file_under_patient(study.widget._parameters.pet, "Roe^Jan", "4711", "20200131")
    study.widget._parameters.pet.SetAttribute("DICOM.instanceUIDs", "")
    study.ui.scoreButton.click()
    assert asked == [["CT and PET seem to be of different patients or studies, as the top of the panel shows."]]
    assert len(worker.sent) == (2 if together else 1)
    assert worker.job["confirm_identity"] is False
    assert study.widget.parts.run_panel.running is together
    assert study.ui.messageLabel.text == ("" if together else asked[0][0])


@pytest.mark.parametrize("change", ["other images", "node gone", "scene closed", "running again"])
def test_an_answer_about_images_that_are_gone_scores_nothing(study: Any, change: str) -> None:
    """Whatever happens between the doubt and the answer, a confirmation counts for what was shown."""
    import slicer
    from dicom_nodes import Recorder
    from MemorySurvivalPanels.worker_protocol import Failure
    from scenes import add_small_case

    worker = study.widget.logic.worker = Recorder()

    def answer(differences: Any) -> bool:
        if change == "other images":
            study.widget._parameters.pet = add_small_case()[1]
        elif change == "node gone":
            slicer.mrmlScene.RemoveNode(study.widget._parameters.pet)
        elif change == "scene closed":
            slicer.mrmlScene.Clear()
        else:
            study.ui.scoreButton.click()
        return True

    study.widget.parts.score.ask_identity = answer
    study.ui.scoreButton.click()
    worker.sent[-1][2].job_failed(Failure("They differ.", "IdentityMismatch", {"differences": ["They differ."]}))
    for _round in range(3):
        study.application.processEvents()
    assert not any(parameters["confirm_identity"] for _job, parameters, _listener in worker.sent)
    assert len(worker.sent) == (2 if change == "running again" else 1)


def test_no_is_the_default(study: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import qt
    from MemorySurvivalPanels.identity_question import ask_about_identity

    boxes: list[Any] = []
    monkeypatch.setattr(qt.QMessageBox, "exec_", lambda box: boxes.append(box), raising=False)
    assert ask_about_identity(["They differ."]) is False
    (box,) = boxes
    assert box.defaultButton().text == "Do not score"
    assert box.escapeButton().text == "Do not score"
    assert box.text == "They differ."
    monkeypatch.setattr(qt.QMessageBox, "clickedButton", lambda box: box.buttons()[0])
    agreed = ask_about_identity(["They differ."])
    assert agreed is (boxes[-1].buttons()[0].text == "They belong together")
