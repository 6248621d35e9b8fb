"""The cache's folder: private files named by keys, kept below a size limit, the least recently used go first."""

from __future__ import annotations

import math
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from MemorySurvivalLib.errors import InputError, OutputError
from MemorySurvivalLib.files import atomic_file, explain_os_error

FOLDER_VARIABLE = "MEMORYSURVIVAL_CACHE"
LIMIT_VARIABLE = "MEMORYSURVIVAL_CACHE_GB"
DEFAULT_LIMIT_GB = 5.0
GB = 10**9

RESERVE_BYTES = 10**9
"""Free space that the cache leaves on the disk: results matter more than what can be computed again."""

_SUFFIX = ".safetensors"
_KEY = re.compile(r"[0-9a-f]{64}")
_PARTIAL = re.compile(r"\.partial-\d+-[0-9a-f]{64}\.safetensors")
_ABANDONED_S = 600.0
"""A file takes milliseconds to write: a partial one of this age was left by a process that died."""


@dataclass(frozen=True)
class CacheEntry:
    """A file of the cache: where, how large, and when it was last used (seconds since 1970)."""

    path: Path
    size_bytes: int
    used_at: float


@dataclass(frozen=True)
class Usage:
    """How many files lie in the cache and how large they are together."""

    entries: int
    size_bytes: int


def default_cache_folder() -> Path:
    """$MEMORYSURVIVAL_CACHE, else the platform's cache folder."""
    import platformdirs  # Slicer's own Python opens the panel without it

    chosen = os.environ.get(FOLDER_VARIABLE, "").strip()
    return Path(chosen).expanduser() if chosen else platformdirs.user_cache_path("MemorySurvival", appauthor=False)


def default_limit_bytes() -> int:
    """$MEMORYSURVIVAL_CACHE_GB, else 5 GB; 0 means that nothing is cached. Raises InputError for what is no size."""
    text = os.environ.get(LIMIT_VARIABLE, "").strip()
    try:
        limit_gb = float(text) if text else DEFAULT_LIMIT_GB
    except ValueError:
        limit_gb = math.nan
    return limit_bytes_of(limit_gb, f"{LIMIT_VARIABLE}={text}")


def limit_bytes_of(limit_gb: float, source: str) -> int:
    """A limit in bytes. Raises InputError, naming `source`, for one that is negative or not a number."""
    if not (math.isfinite(limit_gb) and limit_gb >= 0):
        raise InputError(f"The size limit of the cache must be a number of gigabytes from 0 on, got {source}.")
    return round(limit_gb * GB)


class CacheFolder:
    """Files of one kind in `memories` below `root`, which only the user may read (0700 on POSIX).

    Several processes may use one folder: files appear whole, every reader expects that another process deletes or
    writes the file it wants, and folders are never removed. What the cache did not write is never touched.
    """

    def __init__(self, root: Path | None = None, limit_bytes: int | None = None) -> None:
        self.path = (root or default_cache_folder()) / "memories"
        self.limit_bytes = default_limit_bytes() if limit_bytes is None else limit_bytes
        # Listing a full cache takes longer than writing a file, so that is done once in a while.
        self._listed_every = min(self.limit_bytes // 16, 64 * 10**6)
        self._since_listed: int | None = None

    def read(self, key: str) -> bytes | None:
        """The content of `key`, which thereby counts as just used; None where there is none.

        Raises OutputError when the folder cannot be read.
        """
        path = self._file(key)
        try:
            content = path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise explain_os_error(error, path) from error
        with suppress(OSError):  # a read-only cache still serves; another process may have deleted the file by now
            os.utime(path)
        return content

    def write(self, key: str, content: bytes) -> None:
        """Keep `content` under `key` and let the least recently used files go where the limit is passed.

        The limit is lower where less than RESERVE_BYTES of the disk are free, so that a cache never fills a disk.
        Raises OutputError when the folder cannot be written or is not the user's own.
        """
        path = self._file(key)
        self._make_private()
        try:
            with atomic_file(path) as temporary:
                temporary.write_bytes(content)
        except OutputError:
            if not path.exists():  # on Windows a file that another process reads cannot be replaced by its equal
                raise
        if self._since_listed is None or self._since_listed >= self._listed_every:
            self.shrink(min(self.limit_bytes, self._room_bytes()))
            self._since_listed = 0
        self._since_listed += len(content)

    def drop(self, key: str) -> None:
        """Delete the file of `key`, if it is there."""
        _delete(self._file(key))

    def entries(self) -> Iterator[CacheEntry]:
        """All files, in no order."""
        for path, found in self._list():
            if path.suffix == _SUFFIX and _KEY.fullmatch(path.stem):
                yield CacheEntry(path, found.st_size, found.st_mtime)

    def usage(self) -> Usage:
        """How much there is."""
        sizes = [entry.size_bytes for entry in self.entries()]
        return Usage(len(sizes), sum(sizes))

    def shrink(self, limit_bytes: int) -> Usage:
        """Where more than `limit_bytes` are kept, delete the least recently used files until nine tenths are left.

        Returns what was deleted.
        """
        self._sweep()
        entries = sorted(self.entries(), key=lambda entry: entry.used_at)
        total = sum(entry.size_bytes for entry in entries)
        if total <= limit_bytes:
            return Usage(0, 0)
        deleted = []
        for entry in entries:
            if total <= limit_bytes * 9 // 10:
                break
            if _delete(entry.path):
                deleted.append(entry.size_bytes)
            total -= entry.size_bytes
        return Usage(len(deleted), sum(deleted))

    def clear(self, older_than_s: float = 0.0) -> Usage:
        """Delete every file that was not used for `older_than_s` seconds. Returns what was deleted."""
        self._sweep()
        before = time.time() - older_than_s
        deleted = [
            entry.size_bytes
            for entry in self.entries()
            if (older_than_s <= 0 or entry.used_at < before) and _delete(entry.path)
        ]
        return Usage(len(deleted), sum(deleted))

    def _file(self, key: str) -> Path:
        if not _KEY.fullmatch(key):
            raise ValueError(f"a key is 64 hexadecimal digits, got {key!r}")
        return self.path / key[:2] / f"{key}{_SUFFIX}"

    def _make_private(self) -> None:
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            if os.name == "posix":
                found = self.path.stat()
                if found.st_uid != os.getuid():
                    raise OutputError(f"{self.path} belongs to another user; choose another folder for the cache.")
                if found.st_mode & 0o077:
                    self.path.chmod(0o700)
        except OSError as error:
            raise explain_os_error(error, self.path) from error

    def _room_bytes(self) -> int:
        """How large the cache may be so that the disk keeps its reserve."""
        with suppress(OSError):  # not every file system says how full it is
            return max(self.usage().size_bytes + shutil.disk_usage(self.path).free - RESERVE_BYTES, 0)
        return self.limit_bytes

    def _list(self) -> Iterator[tuple[Path, os.stat_result]]:
        """Every file in the folders of keys; those that vanish meanwhile are left out."""
        try:
            folders = [found.path for found in os.scandir(self.path) if re.fullmatch("[0-9a-f]{2}", found.name)]
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            raise explain_os_error(error, self.path) from error
        for folder in folders:
            with suppress(OSError), os.scandir(folder) as files:
                for file in files:
                    with suppress(OSError):
                        if file.is_file(follow_symlinks=False):
                            yield Path(file.path), Path(file.path).stat()

    def _sweep(self) -> None:
        """Delete what processes that died left half-written."""
        abandoned = time.time() - _ABANDONED_S
        for path, found in self._list():
            if _PARTIAL.fullmatch(path.name) and found.st_mtime < abandoned:
                _delete(path)


def _delete(path: Path) -> bool:
    """Delete a file; False where another process was faster or still has it open (Windows)."""
    try:
        path.unlink()
    except OSError:
        return False
    return True
