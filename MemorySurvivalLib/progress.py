"""How long work tells its watcher where it stands: one event type, one callback type."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

Item = TypeVar("Item")


@dataclass(frozen=True)
class ProgressEvent:
    """`done` of `total` steps of `stage` are finished; `eta_s` seconds are left (None while unknown)."""

    stage: str
    done: int
    total: int
    eta_s: float | None


ProgressCallback = Callable[[ProgressEvent], None]
"""Called from the working thread; raising from it stops the work and is how a caller cancels."""


def ignore_progress(event: ProgressEvent) -> None:
    """The callback for callers that do not watch."""


class Meter:
    """Counts steps of one stage and reports each with the time left, extrapolated from the steps so far."""

    def __init__(self, stage: str, total: int, progress: ProgressCallback = ignore_progress) -> None:
        self._stage, self._total, self._progress = stage, total, progress
        self._done = 0
        self._start = time.monotonic()
        progress(ProgressEvent(stage, 0, total, None))

    def step(self) -> None:
        """One more step is finished."""
        self._done += 1
        each_s = (time.monotonic() - self._start) / self._done
        left = max(self._total - self._done, 0)
        self._progress(ProgressEvent(self._stage, self._done, self._total, each_s * left))


def track(
    items: Iterable[Item], stage: str, total: int, progress: ProgressCallback = ignore_progress
) -> Iterator[Item]:
    """Yield `items`, reporting before the first and after each one."""
    meter = Meter(stage, total, progress)
    for item in items:
        yield item
        meter.step()
