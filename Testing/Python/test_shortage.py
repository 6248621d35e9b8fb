"""What libraries say when memory or disk space runs out is one sentence; what they say otherwise is not touched."""

from __future__ import annotations

import errno

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from MemorySurvivalLib.errors import InputError, OutputError
from MemorySurvivalLib.shortage import OutOfMemory, explain_shortage


def raised(work: object) -> BaseException:
    """What a call raises."""
    assert callable(work)
    with pytest.raises((MemoryError, RuntimeError)) as caught:
        work()
    return caught.value


@pytest.mark.parametrize(
    "work",
    [
        lambda: np.ones(1 << 50),
        lambda: torch.empty(1 << 50, dtype=torch.uint8),
        lambda: sitk.Image([1 << 16] * 3, sitk.sitkFloat64),
        lambda: bytearray(1 << 60),
    ],
    ids=["numpy", "torch", "SimpleITK", "Python"],
)
def test_memory(work: object) -> None:
    assert isinstance(explain_shortage(raised(work)), OutOfMemory)


def test_the_cause_behind_another_error_counts() -> None:
    try:
        try:
            raise OSError(errno.ENOSPC, "No space left on device", "/data/result.json")
        except OSError as error:
            raise ValueError("cannot save") from error
    except ValueError as error:
        explained = explain_shortage(error)
    assert isinstance(explained, OutputError)
    assert str(explained) == (
        "No space is left to write /data/result.json; free some disk space or choose another folder."
    )


def test_other_errors_are_not_touched() -> None:
    for error in (ValueError("out of memory lane"), KeyError("x"), OSError(errno.ENOENT, "none"), InputError("no CT")):
        assert explain_shortage(error) is None
    circle = RuntimeError("a")
    circle.__cause__ = circle
    assert explain_shortage(circle) is None
