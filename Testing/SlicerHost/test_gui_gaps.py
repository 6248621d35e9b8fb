"""The event loop goes on while the real worker scores a case, and while a worker talks a lot."""

from __future__ import annotations

import time
from typing import Any

from gaps import add_phantom, choose, measure
from trials import Listener, trial_client


def test_the_event_loop_goes_on_while_a_case_is_scored(panel: Any) -> None:
    """The phantom as it is, without a map; the figure gui-gaps measures a large case with one."""
    choose(panel.widget, add_phantom(None, None), explain=False)
    found = measure(panel.widget, panel.application)
    assert found.finished, found.message
    assert found.sent_to_ready_s > 1.0
    assert len(found.gaps_s) > 50
    slow = [gap for gap in found.gaps_s if gap > 0.05]
    assert len(slow) <= len(found.gaps_s) / 100, "a few are allowed for a computer that others use too"
    assert found.longest_ms < 500
    assert {name for name, _seconds in found.phases} >= {
        "Handing the CT over",
        "Handing the PET over",
        "Handing the region over",
    }
    assert all(seconds < 2.5 for _name, seconds in found.phases)


def test_steps_that_follow_fast_and_long_lines_do_not_block(panel: Any) -> None:
    """A worker that tells 20,000 steps at once, and a result of two megabytes."""
    client = trial_client()
    listener = Listener()
    longest, last = 0.0, time.monotonic()
    client.submit("flood", {"steps": 20_000, "bytes": 2_000_000}, listener)
    while not listener.outcomes:
        panel.application.processEvents()
        now = time.monotonic()
        longest, last = max(longest, now - last), now
    assert listener.outcomes == ["finished"]
    assert len(listener.result["text"]) == 2_000_000
    assert len(listener.progress) < 200, "the worker leaves out what nobody could see"
    assert listener.progress[-1].done == 20_000
    assert longest < 0.5
    client.close()
