"""Arithmetic in bfloat16, batches that fit the memory, halving where they do not, and reading ahead."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import torch

from MemorySurvivalLib.memory.acceleration import Acceleration, fitting
from MemorySurvivalLib.memory.backbone import BackboneSpec, build_backbone
from MemorySurvivalLib.memory.engine import MemoryEngine
from MemorySurvivalLib.memory.prefetch import read_ahead
from MemorySurvivalLib.memory.prompts import MaskPrompt, box_prompt, split_prompt

CPU = torch.device("cpu")
SPEC = BackboneSpec("sam2.1-compact", 64)
BOXES = torch.tensor([[8.0, 8.0, 40.0, 40.0], [4.0, 10.0, 50.0, 44.0], [20.0, 20.0, 30.0, 60.0]])


@pytest.fixture(scope="module")
def pictures() -> torch.Tensor:
    return torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(4))


def engine(acceleration: Acceleration | None = None) -> MemoryEngine:
    return MemoryEngine(build_backbone(SPEC, seed=2), CPU, acceleration)


def test_a_cpu_computes_as_it_always_did() -> None:
    plain = engine()
    assert plain.acceleration == Acceleration()
    assert plain.batch_size(1) == 1
    assert plain.batch_size(4) == 4
    assert plain.describe() == "cpu"


def test_bfloat16_stays_near_float32(pictures: torch.Tensor) -> None:
    exact, fast = engine(), engine(Acceleration(bfloat16=True))
    for a, b in zip(exact.encode(pictures).maps, fast.encode(pictures).maps, strict=True):
        assert 0 < ((a - b.float()).norm() / a.norm()).item() < 0.03
    memories = fast.memories(pictures, BOXES)
    assert memories.dtype == torch.bfloat16
    assert memories.isfinite().all()
    assert fast.describe() == "cpu, bfloat16"


@pytest.mark.parametrize(("gigabytes", "together"), [(0.1, 1), (2, 2), (3, 4), (8, 8), (140, 32)])
def test_batches_fit_the_free_memory(gigabytes: float, together: int) -> None:
    assert fitting(int(gigabytes * 1e9), 512) == together


class Small:
    """An encoder with room for so many slices only."""

    def __init__(self, real: MemoryEngine, room: int) -> None:
        self._encode, self.room, self.tried = real._encode, room, []

    def __call__(self, pictures: torch.Tensor) -> object:
        self.tried.append(len(pictures))
        if len(pictures) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return self._encode(pictures)


def test_what_has_no_room_is_done_in_halves(pictures: torch.Tensor) -> None:
    whole, small = engine(), engine(Acceleration(together=8))
    small._encode = Small(small, 1)  # type: ignore[assignment]
    got = small.memories(pictures, BOXES)
    one_by_one = torch.cat([whole.memories(pictures[n : n + 1], BOXES[n : n + 1]) for n in range(3)])
    assert torch.equal(got, one_by_one)
    assert small._encode.tried == [3, 1, 2, 1, 1]
    assert small.batch_size(1) == 1  # remembered for the rest of the case
    assert small.encoded_slices == 3
    small._encode.tried.clear()
    maps = [one.maps[0] for one in small.encode_each(pictures)]
    assert len(maps) == 3
    assert torch.equal(maps[2], whole.encode(pictures[2:]).maps[0])


def test_one_slice_without_room_is_an_error(pictures: torch.Tensor) -> None:
    none = engine()
    none._encode = Small(none, 0)  # type: ignore[assignment]
    with pytest.raises(torch.OutOfMemoryError):
        none.memories(pictures, BOXES)
    with pytest.raises(torch.OutOfMemoryError):
        list(none.encode_each(pictures))


def test_other_errors_are_not_taken_for_a_lack_of_memory(pictures: torch.Tensor) -> None:
    broken = engine()
    tried: list[int] = []

    def fail(given: torch.Tensor) -> object:
        tried.append(len(given))
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    broken._encode = fail
    with pytest.raises(RuntimeError, match="illegal"):
        broken.memories(pictures, BOXES)
    assert tried == [3]


def test_compiling_is_asked_for_by_its_mode(monkeypatch: pytest.MonkeyPatch, pictures: torch.Tensor) -> None:
    modes: list[str] = []

    def compiled(function: object, mode: str) -> object:
        modes.append(mode)
        return function

    monkeypatch.setattr(torch, "compile", compiled)
    fast = engine(Acceleration(compiled="reduce-overhead"))
    assert modes == ["reduce-overhead"]
    assert torch.equal(fast.memories(pictures, BOXES), engine().memories(pictures, BOXES))


def test_prompts_are_split_by_slice() -> None:
    part = split_prompt(box_prompt(BOXES), slice(1, 3))
    assert torch.equal(part.points, BOXES[1:].reshape(2, 2, 2))  # type: ignore[union-attr]
    masks = torch.rand(3, 1, 8, 8)
    assert torch.equal(split_prompt(MaskPrompt(masks), slice(0, 1)).masks, masks[:1])  # type: ignore[union-attr]


def test_the_next_is_read_while_the_last_is_used() -> None:
    reading = {number: threading.Event() for number in range(3)}

    def read(number: int) -> int:
        reading[number].set()
        return number * 10

    got: Iterator[int] = read_ahead(range(3), read)
    assert next(got) == 0
    assert reading[1].wait(5)
    assert list(got) == [10, 20]
    assert list(read_ahead([], read)) == []


def test_an_error_of_reading_comes_in_its_place() -> None:
    def read(number: int) -> int:
        if number == 1:
            raise OSError("the disk is gone")
        return number

    got = read_ahead(range(3), read)
    assert next(got) == 0
    with pytest.raises(OSError, match="disk is gone"):
        next(got)
