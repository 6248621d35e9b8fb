"""Fixtures of the tests that run the Slicer module without Slicer."""

from __future__ import annotations

import importlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "Testing" / "Python"))  # for its makers of DICOM series
FAKE_WORKER = Path(__file__).with_name("fake_worker.py")


def leave_out(reason: str) -> None:
    """Skip a test and say why; in CI nothing may be left out."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def application() -> Any:
    """The running host. Where slicer-core, PySide6 or their GL libraries are missing, its tests are left out."""
    try:
        importlib.import_module("PySide6.QtUiTools")
        importlib.import_module("slicer")
    except ImportError as error:
        leave_out(f"the Slicer host needs slicer-core, PySide6 and the GL libraries they load: {error}")
    return importlib.import_module("slicer_host.application").start()


@pytest.fixture(autouse=True)
def same_library() -> Iterator[None]:
    """Reload reads the library anew; other tests of this process go on with the classes that they imported."""

    def loaded() -> dict[str, Any]:
        return {name: module for name, module in sys.modules.items() if name.partition(".")[0] == "MemorySurvivalLib"}

    before = loaded()
    yield
    if before and sys.modules.get("MemorySurvivalLib") is not before["MemorySurvivalLib"]:
        for name in loaded():
            del sys.modules[name]
        sys.modules.update(before)


@dataclass
class Panel:
    """The module as a user has it before them."""

    python: Any
    widget: Any
    representation: Any
    application: Any

    @property
    def ui(self) -> Any:
        return self.widget.ui

    def use_worker(self, scenario: str) -> None:
        """Let a fake worker do the jobs."""
        client = importlib.import_module("MemorySurvivalPanels.worker_client")
        protocol = importlib.import_module("MemorySurvivalPanels.worker_protocol")
        command = protocol.WorkerCommand(sys.executable, (str(FAKE_WORKER), scenario))
        self.widget.logic.worker.close()
        self.widget.logic.worker = client.WorkerClient(lambda: command, "0.1.0")

    def wait_until(self, reached: Callable[[], bool], seconds: float = 30.0) -> None:
        """Let the event loop run until something is so."""
        end = time.monotonic() + seconds
        while not reached():
            if time.monotonic() > end:
                raise AssertionError(f"waited {seconds:g} s in vain; the panel says {self.ui.messageLabel.text!r}")
            self.application.processEvents()
            time.sleep(0.005)

    def score(self, seconds: float = 30.0) -> None:
        """Click Score and wait for the end of the job."""
        assert self.ui.scoreButton.enabled, self.ui.scoreButton.toolTip
        self.ui.scoreButton.click()
        self.wait_until(lambda: not self.widget.parts.run_panel.running, seconds)

    def scratch_files(self) -> list[Path]:
        """What lies in Slicer's temporary folder because of the module."""
        slicer = importlib.import_module("slicer")
        return [path for path in Path(slicer.app.temporaryPath).glob("memory-survival-*/**/*") if path.is_file()]


@pytest.fixture
def slot_errors(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[BaseException]]:
    """Exceptions in slots and observers: Qt and VTK only print them, so the test has to fail for them."""
    errors: list[BaseException] = []
    monkeypatch.setattr(sys, "excepthook", lambda kind, error, trace: errors.append(error))
    yield errors
    if errors:
        raise errors[0]


def let_score_without_accepting(python: Any, widget: Any) -> None:
    """Tick "Score without accepting" wherever the module makes its choices anew; the tests of the mask untick it."""
    original = python.MemorySurvivalLogic.getParameterNode

    def get_ticked(logic: Any) -> Any:
        fresh = not super(python.MemorySurvivalLogic, logic).getParameterNode().HasParameter("score_without_accepting")
        parameters = original(logic)
        if fresh:
            parameters.score_without_accepting = True
        return parameters

    python.MemorySurvivalLogic.getParameterNode = get_ticked
    widget._parameters.score_without_accepting = True


def close_replaced_workers(python: Any) -> None:
    """A test that gives the panel another worker ends the one before: a process that is forgotten goes on, ends while
    another test runs, and tells a panel that is gone."""

    def replace(logic: Any, worker: Any) -> None:
        before = vars(logic).get("worker in use")
        if before is not None and before is not worker:
            before.close()
        vars(logic)["worker in use"] = worker

    python.MemorySurvivalLogic.worker = property(lambda logic: vars(logic)["worker in use"], replace)


@pytest.fixture
def panel(application: Any, slot_errors: list[BaseException]) -> Iterator[Panel]:
    """The module's panel over an empty scene; ended the way Slicer ends it."""
    slicer = importlib.import_module("slicer")
    loading = importlib.import_module("slicer_host.loading")
    slicer.mrmlScene.Clear()
    slicer.dicomDatabase = importlib.import_module("slicer_host.dicom_database").DicomDatabase()
    python, widget, representation = loading.load_module(ROOT / "MemorySurvival" / "MemorySurvival.py")
    # Its own worker has not been started yet: that takes until the module is entered.
    vars(widget.logic)["worker in use"] = vars(widget.logic).pop("worker")
    close_replaced_workers(python)
    let_score_without_accepting(python, widget)
    # Laid out and drawn like any window, but never mapped: the offscreen platform has no window manager.
    representation.setAttribute(sys.modules["qt"].Qt.WA_DontShowOnScreen)
    representation.resize(460, 900)
    representation.show()
    yield Panel(python, widget, representation, application)
    loading.unload_module("MemorySurvival")
    representation.close()
    loading.delete_now(representation)
    slicer.mrmlScene.Clear()
    importlib.import_module("slicer_host.layout_manager").forget_added_views(slicer.app.layoutManager())
