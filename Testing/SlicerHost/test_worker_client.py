"""Cancelling within a second, warm where it can be; background jobs make way; one outcome for every job."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from trials import Listener, is_running, trial_client


@pytest.fixture
def client(panel: Any) -> Iterator[Any]:
    """A client of the trial worker."""
    client = trial_client()
    yield client
    client.close()


def start(panel: Any, client: Any, job: str, **parameters: Any) -> Listener:
    """Submit a job and wait until it says something."""
    listener = Listener()
    client.submit(job, parameters, listener)
    panel.wait_until(lambda: bool(listener.notes or listener.progress or listener.outcomes))
    return listener


def cancel(panel: Any, client: Any, listener: Listener) -> float:
    """Cancel and wait for the end; how long that took."""
    begin = time.monotonic()
    client.cancel()
    panel.wait_until(lambda: bool(listener.outcomes), 5)
    assert listener.ended_at is not None
    return listener.ended_at - begin


def test_a_job_that_tells_its_progress_stops_by_itself_and_the_worker_stays(panel: Any, client: Any) -> None:
    listener = start(panel, client, "count", steps=10_000)
    processes = client.process_ids
    assert cancel(panel, client, listener) < 0.6
    assert listener.outcomes == ["cancelled"]
    assert listener.progress[-1].stage == "Cancelling"
    assert client.process_ids == processes
    again = start(panel, client, "count", steps=1)
    panel.wait_until(lambda: bool(again.outcomes))
    assert again.result["pid"] in processes


def test_a_long_phase_is_ended_with_its_children(panel: Any, client: Any, tmp_path: Path) -> None:
    listener = start(panel, client, "stuck", out=str(tmp_path / "result"))
    processes = [*client.process_ids, *listener.children]
    assert len(processes) >= 2
    assert cancel(panel, client, listener) < 1.0
    assert listener.outcomes == ["cancelled"]
    panel.wait_until(lambda: not any(is_running(each) for each in processes), 2)
    assert not (tmp_path / "result").exists()
    again = start(panel, client, "count", steps=1)
    panel.wait_until(lambda: bool(again.outcomes))
    assert again.outcomes == ["finished"]
    assert again.result["pid"] not in processes


def test_a_program_of_others_ends_with_its_children_and_the_worker_stays(panel: Any, client: Any) -> None:
    listener = start(panel, client, "tool")
    panel.wait_until(lambda: bool(listener.children))
    processes = client.process_ids
    assert cancel(panel, client, listener) < 1.0
    panel.wait_until(lambda: not any(is_running(each) for each in listener.children), 2)
    assert client.process_ids == processes


def test_the_event_loop_runs_while_a_tree_is_ended(panel: Any, client: Any, tmp_path: Path) -> None:
    """Nothing waits for the killed process but the listener."""
    listener = start(panel, client, "stuck", out=str(tmp_path / "result"))
    longest, last = 0.0, time.monotonic()
    client.cancel()
    while not listener.outcomes:
        panel.application.processEvents()
        now = time.monotonic()
        longest, last = max(longest, now - last), now
    assert longest < 0.5, "killing looks through every process; on a busy computer that takes a moment"


def test_waiting_jobs_are_cancelled_too_and_never_begin(panel: Any, client: Any) -> None:
    first = start(panel, client, "count", steps=10_000)
    second = Listener()
    client.submit("count", {"steps": 1}, second)
    cancel(panel, client, first)
    assert (first.outcomes, second.outcomes) == (["cancelled"], ["cancelled"])
    assert not client.busy


def test_cancelling_before_the_worker_is_up(panel: Any, client: Any) -> None:
    listener = Listener()
    client.submit("count", {"steps": 1}, listener)
    client.cancel()
    assert listener.outcomes == ["cancelled"]
    client.cancel()
    later = start(panel, client, "count", steps=1)
    panel.wait_until(lambda: bool(later.outcomes))
    assert later.outcomes == ["finished"]
    assert listener.outcomes == ["cancelled"]


def test_a_job_asked_for_while_another_is_being_cancelled_runs(panel: Any, client: Any, tmp_path: Path) -> None:
    first = start(panel, client, "stuck", out=str(tmp_path / "result"))
    client.cancel()
    client.cancel()  # a second click changes nothing
    second = Listener()
    client.submit("count", {"steps": 1}, second)
    panel.wait_until(lambda: bool(second.outcomes))
    assert (first.outcomes, second.outcomes) == (["cancelled"], ["finished"])


def test_closing_while_a_job_is_being_cancelled_tells_nobody(panel: Any, client: Any, tmp_path: Path) -> None:
    first = start(panel, client, "stuck", out=str(tmp_path / "result"))
    processes = [*client.process_ids, *first.children]
    client.cancel()
    client.close()
    panel.wait_until(lambda: not any(is_running(each) for each in processes), 2)
    end = time.monotonic() + 1.0
    panel.wait_until(lambda: time.monotonic() > end)
    assert first.outcomes == []


def test_a_background_job_makes_way_and_starts_over(panel: Any, client: Any) -> None:
    behind = Listener()
    client.submit("count", {"steps": 40}, behind, background=True)
    panel.wait_until(lambda: len(behind.progress) > 3)
    processes = client.process_ids
    assert not client.busy
    front = Listener()
    client.submit("count", {"steps": 1}, front)
    assert client.busy
    panel.wait_until(lambda: bool(front.outcomes))
    assert (front.outcomes, behind.outcomes) == (["finished"], [])
    panel.wait_until(lambda: bool(behind.outcomes))
    assert behind.outcomes == ["finished"]
    assert behind.result["done"] == 40
    assert client.process_ids == processes, "the worker stayed warm"


def test_a_background_job_that_does_not_make_way_is_ended(
    panel: Any, client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from MemorySurvivalPanels import worker_client

    monkeypatch.setattr(worker_client, "INTERRUPT_PATIENCE_MS", 200)
    behind = Listener()
    client.submit("stuck", {"out": str(tmp_path / "result")}, behind, background=True)
    panel.wait_until(lambda: bool(behind.children))
    child = behind.children[0]
    front = Listener()
    client.submit("count", {"steps": 1}, front)
    client.submit("count", {"steps": 2}, front)
    panel.wait_until(lambda: len(front.outcomes) == 2)
    assert front.outcomes == ["finished", "finished"]
    panel.wait_until(lambda: not is_running(child), 2)
    panel.wait_until(lambda: len(behind.children) == 2)  # it has begun again
    client.cancel()
    assert behind.outcomes == [], "Cancel is about what the user waits for"
    client.cancel_background()
    panel.wait_until(lambda: bool(behind.outcomes), 2)
    assert behind.outcomes == ["cancelled"]


def test_jobs_run_in_the_order_they_came_and_those_behind_last(panel: Any, client: Any) -> None:
    ended: list[str] = []

    class Named(Listener):
        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

        def _end(self, how: str) -> None:
            ended.append(self.name)

    client.submit("count", {"steps": 1}, Named("one"))
    client.submit("count", {"steps": 1}, Named("behind"), background=True)
    client.submit("count", {"steps": 1}, Named("two"))
    panel.wait_until(lambda: len(ended) == 3)
    assert ended == ["one", "two", "behind"]


def test_one_job_can_be_given_up_alone(panel: Any, client: Any) -> None:
    running, kept, given_up = Listener(), Listener(), Listener()
    client.submit("count", {"steps": 10_000}, running, background=True)
    client.submit("count", {"steps": 1}, kept, background=True)
    client.submit("count", {"steps": 1}, given_up, background=True)
    panel.wait_until(lambda: bool(running.progress))
    client.cancel_job(given_up)
    assert (given_up.outcomes, kept.outcomes) == (["cancelled"], [])
    client.cancel_job(running)
    panel.wait_until(lambda: bool(kept.outcomes))
    assert (running.outcomes, kept.outcomes) == (["cancelled"], ["finished"])
