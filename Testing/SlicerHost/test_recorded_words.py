"""What a person said in the panel is part of the record: doubts set aside, and whether the mask was accepted."""

from __future__ import annotations

from typing import Any

import pytest
from dicom_nodes import Recorder


@pytest.fixture
def case(panel: Any) -> Any:
    from scenes import add_small_case

    ct, pet, roi = add_small_case()
    parameters = panel.widget._parameters
    parameters.ct, parameters.pet, parameters.roi = ct, pet, roi
    panel.widget.logic.worker.close()
    panel.widget.logic.worker = Recorder()
    return panel


def scored(case: Any) -> dict[str, Any]:
    case.ui.scoreButton.click()
    job = [each for each in case.widget.logic.worker.sent if each[0] == "score"][-1]
    return job[1]


def test_a_mask_that_nobody_accepted_is_said(case: Any) -> None:
    case.widget._parameters.score_without_accepting = True
    assert scored(case)["notes"] == ["No person accepted the mask before it was scored."]


def test_who_accepted_the_mask_is_said(case: Any) -> None:
    case.widget._parameters.score_without_accepting = False
    case.widget._parameters.reviewer = "Dr A"
    case.ui.acceptButton.click()
    (note,) = scored(case)["notes"]
    assert note.startswith("The mask was accepted by Dr A (20")


def test_a_doubt_that_was_set_aside_is_said(case: Any) -> None:
    from MemorySurvivalPanels.worker_protocol import Failure

    case.widget._parameters.score_without_accepting = True
    score = case.widget.parts.score
    asked: list[Any] = []
    score.ask_identity = lambda differences: bool(asked.append(list(differences)) or True)
    case.widget.parts.banner.own_doubts = lambda parameters: ["CT and PET seem to be of two patients."]
    said = scored(case)["notes"]
    assert said[0] == "Confirmed by the user although: CT and PET seem to be of two patients."
    # The library doubts as well: what was confirmed first is not forgotten.
    listener = case.widget.logic.worker.sent[-1][2]
    listener.job_failed(Failure("They differ.", "IdentityMismatch", {"differences": ["They differ."]}))
    count = len(case.widget.logic.worker.sent)
    case.wait_until(lambda: len(case.widget.logic.worker.sent) > count)
    job = [each for each in case.widget.logic.worker.sent if each[0] == "score"][-1][1]
    assert job["confirm_identity"] is True
    assert job["notes"][0] == said[0]
    assert asked == [["CT and PET seem to be of two patients."], ["They differ."]]
