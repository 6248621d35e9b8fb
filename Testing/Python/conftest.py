"""Fixtures shared by all tests: where the real data is, and what to do where it is not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def real_data_folder() -> Path:
    """The folder of real test images, whether or not it exists."""
    return Path(os.environ.get("MEMORYSURVIVAL_TEST_DATA", ROOT.parent / "shared" / "data"))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real test images; without it the test is skipped, but in CI it fails."""
    folder = real_data_folder()
    if not folder.is_dir():
        message = f"real test data is not at {folder}; set MEMORYSURVIVAL_TEST_DATA"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return folder
