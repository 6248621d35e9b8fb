"""Keys of cached memories: each thing that a memory is computed from changes the key, and nothing else does."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from MemorySurvivalLib.imaging.volume import Affine, Volume
from MemorySurvivalLib.imaging.window import Window
from MemorySurvivalLib.memory import cache_keys
from MemorySurvivalLib.memory.backbone import BackboneSpec, build_backbone
from MemorySurvivalLib.memory.cache_keys import MemoryKeys, fingerprint_model
from MemorySurvivalLib.memory.engine import MemoryEngine
from MemorySurvivalLib.memory.prompts import MaskPrompt, PointPrompt, Prompt, box_prompt
from MemorySurvivalLib.memory.slices import SliceFrame

CPU = torch.device("cpu")
TINY = BackboneSpec("sam2.1-compact", 64)
SPACING_MM = (4.0, 4.0, 6.0)
AFFINE = Affine.from_parts(SPACING_MM, np.eye(3), (-95.0, -80.0, -300.0))
WINDOW = Window(0, 10)
BOX = box_prompt(torch.tensor([[10.0, 12.0, 40.0, 44.0]]))
PIXELS = np.random.default_rng(1).normal(3, 1, (1, 40, 48)).astype(np.float32)
FRAME = SliceFrame.of(Volume(np.zeros((5, 40, 48)), AFFINE), TINY.image_size)


@pytest.fixture(scope="module")
def engine() -> MemoryEngine:
    return MemoryEngine(build_backbone(TINY, seed=1), CPU)


def key(
    engine: MemoryEngine,
    *,
    affine: Affine = AFFINE,
    frame: SliceFrame = FRAME,
    window: Window = WINDOW,
    pixels: np.ndarray = PIXELS,
    prompt: Prompt = BOX,
) -> str:
    return MemoryKeys(engine, affine, frame, window).of_slices(pixels, prompt)


def test_the_same_is_the_same(engine: MemoryEngine) -> None:
    """Neither the type that holds the voxels, nor their layout, nor running the model changes a key."""
    before = key(engine)
    assert len(before) == 64
    assert key(MemoryEngine(build_backbone(TINY, seed=1), CPU)) == before
    engine.memories(torch.zeros(1, 3, 64, 64), BOX)
    assert key(engine) == before
    assert key(engine, pixels=np.asfortranarray(PIXELS)) == before
    whole = np.abs(np.round(PIXELS))
    assert key(engine, pixels=whole.astype(np.int16)) == key(engine, pixels=whole)


def one_voxel(pixels: np.ndarray) -> np.ndarray:
    changed = pixels.copy()
    changed[0, 20, 20] = np.nextafter(changed[0, 20, 20], np.float32(np.inf))
    return changed


POINTS, LABELS = BOX.points, BOX.labels

OTHERS: dict[str, Callable[[MemoryEngine], str]] = {
    "a voxel's last bit": lambda e: key(e, pixels=one_voxel(PIXELS)),
    "the shape of a slice": lambda e: key(e, pixels=PIXELS.reshape(1, 48, 40)),
    "another slice beside it": lambda e: key(e, pixels=np.concatenate([PIXELS, PIXELS])),
    "the place": lambda e: key(e, affine=AFFINE.shifted((0, 0, 1))),
    "the spacing": lambda e: key(e, affine=Affine.from_parts((4, 4, 6.001), np.eye(3), AFFINE.origin_mm)),
    "a flip": lambda e: key(e, affine=Affine.from_parts(SPACING_MM, np.diag([-1, 1, 1]), AFFINE.origin_mm)),
    "axes exchanged": lambda e: key(e, affine=Affine.from_parts(SPACING_MM, np.eye(3)[[1, 0, 2]], AFFINE.origin_mm)),
    "an oblique direction": lambda e: key(
        e,
        affine=Affine.from_parts(
            SPACING_MM, Rotation.from_euler("xyz", (3, -4, 5), degrees=True).as_matrix(), AFFINE.origin_mm
        ),
    ),
    "the frame's picture size": lambda e: key(e, frame=replace(FRAME, image_size=128)),
    "where the slice lies in the picture": lambda e: key(e, frame=replace(FRAME, top=FRAME.top + 1)),
    "the window's low end": lambda e: key(e, window=Window(0.1, 10)),
    "the window's high end": lambda e: key(e, window=Window(0, 10.1)),
    "the box": lambda e: key(e, prompt=box_prompt(torch.tensor([[10.0, 12.0, 40.0, 44.001]]))),
    "a point's label": lambda e: key(e, prompt=PointPrompt(POINTS, LABELS - 1)),
    "one point fewer": lambda e: key(e, prompt=PointPrompt(POINTS[:, :1], LABELS[:, :1])),
    "a mask": lambda e: key(e, prompt=MaskPrompt(torch.zeros(1, 1, 64, 64))),
    "another model": lambda e: key(MemoryEngine(build_backbone(TINY, seed=2), CPU)),
    "another input size": lambda e: key(MemoryEngine(build_backbone(BackboneSpec("sam2.1-compact", 96), seed=1), CPU)),
}


@pytest.mark.parametrize("what", OTHERS)
def test_each_input_changes_the_key(engine: MemoryEngine, what: str) -> None:
    assert OTHERS[what](engine) != key(engine)


def test_a_mask_prompt_counts_pixel_by_pixel(engine: MemoryEngine) -> None:
    one, other = torch.zeros(1, 1, 64, 64), torch.zeros(1, 1, 64, 64)
    other[0, 0, 5, 5] = 1
    assert key(engine, prompt=MaskPrompt(one)) != key(engine, prompt=MaskPrompt(other))


def test_weights_changed_in_place_change_the_key() -> None:
    engine = MemoryEngine(build_backbone(TINY, seed=1), CPU)
    before = key(engine)
    with torch.no_grad():
        next(engine.model.parameters()).view(-1)[0] += 1e-3
    assert key(engine) != before


def test_the_type_of_the_weights_changes_the_key() -> None:
    """Weights that a 16-bit type can hold are the same numbers, but the arithmetic is another."""
    model = build_backbone(TINY, seed=1).to(torch.bfloat16).float()
    before = fingerprint_model(model)
    assert fingerprint_model(model.to(torch.bfloat16)) != before


def test_a_setting_of_the_model_changes_the_key() -> None:
    engine = MemoryEngine(build_backbone(TINY, seed=1), CPU)
    before = key(engine)
    engine.model.sigmoid_scale_for_mem_enc = 19.0
    assert key(engine) != before


class _OtherActivation(torch.nn.GELU):
    """Has the settings of its parent and no weights."""


def test_the_structure_counts_where_it_has_no_weights() -> None:
    model = build_backbone(TINY, seed=1)
    before = fingerprint_model(model)
    layers = model.sam_mask_decoder.output_upscaling
    position = next(number for number, layer in enumerate(layers) if isinstance(layer, torch.nn.GELU))
    layers[position] = _OtherActivation().eval()
    assert fingerprint_model(model) != before


def test_arithmetic_changes_the_key(engine: MemoryEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = {key(engine)}
    with monkeypatch.context() as patch:
        patch.setattr(torch, "__version__", "0.0")
        seen.add(key(engine))
    with monkeypatch.context() as patch:
        patch.setattr(torch, "get_num_threads", lambda: 77)
        seen.add(key(engine))
    with monkeypatch.context() as patch:
        patch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "OTHER")
        seen.add(key(engine))
    with monkeypatch.context() as patch:
        patch.setattr(cache_keys, "version", lambda name: "0.0")
        seen.add(key(engine))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        seen.add(key(engine))
    monkeypatch.setattr(cache_keys, "describe_device", lambda device: "cuda: another")
    seen.add(key(engine))
    assert len(seen) == 7


@pytest.mark.parametrize(
    ("name", "value"),
    [("CACHE_VERSION", 2), ("__version__", "0.0"), ("code_sha256", lambda: "other")],
    ids=["version of the cache", "version of the library", "code"],
)
def test_another_library_changes_the_key(
    engine: MemoryEngine, monkeypatch: pytest.MonkeyPatch, name: str, value: object
) -> None:
    before = key(engine)
    assert getattr(cache_keys, name) != value
    monkeypatch.setattr(cache_keys, name, value)
    assert key(engine) != before


def test_the_code_that_makes_memories_is_read() -> None:
    """Every file of the package that the hash names exists; a misspelt one would silently not count."""
    specs = [cache_keys.find_spec(f"MemorySurvivalLib.memory.{name}") for name in cache_keys._CODE]
    assert all(spec is not None and spec.origin and spec.origin.endswith(".py") for spec in specs)


def pass_key(engine: MemoryEngine, **changes: object) -> str:
    given: dict[str, object] = {
        "mode": "streamed",
        "direction": "head_to_feet",
        "batch_size": 1,
        "slices": list(np.concatenate([PIXELS, PIXELS + 1])),
        "prompts": [BOX, BOX],
    }
    return MemoryKeys(engine, AFFINE, FRAME, WINDOW).of_pass(**(given | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "changes",
    [
        {"mode": "tracked"},
        {"direction": "feet_to_head"},
        {"batch_size": 2},
        {"slices": list(np.concatenate([PIXELS + 1, PIXELS]))},
        {"slices": list(PIXELS)},
        {"prompts": [BOX, None]},
        {"prompts": [None, BOX]},
    ],
    ids=["mode", "direction", "batch size", "order of the slices", "slices", "prompts", "which are prompted"],
)
def test_each_part_of_a_pass_changes_its_key(engine: MemoryEngine, changes: dict[str, object]) -> None:
    assert pass_key(engine, **changes) != pass_key(engine)
    assert pass_key(engine) == pass_key(engine)


def test_a_pass_of_one_slice_is_not_a_slice(engine: MemoryEngine) -> None:
    assert pass_key(engine, slices=list(PIXELS), prompts=[BOX]) != key(engine)


def test_not_a_number_is_a_value(engine: MemoryEngine) -> None:
    """A broken image fails or not as it does without a cache."""
    pixels = np.full_like(PIXELS, math.nan)
    assert key(engine, pixels=pixels) == key(engine, pixels=pixels.copy()) != key(engine)
