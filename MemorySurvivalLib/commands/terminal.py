"""How commands show progress on a terminal."""

from __future__ import annotations

from types import TracebackType
from typing import Any

from tqdm import tqdm

from MemorySurvivalLib.interrupts import stop_if_asked
from MemorySurvivalLib.progress import ProgressEvent


class ProgressBars:
    """One bar with time left for each stage, on stderr; use as a context manager and pass as a callback."""

    def __init__(self) -> None:
        self._bar: tqdm[Any] | None = None
        self._stage = ""

    def __enter__(self) -> ProgressBars:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def __call__(self, event: ProgressEvent) -> None:
        """Draw where the work stands; a wish to stop that got lost is heard here."""
        stop_if_asked()
        bar = self._bar
        if bar is None or event.stage != self._stage:
            self._close()
            self._stage = event.stage
            self._bar = bar = tqdm(
                total=event.total,
                desc=event.stage,
                bar_format="{desc:<14} {percentage:3.0f}% |{bar:30}| {n_fmt}/{total_fmt}  {remaining} left",
            )
        bar.update(event.done - bar.n)

    def say(self, text: str) -> None:
        """Print a line to stderr without breaking the bar."""
        tqdm.write(text, file=None if self._bar is None else self._bar.fp)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
