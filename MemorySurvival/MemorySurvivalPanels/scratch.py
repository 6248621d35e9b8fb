"""The private folder for files on their way between Slicer and the worker: mode 0700, opaque names, swept."""

import contextlib
import errno
import os
import shutil
import socket
import tempfile
from pathlib import Path

from slicer.i18n import tr as _

from MemorySurvivalPanels.errors import UserError

_PREFIX = "memory-survival-"
_LOCK = "lock"
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL)
"""What a file system says that knows no locks."""


class ScratchFolder:
    """A folder of this Slicer alone, made when first needed.

    It is locked while it lives; folders that a crashed Slicer left behind carry no lock and are swept at the next
    start. Where a file system knows no locks, the process number in the lock file tells whether its Slicer lives.
    """

    def __init__(self, parent: Path) -> None:
        self._parent = parent
        self._root: Path | None = None
        self._lock: int | None = None
        with contextlib.suppress(OSError):  # what cannot even be listed is not ours to sweep
            self._sweep()

    @property
    def exists(self) -> bool:
        """Whether anything is on disk now."""
        return self._root is not None and self._root.is_dir()

    def new_folder(self) -> Path:
        """An empty folder under an opaque name; raises UserError where none can be made."""
        try:
            if self._root is None:
                self._parent.mkdir(parents=True, exist_ok=True)
                self._root = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=self._parent))  # mkdtemp makes it 0700
                self._lock = _take(self._root / _LOCK)
            return Path(tempfile.mkdtemp(prefix="", dir=self._root))
        except OSError as error:
            if self._lock is None:
                self.clear()
            raise UserError(
                _("No folder can be made in {folder} ({reason}); free some disk space there.").format(
                    folder=self._parent, reason=error.strerror
                )
            ) from error

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
            with contextlib.suppress(OSError):  # another user's
                if folder.is_dir() and (folder / _LOCK).is_file() and _is_left(folder / _LOCK):
                    shutil.rmtree(folder, ignore_errors=True)


def _is_left(lock: Path) -> bool:
    """Whether nobody lives any more who holds this lock file."""
    try:
        held = _hold(lock)
    except OSError as error:
        return error.errno in _NO_LOCKS and _signer_is_dead(lock)
    if held is None:
        return False
    os.close(held)
    return True


def _take(path: Path) -> int:
    """Make and lock a lock file of our own that says which process of which computer holds it."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(handle, f"{os.getpid()} {socket.gethostname()}\n".encode())
        os.lseek(handle, 0, os.SEEK_SET)
        _lock(handle)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            os.close(handle)
            raise
    return handle


def _signer_is_dead(path: Path) -> bool:
    number, _blank, host = path.read_text(encoding="utf-8").strip().partition(" ")
    if host != socket.gethostname() or not number.isdigit():
        return False
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def _hold(path: Path) -> int | None:
    """Open and lock a lock file; None where another process (or another folder object) holds it.

    Raises OSError where the file cannot be opened or the file system knows no locks.
    """
    handle = os.open(path, os.O_RDWR)
    try:
        _lock(handle)
    except (BlockingIOError, PermissionError):
        os.close(handle)
        return None
    except OSError:
        os.close(handle)
        raise
    return handle


def _lock(handle: int) -> None:
    """Lock an open file or raise OSError at once."""
    if os.name == "nt":
        import msvcrt

        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
