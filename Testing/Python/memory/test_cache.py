"""The cache of memories in a pass: not a bit changes, only what changed is encoded again, no trouble stops a run."""

from __future__ import annotations

import errno
import logging
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.volume import Affine, Volume
from MemorySurvivalLib.imaging.window import Window
from MemorySurvivalLib.memory import cache as cache_module
from MemorySurvivalLib.memory import cache_keys
from MemorySurvivalLib.memory.backbone import BackboneSpec, build_backbone
from MemorySurvivalLib.memory.cache import MemoryCache, pack, unpack
from MemorySurvivalLib.memory.engine import MemoryEngine
from MemorySurvivalLib.memory.prompts import PromptConfig, PromptKind
from MemorySurvivalLib.memory.propagation import Direction, Mode, Pass, PropagationConfig, propagate
from MemorySurvivalLib.progress import ProgressEvent
from MemorySurvivalLib.roi.boxes import prompt_boxes

ROOT = Path(__file__).resolve().parents[3]
TINY = BackboneSpec("sam2.1-compact", 64)
SLICES = 7
KEY = "ab" * 32


@pytest.fixture(scope="module")
def engine() -> MemoryEngine:
    return MemoryEngine(build_backbone(TINY, seed=1), torch.device("cpu"))


def make_image(direction: npt.ArrayLike = (1, 0, 0, 0, 1, 0, 0, 0, 1)) -> Volume:
    voxels = np.random.default_rng(5).gamma(2, 2, (SLICES, 40, 48)).astype(np.float32)
    return Volume(voxels, Affine.from_parts((4.0, 4.5, 6.0), direction, (-95.0, -80.0, -300.0)))


def make_mask(image: Volume, changed: Sequence[int] = (), columns: int = 20) -> Volume:
    """A block that wanders sideways; the slices `changed` are wider by one column."""
    mask = np.zeros(image.shape, dtype=np.bool_)
    for z in range(SLICES):
        mask[z, 10:25, 5 + z : 5 + z + columns + (z in changed)] = True
    return image.with_voxels(mask)


def config_of(
    mode: Mode = "boxed", direction: Direction = "head_to_feet", kind: PromptKind = "box", batch_size: int = 1
) -> PropagationConfig:
    return PropagationConfig("bank:2", 1, mode, batch_size, direction, PromptConfig(kind, points=2))


def embed(
    engine: MemoryEngine,
    image: Volume,
    mask: Volume,
    cache: MemoryCache | None = None,
    config: PropagationConfig | None = None,
    window: Window = Window(0, 10),  # noqa: B008
) -> Pass:
    config = config or config_of()
    return propagate(
        engine, image, "PET", window, prompt_boxes(mask, config.slice_step), config, mask=mask, cache=cache
    )


def assert_same(ours: Pass, expected: Pass) -> None:
    assert ours.memories.stride() == expected.memories.stride()
    assert ours.memories.dtype == expected.memories.dtype == torch.bfloat16
    assert torch.equal(ours.memories, expected.memories)
    assert ours.readout.state().stride() == expected.readout.state().stride()
    assert torch.equal(ours.readout.state(), expected.readout.state())
    assert ours.boxes == expected.boxes


COMBINATIONS: list[tuple[Mode, Direction, PromptKind, int]] = [
    ("boxed", "head_to_feet", "box", 1),
    ("boxed", "head_to_feet", "box", 3),
    ("boxed", "feet_to_head", "mask", 3),
    ("boxed", "both", "points", 1),
    ("streamed", "head_to_feet", "box", 1),
    ("streamed", "head_to_feet", "mask", 1),
    ("streamed", "feet_to_head", "points", 3),
    ("streamed", "both", "box", 3),
    ("tracked", "head_to_feet", "points", 1),
    ("tracked", "feet_to_head", "box", 3),
    ("tracked", "both", "mask", 1),
]


@pytest.mark.parametrize(("mode", "direction", "kind", "batch_size"), COMBINATIONS)
def test_not_a_bit_changes(
    engine: MemoryEngine, tmp_path: Path, mode: Mode, direction: Direction, kind: PromptKind, batch_size: int
) -> None:
    image = make_image()
    mask, config = make_mask(image), config_of(mode, direction, kind, batch_size)
    expected = embed(engine, image, mask, config=config)
    cold, warm = MemoryCache(tmp_path), MemoryCache(tmp_path)
    assert_same(embed(engine, image, mask, cold, config), expected)
    before = engine.encoded_slices
    assert_same(embed(engine, image, mask, warm, config), expected)
    assert engine.encoded_slices == before, "nothing is encoded again"
    assert (cold.reused_slices, cold.made_slices) == (0, SLICES)
    assert (warm.reused_slices, warm.made_slices) == (SLICES, 0)
    assert cold.trouble is warm.trouble is None


def test_another_process_gets_the_same_bits(engine: MemoryEngine, tmp_path: Path) -> None:
    """What another process wrote is found, so nothing of a process (addresses, hash seeds) is in a key."""
    code = (
        "import sys, torch; sys.path.insert(0, sys.argv[2]); torch.set_num_threads(int(sys.argv[3]))\n"
        "from pathlib import Path\n"
        "from test_cache import *\n"
        "image = make_image()\n"
        "embed(MemoryEngine(build_backbone(TINY, seed=1), torch.device('cpu')), image, make_mask(image),"
        " MemoryCache(Path(sys.argv[1])))\n"
    )
    folder, threads = str(Path(__file__).parent), str(torch.get_num_threads())
    subprocess.run([sys.executable, "-c", code, str(tmp_path), folder, threads], cwd=ROOT, check=True)
    image = make_image()
    cache = MemoryCache(tmp_path)
    assert_same(embed(engine, image, make_mask(image), cache), embed(engine, image, make_mask(image)))
    assert (cache.reused_slices, cache.made_slices) == (SLICES, 0)


def test_after_a_mask_edit_only_slices_whose_box_changed_are_encoded(engine: MemoryEngine, tmp_path: Path) -> None:
    image = make_image()
    embed(engine, image, make_mask(image), MemoryCache(tmp_path))
    edited = make_mask(image, changed=(2, 3, 6))
    cache, before = MemoryCache(tmp_path), engine.encoded_slices
    ours = embed(engine, image, edited, cache)
    assert engine.encoded_slices - before == 3
    assert (cache.reused_slices, cache.made_slices) == (SLICES - 3, 3)
    assert_same(ours, embed(engine, image, edited))


def test_an_edit_inside_the_box_encodes_nothing_again(engine: MemoryEngine, tmp_path: Path) -> None:
    """A box prompt does not see it; a mask prompt does."""
    image = make_image()
    mask = make_mask(image)
    hollow = mask.voxels.copy()
    hollow[4, 14:20, 14:24] = False
    for kind, expected in (("box", 0), ("mask", 1)):
        config = config_of(kind=kind)
        embed(engine, image, mask, MemoryCache(tmp_path), config)
        cache = MemoryCache(tmp_path)
        embed(engine, image, mask.with_voxels(hollow), cache, config)
        assert cache.made_slices == expected


def test_slices_that_join_or_leave_cost_only_themselves(engine: MemoryEngine, tmp_path: Path) -> None:
    image = make_image()
    fewer = make_mask(image).voxels.copy()
    fewer[[0, 5]] = False
    shorter = image.with_voxels(fewer)
    embed(engine, image, shorter, MemoryCache(tmp_path))
    for mask, made in ((make_mask(image), 2), (shorter, 0)):
        cache = MemoryCache(tmp_path)
        assert_same(embed(engine, image, mask, cache), embed(engine, image, mask))
        assert cache.made_slices == made


@pytest.mark.parametrize("mode", ["streamed", "tracked"])
def test_through_memory_an_edit_means_the_whole_pass_again(engine: MemoryEngine, tmp_path: Path, mode: Mode) -> None:
    """`tracked` prompts the first slice only, so edits elsewhere change nothing at all."""
    image = make_image()
    embed(engine, image, make_mask(image), MemoryCache(tmp_path), config_of(mode))
    for changed, again in (((4,), mode == "streamed"), ((SLICES - 1,), True)):
        mask, cache = make_mask(image, changed), MemoryCache(tmp_path)
        assert_same(
            embed(engine, image, mask, cache, config_of(mode)), embed(engine, image, mask, None, config_of(mode))
        )
        assert cache.made_slices == (SLICES if again else 0)


def test_tracked_both_ways_prompts_both_ends(engine: MemoryEngine, tmp_path: Path) -> None:
    image, config = make_image(), config_of("tracked", "both")
    embed(engine, image, make_mask(image), MemoryCache(tmp_path), config)
    for changed, again in ((3, False), (0, True), (SLICES - 1, True)):
        cache = MemoryCache(tmp_path)
        embed(engine, image, make_mask(image, (changed,)), cache, config)
        assert cache.made_slices == (SLICES if again else 0)


def test_prompts_and_windows_are_told_apart(engine: MemoryEngine, tmp_path: Path) -> None:
    """The same image under other settings, one after the other in one cache."""
    image = make_image()
    mask = make_mask(image)
    prompts = (
        PromptConfig(),
        PromptConfig(padding_mm=8),
        PromptConfig(jitter=0.05),
        PromptConfig(jitter=0.05, seed=1),
        PromptConfig("mask"),
        PromptConfig("points", points=2),
        PromptConfig("points", points=2, seed=1),
    )
    for prompt in prompts:
        for window in (Window(0, 10), Window(0, 12)) if prompt == PromptConfig() else (Window(0, 10),):
            config, cache = PropagationConfig("mean", prompt=prompt), MemoryCache(tmp_path)
            ours = embed(engine, image, mask, cache, config, window)
            assert cache.made_slices == -(-SLICES // 2)
            assert_same(ours, embed(engine, image, mask, None, config, window))


DIRECTIONS = {
    "flipped": np.diag([-1.0, 1.0, -1.0]),
    "permuted": np.eye(3)[[2, 0, 1]],
    "oblique": Rotation.from_euler("xyz", (10, -7, 4), degrees=True).as_matrix(),
}


@pytest.mark.parametrize("direction", DIRECTIONS.values(), ids=DIRECTIONS)
def test_any_orientation(engine: MemoryEngine, tmp_path: Path, direction: npt.NDArray[np.float64]) -> None:
    """Turned to LPS, an image gives the same memories as before; another placement of the same voxels is another."""
    embed(engine, make_image(), make_mask(make_image()), MemoryCache(tmp_path))
    image = make_image(direction).reoriented()
    mask = image.with_voxels(image.voxels > np.quantile(image.voxels, 0.999))
    for made in (len(prompt_boxes(mask, 1)), 0):
        cache = MemoryCache(tmp_path)
        assert_same(embed(engine, image, mask, cache), embed(engine, image, mask))
        assert cache.made_slices == made


def cached_files(root: Path) -> list[Path]:
    return sorted(root.rglob("*.safetensors"))


@pytest.mark.parametrize("damage", ["empty", "cut", "zeros", "one bit", "another's", "not ours", "old version"])
def test_damaged_files_are_made_again(
    engine: MemoryEngine,
    tmp_path: Path,
    damage: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    image = make_image()
    mask = make_mask(image)
    with monkeypatch.context() as patch:
        if damage == "old version":
            patch.setattr(cache_module, "CACHE_VERSION", 0)
        embed(engine, image, mask, MemoryCache(tmp_path))
    files = cached_files(tmp_path)
    assert len(files) == SLICES
    content, other = files[0].read_bytes(), files[1].read_bytes()
    damaged = {
        "empty": b"",
        "cut": content[:-5],
        "zeros": content[:-1000] + bytes(1000),
        "one bit": content[:-77] + bytes([content[-77] ^ 1]) + content[-76:],
        "another's": other,
        "not ours": safetensors.torch.save({"memories": torch.zeros(1, 64, 4, 4, dtype=torch.bfloat16)}),
        "old version": content,
    }[damage]
    files[0].write_bytes(damaged)
    count = SLICES if damage == "old version" else 1
    cache = MemoryCache(tmp_path)
    with caplog.at_level(logging.WARNING):
        assert_same(embed(engine, image, mask, cache), embed(engine, image, mask))
    assert cache.made_slices == count
    assert len([r for r in caplog.records if "damaged or of another version" in r.message]) == count
    again = MemoryCache(tmp_path)
    embed(engine, image, mask, again)
    assert again.made_slices == 0, "what was made again is kept"


def test_a_damaged_file_does_not_stay(tmp_path: Path) -> None:
    """Even when the run is stopped before it is made again."""
    cache = MemoryCache(tmp_path)
    cache.remember(KEY, lambda: torch.zeros(1, 2, 3, 3, dtype=torch.bfloat16))
    cached_files(tmp_path)[0].write_bytes(b"damaged")

    def stop() -> torch.Tensor:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.remember(KEY, stop)
    assert cached_files(tmp_path) == []


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_no_damage_is_ever_taken_for_memories(data: st.DataObject) -> None:
    memories = torch.arange(2 * 4 * 3 * 3, dtype=torch.float32).reshape(2, 4, 3, 3).to(torch.bfloat16)
    content = bytearray(pack(KEY, memories))
    where = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        content = content[:where]
    else:
        content[where : where + 1] = data.draw(st.binary(min_size=1, max_size=3))
    found = unpack(KEY, bytes(content))
    assert found is None or torch.equal(found, memories), "spaces after the header mean nothing"


def test_files_are_those_of_their_key(tmp_path: Path) -> None:
    memories = torch.randn(2, 3, 4, 5).to(torch.bfloat16)
    assert unpack("cd" * 32, pack(KEY, memories)) is None


def test_the_layout_is_the_same_either_way(tmp_path: Path) -> None:
    memories = torch.randn(2, 4, 5, 3).to(torch.bfloat16).permute(0, 3, 1, 2)  # as a batch leaves the memory encoder
    for _ in range(2):
        found = MemoryCache(tmp_path).remember(KEY, lambda: memories)
        assert torch.equal(found, memories)
        assert found.stride() == (60, 20, 5, 1)


def test_a_full_disk_is_told_once_and_the_run_goes_on(
    engine: MemoryEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    image = make_image()
    mask = make_mask(image)
    embed(engine, image, make_mask(image, changed=(0, 1, 2)), MemoryCache(tmp_path))
    tried = []

    def fail(path: Path, content: bytes) -> int:
        tried.append(path)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", fail)
    cache = MemoryCache(tmp_path)
    ours = embed(engine, image, mask, cache)
    assert_same(ours, embed(engine, image, mask))
    assert len(tried) == 1, "one failure is enough"
    assert cache.trouble is not None and "No space is left" in cache.trouble
    assert len(caplog.records) == 1
    assert (cache.reused_slices, cache.made_slices) == (SLICES - 3, 3), "what is there is still used"


def test_a_read_only_folder_serves_and_says_so(
    engine: MemoryEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = make_image()
    embed(engine, image, make_mask(image), MemoryCache(tmp_path))

    def refuse(path: Path, *_: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "write_bytes", refuse)
    monkeypatch.setattr(os, "utime", refuse)
    cache = MemoryCache(tmp_path)
    embed(engine, image, make_mask(image, changed=(4,)), cache)
    assert (cache.reused_slices, cache.made_slices) == (SLICES - 1, 1)
    assert cache.trouble is not None and "no permission" in cache.trouble


def test_trouble_in_reading_never_stops_a_run(
    engine: MemoryEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    image = make_image()
    embed(engine, image, make_mask(image), MemoryCache(tmp_path))

    def fail(path: Path) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(Path, "read_bytes", fail)
    cache = MemoryCache(tmp_path)
    assert_same(embed(engine, image, make_mask(image), cache), embed(engine, image, make_mask(image)))
    assert cache.made_slices == SLICES
    assert "cannot be read" in caplog.text


def test_a_limit_of_nothing_writes_nothing(engine: MemoryEngine, tmp_path: Path) -> None:
    image = make_image()
    cache = MemoryCache(tmp_path, limit_bytes=0)
    embed(engine, image, make_mask(image), cache)
    assert cache.made_slices == SLICES
    assert list(tmp_path.iterdir()) == []


def test_what_was_made_before_a_stop_is_kept(engine: MemoryEngine, tmp_path: Path) -> None:
    image = make_image()
    boxes = prompt_boxes(make_mask(image), 1)

    def stop(event: ProgressEvent) -> None:
        if event.done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        propagate(engine, image, "PET", Window(0, 10), boxes, config_of(), stop, cache=MemoryCache(tmp_path))
    cache = MemoryCache(tmp_path)
    embed(engine, image, make_mask(image), cache)
    assert cache.reused_slices == 4


@pytest.mark.parametrize("mode", ["boxed", "streamed"])
def test_progress_ends_when_nothing_is_made(engine: MemoryEngine, tmp_path: Path, mode: Mode) -> None:
    image = make_image()
    boxes = prompt_boxes(make_mask(image), 1)
    for _ in range(2):
        events: list[ProgressEvent] = []
        cache = MemoryCache(tmp_path)
        propagate(engine, image, "PET", Window(0, 10), boxes, config_of(mode), events.append, cache=cache)
        assert (events[-1].stage, events[-1].done, events[-1].total) == ("memory PET", SLICES, SLICES)
    assert cache.reused_slices == SLICES


def test_bad_input_fails_as_it_does_without_a_cache(engine: MemoryEngine, tmp_path: Path) -> None:
    image = make_image()
    boxes = prompt_boxes(make_mask(image), 1)
    empty = image.with_voxels(np.zeros(image.shape, dtype=np.bool_))
    for mode in ("boxed", "streamed"):
        config = PropagationConfig("mean", 1, mode, prompt=PromptConfig("mask"))
        with pytest.raises(InputError, match="no ROI pixels"):
            propagate(engine, image, "PET", Window(0, 10), boxes, config, mask=empty, cache=MemoryCache(tmp_path))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_has_memories_of_its_own(engine: MemoryEngine, tmp_path: Path) -> None:
    image = make_image()
    embed(engine, image, make_mask(image), MemoryCache(tmp_path))
    on_gpu = MemoryEngine(build_backbone(TINY, seed=1), torch.device("cuda"))
    cold, warm = MemoryCache(tmp_path), MemoryCache(tmp_path)
    expected = embed(on_gpu, image, make_mask(image), cold)
    assert_same(embed(on_gpu, image, make_mask(image), warm), expected)
    assert (cold.made_slices, warm.reused_slices) == (SLICES, SLICES)


def test_names_and_contents_hold_only_hashes_and_memories(engine: MemoryEngine, tmp_path: Path) -> None:
    image = make_image()
    named = Volume(image.voxels, image.affine, {"PatientName": "Muster^Erika", "PatientID": "4711"})
    embed(engine, named, make_mask(image), MemoryCache(tmp_path))
    for path in cached_files(tmp_path):
        assert len(path.stem) == 64 and set(path.stem) <= set("0123456789abcdef")
        content = path.read_bytes()
        assert b"Muster" not in content and b"4711" not in content
        assert safetensors.torch.load(content).keys() == {"memories", "check"}
    embed(engine, image, make_mask(image), cache := MemoryCache(tmp_path))
    assert cache.made_slices == 0, "attributes are not part of the key"
    assert cache_keys.CACHE_VERSION == 1
