"""Slices of a mapped file: the same values, and nothing of the file stays in the process's memory."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from MemorySurvivalLib.imaging.volume import Affine, Volume
from MemorySurvivalLib.memory.mapped import take_slices

SHAPE = (6, 64, 128)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    np.arange(np.prod(SHAPE), dtype=np.int32).tofile(tmp_path / "voxels.raw")
    return tmp_path / "voxels.raw"


@pytest.mark.parametrize("mode", ["r", "r+", "c"])
def test_values_are_those_of_the_file(file: Path, mode: str) -> None:
    plain = np.fromfile(file, dtype=np.int32).reshape(SHAPE)
    mapped = np.memmap(file, dtype=np.int32, mode=mode, shape=SHAPE)  # type: ignore[call-overload]
    volume = Volume(mapped, Affine(np.eye(4)))
    for _ in range(2):
        assert np.array_equal(take_slices(volume.voxels, [4, 1]), plain[[4, 1]])
        assert np.array_equal(take_slices(volume.voxels[:, ::-1, ::2], [5]), plain[[5], ::-1, ::2])
    assert np.array_equal(take_slices(plain, [0]), plain[:1])


@pytest.mark.parametrize("mode", ["r+", "c"])
def test_changes_are_not_lost(file: Path, mode: str) -> None:
    mapped = np.memmap(file, dtype=np.int32, mode=mode, shape=SHAPE)  # type: ignore[call-overload]
    mapped[3] = -1
    take_slices(mapped, [0])
    assert (mapped[3] == -1).all()


def test_what_is_taken_is_a_copy(file: Path) -> None:
    mapped = np.memmap(file, dtype=np.int32, mode="r+", shape=SHAPE)
    taken = take_slices(mapped, [3])
    taken[:] = 0
    assert mapped[3].all()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_pages_are_handed_back(tmp_path: Path) -> None:
    shape, file = (64, 256, 256), tmp_path / "large.raw"  # 16.8 MB
    np.ones(shape, dtype=np.int32).tofile(file)
    mapped = np.memmap(file, dtype=np.int32, mode="r", shape=shape)

    def resident() -> int:
        lines = Path("/proc/self/smaps").read_text().splitlines()
        start = next(number for number, line in enumerate(lines) if line.endswith(str(file)))
        return next(int(line.split()[1]) for line in lines[start:] if line.startswith("Rss:"))

    assert mapped.sum() == mapped.size
    assert resident() > 10_000
    take_slices(mapped, [1])
    assert resident() < 1_000
