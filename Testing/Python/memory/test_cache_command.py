"""`memory-survival cache`: what it prints and what it deletes."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from MemorySurvivalLib.commands import cache
from MemorySurvivalLib.errors import InputError, OutputError
from MemorySurvivalLib.memory import cache_folder
from MemorySurvivalLib.memory.cache_folder import CacheFolder

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CacheFolder:
    """Four files of 1 MB, the n-th used 10 n days ago."""
    monkeypatch.setenv("MEMORYSURVIVAL_CACHE", str(tmp_path))
    monkeypatch.delenv("MEMORYSURVIVAL_CACHE_GB", raising=False)
    made = CacheFolder()
    for number in range(4):
        key = f"{number:064x}"
        made.write(key, bytes(10**6))
        when = time.time() - 864_000 * number - 60
        os.utime(made.path / "00" / f"{key}.safetensors", (when, when))
    return made


def command(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    cache.register(parser.add_subparsers(required=True))
    options = parser.parse_args(["cache", *arguments])
    return int(options.run(options))


def test_info(folder: CacheFolder, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert command("info") == 0
    printed = capsys.readouterr().out
    assert str(folder.path) in printed
    assert "4 files, 4.0 MB" in printed and "5 GB" in printed
    command("info", "--json")
    content = json.loads(capsys.readouterr().out)
    assert content == {"folder": str(folder.path), "files": 4, "size_bytes": 4 * 10**6, "limit_bytes": 5 * 10**9}
    monkeypatch.setenv("MEMORYSURVIVAL_CACHE_GB", "0")
    command("info")
    assert "nothing is cached" in capsys.readouterr().out


def test_info_of_a_cache_that_was_never_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEMORYSURVIVAL_CACHE", str(tmp_path / "none"))
    assert command("info") == 0
    assert "0 files, 0.0 MB" in capsys.readouterr().out
    assert not (tmp_path / "none").exists(), "looking makes nothing"


@pytest.mark.parametrize(
    ("arguments", "deleted", "left"),
    [
        ((), 4, 0),
        (("--older-than", "15"), 2, 2),
        (("--older-than", "0"), 4, 0),
        (("--limit-gb", "0.003"), 2, 2),
        (("--limit-gb", "1"), 0, 4),
        (("--older-than", "25", "--limit-gb", "0.0025"), 2, 2),
    ],
)
def test_clear(
    folder: CacheFolder, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], deleted: int, left: int
) -> None:
    assert command("clear", *arguments) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"Deleted {deleted} file") and f"; {left} file" in printed
    assert folder.usage().entries == left
    assert {entry.path.stem for entry in folder.entries()} == {f"{number:064x}" for number in range(left)}


@pytest.mark.parametrize(
    "arguments", [("--older-than", "-1"), ("--older-than", "nan"), ("--limit-gb", "-1"), ("--limit-gb", "inf")]
)
def test_what_is_no_number_deletes_nothing(folder: CacheFolder, arguments: tuple[str, str]) -> None:
    with pytest.raises(InputError, match=arguments[0]):
        command("clear", *arguments)
    assert folder.usage().entries == 4


def test_files_that_stay_are_an_error(folder: CacheFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_folder, "_delete", lambda path: False)
    with pytest.raises(OutputError, match="could not be deleted"):
        command("clear")


def test_help_does_not_wait_for_torch() -> None:
    code = "import sys, MemorySurvivalLib.commands.cache; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
