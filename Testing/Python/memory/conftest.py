"""The cache's own tests run with its usual limit, in a folder of their own."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def usual_cache_limit(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Elsewhere tests run without the cache."""
    if request.path.name.startswith("test_cache"):
        monkeypatch.delenv("MEMORYSURVIVAL_CACHE_GB", raising=False)
        monkeypatch.setenv("MEMORYSURVIVAL_CACHE", str(tmp_path / "usual cache"))
