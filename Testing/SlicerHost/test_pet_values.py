"""What a PET's tags lack can be filled in: typed, checked, handed over only when given, and never for another PET."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def study(panel: Any, tmp_path: Path) -> Any:
    """The panel with a DICOM study chosen, and a worker that only remembers its jobs."""
    from dicom_nodes import Recorder, load_study

    parameters = panel.widget._parameters
    parameters.ct, parameters.pet = load_study(tmp_path)
    panel.widget.logic.worker = Recorder()
    return panel


def sent(panel: Any) -> dict[str, Any]:
    assert panel.ui.scoreButton.enabled, panel.ui.stageLabel.text
    panel.ui.scoreButton.click()
    panel.widget.parts.run_panel.show_idle()
    return panel.widget.logic.worker.job["supplied"]


def is_marked(panel: Any, name: str) -> bool:
    return "#c0392b" in getattr(panel.ui, f"{name}Label").styleSheet


def test_nothing_is_filled_in_and_nothing_is_sent(study: Any) -> None:
    assert study.ui.petValuesSection.collapsed
    for name in ("Dose", "Injected", "Scanned", "HalfLife", "Weight", "Height"):
        assert getattr(study.ui, f"pet{name}Edit").text == ""
    assert study.ui.petSexCombo.currentText == "from the tags"
    assert sent(study) == {}


def test_what_is_typed_is_sent_in_the_librarys_units(study: Any) -> None:
    study.ui.petDoseEdit.text = "370"
    study.ui.petInjectedEdit.text = "2020-01-31 10:15"
    study.ui.petScannedEdit.text = "11:15"
    study.ui.petHalfLifeEdit.text = " 6586.2 "
    study.ui.petWeightEdit.text = "71,5"
    study.ui.petHeightEdit.text = "1.75"
    study.ui.petSexCombo.currentIndex = 1
    assert sent(study) == {
        "dose_bq": 370e6,
        "injection_time": "2020-01-31 10:15",
        "scan_time": "11:15",
        "half_life_s": 6586.2,
        "weight_kg": 71.5,
        "height_m": 1.75,
        "sex": "F",
    }
    study.ui.petSexCombo.currentIndex = 0
    study.ui.petDoseEdit.text = ""
    assert {"dose_bq", "sex"}.isdisjoint(sent(study))


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("Dose", "370000000", "injected dose; write it as in 370"),
        ("Dose", "much", "injected dose"),
        ("Dose", "nan", "injected dose"),
        ("Weight", "71500", "patient's weight"),
        ("Weight", "1,071.5", "patient's weight"),
        ("Dose", "1,071", "injected dose"),
        ("Height", "175", "patient's height; write it as in 1.75"),
        ("Injected", "yesterday", "injection time; write it as in 2020-01-31 10:15"),
        ("HalfLife", "-1", "radionuclide's half-life"),
    ],
)
def test_what_cannot_be_true_stops_the_score(study: Any, name: str, text: str, words: str) -> None:
    field = getattr(study.ui, f"pet{name}Edit")
    field.text = text
    assert not study.ui.scoreButton.enabled
    assert study.ui.stageLabel.text.startswith(f'PET values: "{text}" cannot be the {words}')
    assert "#c0392b" in field.styleSheet
    field.text = ""
    assert study.ui.scoreButton.enabled
    assert field.styleSheet == ""


def test_missing_tags_open_the_group_and_the_next_run_uses_what_was_filled_in(study: Any) -> None:
    study.use_worker("tags")
    study.score()
    assert study.ui.messageLabel.text.startswith("The PET's tags lack the injected dose")
    assert not study.ui.petValuesSection.collapsed
    assert [name for name in ("petDose", "petInjected", "petWeight", "petSex") if is_marked(study, name)] == [
        "petDose",
        "petWeight",
    ]
    study.ui.petDoseEdit.text = "370"
    assert not is_marked(study, "petDose") and is_marked(study, "petWeight")
    study.ui.petWeightEdit.text = "70"
    study.score()
    assert study.ui.logRiskValue.text == "+0.421"
    assert study.ui.messageLabel.text == ""


def test_values_never_serve_another_pet(study: Any, tmp_path: Path) -> None:
    import slicer
    from dicom_nodes import load_study

    parameters = study.widget._parameters
    study.ui.petDoseEdit.text = "370"
    study.ui.petSexCombo.currentIndex = 2
    _ct, other = load_study(tmp_path / "other", patient="P2")
    study.ui.petSelector.setCurrentNode(other)
    assert (study.ui.petDoseEdit.text, study.ui.petSexCombo.currentText) == ("", "from the tags")
    assert study.ui.messageLabel.text == ("The PET values were cleared, because they were given for another PET.")
    assert sent(study) == {}
    study.ui.petDoseEdit.text = "200"
    slicer.mrmlScene.RemoveNode(other)
    assert parameters.pet_dose_mbq == ""
    assert not study.ui.petDoseEdit.enabled


def test_values_wait_for_a_dicom_pet(panel: Any) -> None:
    """An SUV volume needs none, and without a PET nobody could say whose they are."""
    from scenes import add_small_case

    assert not panel.ui.petDoseEdit.enabled and not panel.ui.petSexCombo.enabled
    _ct, panel.widget._parameters.pet, _roi = add_small_case()
    assert not panel.ui.petDoseEdit.enabled


def test_the_pet_removed_in_mid_run_opens_nothing(study: Any) -> None:
    import slicer
    from dicom_nodes import Recorder
    from MemorySurvivalPanels.worker_protocol import Failure

    study.ui.scoreButton.click()
    worker: Recorder = study.widget.logic.worker
    slicer.mrmlScene.RemoveNode(study.widget._parameters.pet)
    worker.sent[-1][2].job_failed(Failure("The tags lack the dose.", "MissingPetTags", {"missing": ["dose_bq"]}))
    assert study.ui.petValuesSection.collapsed
    assert study.ui.messageLabel.text == "The tags lack the dose."
    assert study.ui.stageLabel.text == "Choose the PET volume."
    assert not study.ui.scoreButton.enabled and not study.ui.cancelButton.enabled


def test_values_are_saved_with_the_scene(study: Any) -> None:
    """They live in the parameter node: leaving the module and coming back shows them again."""
    study.representation.select()
    study.ui.petWeightEdit.text = "71"
    study.representation.leave()
    study.ui.petWeightEdit.text = ""
    study.representation.select()
    assert study.ui.petWeightEdit.text == "71"
    assert study.widget._parameters.parameterNode.GetParameter("pet_weight_kg") == "71"
