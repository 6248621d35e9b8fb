"""What a self-test does inside a real Slicer: a simulated patient made, scored, explained and shown by the real worker.

Slicer --testing --no-splash --no-main-window --additional-module-paths FOLDER_OF_THE_MODULE --python-code
"import slicer.testing; slicer.testing.runUnitTest(['FOLDER_OF_THE_MODULE'], 'MemorySurvival')"
"""

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import slicer

from MemorySurvivalPanels.requirements import missing_requirements
from MemorySurvivalPanels.sample_data import SimulatedPatient, load_simulated_patient
from MemorySurvivalPanels.score_job import score_job
from MemorySurvivalPanels.worker_protocol import Failure, Progress

COARSE_MM = 4.0
"""Voxels that keep the whole self-test within some minutes on a processor."""


class Awaited:
    """A job's listener that remembers how the job ended."""

    def __init__(self) -> None:
        self.stages: list[str] = []
        self.result: Mapping[str, Any] | None = None
        self.files: Mapping[str, str | None] = {}
        self.problem: str | None = None

    @property
    def ended(self) -> bool:
        """Whether the job is over, well or not."""
        return self.result is not None or self.problem is not None

    def job_progressed(self, progress: Progress) -> None:
        """One step further."""
        self.stages.append(progress.stage)

    def job_noted(self, text: str) -> None:
        """Nothing to do."""

    def job_finished(self, result: Mapping[str, Any], files: Mapping[str, str | None]) -> None:
        """It went well."""
        self.result, self.files = result, files

    def job_failed(self, failure: Failure) -> None:
        """It went wrong."""
        self.problem = failure.sentence

    def job_cancelled(self) -> None:
        """Somebody stopped it."""
        self.problem = "cancelled"


def reason_to_skip() -> str | None:
    """Why the case cannot be scored here; None where it can. Packages are never installed by a test."""
    missing = missing_requirements()
    return f"not installed: {', '.join(package.name for package in missing)}" if missing else None


def wait_until(reached: Callable[[], bool], seconds: float) -> None:
    """Let Slicer go on until something is so. Raises AssertionError where it takes too long."""
    end = time.monotonic() + seconds
    while not reached():
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds:g} s in vain")
        slicer.app.processEvents()
        time.sleep(0.01)


def score_simulated_patient(logic: Any, seconds: float = 900.0) -> tuple[SimulatedPatient, Awaited]:
    """Make the patient, choose it in the parameter node, have the worker score and explain it, and check what comes.

    `logic` is a MemorySurvivalLogic. Raises AssertionError or UserError.
    """
    patient = load_simulated_patient(COARSE_MM)
    parameters = logic.getParameterNode()
    parameters.ct, parameters.pet, parameters.roi = patient.ct, patient.pet, patient.region
    parameters.explain = True
    parameters.score_without_accepting = True  # nobody is there to look at the mask
    folder = logic.scratch.new_folder()
    inputs = folder / "inputs"
    inputs.mkdir()
    job = score_job(parameters, inputs, folder / "result")
    awaited = Awaited()
    logic.worker.submit("score", job, awaited)
    wait_until(lambda: awaited.ended, seconds)
    check_result(awaited)
    return patient, awaited


def check_result(awaited: Awaited) -> None:
    """A number, a heatmap and a report, or AssertionError with what is amiss."""
    if awaited.problem is not None or awaited.result is None:
        raise AssertionError(f"the job failed: {awaited.problem}")
    if not math.isfinite(float(awaited.result["log_risk"])):
        raise AssertionError(f"the log-risk is {awaited.result['log_risk']}")
    for name in ("report", "heatmap"):
        path = awaited.files.get(name)
        if not path or not Path(path).is_file():
            raise AssertionError(f"there is no {name}")
    if not awaited.stages:
        raise AssertionError("there was no progress")
