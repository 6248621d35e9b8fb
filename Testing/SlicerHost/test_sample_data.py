"""The simulated patient among the sample data, made by the real command, and the self-test that scores it."""

from __future__ import annotations

import importlib
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
COARSE_MM = 8.0


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for all tests of this file: the patient is made once."""
    return tmp_path_factory.mktemp("Slicer cache")


@pytest.fixture
def sample_data(panel: Any, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The module's file, with a cache like Slicer's."""
    module = importlib.import_module("MemorySurvivalPanels.sample_data")
    monkeypatch.setattr(module, "_cache", lambda: cache)
    yield module


def test_it_is_registered(sample_data: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the names of Slicer's registerCustomSampleDataSource."""
    known = ("category", "sampleName", "uris", "fileNames", "nodeNames", "customDownloader", "thumbnailFileName")
    sources, titles = [], {}

    class SampleDataLogic:
        registerCustomSampleDataCategory = staticmethod(lambda category, title: titles.update({category: title}))
        registerCustomSampleDataSource = staticmethod(lambda **given: sources.append(given))

    monkeypatch.setitem(sys.modules, "SampleData", types.SimpleNamespace(SampleDataLogic=SampleDataLogic))
    sample_data.register_sample_data()
    assert titles == {"MemorySurvival": "Memory Survival"}
    assert sources[0].keys() <= set(known)
    assert sources[0]["customDownloader"] is sample_data.load_from_sample_data
    assert isinstance(sources[0]["uris"], str)  # Slicer wraps texts into lists; lists would all need the same length
    assert Path(sources[0]["thumbnailFileName"]).is_file()


def test_a_patient_is_made_and_loaded(sample_data: Any, panel: Any, cache: Path) -> None:
    import slicer

    patient = sample_data.load_simulated_patient(COARSE_MM)
    assert patient.ct.GetName() == "Simulated patient CT"
    assert np.ptp(slicer.util.arrayFromVolume(patient.ct)) > 1000
    assert slicer.util.arrayFromVolume(patient.pet).max() > 2
    assert patient.region.IsA("vtkMRMLLabelMapVolumeNode")
    assert slicer.util.arrayFromVolume(patient.region).shape == slicer.util.arrayFromVolume(patient.ct).shape
    assert patient.covariates.is_file()
    made = (cache / patient.covariates.parent.name / "truth.json").stat().st_mtime_ns
    again = sample_data.load_simulated_patient(COARSE_MM)
    assert (again.covariates.parent / "truth.json").stat().st_mtime_ns == made  # not made twice
    parameters = panel.widget.logic.getParameterNode()
    parameters.ct, parameters.pet, parameters.roi = patient.ct, patient.pet, patient.region
    problem = importlib.import_module("MemorySurvivalPanels.score_job").missing_choice(parameters)
    assert problem is None


def test_half_a_patient_is_made_again(sample_data: Any, cache: Path) -> None:
    truth = sample_data.load_simulated_patient(COARSE_MM).covariates.parent / "truth.json"
    truth.unlink()
    sample_data.load_simulated_patient(COARSE_MM)
    assert truth.is_file()


@pytest.mark.parametrize(
    ("complaint", "sentence"),
    [
        ("Traceback\nModuleNotFoundError: No module named 'msgspec.x'", "needs the Python package msgspec;"),
        ("memory-survival: /full is not writable.", "was not made: /full is not writable."),
        ("Traceback\nMemoryError", "was not made: MemoryError"),
        ("", "no reason was given"),
    ],
)
def test_why_it_was_not_made(
    sample_data: Any, cache: Path, complaint: str, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import slicer

    process = importlib.import_module("MemorySurvivalPanels.process_dialog")
    ended = process.EndedProcess("", complaint, 1)
    monkeypatch.setattr(sample_data, "run_python", lambda arguments, text: ended)
    shown: list[str] = []
    monkeypatch.setattr(slicer.util, "errorDisplay", shown.append)
    monkeypatch.setattr(sample_data, "_cache", lambda: cache / "empty")
    assert sample_data.load_from_sample_data() is None
    assert sentence in shown[0]
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLVolumeNode") == 0


def test_the_self_test_scores_the_patient(sample_data: Any, panel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a worker that plays its part; the command in self_test.py does the same inside a real Slicer."""
    self_test = importlib.import_module("MemorySurvivalPanels.self_test")
    monkeypatch.setattr(self_test, "COARSE_MM", COARSE_MM)
    panel.use_worker("success")
    patient, awaited = self_test.score_simulated_patient(panel.widget.logic, 30)
    assert awaited.result["log_risk"] == pytest.approx(0.4213)
    assert panel.widget.logic.getParameterNode().ct is patient.ct
    panel.use_worker("failure")
    with pytest.raises(AssertionError, match="the job failed: The PET"):
        self_test.score_simulated_patient(panel.widget.logic, 30)
    panel.use_worker("endless")
    with pytest.raises(AssertionError, match="in vain"):
        self_test.score_simulated_patient(panel.widget.logic, 0.5)


def test_the_self_test_never_installs(sample_data: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    self_test = importlib.import_module("MemorySurvivalPanels.self_test")
    requirements = importlib.import_module("MemorySurvivalPanels.requirements")
    monkeypatch.setattr(self_test, "missing_requirements", list)
    assert self_test.reason_to_skip() is None
    monkeypatch.setattr(self_test, "missing_requirements", lambda: [requirements.TORCH])
    assert self_test.reason_to_skip() == "not installed: torch"


@pytest.mark.parametrize("amiss", ["log_risk", "report", "heatmap", "stages"])
def test_the_self_test_can_fail(sample_data: Any, tmp_path: Path, amiss: str) -> None:
    self_test = importlib.import_module("MemorySurvivalPanels.self_test")
    awaited = self_test.Awaited()
    (tmp_path / "file").touch()
    files = dict.fromkeys(("report", "heatmap"), str(tmp_path / "file"))
    awaited.stages = ["memory PET"]
    awaited.job_finished({"log_risk": 0.5}, files)
    self_test.check_result(awaited)
    if amiss == "log_risk":
        awaited.job_finished({"log_risk": float("nan")}, files)
    elif amiss == "stages":
        awaited.stages = []
    else:
        files[amiss] = None
    with pytest.raises(AssertionError):
        self_test.check_result(awaited)
