"""What a score cannot depend on: slices that a readout does not see, slices without region, later slices."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from made_up import SMALL, make_patient

from MemorySurvivalLib.imaging.volume import Volume
from MemorySurvivalLib.imaging.window import Window
from MemorySurvivalLib.memory.backbone import build_backbone
from MemorySurvivalLib.memory.engine import MemoryEngine
from MemorySurvivalLib.memory.propagation import Mode, Pass, PropagationConfig, propagate
from MemorySurvivalLib.memory.readout import read_out
from MemorySurvivalLib.roi.boxes import prompt_boxes


@pytest.fixture(scope="module")
def engine() -> MemoryEngine:
    return MemoryEngine(build_backbone(SMALL, seed=4), torch.device("cpu"))


@pytest.fixture(scope="module")
def image() -> Volume:
    return make_patient(Path()).ct


def run(engine: MemoryEngine, image: Volume, mode: Mode = "boxed") -> Pass:
    spine = make_patient(Path()).spine
    boxes = prompt_boxes(spine.with_voxels(spine.voxels > 0), 2)
    return propagate(engine, image, "CT", Window(-200, 1000), boxes, PropagationConfig("last", mode=mode))


def wiped(image: Volume, slices: list[int]) -> Volume:
    """Noise instead of tissue on some slices."""
    voxels = image.voxels.copy()
    voxels[slices] = np.random.default_rng(8).integers(-150, 900, voxels[slices].shape)
    return image.with_voxels(voxels)


def test_last_in_boxed_mode_sees_the_last_slice_alone(engine: MemoryEngine, image: Volume) -> None:
    plain = run(engine, image)
    last = plain.boxes[-1].z
    others = [z for z in range(image.shape[0]) if z != last]
    assert torch.equal(run(engine, wiped(image, others)).readout.state(), plain.readout.state())
    assert not torch.equal(run(engine, wiped(image, [last])).readout.state(), plain.readout.state())


@pytest.mark.parametrize(("readout", "seen"), [("bank:2", 2), ("mean", 7), ("max", 7), ("stations:4", 7)])
def test_each_other_readout_sees_just_what_it_says(
    engine: MemoryEngine, image: Volume, readout: str, seen: int
) -> None:
    plain = run(engine, image)
    state = read_out(readout, plain.memories).state()
    changed = []
    for position, box in enumerate(plain.boxes):
        memories = run(engine, wiped(image, [box.z])).memories
        if not torch.equal(read_out(readout, memories).state(), state):
            changed.append(position)
    assert len(plain.boxes) == 7
    assert changed == list(range(7 - seen, 7))


@pytest.mark.parametrize("mode", ["boxed", "streamed", "tracked"])
def test_slices_that_are_not_used_change_nothing(engine: MemoryEngine, image: Volume, mode: Mode) -> None:
    plain = run(engine, image, mode)
    used = {box.z for box in plain.boxes}
    other = run(engine, wiped(image, [z for z in range(image.shape[0]) if z not in used]), mode)
    assert torch.equal(other.memories, plain.memories)


@pytest.mark.parametrize("mode", ["streamed", "tracked"])
def test_no_slice_depends_on_later_ones(engine: MemoryEngine, image: Volume, mode: Mode) -> None:
    plain = run(engine, image, mode)
    other = run(engine, wiped(image, [box.z for box in plain.boxes[4:]]), mode)
    assert torch.equal(other.memories[:4], plain.memories[:4])
    assert all(not torch.equal(one, two) for one, two in zip(other.memories[4:], plain.memories[4:], strict=True))
