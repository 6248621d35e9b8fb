"""Independent passes at the same time: a small network leaves most cores idle, and PET does not wait for CT."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Protocol, TypeVar

import torch

Given = TypeVar("Given")
Made = TypeVar("Made")


class RunEach(Protocol):
    """Like `map`: results in the order of what was given."""

    def __call__(self, call: Callable[[Given], Made], given: Iterable[Given], /) -> Iterator[Made]: ...


@contextmanager
def run_side_by_side(device: torch.device, passes: int) -> Iterator[RunEach]:
    """Something like `map` that runs up to `passes` calls at once on a processor, each on its share of torch's threads.

    Elsewhere, and where torch has one thread, it is `map`. Which call runs where decides nothing: the same number of
    torch threads gives the same numbers. The calls differ in the last digits from the same calls outside, because a
    sum that is split among fewer threads rounds differently.
    """
    threads = torch.get_num_threads()
    at_once = min(passes, threads) if device.type == "cpu" else 1
    if at_once < 2:
        yield map
        return
    try:
        with ThreadPoolExecutor(at_once, "pass", torch.set_num_threads, (threads // at_once,)) as pool:
            yield pool.map
    finally:
        # The count for threads to come, and MKL's, belong to the whole process.
        torch.set_num_threads(threads)
