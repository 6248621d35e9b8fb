"""Where the real images and tables lie that some figures need; the repository holds none of them."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class MissingDataError(Exception):
    """Real data that a figure cannot do without is not there; the message is for the person who asked."""


def data_folder() -> Path:
    """Where real data is looked for, there or not."""
    return Path(os.environ.get("MEMORYSURVIVAL_TEST_DATA", ROOT.parent / "shared" / "data"))


def need(*parts: str) -> Path:
    """A file or folder of the real data. Raises MissingDataError where it is not there."""
    path = data_folder().joinpath(*parts)
    if not path.exists():
        raise MissingDataError(
            f"This figure needs real data, and {path} is not there; let MEMORYSURVIVAL_TEST_DATA name the folder that "
            f"holds {parts[0]}."
        )
    return path
