"""A wish to stop is heard once said, wherever the interpreter was when the signal came."""

from __future__ import annotations

import os
import signal
import time

import pytest

from MemorySurvivalLib.commands.terminal import ProgressBars
from MemorySurvivalLib.interrupts import listening, stop_if_asked
from MemorySurvivalLib.progress import ProgressEvent


class Interrupted:
    """Gets the signal in its destructor, where the interpreter ignores what is raised."""

    def __init__(self, number: signal.Signals) -> None:
        self._number = number

    def __del__(self) -> None:
        os.kill(os.getpid(), self._number)
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_wish_lost_in_a_destructor_is_heard_at_the_next_progress(
    number: signal.Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    with listening(), ProgressBars() as bars:
        Interrupted(number)
        with pytest.raises(KeyboardInterrupt):
            bars(ProgressEvent("encode", 0, 1, None))
    assert "gnored" not in capsys.readouterr().err


def test_the_next_command_begins_without_the_wish() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), listening():
        signal.raise_signal(signal.SIGTERM)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
    with listening():
        stop_if_asked()


def test_a_signal_ignored_from_outside_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with listening():
            signal.raise_signal(signal.SIGINT)
            stop_if_asked()
    finally:
        signal.signal(signal.SIGINT, before)
