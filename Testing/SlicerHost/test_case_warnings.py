"""What is said under the images before they are scored, and images that can never be scored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_model_panel import asked, model

__all__ = ["model"]

WARNING = {"topic": "tracer", "severity": "warning", "sentence": "The tracer is FLT, not FDG."}
NOTE = {"topic": "geometry", "severity": "note", "sentence": "CT: 20 x 24 x 16 voxels of 2 x 2 x 4 mm."}


def inspections(panel: Any) -> list[Any]:
    return [each for each in panel.widget.logic.worker.asked if each[0] == "inspect"]


def test_findings_stand_under_the_images_until_others_are_chosen(model: Any) -> None:
    model.widget.parts.enter()
    model.wait_until(lambda: bool(inspections(model)), 5)
    parameters, listener = asked(model, "inspect")
    assert parameters["ct"]["geometry"]["size"] == [20, 24, 16]
    assert parameters["ct"]["geometry"]["matrix"][0][0] == pytest.approx(2.0), "LPS"
    assert parameters["ct"]["file"] is None, "nothing is written for a question"
    listener.job_finished({"findings": [WARNING, NOTE]}, {})
    assert model.ui.caseFindingsLabel.text.splitlines() == [f"⚠  {WARNING['sentence']}", NOTE["sentence"]]
    assert "needs attention" in model.ui.caseSection.text
    assert model.ui.scoreButton.enabled, "a warning does not stop the score"
    model.widget._parameters.pet = None
    assert model.ui.caseFindingsLabel.text == ""
    listener.job_finished({"findings": [WARNING]}, {})
    assert model.ui.caseFindingsLabel.text == "", "an answer about other images"


def test_dicom_is_asked_twice_headers_first(model: Any, tmp_path: Path) -> None:
    from dicom_nodes import load_study

    model.widget.parts.enter()
    model.widget._parameters.ct, model.widget._parameters.pet = load_study(tmp_path)
    model.widget._parameters.pet_dose_mbq = "370"
    model.wait_until(lambda: len(inspections(model)) == 2, 5)
    first, second = (each[1] for each in inspections(model))
    assert Path(first["ct"]["file"]).is_file() and Path(first["pet"]["file"]).is_file()
    assert first["supplied"] == {"dose_bq": 370e6}
    assert "align" not in first and second["align"]


def test_leaving_the_images_alone_asks_for_no_alignment(model: Any, tmp_path: Path) -> None:
    from dicom_nodes import load_study
    from MemorySurvivalPanels.parameters import Alignment

    model.widget.parts.enter()
    model.widget._parameters.alignment = Alignment.OFF
    model.widget._parameters.ct, model.widget._parameters.pet = load_study(tmp_path)
    model.wait_until(lambda: bool(inspections(model)), 5)
    assert len(inspections(model)) == 1


def test_a_failed_question_is_silent(model: Any) -> None:
    from MemorySurvivalPanels.worker_protocol import Failure

    model.widget.parts.enter()
    model.wait_until(lambda: bool(inspections(model)), 5)
    asked(model, "inspect")[1].job_failed(Failure("The worker ended."))
    asked(model, "inspect")[1].job_cancelled()
    assert model.ui.messageLabel.text == ""


def test_a_bending_transform_is_said_when_chosen(model: Any) -> None:
    import slicer

    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLBSplineTransformNode")
    import vtk

    warp = vtk.vtkThinPlateSplineTransform()
    points = vtk.vtkPoints()
    moved = vtk.vtkPoints()
    for corner in ((0, 0, 0), (50, 0, 0), (0, 50, 0), (0, 0, 50), (30, 30, 30)):
        points.InsertNextPoint(corner)
        moved.InsertNextPoint([each * (1.2 if each == 30 else 1.0) for each in corner])
    warp.SetSourceLandmarks(points)
    warp.SetTargetLandmarks(moved)
    warp.SetBasisToR()
    transform.SetAndObserveTransformToParent(warp)
    model.widget._parameters.ct.SetAndObserveTransformNodeID(transform.GetID())
    assert "is under a deforming transform; harden the transform first" in model.ui.caseNextLabel.text
    assert not model.ui.scoreButton.enabled
    model.widget._parameters.ct.SetAndObserveTransformNodeID(None)
    assert model.ui.scoreButton.enabled


def test_a_colour_image_is_said_when_chosen(model: Any) -> None:
    import slicer

    colour = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLVectorVolumeNode", "photo")
    slicer.util.updateVolumeFromArray(colour, np.zeros((4, 5, 6, 3), np.uint8))
    model.widget._parameters.pet = colour
    assert model.ui.caseNextLabel.text == 'The PET "photo" is a colour image; choose a scalar volume.'


def test_an_empty_volume_is_said_when_chosen(model: Any) -> None:
    import slicer

    model.widget._parameters.ct = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "nothing")
    assert model.ui.caseNextLabel.text == 'The CT "nothing" holds no image; choose another.'


def test_an_item_of_a_sequence_is_said(model: Any) -> None:
    import slicer

    pet = model.widget._parameters.pet
    sequence = slicer.mrmlScene.AddNode(slicer.vtkMRMLSequenceNode())
    sequence.SetDataNodeAtValue(pet, "0")
    browser = slicer.mrmlScene.AddNode(slicer.vtkMRMLSequenceBrowserNode())
    browser.SetAndObserveMasterSequenceNodeID(sequence.GetID())
    browser.AddProxyNode(pet, sequence, False)
    model.widget.onParametersChanged()
    assert 'The PET "PET of the case" is one item of a sequence' in model.ui.caseFindingsLabel.text
    assert "needs attention" in model.ui.caseSection.text
