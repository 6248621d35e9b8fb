"""Phases in which the viewer itself is busy: each has a name that the user reads, a wait cursor, and a length.

The worker computes; what is left for the viewer is to write volumes for it and to read what it made. That blocks the
viewer, so it is said, kept short, and measured.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import qt

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Phase:
    """A phase that is over: its name and how long it took."""

    name: str
    seconds: float


_WATCHERS: list[Callable[[str], None]] = []
_PRESENT: list[str] = []
_PAST: deque[Phase] = deque(maxlen=100)


@contextmanager
def phase(name: str) -> Iterator[None]:
    """Show a wait cursor and the name, such as "Handing the CT over", while the block runs."""
    qt.QApplication.setOverrideCursor(qt.Qt.WaitCursor)
    start = time.perf_counter()
    _PRESENT.append(name)
    try:
        _show()
        yield
    finally:
        _PRESENT.pop()
        _show()
        qt.QApplication.restoreOverrideCursor()
        _PAST.append(Phase(name, time.perf_counter() - start))
        _LOG.info("%s: %.2f s", name, _PAST[-1].seconds)


def watch(show: Callable[[str], None]) -> Callable[[], None]:
    """Call `show` with the name of the phase that begins, and with "" when all are over.

    It must paint at once (`label.repaint()`), because the event loop stands still during the phase. The function that
    is handed back ends the watch.
    """
    _WATCHERS.append(show)

    def stop() -> None:
        if show in _WATCHERS:
            _WATCHERS.remove(show)

    return stop


def _show() -> None:
    for show in list(_WATCHERS):
        show(_PRESENT[-1] if _PRESENT else "")


def past_phases() -> list[Phase]:
    """The last phases that are over, oldest first."""
    return list(_PAST)
