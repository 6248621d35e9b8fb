"""A prior study beside the current one: handed over, shown where it belongs, kept with its images."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from dicom_nodes import Recorder
from made_prior import compared, rigid_lps

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@pytest.fixture
def both(panel: Any) -> Any:
    """Two studies in the scene, chosen."""
    from scenes import CT_IJK_TO_RAS, add_small_case, add_volume

    panel.widget.logic.worker.close()
    panel.widget.logic.worker = Recorder()
    panel.representation.select()
    ct, pet, _roi = add_small_case()
    to_prior = LPS_TO_RAS @ rigid_lps() @ LPS_TO_RAS
    generator = np.random.default_rng(1)
    prior = [
        add_volume(generator.normal(0, 40, (16, 24, 20)).astype(np.int16), to_prior @ CT_IJK_TO_RAS, "CT before"),
        add_volume(generator.random((16, 24, 20), np.float32), to_prior @ CT_IJK_TO_RAS, "PET before"),
    ]
    parameters = panel.widget._parameters
    parameters.ct, parameters.pet = ct, pet
    parameters.prior_ct, parameters.prior_pet = prior
    return panel


def finish(panel: Any) -> None:
    panel.ui.priorCompareButton.click()
    _kind, _job, listener = panel.widget.logic.worker.sent[-1]
    listener.job_finished(compared(), {})


def test_what_is_missing_is_said(both: Any) -> None:
    parameters = both.widget._parameters
    assert both.ui.priorCompareButton.enabled
    assert both.ui.priorNextLabel.text == "The prior study is not compared yet."
    parameters.prior_pet = parameters.pet
    assert both.ui.priorNextLabel.text.startswith("The same volume is chosen twice")
    parameters.prior_pet = None
    assert both.ui.priorNextLabel.text == "Choose the CT and the PET of the prior study."
    assert not both.ui.priorCompareButton.enabled


def test_both_studies_are_handed_over_and_shown_side_by_side(both: Any) -> None:
    finish(both)
    kind, job, _listener = both.widget.logic.worker.sent[-1]
    assert kind == "prior"
    assert set(job) == {"current", "prior", "confirm_identity"}
    assert len({*job["current"].values(), *job["prior"].values()}) == 4
    lines = both.ui.priorNotesLabel.text.splitlines()
    assert "not a response assessment" in lines[0]
    assert lines[1:] == [
        "•  Registered by the spine: the two spines overlap by 82 %.",
        "•  The studies are 365 days apart.",
    ]
    cells = [both.ui.priorValuesTable.item(0, column).text() for column in range(4)]
    assert cells == ["Focal MTV (ml)", "8.00", "12.00", "+50 %"]
    cells = [both.ui.priorLesionTable.item(0, column).text() for column in range(4)]
    assert cells == ["L4", "only now", "–", "9.5"]
    assert "✓ done" in both.ui.priorSection.text


def test_the_prior_study_lies_where_the_current_one_does(both: Any) -> None:
    import slicer
    from scenes import ijk_to_ras, snapshot

    parameters = both.widget._parameters
    sources = [parameters.ct, parameters.prior_ct, parameters.prior_pet]
    before = [snapshot(node) for node in sources]
    finish(both)
    both.ui.priorViewsButton.click()
    assert both.ui.priorViewsButton.checked
    shown = {node.GetName(): node for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")}
    moved = shown["CT before (Prior CT)"]
    # The prior CT was the current one's grid, moved; moved back, the two grids are one.
    np.testing.assert_allclose(ijk_to_ras(moved), ijk_to_ras(parameters.ct), atol=1e-6)
    assert moved.GetImageData() is parameters.prior_ct.GetImageData()
    assert not moved.GetSaveWithScene()
    assert [snapshot(node) for node in sources] == before
    manager = slicer.app.layoutManager()
    upper, lower = (manager.sliceWidget(f"MemorySurvival{row}Axial").mrmlSliceNode() for row in ("Current", "Prior"))
    upper.JumpSliceByCentering(3.0, 4.0, -30.0)
    np.testing.assert_allclose(
        slicer.util.arrayFromVTKMatrix(lower.GetSliceToRAS()), slicer.util.arrayFromVTKMatrix(upper.GetSliceToRAS())
    )
    both.ui.priorLesionTable.cellClicked.emit(0, 0)
    assert lower.GetSliceToRAS().GetElement(2, 3) == pytest.approx(-30.0)
    both.ui.priorViewsButton.click()
    assert not both.ui.priorViewsButton.checked
    assert moved.GetScene() is None


def test_a_comparison_belongs_to_its_images(both: Any) -> None:
    from scenes import CT_IJK_TO_RAS, add_volume

    finish(both)
    parameters = both.widget._parameters
    first = parameters.prior_ct
    parameters.prior_ct = add_volume(np.zeros((4, 4, 4), np.int16), CT_IJK_TO_RAS, "another")
    assert both.ui.priorValuesTable.rowCount == 0
    parameters.prior_ct = first
    assert both.ui.priorValuesTable.rowCount == 1


def test_a_comparison_edited_by_hand_is_not_shown(both: Any) -> None:
    import slicer

    finish(both)
    (node,) = [
        each for each in slicer.util.getNodesByClass("vtkMRMLTextNode") if each.GetAttribute("MemorySurvival.Prior")
    ]
    node.SetText("{")
    both.widget.parts.prior._shown = ()
    both.widget.onParametersChanged()
    assert both.ui.priorValuesTable.rowCount == 0
    assert not both.ui.priorViewsButton.enabled


def test_a_study_removed_in_mid_run(both: Any) -> None:
    import slicer

    both.ui.priorCompareButton.click()
    listener = both.widget.logic.worker.sent[-1][2]
    slicer.mrmlScene.RemoveNode(both.widget._parameters.prior_ct)
    listener.job_finished(compared(), {})
    assert both.ui.messageLabel.text == "One of the studies was removed meanwhile; the comparison is lost."
    assert not both.widget.parts.run_panel.running


@pytest.mark.parametrize(("answer", "asked_again"), [(True, True), (False, False)])
def test_studies_of_two_patients_are_asked_about(both: Any, answer: bool, asked_again: bool) -> None:
    from MemorySurvivalPanels.worker_protocol import Failure

    asked: list[Any] = []
    both.widget.parts.prior.ask_identity = lambda differences: asked.append(differences) or answer
    both.ui.priorCompareButton.click()
    count = len(both.widget.logic.worker.sent)
    listener = both.widget.logic.worker.sent[-1][2]
    listener.job_failed(Failure("They differ.", "IdentityMismatch", {"differences": ["They differ."]}))
    both.wait_until(lambda: bool(asked))
    both.wait_until(lambda: len(both.widget.logic.worker.sent) == count + asked_again)
    assert asked == [["They differ."]]
    if asked_again:
        assert both.widget.logic.worker.sent[-1][1]["confirm_identity"] is True
