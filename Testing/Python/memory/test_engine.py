"""The engine against the official sam2 video predictor, and what a slice's memory depends on."""

from __future__ import annotations

import pytest
import torch

from MemorySurvivalLib.memory.backbone import COMPACT, MEDSAM2, BackboneSpec, build_backbone
from MemorySurvivalLib.memory.engine import MemoryEngine
from Testing.Benchmarks.official import build_official, official_memories

CPU = torch.device("cpu")


def slices(spec: BackboneSpec, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Smooth random pictures with a bright blob in a moving box."""
    size = spec.image_size
    generator = torch.Generator().manual_seed(5)
    coarse = torch.rand(count, 3, 12, 12, generator=generator)
    pictures = torch.nn.functional.interpolate(coarse, (size, size), mode="bilinear") * 2 - 1
    boxes = []
    for index in range(count):
        x0, y0 = size * (0.3 + 0.02 * index), size * 0.5
        x1, y1 = x0 + size * 0.25, y0 + size * 0.2
        pictures[index, :, int(y0) : int(y1), int(x0) : int(x1)] += 1.5
        boxes.append([x0, y0, x1, y1])
    return pictures, torch.tensor(boxes)


@pytest.mark.parametrize(
    ("spec", "count"), [(BackboneSpec("sam2.1-compact", 64), 6), (COMPACT, 3), (MEDSAM2, 2)], ids=["64", "256", "hiera"]
)
def test_batch_of_one_is_bit_identical_to_the_official_predictor(spec: BackboneSpec, count: int) -> None:
    model = build_backbone(spec, seed=1)
    pictures, boxes = slices(spec, count)
    expected = official_memories(build_official(spec, model.state_dict()), pictures, boxes)
    engine = MemoryEngine(model, CPU)
    ours = torch.cat([engine.memories(pictures[i : i + 1], boxes[i : i + 1]) for i in range(count)])
    assert ours.dtype == expected.dtype == torch.bfloat16
    assert ours.shape == (count, 64, spec.memory_grid, spec.memory_grid)
    assert torch.equal(ours, expected)
    assert engine.encoded_slices == count, "each slice is encoded once; the official path encodes twice"


def test_larger_batches_agree_within_the_stated_tolerance() -> None:
    model = build_backbone(COMPACT, seed=1)
    pictures, boxes = slices(COMPACT, 4)
    engine = MemoryEngine(model, CPU)
    single = torch.cat([engine.memories(pictures[i : i + 1], boxes[i : i + 1]) for i in range(4)]).float()
    batched = engine.memories(pictures, boxes).float()
    assert (single - batched).norm() / single.norm() <= 1e-2


def test_a_memory_depends_on_picture_and_box() -> None:
    spec = BackboneSpec("sam2.1-compact", 64)
    engine = MemoryEngine(build_backbone(spec, seed=1), CPU)
    pictures, boxes = slices(spec, 1)
    memory = engine.memories(pictures, boxes)
    darker = pictures.clone()
    darker[:, :, 40:50, 20:30] -= 1
    assert not torch.equal(memory, engine.memories(darker, boxes))
    assert not torch.equal(memory, engine.memories(pictures, boxes + torch.tensor([-8.0, -8.0, 8.0, 8.0])))


def test_building_leaves_the_global_random_state_alone() -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    build_backbone(BackboneSpec("sam2.1-compact", 64), seed=9)
    assert torch.equal(torch.rand(3), expected)


def test_sizes_are_those_the_documentation_states() -> None:
    compact = build_backbone(COMPACT)
    assert 3.4e6 <= sum(p.numel() for p in compact.parameters()) <= 4.1e6
    medsam2 = build_backbone(MEDSAM2)
    assert sum(p.numel() for p in medsam2.parameters()) == pytest.approx(38.96e6, rel=1e-3)
    assert len(medsam2.state_dict()) == 471
