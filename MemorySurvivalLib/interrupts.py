"""Ctrl-C and a polite kill, also where Python loses them.

The exception of a signal is raised wherever the main thread happens to be. In a destructor or a weak reference's
callback the interpreter prints it as "ignored" and goes on, and C code may clear it, so a wish to stop would have to
be said twice. Here it is kept, and the next report of progress raises it again.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_asked = threading.Event()


@contextmanager
def listening() -> Iterator[None]:
    """Ctrl-C and SIGTERM raise `KeyboardInterrupt` and stay known until the end; for the main thread alone.

    A signal that whoever started us chose to ignore, as shells do for Ctrl-C in the background, stays ignored.
    """
    _asked.clear()
    previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number, handler in previous.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, _interrupt)
    hook, sys.unraisablehook = sys.unraisablehook, _keep_quiet
    try:
        yield
    finally:
        sys.unraisablehook = hook
        for number, handler in previous.items():
            signal.signal(number, handler)


def stop_if_asked() -> None:
    """Raise `KeyboardInterrupt` when a signal asked to stop since `listening` began."""
    if _asked.is_set():
        raise KeyboardInterrupt


def ask_to_stop() -> None:
    """What the handler of the signals notes; for a caller that sends the signal itself."""
    _asked.set()


def _interrupt(number: int, frame: FrameType | None) -> None:
    ask_to_stop()
    raise KeyboardInterrupt


def _keep_quiet(unraisable: sys.UnraisableHookArgs) -> None:
    if not issubclass(unraisable.exc_type, KeyboardInterrupt):  # that one is raised again by the next progress
        sys.__unraisablehook__(unraisable)
