"""Writing without leaving halves behind: files and folders appear whole or not at all."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from MemorySurvivalLib.errors import OutputError


def explain_os_error(error: OSError, target: Path) -> OutputError:
    """Turn an operating-system error about writing `target` into one clear sentence."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return OutputError(f"No space is left to write {target}; free some disk space or choose another folder.")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return OutputError(f"There is no permission to write {target}; choose a folder that you may write to.")
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        return OutputError(f"Part of the path {target} is a file, not a folder; choose another place.")
    return OutputError(f"{target} cannot be written: {error.strerror or error}.")


@contextmanager
def atomic_file(target: Path) -> Iterator[Path]:
    """Yield a path beside `target` to write to; it becomes `target` when the block ends without an exception.

    The temporary name keeps the target's suffixes, because image writers choose the format by them.
    Raises OutputError when the disk is full or the folder may not be written.
    """
    temporary = target.with_name(f".partial-{os.getpid()}-{target.name}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(target)
    except OSError as error:
        raise explain_os_error(error, target) from error
    finally:
        with suppress(OSError):  # where nothing could be written there is nothing to clean, and unlink fails too
            temporary.unlink()


@contextmanager
def atomic_folder(target: Path, *, overwrite: bool = False, ours: str | None = None) -> Iterator[Path]:
    """Yield an empty folder beside `target`; it becomes `target` when the block ends without an exception.

    A folder that already holds something is replaced only with `overwrite`, and only if it holds the file `ours`
    (where given), so that a mistyped folder of documents survives. Raises OutputError otherwise, or when the place
    cannot be written.
    """
    target = target.resolve()  # a link to a folder stays, the folder it names is replaced
    try:
        occupied = target.exists() and (not target.is_dir() or any(target.iterdir()))
        if occupied and not overwrite:
            raise OutputError(
                f"{target} already holds something; choose another folder or allow overwriting with --overwrite."
            )
        if occupied and ours is not None and not (target / ours).is_file():
            raise OutputError(
                f"{target} holds something other than an earlier result (no {ours} in it), so nothing there was "
                "touched; choose another folder."
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.partial-", dir=target.parent))
    except OSError as error:
        raise explain_os_error(error, target) from error
    try:
        yield temporary
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o777 & ~mask)
        if target.exists():
            retired = temporary.with_name(temporary.name + "-old")
            target.rename(retired)
            temporary.rename(target)
            shutil.rmtree(retired) if retired.is_dir() else retired.unlink()
        else:
            temporary.rename(target)
    except OSError as error:
        raise explain_os_error(error, target) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
