"""Where the files that ship with the project are found, in a source tree, inside Slicer, or in a wheel."""

from __future__ import annotations

import os
from pathlib import Path

from MemorySurvivalLib.errors import MemorySurvivalError

_LIBRARY = Path(__file__).resolve().parent


def resource_root() -> Path:
    """The Resources folder of this installation.

    Source tree and Slicer's scripted-modules folder both keep it beside the library; a wheel carries it inside.
    """
    for folder in (_LIBRARY / "_resources", _LIBRARY.parent / "Resources"):
        if (folder / "Bundles").is_dir():
            return folder
    raise MemorySurvivalError(
        f"The Resources folder is missing beside {_LIBRARY}; reinstall MemorySurvival so that it is complete."
    )


def locate_resource(name: str) -> Path:
    """Path of a shipped file, such as "Bundles/demonstration.msbundle". Raises when it is missing."""
    path = resource_root() / name
    if not path.exists():
        raise MemorySurvivalError(f"{path} is missing; reinstall MemorySurvival so that it is complete.")
    return path


def data_folder() -> Path:
    """Where the user's own weights and bundles live: $MEMORYSURVIVAL_DATA, else the platform's data folder."""
    import platformdirs  # Slicer's own Python opens the panel without it

    chosen = os.environ.get("MEMORYSURVIVAL_DATA", "").strip()
    return Path(chosen).expanduser() if chosen else platformdirs.user_data_path("MemorySurvival", appauthor=False)
