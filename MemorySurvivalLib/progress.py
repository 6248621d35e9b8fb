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


def track(
    items: Iterable[Item], stage: str, total: int, progress: ProgressCallback = ignore_progress
) -> Iterator[Item]:
    """Yield `items`, reporting before the first and after each one.

    The time left is extrapolated from the mean duration of the steps so far.
    """
    start = time.monotonic()
    progress(ProgressEvent(stage, 0, total, None))
    for done, item in enumerate(items, start=1):
        yield item
        elapsed_s = time.monotonic() - start
        progress(ProgressEvent(stage, done, total, elapsed_s / done * max(total - done, 0)))
