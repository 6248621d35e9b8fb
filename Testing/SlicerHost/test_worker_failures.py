"""Whatever ends a job or its process is one sentence with the worker's last lines, and the next job runs."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from trials import Listener, trial_client

OUT_OF_MEMORY = (
    "The memory of this computer is used up; close other programs or images, or use a computer with more memory, and "
    "try again."
)
ENDED_BY_SYSTEM = (
    "The scoring process was ended by the system, most likely because the memory of this computer is used up; close "
    "other programs or images and try again."
)
posix = pytest.mark.skipif(os.name == "nt", reason="signals")


@pytest.fixture
def client(panel: Any) -> Iterator[Any]:
    """A client of the trial worker."""
    client = trial_client()
    yield client
    client.close()


def run(panel: Any, client: Any, job: str, **parameters: Any) -> Listener:
    """One job to its end."""
    listener = Listener()
    client.submit(job, parameters, listener)
    panel.wait_until(lambda: bool(listener.outcomes))
    return listener


def assert_next_job_runs(panel: Any, client: Any) -> None:
    assert run(panel, client, "count", steps=1).outcomes == ["finished"]


@posix
@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        (9, ENDED_BY_SYSTEM),
        (
            11,
            "The scoring process stopped unexpectedly (exit code 11); the application log says more, and Score starts "
            "it again.",
        ),
    ],
)
def test_a_process_that_dies_by_a_signal(panel: Any, client: Any, number: int, sentence: str) -> None:
    waiting = Listener()
    dying = Listener()
    client.submit("die", {"signal": number}, dying)
    client.submit("count", {"steps": 1}, waiting)
    panel.wait_until(lambda: bool(waiting.outcomes))
    assert dying.outcomes == ["failed"]
    assert dying.failure.sentence == sentence
    assert "the last words" in dying.failure.log
    assert waiting.outcomes == ["finished"], "only the job in hand is lost"


@posix
def test_a_worker_killed_from_outside(panel: Any, client: Any) -> None:
    listener = Listener()
    client.submit("count", {"steps": 10_000}, listener)
    panel.wait_until(lambda: bool(listener.progress))
    os.kill(client.process_ids[-1], signal.SIGKILL)
    panel.wait_until(lambda: bool(listener.outcomes))
    assert listener.failure.sentence == ENDED_BY_SYSTEM
    assert_next_job_runs(panel, client)


def test_memory_that_is_used_up(panel: Any, client: Any) -> None:
    listener = run(panel, client, "memory")
    assert listener.failure.sentence == OUT_OF_MEMORY
    assert listener.failure.kind == "OutOfMemory"
    assert any("Traceback" in line for line in listener.failure.log)
    assert_next_job_runs(panel, client)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_in_the_worker(panel: Any, client: Any) -> None:
    listener = run(panel, client, "disk")
    assert listener.failure.kind == "OutputError"
    assert listener.failure.sentence.startswith("No space is left to write the temporary folder; free some disk space")
    assert_next_job_runs(panel, client)


@posix
def test_a_worker_that_says_nothing_any_more(panel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from MemorySurvivalPanels import worker_process

    monkeypatch.setattr(worker_process, "SILENCE_CHECK_MS", 100)
    monkeypatch.setattr(worker_process, "SILENT_CHECKS_ALLOWED", 12)  # more than a second: it beats once in one
    client = trial_client()
    listener = run(panel, client, "die", signal=int(signal.SIGSTOP))
    assert listener.failure.sentence == "The scoring process stopped answering and was ended; try again."
    assert "the last words" in listener.failure.log
    assert_next_job_runs(panel, client)
    client.close()


def test_a_worker_that_was_just_leaving(panel: Any, client: Any) -> None:
    """After idle minutes it goes by itself; a job that comes in that moment goes to the next one."""
    first = run(panel, client, "leave")
    second = run(panel, client, "count", steps=1)
    assert second.outcomes == ["finished"]
    assert second.result["pid"] != first.result["pid"]


def test_an_idle_end_is_no_failure(panel: Any, client: Any) -> None:
    run(panel, client, "leave")
    panel.wait_until(lambda: client.process_ids == [])
    assert not client.busy
    assert_next_job_runs(panel, client)


def test_a_worker_that_cannot_even_start_fails_every_job_once(panel: Any, tmp_path: Path) -> None:
    from MemorySurvivalPanels.worker_client import WorkerClient
    from MemorySurvivalPanels.worker_protocol import WorkerCommand

    client = WorkerClient(lambda: WorkerCommand(sys.executable, ("-c", "raise SystemExit('no licence')")), "0.1.0")
    listeners = [Listener(), Listener(), Listener()]
    for number, listener in enumerate(listeners):
        client.submit("count", {}, listener, background=number == 2)
    panel.wait_until(lambda: all(listener.outcomes for listener in listeners))
    assert [listener.outcomes for listener in listeners] == [["failed"]] * 3
    assert listeners[0].failure.log == ("no licence",)
    assert client.process_ids == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_when_images_are_handed_over(panel: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from types import SimpleNamespace

    from MemorySurvivalPanels import volumes
    from MemorySurvivalPanels.errors import UserError
    from scenes import add_small_case, snapshot

    ct, _pet, _roi = add_small_case()
    before = snapshot(ct)
    monkeypatch.setattr(volumes.uuid, "uuid4", lambda: SimpleNamespace(hex="name"))
    (tmp_path / "name.nrrd").symlink_to("/dev/full")
    with pytest.raises(UserError, match=r"The images cannot be written to .*; free some disk space there\."):
        volumes.volume_file(ct, "CT", tmp_path)
    assert snapshot(ct) == before
    assert not (tmp_path / "name.nrrd").is_symlink(), "half a file only takes space"
    assert np.isfinite(before[0])


def test_no_private_folder_is_one_sentence(panel: Any, tmp_path: Path) -> None:
    from MemorySurvivalPanels.errors import UserError
    from MemorySurvivalPanels.scratch import ScratchFolder

    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"No folder can be made in .*file \(.+\); free some disk space there\."):
        ScratchFolder(tmp_path / "file").new_folder()
