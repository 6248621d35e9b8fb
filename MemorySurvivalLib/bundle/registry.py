"""Which bundles there are: those that ship with the project and the user's own."""

from __future__ import annotations

from pathlib import Path

from MemorySurvivalLib.errors import BundleError
from MemorySurvivalLib.resources import data_folder, resource_root

SUFFIX = ".msbundle"


def bundle_folders() -> tuple[tuple[Path, bool], ...]:
    """Where bundles lie, and whether they ship with the project; the first that has a name counts."""
    return (resource_root() / "Bundles", True), (data_folder() / "bundles", False)


def list_bundles() -> dict[str, Path]:
    """Bundle files by name (file name without suffix); shipped ones first and never replaced by the user's."""
    found: dict[str, Path] = {}
    for folder, _shipped in bundle_folders():
        for path in sorted(folder.glob(f"*{SUFFIX}")):
            found.setdefault(path.stem, path)
    return found


def find_bundle(name_or_path: str) -> Path:
    """The file of a bundle given by name or by path. Raises BundleError that lists the known names."""
    path = Path(name_or_path)
    if path.suffix == SUFFIX or path.is_file():  # a folder that happens to have a bundle's name is not one
        return path
    bundles = list_bundles()
    if name_or_path not in bundles:
        known = ", ".join(bundles) or "none installed"
        raise BundleError(f"There is no model bundle named {name_or_path!r} (known: {known}); give a name or a file.")
    return bundles[name_or_path]
