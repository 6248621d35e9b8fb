"""The private folder for files on their way between Slicer and the worker: mode 0700, opaque names, swept."""

import os
import shutil
import tempfile
from pathlib import Path

_PREFIX = "memory-survival-"
_LOCK = "lock"


class ScratchFolder:
    """A folder of this Slicer alone, made when first needed.

    It is locked while it lives; folders that a crashed Slicer left behind carry no lock and are swept at the next
    start.
    """

    def __init__(self, parent: Path) -> None:
        self._parent = parent
        self._root: Path | None = None
        self._lock: int | None = None
        self._sweep()

    @property
    def exists(self) -> bool:
        """Whether anything is on disk now."""
        return self._root is not None and self._root.is_dir()

    def new_folder(self) -> Path:
        """An empty folder under an opaque name."""
        if self._root is None:
            self._parent.mkdir(parents=True, exist_ok=True)
            self._root = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=self._parent))  # mkdtemp makes it 0700
            self._lock = _hold(self._root / _LOCK)
        return Path(tempfile.mkdtemp(prefix="", dir=self._root))

    def clear(self) -> None:
        """Remove everything."""
        if self._root is None:
            return
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
        shutil.rmtree(self._root, ignore_errors=True)
        self._root = None

    def _sweep(self) -> None:
        for folder in self._parent.glob(f"{_PREFIX}*"):
            if not folder.is_dir() or not (folder / _LOCK).is_file():
                continue
            held = _hold(folder / _LOCK)
            if held is not None:
                os.close(held)
                shutil.rmtree(folder, ignore_errors=True)


def _hold(path: Path) -> int | None:
    """Open and lock a file; None where another process (or another folder object) holds it or may not be asked."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError:
        return None
    try:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        return None
    return handle
