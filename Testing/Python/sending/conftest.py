"""Servers end with their tests, and sockets that pynetdicom left open are let go before those of another room."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Iterator

import node_servers
import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A socket may be let go in any later test of this folder; that it was open is not that test's fault."""
    for item in items:
        if "/sending/" in item.path.as_posix():
            item.add_marker(pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"))


@pytest.fixture(scope="module", autouse=True)
def _let_go() -> Iterator[None]:
    yield
    node_servers.stop_servers()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
