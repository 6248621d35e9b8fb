"""Reading what comes next while the model is busy with what came before."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Read = TypeVar("Read")


def read_ahead(items: Iterable[Item], read: Callable[[Item], Read]) -> Iterator[Read]:
    """`read` of each item in their order; one more than was asked for is read meanwhile, in a thread of its own.

    An error of `read` is raised where its result would have come.
    """
    with ThreadPoolExecutor(1, "read-ahead") as thread:
        waiting = None
        for item in items:
            coming = thread.submit(read, item)
            if waiting is not None:
                yield waiting.result()
            waiting = coming
        if waiting is not None:
            yield waiting.result()
