"""Clinical values: typed, from a file, a table or DICOM; who wins; and that no patient gets another's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from test_model_panel import AGE, SEX, asked, bundle, head, model

__all__ = ["model"]

HAEMOGLOBIN = {
    "name": "haemoglobin_g_dl",
    "title": "Haemoglobin",
    "unit": "g/dL",
    "low": 3.0,
    "high": 22.0,
    "levels": [],
}
CLINICAL = bundle(heads=[head(), head("image+clinical", (AGE, HAEMOGLOBIN, SEX))])


@pytest.fixture
def form(model: Any) -> Any:
    """The panel with a bundle of three clinical values."""
    model.widget.parts.model.take_bundles([CLINICAL])
    return model


def editor(panel: Any, name: str) -> Any:
    return panel.widget.parts.covariates.form.editors[name]


def origin(panel: Any, name: str) -> str:
    return panel.widget.parts.covariates.form.origins[name].text


def handed_over(panel: Any) -> dict[str, Any]:
    from MemorySurvivalPanels.covariate_values import covariate_job

    return covariate_job(panel.widget._parameters)


def give_file(panel: Any, tmp_path: Path, values: dict[str, str], patient: str = "") -> None:
    """Choose a file and let the worker answer."""
    table = tmp_path / "one.csv"
    table.write_text("x", encoding="utf-8")
    panel.ui.covariatesPath.currentPath = str(table)
    parameters, listener = asked(panel, "covariates")
    assert parameters == {"bundle": "demonstration", "file": str(table)}
    listener.job_finished({"values": values, "unknown": ["shoe_size"], "patient": patient}, {})


def test_the_form_asks_what_the_bundle_takes(form: Any) -> None:
    assert list(form.widget.parts.covariates.form.editors) == ["age_years", "haemoglobin_g_dl", "sex"]
    assert "3 to 22 g/dL" in editor(form, "haemoglobin_g_dl").toolTip
    form.widget.parts.model.take_bundles([bundle(heads=[head()])])
    assert form.widget.parts.covariates.form.editors == {}
    assert form.ui.covariatesStatusLabel.text == "The chosen model takes no clinical values."


def test_without_values_it_is_said_that_the_images_alone_are_scored(form: Any) -> None:
    assert form.ui.covariatesNextLabel.text == "No clinical values: the images alone are scored."
    assert handed_over(form) == {}


def test_what_is_missing_is_named_before_anything_runs(form: Any) -> None:
    editor(form, "age_years").text = "63"
    said = form.ui.covariatesNextLabel.text
    assert said.startswith("1 of 3 clinical values are scored with the images.")
    assert said.endswith("average stands in for: Haemoglobin, Sex.")
    assert form.ui.modelNextLabel.text == said


def test_typed_values_are_checked_kept_and_handed_over(form: Any) -> None:
    editor(form, "haemoglobin_g_dl").text = "10,5"
    editor(form, "sex").currentIndex = 2
    assert editor(form, "haemoglobin_g_dl").text == "10,5", "what is being typed is not rewritten"
    assert handed_over(form) == {
        "haemoglobin_g_dl": {"value": "10.5", "source": "typed"},
        "sex": {"value": "female", "source": "typed"},
    }
    assert form.ui.scoreButton.enabled
    editor(form, "haemoglobin_g_dl").text = "105"
    assert not form.ui.scoreButton.enabled
    assert form.ui.covariatesNextLabel.text.startswith("The covariate Haemoglobin is 105, outside 3 to 22 g/dL")
    assert origin(form, "haemoglobin_g_dl") == "⚠ not 3 to 22 g/dL"
    editor(form, "haemoglobin_g_dl").text = ""
    assert form.ui.scoreButton.enabled
    assert list(handed_over(form)) == ["sex"]


def test_a_number_that_could_be_two_is_not_guessed_at(form: Any) -> None:
    for text in ("1,071", "much", "inf"):
        editor(form, "age_years").text = text
        assert not form.ui.scoreButton.enabled, text


def test_numbers_are_read_by_the_users_own_sign(form: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from MemorySurvivalPanels import covariate_values

    read = {(".", "1.071"): "1.071", (",", "1,071"): "1.071", (",", "1.071"): "1.071?", (".", "1,071"): "1,071?"}
    for (sign, text), expected in read.items():
        monkeypatch.setattr(covariate_values, "decimal_sign", lambda sign=sign: sign)
        assert covariate_values.read_number(text) == expected
        assert covariate_values.show_number("10.5") == f"10{sign}5"


def test_a_file_fills_the_form_and_what_is_typed_wins(form: Any, tmp_path: Path) -> None:
    give_file(form, tmp_path, {"age_years": "60", "sex": "male"})
    assert (editor(form, "age_years").text, origin(form, "age_years")) == ("60", "file")
    assert editor(form, "sex").currentText == "male"
    assert "no use for: shoe_size" in form.ui.covariatesStatusLabel.text
    assert handed_over(form) == {}, "the file itself is handed over"
    editor(form, "age_years").text = "61"
    assert origin(form, "age_years") == "typed"
    assert handed_over(form) == {"age_years": {"value": "61", "source": "typed"}}
    editor(form, "age_years").text = ""
    assert handed_over(form) == {"age_years": {"value": "", "source": "typed"}}, "taken away from the file's too"


def test_a_file_that_cannot_be_read_stops_the_score(form: Any, tmp_path: Path) -> None:
    from MemorySurvivalPanels.worker_protocol import Failure

    form.ui.covariatesPath.currentPath = str(tmp_path / "none.csv")
    asked(form, "covariates")[1].job_failed(Failure("The covariates file does not exist; check the path."))
    assert form.ui.covariatesNextLabel.text == "The covariates file does not exist; check the path."
    assert not form.ui.scoreButton.enabled
    form.ui.covariatesClearButton.click()
    assert form.ui.scoreButton.enabled
    assert form.ui.covariatesPath.currentPath == ""


def add_table(columns: list[str], rows: list[list[str]]) -> Any:
    import slicer
    import vtk

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode", "Ward")
    for index, name in enumerate(columns):
        array = vtk.vtkStringArray()
        array.SetName(name)
        for row in rows:
            array.InsertNextValue(row[index])
        node.GetTable().AddColumn(array)
    return node


def test_a_table_with_one_patient_fills_the_form(form: Any) -> None:
    editor(form, "age_years").text = "70"
    table = add_table(["Age_years", "haemoglobin_g_dl", "other"], [["61", "9,8", "x"]])
    assert not form.ui.covariatesTableButton.enabled
    form.ui.covariatesTableSelector.setCurrentNode(table)
    form.ui.covariatesTableButton.click()
    assert editor(form, "age_years").text == "70", "what is typed stays"
    assert handed_over(form)["haemoglobin_g_dl"] == {"value": "9.8", "source": 'from the table "Ward"'}
    assert "1 value was filled in. What was typed stayed." in form.ui.covariatesStatusLabel.text


def test_a_table_of_many_needs_the_images_patient(form: Any) -> None:
    table = add_table(["patient_id", "age_years"], [["1", "61"], ["2", "62"]])
    form.ui.covariatesTableSelector.setCurrentNode(table)
    form.ui.covariatesTableButton.click()
    assert 'The table "Ward" has 2 rows' in form.ui.covariatesStatusLabel.text
    assert handed_over(form) == {}
    form.widget.parts.covariates._patient_ids = lambda: {"CT": " 2"}
    form.ui.covariatesTableButton.click()
    assert handed_over(form)["age_years"]["value"] == "62"


def test_names_beside_values_are_a_table_too(form: Any) -> None:
    form.ui.covariatesTableSelector.setCurrentNode(add_table(["name", "value"], [["age_years", "61"], ["sex", "male"]]))
    form.ui.covariatesTableButton.click()
    assert {name: one["value"] for name, one in handed_over(form).items()} == {"age_years": "61", "sex": "male"}


def test_dicom_fills_only_when_asked(form: Any, tmp_path: Path) -> None:
    from dicom_nodes import load_study

    assert not form.ui.covariatesDicomButton.enabled
    form.widget._parameters.ct, form.widget._parameters.pet = load_study(tmp_path)
    assert handed_over(form) == {}
    form.ui.covariatesDicomButton.click()
    parameters, listener = asked(form, "covariates")
    assert Path(parameters["dicom"]).is_file()
    listener.job_finished({"values": {"age_years": "61"}}, {})
    assert handed_over(form) == {"age_years": {"value": "61", "source": "from DICOM"}}
    assert origin(form, "age_years") == "DICOM"
    form.ui.covariatesDicomButton.click()
    _parameters, late = asked(form, "covariates")
    form.widget._parameters.ct = None
    late.job_finished({"values": {"age_years": "99"}}, {})
    assert editor(form, "age_years").text == "61", "an answer about other images"


def test_values_never_serve_another_patient(form: Any) -> None:
    import numpy as np
    from scenes import CT_IJK_TO_RAS, add_volume

    editor(form, "age_years").text = "63"
    before = form.widget._parameters.ct
    form.widget._parameters.ct = None
    assert editor(form, "age_years").text == "63"
    form.widget._parameters.ct = before
    assert editor(form, "age_years").text == "63"
    other = add_volume(np.zeros((4, 5, 6), np.int16), CT_IJK_TO_RAS, "another")
    form.widget._parameters.ct = None
    form.widget._parameters.ct = other
    form.widget._parameters.pet = add_volume(np.ones((4, 5, 6), np.float32), CT_IJK_TO_RAS, "another PET")
    assert editor(form, "age_years").text == ""
    assert handed_over(form) == {}


def test_a_table_of_another_patient_is_asked_about(form: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from MemorySurvivalPanels import patient

    monkeypatch.setattr(patient, "read_patient", lambda node, known=None: patient.Patient(patient_id="4711"))
    form.widget.parts.covariates._patient_ids = lambda: {"CT": "4711", "PET": "4711"}
    form.ui.covariatesTableSelector.setCurrentNode(add_table(["patient_id", "age_years"], [["4712", "61"]]))
    form.ui.covariatesTableButton.click()
    assert form.ui.covariatesNextLabel.text == "The clinical values and the images have different patient IDs."
    questions: list[Any] = []
    form.widget.parts.score.ask_identity = lambda differences: questions.append(differences) or False
    form.ui.scoreButton.click()
    assert questions[0][0] == "The clinical values and the CT have different patient IDs."
    assert not [job for job, *_ in form.widget.logic.worker.sent if job == "score"]
    assert "4712" not in form.widget._parameters.covariate_values, "the identifier itself is not kept"


def test_a_bundle_without_an_image_head_names_what_it_needs(form: Any) -> None:
    form.widget.parts.model.take_bundles([bundle(heads=[head("image+clinical", (AGE, SEX))])])
    assert form.ui.covariatesNextLabel.text == (
        "The model bundle scores no images alone; give clinical values: Age, Sex."
    )
    assert not form.ui.scoreButton.enabled
    editor(form, "age_years").text = "63"
    assert form.ui.scoreButton.enabled


def test_a_scene_of_another_version_is_no_obstacle(form: Any) -> None:
    for text in ("not json", "[]", '{"values": 3}', '{"values": {"age_years": 3}}', "{}"):
        form.widget._parameters.covariate_values = text
        assert handed_over(form) == {}, text
    editor(form, "age_years").text = "63"
    assert json.loads(form.widget._parameters.covariate_values)["values"]["age_years"]["text"] == "63"


def test_a_table_that_contradicts_itself_is_refused_and_may_be_deleted(form: Any) -> None:
    import slicer

    table = add_table(["age_years", "AGE years"], [["61", "62"]])
    form.ui.covariatesTableSelector.setCurrentNode(table)
    form.ui.covariatesTableButton.click()
    assert "given twice, with different values" in form.ui.covariatesStatusLabel.text
    assert handed_over(form) == {}
    slicer.mrmlScene.RemoveNode(table)
    assert not form.ui.covariatesTableButton.enabled


def test_values_are_saved_with_the_scene(form: Any) -> None:
    """They live in the parameter node: leaving the module and coming back shows them again."""
    form.representation.select()
    editor(form, "age_years").text = "63"
    form.representation.leave()
    form.representation.select()
    assert editor(form, "age_years").text == "63"
    assert '"text": "63"' in form.widget._parameters.parameterNode.GetParameter("covariate_values")


def test_images_and_file_chosen_in_one_breath_belong_together(form: Any, tmp_path: Path) -> None:
    import slicer
    from scenes import add_small_case

    editor(form, "age_years").text = "63"
    table = tmp_path / "next.csv"
    table.write_text("x", encoding="utf-8")
    parameters = form.widget._parameters
    with slicer.util.NodeModify(parameters.parameterNode):
        parameters.ct, parameters.pet, parameters.roi = add_small_case()
        parameters.covariates = str(table)
    assert parameters.covariates == str(table)
    assert handed_over(form) == {}, "what was typed was for the case before"
