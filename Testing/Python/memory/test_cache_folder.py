"""The cache's folder: private, limited, the least recently used go first, several processes at once, trouble."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from MemorySurvivalLib.errors import InputError, OutputError
from MemorySurvivalLib.memory.cache_folder import (
    DEFAULT_LIMIT_GB,
    GB,
    RESERVE_BYTES,
    CacheFolder,
    Usage,
    default_cache_folder,
    default_limit_bytes,
)

ROOT = Path(__file__).resolve().parents[3]
LARGE = 10**9


def key(number: int) -> str:
    return f"{number:064x}"


def used_days_ago(folder: CacheFolder, number: int, days: float) -> None:
    when = time.time() - days * 86_400
    os.utime(folder._file(key(number)), (when, when))


def kept(folder: CacheFolder) -> set[int]:
    return {int(entry.path.stem, 16) for entry in folder.entries()}


def test_what_is_written_is_read(tmp_path: Path) -> None:
    folder = CacheFolder(tmp_path, LARGE)
    assert folder.read(key(1)) is None
    folder.write(key(1), b"one")
    assert CacheFolder(tmp_path, LARGE).read(key(1)) == b"one"
    assert folder.usage() == Usage(1, 3)
    folder.drop(key(1))
    folder.drop(key(1))
    assert folder.read(key(1)) is None


@pytest.mark.skipif(os.name != "posix", reason="POSIX permissions")
def test_only_the_user_may_read_it(tmp_path: Path) -> None:
    (tmp_path / "memories").mkdir(mode=0o755)
    CacheFolder(tmp_path, LARGE).write(key(1), b"one")
    assert (tmp_path / "memories").stat().st_mode & 0o777 == 0o700
    CacheFolder(tmp_path / "new" / "place", LARGE).write(key(1), b"one")
    assert (tmp_path / "new" / "place" / "memories").stat().st_mode & 0o777 == 0o700


@pytest.mark.skipif(os.name != "posix", reason="POSIX owners")
def test_a_folder_of_another_user_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 4321)
    with pytest.raises(OutputError, match="belongs to another user"):
        CacheFolder(tmp_path, LARGE).write(key(1), b"one")
    assert not kept(CacheFolder(tmp_path, LARGE))


def test_the_least_recently_used_go_first(tmp_path: Path) -> None:
    folder = CacheFolder(tmp_path, LARGE)
    for number in range(10):
        folder.write(key(number), bytes(100))
        used_days_ago(folder, number, 20 - number)
    folder.read(key(0))  # the oldest is used again
    assert folder.shrink(1000) == Usage(0, 0), "at the limit nothing goes"
    assert folder.shrink(500) == Usage(6, 600), "down to nine tenths of the limit"
    assert kept(folder) == {0, 7, 8, 9}


def test_writing_keeps_the_limit(tmp_path: Path) -> None:
    folder = CacheFolder(tmp_path, 16_000)
    for number in range(60):
        folder.write(key(number), bytes(1000))
        used_days_ago(folder, number, 100 - number)
        assert folder.usage().size_bytes <= 16_000 + 1000 + 1000, "the limit, what is written between two listings"
    assert max(kept(folder)) == 59
    assert min(kept(folder)) >= 40


def test_a_new_process_brings_a_full_cache_down_at_once(tmp_path: Path) -> None:
    folder = CacheFolder(tmp_path, LARGE)
    for number in range(10):
        folder.write(key(number), bytes(1000))
        used_days_ago(folder, number, 10 - number)
    CacheFolder(tmp_path, 5000).write(key(10), bytes(1000))
    assert kept(folder) == {7, 8, 9, 10}


def test_a_full_disk_gets_its_space_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cache never takes the last of a disk from the results that are written there."""
    folder = CacheFolder(tmp_path, LARGE)
    for number in range(10):
        folder.write(key(number), bytes(1000))
        used_days_ago(folder, number, 10 - number)
    missing = 5500
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=RESERVE_BYTES - missing))
    CacheFolder(tmp_path, LARGE).write(key(10), bytes(1000))
    assert kept(folder) == {7, 8, 9, 10}
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=0))
    CacheFolder(tmp_path, LARGE).write(key(11), bytes(1000))
    assert kept(folder) <= {11}


def test_a_disk_that_does_not_say_how_full_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Path) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(shutil, "disk_usage", fail)
    folder = CacheFolder(tmp_path, 5000)
    for number in range(3):
        folder.write(key(number), bytes(1000))
    assert kept(folder) == {0, 1, 2}


def test_clear_by_age_and_whole(tmp_path: Path) -> None:
    folder = CacheFolder(tmp_path, LARGE)
    for number in range(4):
        folder.write(key(number), bytes(10))
        used_days_ago(folder, number, 10 * number)
    assert folder.clear(older_than_s=15 * 86_400) == Usage(2, 20)
    assert kept(folder) == {0, 1}
    used_days_ago(folder, 0, -2)  # a clock that ran ahead
    assert folder.clear() == Usage(2, 20)
    assert folder.usage() == Usage(0, 0)


def test_nothing_else_is_touched(tmp_path: Path) -> None:
    """A mistyped folder of documents survives; half-written files go only when their process cannot live any more."""
    folder = CacheFolder(tmp_path, LARGE)
    folder.write(key(1), b"one")
    shard = folder.path / "00"
    others = [tmp_path / "thesis.docx", folder.path / "thesis.docx", shard / "thesis.safetensors", shard / "a.txt"]
    for path in others:
        path.write_text("mine")
    dead, alive = (shard / f".partial-{pid}-{key(2)}.safetensors" for pid in (1, 2))
    for path in (dead, alive):
        path.write_bytes(b"half")
    os.utime(dead, (0, 0))
    folder.clear()
    folder.shrink(0)
    assert not kept(folder)
    assert all(path.read_text() == "mine" for path in others)
    assert (dead.exists(), alive.exists()) == (False, True)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    folder = CacheFolder(tmp_path, LARGE)

    def fail(path: Path, content: bytes) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(OutputError, match="No space is left"):
        folder.write(key(1), b"one")
    monkeypatch.undo()
    assert list(folder.path.rglob("*.safetensors")) == [], "nothing half-written stays"
    folder.write(key(1), b"one")
    assert folder.read(key(1)) == b"one"


def test_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "memories").write_text("a file")
    folder = CacheFolder(tmp_path, LARGE)
    assert folder.read(key(1)) is None
    assert folder.usage() == folder.clear() == folder.shrink(0) == Usage(0, 0)
    with pytest.raises(OutputError, match="is a file, not a folder"):
        folder.write(key(1), b"one")


def test_an_unreadable_file_is_an_error_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = CacheFolder(tmp_path, LARGE)

    def fail(path: Path) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(Path, "read_bytes", fail)
    with pytest.raises(OutputError, match="cannot be"):
        folder.read(key(1))


def test_an_equal_file_that_cannot_be_replaced_is_as_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On Windows a file that another process reads cannot be replaced."""
    folder = CacheFolder(tmp_path, LARGE)
    folder.write(key(1), b"one")

    def fail(path: Path, target: Path) -> Path:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "replace", fail)
    folder.write(key(1), b"one")
    with pytest.raises(OutputError, match="no permission"):
        folder.write(key(2), b"two")


WRITER = """
import sys, time
from pathlib import Path
from MemorySurvivalLib.memory.cache_folder import CacheFolder
root, seed = Path(sys.argv[1]), int(sys.argv[2])
folder = CacheFolder(root, 40_000)
(root / f"ready{seed}").touch()
while not all((root / f"ready{other}").exists() for other in (0, 1)):
    time.sleep(0.01)
for step in range(2000):
    number = (step * (seed * 2 + 1)) % 64
    name = f"{number:064x}"
    content = bytes([number]) * 1000
    found = folder.read(name)
    assert found is None or found == content, (number, found[:4], len(found))
    if found is None or step % 3 == seed:
        folder.write(name, content)
    if step % 50 == 49:
        folder.clear()
print("done")
"""


def test_several_processes_at_once(tmp_path: Path) -> None:
    """Two processes read, write, evict and clear the same files; each sees a whole file or none, and none fails."""
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    writers = [
        subprocess.Popen([*command, str(seed)], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        for seed in (0, 1)
    ]
    printed = [writer.communicate(timeout=60)[0].decode() for writer in writers]
    assert printed == ["done\n", "done\n"]
    assert not list(tmp_path.rglob(".partial*"))


def test_where_it_lies_and_how_large_it_may_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMORYSURVIVAL_CACHE", str(tmp_path / "Größe"))
    monkeypatch.setenv("MEMORYSURVIVAL_CACHE_GB", "0.5")
    assert default_cache_folder() == tmp_path / "Größe"
    assert CacheFolder().path == tmp_path / "Größe" / "memories"
    assert CacheFolder().limit_bytes == GB // 2
    monkeypatch.setenv("MEMORYSURVIVAL_CACHE", " ")
    monkeypatch.setenv("MEMORYSURVIVAL_CACHE_GB", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache_folder().name == "MemorySurvival"
    assert default_limit_bytes() == DEFAULT_LIMIT_GB * GB == 5 * GB


@pytest.mark.parametrize("text", ["five", "-1", "nan", "inf"])
def test_what_is_no_size(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("MEMORYSURVIVAL_CACHE_GB", text)
    with pytest.raises(InputError, match=rf"MEMORYSURVIVAL_CACHE_GB={text}"):
        default_limit_bytes()


def test_a_key_is_never_a_path(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="64 hexadecimal digits"):
        CacheFolder(tmp_path, LARGE).read("../../secret")
