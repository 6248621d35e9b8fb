"""A demonstration model for other weights, in the step "Model": got, timed, asked about, made, stopped, chosen."""

from __future__ import annotations

from typing import Any

import pytest
from dicom_nodes import Recorder
from scenes import add_small_case

SHA256 = "c" * 64
ABSENT = {
    "state": "absent",
    "name": "MedSAM2_latest",
    "sha256": SHA256,
    "size_bytes": 156_040_129,
    "url": "https://example.org/MedSAM2_latest.pt",
    "licence": "CC-BY-SA-4.0",
    "licence_url": "https://example.org/licence",
    "restriction": "research and education only.",
}
OWN = {"state": "present", "name": "my-finetune", "sha256": "d" * 64, "size_bytes": None, "url": None, "licence": None}
PRESENT = {**ABSENT, "state": "present"}
ESTIMATE = {
    "cases": 300,
    "done": 120,
    "seconds": 1234.5,
    "disk_mb": 78.6,
    "folder": "/data/rebuilding",
    "device": "cuda: Card",
    "made": False,
}
NAME = "demonstration-MedSAM2_latest-300"


def listed(name: str) -> dict[str, Any]:
    """A bundle for these weights, as the library describes it."""
    shown = {"position": True, "group": False, "survival": False, "labels": ["SIMULATED MODEL"]}
    head = {"name": "image", "covariates": [], "modalities": ["PET", "CT"], "reference": "86 simulated patients"}
    head |= {"horizon_months": None, "real": shown, "simulated": shown}
    made = {"population": "simulated phantoms", "cases": 214, "events": 150, "created": "2026-11-22"}
    plain = {"name": name, "title": "Demonstration model", "version": "1", "status": "demonstration", "damaged": ""}
    plain |= {
        "licence": "not stated",
        "sha256": "e" * 64,
        "roi": "spine_dilated",
        "card": "# Card",
        "path": "/x.msbundle",
    }
    return {**plain, "heads": [head], "weights": PRESENT, "provenance": made}


@pytest.fixture
def model(panel: Any) -> Any:
    """The panel with a small case and a worker that only remembers its jobs."""
    panel.widget.logic.worker = Recorder()
    parameters = panel.widget._parameters
    parameters.ct, parameters.pet, parameters.roi = add_small_case()
    panel.widget.parts.model.rebuild.ask_start = refuse
    return panel


def refuse(*_ignored: Any) -> bool:
    """A person who says no."""
    return False


def jobs(panel: Any, name: str) -> list[tuple[dict[str, Any], Any]]:
    """Parameters and listeners of the jobs with this name, asked for in the background or not."""
    worker = panel.widget.logic.worker
    return [(parameters, listener) for job, parameters, listener in (*worker.sent, *worker.asked) if job == name]


def unfold(panel: Any, *weights: dict[str, Any]) -> None:
    """Unfold the group; the worker answers with these weights."""
    panel.ui.rebuildSection.collapsed = False
    jobs(panel, "weights")[-1][1].job_finished({"weights": list(weights)}, {})


def offer(panel: Any, agreed: bool) -> str:
    """Click, and let the worker estimate; what the person was asked."""
    said: list[str] = []
    panel.widget.parts.model.rebuild.ask_start = lambda sentence: said.append(sentence) or agreed
    panel.ui.rebuildButton.click()
    parameters, listener = jobs(panel, "rebuild_estimate")[-1]
    assert parameters == {"weights": SHA256, "cases": 300, "device": "auto"}
    assert panel.ui.cancelButton.enabled and not panel.ui.rebuildButton.enabled
    listener.job_finished(ESTIMATE, {})
    return said[0]


def test_weights_are_got_first_with_consent(model: Any) -> None:
    model.widget.parts.enter()
    assert not jobs(model, "weights"), "nothing is asked before the group is unfolded"
    unfold(model, ABSENT, OWN)
    assert [model.ui.rebuildWeightsCombo.itemText(index) for index in range(2)] == ["MedSAM2_latest", "my-finetune"]
    model.ui.rebuildSection.collapsed = True
    model.ui.rebuildSection.collapsed = False
    assert len(jobs(model, "weights")) == 1
    assert model.ui.rebuildStateLabel.text == "Weights: MedSAM2_latest, not on this computer (0.2 GB)."
    assert not model.ui.rebuildButton.enabled

    rebuild = model.widget.parts.model.rebuild
    rebuild.choose, rebuild.ask_licence = (lambda *_: "/stick/medsam.pt"), (lambda need, fetch: not fetch)
    model.ui.rebuildFetchButton.click()
    assert not jobs(model, "weights_fetch"), "refused: nothing happens"
    model.ui.rebuildImportButton.click()
    parameters, listener = jobs(model, "weights_import")[0]
    assert parameters["sha256"] == SHA256
    listener.job_cancelled()

    rebuild.ask_licence = lambda need, fetch: True
    model.ui.rebuildFetchButton.click()
    parameters, listener = jobs(model, "weights_fetch")[0]
    assert parameters == {"name": "MedSAM2_latest", "licence": "CC-BY-SA-4.0"}
    listener.job_finished({"name": "MedSAM2_latest"}, {})
    assert jobs(model, "bundles"), "bundles that need them can be used now"
    jobs(model, "weights")[-1][1].job_finished({"weights": [PRESENT, OWN]}, {})
    assert model.ui.rebuildButton.enabled
    assert not model.ui.rebuildFetchButton.isVisible()


def test_a_model_is_made_and_chosen_after_the_time_was_told(model: Any) -> None:
    from MemorySurvivalPanels.worker_protocol import Progress

    unfold(model, PRESENT)
    assert offer(model, False).splitlines() == [
        "300 simulated patients, about 21 min on cuda: Card.",
        "120 of them are there from an earlier time.",
        "79 MB stay on this computer, in /data/rebuilding",
        "The model's heads learn from simulated patients alone: SIMULATED MODEL stands beside its numbers.",
    ]
    assert not jobs(model, "rebuild_bundle") and model.ui.rebuildButton.enabled

    offer(model, True)
    parameters, listener = jobs(model, "rebuild_bundle")[0]
    assert parameters == {"weights": SHA256, "cases": 300, "device": "auto"}
    listener.job_progressed(Progress("simulated patients", 121, 300, 900.0))
    assert model.ui.stageLabel.text == "Reading simulated patients (121 / 300), about 15 min left"
    assert model.ui.cancelButton.enabled
    listener.job_finished({"name": NAME, "bundles": [listed("demonstration"), listed(NAME)]}, {})
    assert model.widget._parameters.bundle == NAME
    assert model.ui.bundleCombo.currentText == f"{NAME} (demonstration)"
    assert "is ready and chosen" in model.ui.messageLabel.text
    assert "SIMULATED MODEL" in model.ui.bundleRightsLabel.text
    assert NAME in model.ui.rebuildStateLabel.text


def test_stopped_failed_there_already_or_without_a_scene(model: Any) -> None:
    import slicer
    from MemorySurvivalPanels.worker_protocol import Failure

    unfold(model, PRESENT)
    offer(model, True)
    jobs(model, "rebuild_bundle")[-1][1].job_cancelled()
    assert model.ui.messageLabel.text == "Stopped. Started again, it goes on where it was."
    assert model.ui.rebuildButton.enabled and model.ui.scoreButton.enabled
    offer(model, True)
    jobs(model, "rebuild_bundle")[-1][1].job_failed(Failure("No space is left to write it."))
    assert model.ui.messageLabel.text == "No space is left to write it."

    model.ui.rebuildButton.click()
    jobs(model, "rebuild_estimate")[-1][1].job_finished({"name": NAME, "made": True}, {})
    listener = jobs(model, "rebuild_bundle")[-1][1]
    assert len(jobs(model, "rebuild_bundle")) == 3, "one that is there is chosen without a question"
    listener.job_cancelled()
    slicer.mrmlScene.Clear()
    jobs(model, "weights")[-1][1].job_finished({"weights": [PRESENT]}, {})
    assert model.ui.rebuildWeightsCombo.count == 1


def test_a_reader_study_does_not_refuse_it() -> None:
    from MemorySurvivalPanels.reader_study_gate import ALLOWED

    assert {"weights", "rebuild_estimate", "rebuild_bundle"} <= ALLOWED
