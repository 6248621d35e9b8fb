"""The worker as Slicer runs it: a real process, lines in, lines out."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from made_up import ROOT, Patient

from MemorySurvivalLib import __version__


class Client:
    """Talks to a worker process."""

    def __init__(self, data: Path) -> None:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1", "MEMORYSURVIVAL_DATA": str(data)}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "MemorySurvivalLib.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            cwd="/",
        )
        self.events: queue.Queue[dict[str, Any]] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.events.put(json.loads(line))

    def send(self, **job: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(job).encode() + b"\n")
        self.process.stdin.flush()

    def wait_for(self, *kinds: str, timeout_s: float = 60) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """The next event of one of `kinds`, and everything that came before it."""
        seen = []
        deadline = time.monotonic() + timeout_s
        while True:
            event = self.events.get(timeout=max(deadline - time.monotonic(), 0.01))
            if event["event"] in kinds:
                return event, seen
            seen.append(event)

    def close(self) -> int:
        assert self.process.stdin is not None
        if not self.process.stdin.closed:
            self.process.stdin.close()
        code = self.process.wait(timeout=20)
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()
        return code


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    client = Client(tmp_path / "data")
    yield client
    client.process.kill()
    client.close()


def parameters(patient: Patient, bundle: Path) -> dict[str, Any]:
    return {
        "ct": str(patient.ct_path),
        "pet": str(patient.pet_path),
        "roi": str(patient.spine_path),
        "roi_kind": None,
        "covariates": None,
        "bundle": str(bundle),
        "out": str(patient.folder / "out"),
        "explain": True,
        "device": "auto",
        "allow_other_roi": False,
        "patch_mm": 40,
        "stride_mm": None,
    }


def test_scores_reports_progress_and_stays_warm(client: Client, patient: Patient, small_bundle: Path) -> None:
    ready, _ = client.wait_for("ready")
    assert ready == {"event": "ready", "protocol": 1, "version": __version__, "pid": client.process.pid}
    client.send(id="1", job="score", parameters=parameters(patient, small_bundle))
    finished, before = client.wait_for("finished", "failed")
    assert finished["event"] == "finished", finished
    assert before[0] == {"event": "started", "id": "1"} or before[0]["event"] == "heartbeat"
    progress = [event for event in before if event["event"] == "progress"]
    assert {event["stage"] for event in progress} >= {"memory PET", "memory CT", "occlusion"}
    assert all(0 <= event["done"] <= event["total"] for event in progress)
    assert [e for e in progress if e["stage"] == "occlusion"][-1]["eta_s"] == 0
    assert any(event["event"] == "note" for event in before)
    result = finished["result"]
    assert result["label"] == "SIMULATED MODEL"
    assert isinstance(result["log_risk"], float)
    assert 0 <= result["position"] <= 1
    assert result["heatmap"]["unit"] == "change of log-risk"
    assert all(Path(path).is_file() for path in finished["files"].values())
    client.send(id="2", job="bundles")
    again, _ = client.wait_for("finished", "failed")
    assert again["id"] == "2"
    assert client.close() == 0, "the worker ends when its input closes"


def test_failures_are_one_sentence_and_the_worker_lives_on(
    client: Client, patient: Patient, small_bundle: Path
) -> None:
    client.wait_for("ready")
    wrong = parameters(patient, small_bundle)
    wrong["ct"] = str(patient.folder / "none.nrrd")
    client.send(id="a", job="score", parameters=wrong)
    failed, _ = client.wait_for("failed", "finished")
    assert failed["message"] == f"The CT file {patient.folder / 'none.nrrd'} does not exist; check the path."
    assert (failed["id"], failed["kind"]) == ("a", "InputError")
    client.send(id="b", job="score", parameters={**wrong, "device": "abacus"})
    failed, _ = client.wait_for("failed", "finished")
    assert failed["kind"] == "InputError"
    assert "device" in failed["message"]
    client.send(id="c", job="dance")
    failed, _ = client.wait_for("failed", "finished")
    assert failed["kind"] == "InputError"
    assert "dance" in failed["message"]
    assert client.process.poll() is None


def test_beats_while_it_lives(client: Client) -> None:
    client.wait_for("ready")
    client.wait_for("heartbeat", timeout_s=10)
    client.wait_for("heartbeat", timeout_s=10)


def test_closing_the_input_in_mid_job_ends_it_and_leaves_nothing(
    client: Client, patient: Patient, small_bundle: Path
) -> None:
    client.wait_for("ready")
    before = sorted(patient.folder.iterdir())
    client.send(id="1", job="score", parameters={**parameters(patient, small_bundle), "patch_mm": 8, "stride_mm": 4})
    client.wait_for("progress")
    assert client.close() == 0
    assert sorted(patient.folder.iterdir()) == before


def test_a_cancelled_job_leaves_nothing_and_the_worker_stays_warm(
    client: Client, patient: Patient, small_bundle: Path
) -> None:
    client.wait_for("ready")
    before = sorted(patient.folder.iterdir())
    client.send(id="1", job="score", parameters={**parameters(patient, small_bundle), "patch_mm": 8, "stride_mm": 4})
    client.send(id="2", job="score", parameters=parameters(patient, small_bundle))
    client.wait_for("progress")
    client.send(cancel="2")
    client.send(cancel="1")
    cancelled, _ = client.wait_for("cancelled", "finished", "failed")
    assert cancelled == {"event": "cancelled", "id": "1"}
    never_begun, _ = client.wait_for("cancelled", "finished", "failed")
    assert never_begun == {"event": "cancelled", "id": "2"}
    assert sorted(patient.folder.iterdir()) == before
    client.send(cancel="1")  # too late: nobody minds
    client.send(id="3", job="score", parameters=parameters(patient, small_bundle))
    again, _ = client.wait_for("cancelled", "finished", "failed")
    assert (again["event"], again["id"]) == ("finished", "3")
    assert client.close() == 0


@pytest.mark.skipif(os.name == "nt", reason="process groups")
def test_it_heads_a_group_of_its_own_and_lets_the_viewer_go_first(client: Client) -> None:
    client.wait_for("ready")
    assert os.getpgid(client.process.pid) == client.process.pid
    assert os.getpriority(os.PRIO_PROCESS, client.process.pid) > os.getpriority(os.PRIO_PROCESS, 0)
