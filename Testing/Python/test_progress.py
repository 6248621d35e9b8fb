"""Progress: every step is reported, with the time that is left; a watcher that raises stops the work."""

from __future__ import annotations

import pytest

from MemorySurvivalLib import progress
from MemorySurvivalLib.progress import Meter, ProgressEvent, ignore_progress, track


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that tests set."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_each_step_is_reported_with_the_time_left(clock: list[float]) -> None:
    events: list[ProgressEvent] = []
    seen = []
    for item in track("abcd", "letters", 4, events.append):
        seen.append(item)
        clock[0] += 2.0
    assert seen == list("abcd")
    assert events == [
        ProgressEvent("letters", 0, 4, None),
        ProgressEvent("letters", 1, 4, 6.0),
        ProgressEvent("letters", 2, 4, 4.0),
        ProgressEvent("letters", 3, 4, 2.0),
        ProgressEvent("letters", 4, 4, 0.0),
    ]


def test_the_time_left_follows_the_pace_so_far(clock: list[float]) -> None:
    events: list[ProgressEvent] = []
    meter = Meter("uneven", 4, events.append)
    for seconds in (1, 3):
        clock[0] += seconds
        meter.step()
    assert events[-1].eta_s == pytest.approx(4.0)  # 4 s for 2 of 4


def test_more_steps_than_announced_have_no_negative_time_left(clock: list[float]) -> None:
    events: list[ProgressEvent] = []
    meter = Meter("long", 1, events.append)
    for _ in range(2):
        clock[0] += 1
        meter.step()
    assert (events[-1].done, events[-1].eta_s) == (2, 0.0)


def test_nothing_to_do_is_said_once() -> None:
    events: list[ProgressEvent] = []
    assert list(track([], "nothing", 0, events.append)) == []
    assert events == [ProgressEvent("nothing", 0, 0, None)]


def test_a_watcher_that_raises_stops_the_work() -> None:
    worked = []

    def cancel_after_two(event: ProgressEvent) -> None:
        if event.done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        for item in track(range(10), "long", 10, cancel_after_two):
            worked.append(item)
    assert worked == [0, 1]


def test_work_without_a_watcher() -> None:
    assert list(track([1, 2], "quiet", 2)) == [1, 2]
    ignore_progress(ProgressEvent("quiet", 1, 2, None))
