"""The step "Model": bundles with rights, damage and weights, devices, and the time; each with a worker's answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

SHOWN = {"position": True, "group": False, "survival": False, "labels": ["SIMULATED MODEL"]}
ALL = {"position": True, "group": True, "survival": True, "labels": ["SIMULATED MODEL", "SIMULATED CASE"]}
AGE = {"name": "age_years", "title": "Age", "unit": "years", "low": 18.0, "high": 110.0, "levels": []}
SEX = {"name": "sex", "title": "Sex", "unit": "", "low": 0.0, "high": 0.0, "levels": ["male", "female"]}
HERE = {"state": "bundled", "name": "compact", "sha256": "3" * 64}
NEEDED = {
    "state": "absent",
    "name": "MedSAM2_latest",
    "sha256": "c" * 64,
    "size_bytes": 156_040_129,
    "url": "https://example.org/MedSAM2_latest.pt",
    "licence": "CC-BY-SA-4.0",
    "licence_url": "https://example.org/licence",
    "restriction": "research and education only.",
}


def head(name: str = "image", covariates: tuple[Any, ...] = (), **changes: Any) -> dict[str, Any]:
    """A head as the library describes it."""
    plain = {"modalities": ["PET", "CT"], "reference": "60 simulated patients", "horizon_months": None}
    return {"name": name, "covariates": list(covariates), **plain, "real": SHOWN, "simulated": ALL, **changes}


def bundle(name: str = "demonstration", **changes: Any) -> dict[str, Any]:
    """A sound bundle as the library describes it."""
    made = {"population": "simulated phantoms", "cases": 150, "events": 100, "created": "2026-11-22"}
    plain = {
        "name": name,
        "path": f"/{name}.msbundle",
        "title": "Demonstration model",
        "version": "1",
        "status": "demonstration",
        "licence": "Apache-2.0",
        "sha256": "de9bcb992724" + "0" * 52,
        "roi": "spine_dilated",
        "heads": [head(), head("image+clinical", (AGE, SEX))],
        "weights": HERE,
        "provenance": made,
        "card": "# The card\n\nMore.",
        "damaged": "",
    }
    return {**plain, **changes}


@pytest.fixture
def model(panel: Any) -> Any:
    """The panel with a small case and a worker that only remembers its jobs."""
    from dicom_nodes import Recorder
    from scenes import add_small_case

    panel.widget.logic.worker = Recorder()
    parameters = panel.widget._parameters
    parameters.ct, parameters.pet, parameters.roi = add_small_case()
    panel.widget.parts.model.take_bundles([bundle()])
    return panel


def asked(panel: Any, job: str) -> tuple[dict[str, Any], Any]:
    """The last parameters and listener of a job, asked for in the background or not."""
    worker = panel.widget.logic.worker
    found = [each for each in (*worker.sent, *worker.asked) if each[0] == job]
    assert found, f"{job} was not asked"
    return found[-1][1], found[-1][2]


def test_the_card_says_in_words_what_may_be_shown(model: Any) -> None:
    said = model.ui.bundleRightsLabel.text.splitlines()
    assert said[0] == (
        "Of a patient it shows the log-risk, the effect map, the place among 60 simulated patients; "
        "no risk group, no survival curve."
    )
    assert said[1].startswith("Of a simulated case it shows") and "survival curve" in said[1]
    assert said[2] == "Beside every number stands: SIMULATED MODEL."
    about = model.ui.bundleAboutLabel.text
    assert "Learned from 150 cases, 100 of which progressed: simulated phantoms." in about
    assert "PET and CT in the dilated spine, with or without clinical values" in about
    assert "no signature" in about and "de9bcb992724" in about
    assert "The card" in model.ui.bundleCard.toPlainText()


def test_what_a_model_measures_in_the_region_is_named_once(model: Any) -> None:
    assert "Also reads" not in model.ui.bundleAboutLabel.text
    reading = head(statistics=["SUVmax", "MTV"])
    model.widget.parts.model.take_bundles([bundle(heads=[reading, {**reading, "name": "both"}])])
    assert "Also reads of the region: SUVmax, MTV." in model.ui.bundleAboutLabel.text.splitlines()


def test_a_calibrated_bundle_names_its_horizon(model: Any) -> None:
    rights = {"position": True, "group": True, "survival": True, "labels": []}
    calibrated = head(horizon_months=24.0, real=rights, simulated=rights)
    model.widget.parts.model.take_bundles([bundle(status="validated", heads=[calibrated])])
    assert model.ui.bundleRightsLabel.text.endswith("the risk group, a survival curve up to 24 months.")
    assert model.ui.bundleCombo.currentText == "demonstration (validated)"


def test_a_damaged_bundle_is_shown_and_cannot_be_scored(model: Any) -> None:
    sentence = "The model bundle /ward.msbundle is damaged: heads do not match; get it again."
    damaged = {"name": "ward", "path": "/ward.msbundle", "shipped": False, "damaged": sentence}
    model.widget.parts.model.take_bundles([bundle(), damaged])
    assert model.ui.bundleCombo.itemText(1) == "ward (damaged)"
    model.ui.bundleCombo.currentIndex = 1
    assert not model.ui.scoreButton.enabled
    assert model.ui.modelNextLabel.text == sentence
    assert not model.ui.bundleCardSection.isVisible()
    model.ui.bundleCombo.currentIndex = 0
    assert model.ui.scoreButton.enabled


def test_missing_weights_are_fetched_after_consent(model: Any) -> None:
    weights = model.widget.parts.model.weights
    model.widget.parts.model.take_bundles([bundle(weights=NEEDED)])
    assert "needs; fetch them or import a file under Model" in model.ui.stageLabel.text
    assert model.ui.weightsLabel.text == "Weights: MedSAM2_latest, not on this computer (0.2 GB)."
    shown = []
    weights.ask_licence = lambda need, fetch: shown.append((need["licence"], fetch)) or False
    model.ui.weightsFetchButton.click()
    assert shown == [("CC-BY-SA-4.0", True)]
    assert not [job for job, *_ in model.widget.logic.worker.sent if job == "weights_fetch"], "refused: nothing happens"
    weights.ask_licence = lambda need, fetch: True
    model.ui.weightsFetchButton.click()
    parameters, listener = asked(model, "weights_fetch")
    assert parameters == {"name": "MedSAM2_latest", "licence": "CC-BY-SA-4.0"}
    assert model.ui.cancelButton.enabled and not model.ui.weightsFetchButton.enabled
    listener.job_finished({"name": "MedSAM2_latest"}, {})
    assert model.ui.messageLabel.text == "The weights MedSAM2_latest are ready."
    _parameters, listener = asked(model, "bundles")
    listener.job_finished({"bundles": [bundle(weights={**NEEDED, "state": "present"})]}, {})
    assert model.ui.scoreButton.enabled
    assert not model.ui.weightsFetchButton.isVisible()


def test_a_failed_fetch_names_the_way_without_a_network(model: Any) -> None:
    from MemorySurvivalPanels.worker_protocol import Failure, Progress

    model.widget.parts.model.take_bundles([bundle(weights=NEEDED)])
    model.widget.parts.model.weights.ask_licence = lambda need, fetch: True
    model.ui.weightsFetchButton.click()
    assert model.ui.stageLabel.text == "Connecting"
    listener = asked(model, "weights_fetch")[1]
    listener.job_progressed(Progress("download MedSAM2_latest", 12_000_000, 156_040_129, 30.0))
    assert model.ui.stageLabel.text == "Fetching MedSAM2_latest, MB (12 / 156), about 30 s left"
    told = "It could not be fetched (no network; 0 bytes kept); use --url or `memory-survival weights import FILE`."
    listener.job_failed(Failure(told))
    assert model.ui.messageLabel.text == (
        "It could not be fetched (no network; 0 bytes kept). "
        "Check the network, or get the file on another computer and take it with Import a file."
    )
    model.ui.weightsFetchButton.click()
    asked(model, "weights_fetch")[1].job_cancelled()
    assert model.ui.messageLabel.text == "Cancelled."
    assert model.ui.weightsFetchButton.enabled


def test_weights_come_from_a_file_too(model: Any) -> None:
    weights = model.widget.parts.model.weights
    model.widget.parts.model.take_bundles([bundle(weights=NEEDED)])
    weights.ask_licence = lambda need, fetch: not fetch
    weights.choose = lambda parent, title, kinds: ""
    model.ui.weightsImportButton.click()
    assert not model.widget.parts.run_panel.running
    weights.choose = lambda parent, title, kinds: "/stick/medsam.pt"
    model.ui.weightsImportButton.click()
    parameters, _listener = asked(model, "weights_import")
    assert parameters["file"] == "/stick/medsam.pt"
    assert (parameters["sha256"], parameters["licence"]) == ("c" * 64, "CC-BY-SA-4.0")


def test_weights_of_no_release_can_only_be_imported(model: Any) -> None:
    own = {"state": "absent", "name": "ours", "sha256": "1" * 64, "url": None, "licence": None, "size_bytes": None}
    model.widget.parts.model.take_bundles([bundle(weights=own)])
    model.widget.parts.model.weights.choose = lambda parent, title, kinds: "/stick/ours.pt"
    model.widget.parts.model.weights.ask_licence = lambda need, fetch: pytest.fail("there is no licence to ask about")
    assert not model.ui.weightsFetchButton.isVisible() and model.ui.weightsImportButton.isVisible()
    model.ui.weightsImportButton.click()
    assert asked(model, "weights_import")[0]["licence"] is None


def test_the_licence_question_shows_everything(panel: Any) -> None:
    from MemorySurvivalPanels.weights_panel import describe_licence

    text = describe_licence(NEEDED)
    for part in ("MedSAM2_latest", "0.2 GB", NEEDED["url"], "CC-BY-SA-4.0", NEEDED["licence_url"], "research and"):
        assert part in text


def test_an_imported_bundle_is_chosen(model: Any) -> None:
    model.widget.parts.model.choose = lambda parent, title, kinds: "/stick/ward-7.msbundle"
    model.ui.bundleImportButton.click()
    parameters, listener = asked(model, "import_bundle")
    assert parameters == {"file": "/stick/ward-7.msbundle"}
    listener.job_finished({"name": "ward-7", "bundles": [bundle(), bundle("ward-7", status="local-research")]}, {})
    assert model.widget._parameters.bundle == "ward-7"
    assert model.ui.bundleCombo.currentText == "ward-7 (local research)"
    assert "was verified and taken in" in model.ui.messageLabel.text


def test_a_refused_bundle_leaves_the_choice(model: Any) -> None:
    from MemorySurvivalPanels.worker_protocol import Failure

    model.widget.parts.model.choose = lambda parent, title, kinds: "/stick/ward-7.msbundle"
    model.ui.bundleImportButton.click()
    asked(model, "import_bundle")[1].job_failed(Failure("/stick/ward-7.msbundle is damaged; get it again."))
    assert model.ui.messageLabel.text == '"ward-7.msbundle" is damaged; get it again.'
    assert model.widget._parameters.bundle == "demonstration"


DEVICES = [
    {"name": "cpu", "title": "8 cores", "available": True, "reason": "", "free_bytes": 8.1e9, "total_bytes": 16e9},
    {"name": "cuda", "title": "", "available": False, "reason": "No card.", "free_bytes": None, "total_bytes": None},
    {"name": "mps", "title": "", "available": False, "reason": "No Apple.", "free_bytes": None, "total_bytes": None},
]


def test_devices_say_what_is_free_and_why_not(model: Any) -> None:
    import qt

    model.widget.parts.enter()
    asked(model, "devices")[1].job_finished({"automatic": "cpu", "devices": DEVICES}, {})
    combo = model.ui.deviceCombo
    assert [combo.itemText(index) for index in range(4)] == [
        "Automatic: Processor (CPU)",
        "Processor (CPU): 8.1 GB free",
        "NVIDIA graphics card (CUDA): not here",
        "Apple graphics (MPS): not here",
    ]
    assert combo.itemData(2, qt.Qt.ToolTipRole) == "No card."
    flags = combo.model().flags(combo.model().index(2, 0))
    assert not flags & qt.Qt.ItemIsEnabled
    assert combo.model().flags(combo.model().index(1, 0)) & qt.Qt.ItemIsEnabled
    assert model.ui.deviceStateLabel.text == "8 cores, 8.1 GB of 16.0 GB free"
    model.widget.exit()
    model.widget.enter()
    assert combo.itemText(0) == "Automatic: Processor (CPU)", "binding names the items anew"


def test_a_device_of_another_computer_needs_attention(model: Any) -> None:
    from MemorySurvivalPanels.parameters import Device

    model.widget.parts.enter()
    asked(model, "devices")[1].job_finished({"automatic": "cpu", "devices": DEVICES}, {})
    model.widget._parameters.device = Device.CUDA
    assert model.ui.modelNextLabel.text == "No card. Choose another device under Model."
    assert "needs attention" in model.ui.modelSection.text


def test_time_is_asked_when_something_changes_and_old_answers_are_ignored(model: Any) -> None:
    model.widget.parts.enter()
    worker = model.widget.logic.worker
    model.wait_until(lambda: any(job == "estimate" for job, *_ in worker.asked), 5)
    parameters, old = asked(model, "estimate")
    assert parameters["mask_mm"] == pytest.approx(16.0), "four slices of 4 mm"
    assert parameters["mask_ml"] == pytest.approx(4 * 8 * 7 * 16 / 1000)
    assert (parameters["ct_mm"], parameters["spacing_mm"]) == (pytest.approx(64.0), pytest.approx(4.0))
    worker.asked.clear()
    model.widget._parameters.explain = True
    model.widget._parameters.roi = None
    model.wait_until(lambda: any(job == "estimate" for job, *_ in worker.asked), 5)
    told = {"slices": 194, "seconds": 6.4, "explain_slices": 1620, "explain_seconds": 130.0, "assumed": True}
    old.job_finished(told, {})
    assert model.ui.modelTimeLabel.text == "", "an answer to an earlier question"
    parameters, listener = asked(model, "estimate")
    assert parameters["mask_mm"] is None
    listener.job_finished(told, {})
    assert model.ui.modelTimeLabel.text == (
        "About 7 s for 194 slices, and 3 min for the explanation. "
        "Reading the images and finding the region come on top."
    )


def test_a_bundle_file_elsewhere_is_looked_at(model: Any, tmp_path: Path) -> None:
    file = tmp_path / "elsewhere.msbundle"
    file.write_bytes(b"")
    model.widget.parts.enter()
    model.widget._parameters.bundle = str(file)
    assert asked(model, "bundles")[0] == {"file": str(file)}


def test_the_scene_may_close_while_questions_are_open(model: Any) -> None:
    import slicer

    model.widget.parts.enter()
    answers = [listener for _job, _parameters, listener in model.widget.logic.worker.asked]
    slicer.mrmlScene.Clear()
    for listener in answers:
        listener.job_finished({}, {})
    assert model.ui.modelTimeLabel.text == ""
