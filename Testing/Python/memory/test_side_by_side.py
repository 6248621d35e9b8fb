"""Independent passes at the same time: order, shares, errors, and what is left behind."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import torch

from MemorySurvivalLib.memory.side_by_side import run_side_by_side

CPU = torch.device("cpu")


@pytest.fixture
def four_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


def test_calls_run_at_once_with_their_share_and_in_order(four_threads: None) -> None:
    both = threading.Barrier(2, timeout=20)

    def look(number: int) -> tuple[int, int]:
        both.wait()  # breaks unless the other call runs too
        return number, torch.get_num_threads()

    with run_side_by_side(CPU, 2) as run_each:
        assert list(run_each(look, (7, 3))) == [(7, 2), (3, 2)]
        assert list(run_each(look, (1, 2))) == [(1, 2), (2, 2)]
    assert torch.get_num_threads() == 4


@pytest.mark.parametrize(("device", "passes"), [("cpu", 1), ("cuda", 2), ("mps", 2)])
def test_one_pass_or_another_device_takes_turns(four_threads: None, device: str, passes: int) -> None:
    with run_side_by_side(torch.device(device), passes) as run_each:
        here = list(run_each(lambda _: (threading.current_thread(), torch.get_num_threads()), (1, 2)))
    assert here == [(threading.current_thread(), 4)] * 2


def test_one_thread_takes_turns(four_threads: None) -> None:
    torch.set_num_threads(1)
    with run_side_by_side(CPU, 2) as run_each:
        assert list(run_each(lambda _: threading.current_thread(), (1, 2))) == [threading.current_thread()] * 2


def test_an_error_in_one_pass_comes_out_and_the_count_is_put_back(four_threads: None) -> None:
    def fail(number: int) -> int:
        raise MemoryError(f"pass {number}")

    with pytest.raises(MemoryError, match="pass 1"), run_side_by_side(CPU, 2) as run_each:
        list(run_each(fail, (1, 2)))
    assert torch.get_num_threads() == 4
