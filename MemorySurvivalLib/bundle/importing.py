"""Taking a bundle file into the user's own bundle folder, after everything in it was verified."""

from __future__ import annotations

import hashlib
from pathlib import Path

from MemorySurvivalLib.bundle.bundle import load_bundle
from MemorySurvivalLib.bundle.registry import SUFFIX, bundle_folders
from MemorySurvivalLib.errors import BundleError
from MemorySurvivalLib.files import atomic_file


def import_bundle(source: Path) -> Path:
    """Verify a bundle (every hash, and that its heads fit) and copy it under its file name; the path of the copy.

    A bundle that is there already is left as it is. Raises BundleError for a file that is no sound bundle and where the
    name belongs to another bundle: nothing is ever replaced, because earlier results name it. Raises OutputError where
    the folder cannot be written.
    """
    if source.suffix != SUFFIX:
        raise BundleError(f"{source} is not a model bundle: its name does not end in {SUFFIX}; choose a bundle file.")
    bundle = load_bundle(source)
    for folder, shipped in bundle_folders():
        taken = folder / source.name
        if not taken.is_file():
            continue
        if _sha256(taken) == bundle.archive.sha256:
            return taken
        whose = "that ships with MemorySurvival" if shipped else f"in {folder}"
        raise BundleError(
            f"Another model bundle {whose} is called {source.stem} already; rename the file, such as to "
            f"{source.stem}-{bundle.manifest.version}{SUFFIX}, and import it again."
        )
    target = _own_folder() / source.name
    with atomic_file(target) as temporary:
        temporary.write_bytes(source.read_bytes())
        if _sha256(temporary) != bundle.archive.sha256:
            raise BundleError(f"{source} changed while it was being copied; import it again when it is complete.")
    return target


def _own_folder() -> Path:
    return next(folder for folder, shipped in bundle_folders() if not shipped)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
