"""One pass over the body: which slices, in which order, with which prompts, and the memory each leaves."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec
import numpy.typing as npt
import torch

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.volume import Volume
from MemorySurvivalLib.imaging.window import Modality, Window
from MemorySurvivalLib.memory.bank import MemoryBank
from MemorySurvivalLib.memory.cache import MemoryCache
from MemorySurvivalLib.memory.cache_keys import MemoryKeys
from MemorySurvivalLib.memory.engine import MemoryEngine
from MemorySurvivalLib.memory.features import FeatureFile, Features
from MemorySurvivalLib.memory.inside import Inside, Region, make_readout
from MemorySurvivalLib.memory.mapped import take_slices
from MemorySurvivalLib.memory.prefetch import read_ahead
from MemorySurvivalLib.memory.prompts import Prompt, PromptBox, PromptConfig, Prompter
from MemorySurvivalLib.memory.readout import Readout, ReadoutName
from MemorySurvivalLib.memory.slices import SliceFrame, close_up
from MemorySurvivalLib.progress import Meter, ProgressCallback, ProgressEvent, ignore_progress, track
from MemorySurvivalLib.roi.boxes import SliceBox, prompt_boxes

Mode = Literal["boxed", "streamed", "tracked"]
Direction = Literal["head_to_feet", "feet_to_head", "both"]


class PropagationConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How slices are prompted and read: part of a model bundle.

    `slice_step` 2 uses every second ROI slice (paper section 2.3.1); where that would be more than `most_slices`, the
    step is raised until it is not (None: never). `mode`: `boxed` prompts every used slice and looks at each alone;
    `streamed` prompts every used slice, and each attends to the memory of those before it; `tracked` prompts the first
    one only. `direction` `both` runs head to feet and feet to head and takes each slice's mean memory, in the order
    from head to feet. `batch_size` slices go through the image encoder together; 1 keeps the numbers bit-identical to
    the official predictor. With `inside` each slice's memory is averaged over the cells that the region covers before
    it is read out (memory/inside.py), with "peak" its largest value there is taken: one value a channel. With "lesions"
    the engine's lesion reader says what it finds there (memory/lesion_reader.py).
    With `close_up_mm` pictures show the region with so many millimetres around it (memory/slices.py), else the slice.
    """

    readout: ReadoutName
    slice_step: int = 2
    mode: Mode = "boxed"
    batch_size: int = 1
    direction: Direction = "head_to_feet"
    prompt: PromptConfig = PromptConfig()
    inside: Inside = False
    most_slices: int | None = None
    close_up_mm: Annotated[float, msgspec.Meta(ge=0, le=500)] | None = None

    def boxes(self, mask: Volume) -> tuple[SliceBox, ...]:
        """The boxes of the slices that are read of a mask (bool, axes running to LPS), from head to feet."""
        return prompt_boxes(mask, self.slice_step, self.most_slices)

    def frame(self, grid: Volume, image_size: int, mask: Volume | None) -> SliceFrame:
        """How slices of `grid` become pictures. Raises InputError where the mask is needed and there is none."""
        if self.close_up_mm is None:
            return SliceFrame.of(grid, image_size)
        if mask is None:
            raise InputError("The model reads close-ups of the region, but there is no mask; give one.")
        return SliceFrame.of(grid, image_size, close_up(mask, self.close_up_mm))

    def key(self) -> msgspec.Raw:
        """What a fingerprint is made of: the fields as JSON, without a `most_slices` or `close_up_mm` of None, as they
        were before there were such fields, so that what was kept then is found."""
        fields = msgspec.to_builtins(self)
        for name in ("most_slices", "close_up_mm"):
            if fields[name] is None:
                del fields[name]
        return msgspec.Raw(msgspec.json.encode(fields))


@dataclass(frozen=True, eq=False)
class Pass:
    """The memories one modality left behind: (slices, channels, h, w) bfloat16, in the order of `boxes`.

    `boxes` are those the slices were prompted with, after padding and jitter; `prompter` makes their prompts.
    """

    modality: Modality
    boxes: tuple[PromptBox, ...]
    frame: SliceFrame
    window: Window
    memories: torch.Tensor
    readout: Readout
    mode: Mode
    prompter: Prompter

    def prompt(self, position: int) -> Prompt:
        """The prompt that the slice at `position` of a `boxed` or `streamed` pass was given."""
        return self.prompter.prompt([self.boxes[position]])


def propagate(
    engine: MemoryEngine,
    image: Volume,
    modality: Modality,
    window: Window,
    boxes: tuple[SliceBox, ...],
    config: PropagationConfig,
    progress: ProgressCallback = ignore_progress,
    mask: Volume | None = None,
    cache: MemoryCache | None = None,
) -> Pass:
    """Run the engine over the boxed slices of `image` (axes running to LPS, HU or SUVbw).

    `boxes` run from head to feet, `mask` is the ROI they were made of (bool, on the image's grid), needed for mask and
    point prompts, for memories inside it and for close-ups. Slices are read, windowed and encoded a batch at a time and
    each once, the next batch read meanwhile, so memory does not grow with the volume beyond the kept memories. A GPU
    takes larger batches than `config` asks for. What `cache` holds is not encoded again; it never changes a number: in
    `boxed` mode it keeps each batch of slices, in the other modes, where slices depend on others, the whole pass.
    Raises InputError for prompts that cannot be made.
    """
    if not boxes:
        raise InputError("No slice holds any of the ROI, so there is nothing to read; choose a mask with voxels in it.")
    frame = config.frame(image, engine.image_size, mask)
    prompter = Prompter(config.prompt, frame, image.spacing_mm, mask)
    used = tuple(prompter.edges(box) for box in boxes)
    if config.direction == "feet_to_head":
        used = used[::-1]
    stage = f"memory {modality}"

    def slices(batch: tuple[PromptBox, ...]) -> npt.NDArray[Any]:
        return take_slices(image.voxels, [box.z for box in batch])

    batches = _batches(used, engine.batch_size(config.batch_size))

    def features() -> Iterator[Features]:
        for pixels in read_ahead(batches, slices):
            yield from engine.encode_each(frame.picture(pixels, window, engine.device))

    keys = MemoryKeys(engine, image.affine, frame, window) if cache is not None else None
    if config.mode == "boxed":  # the order changes nothing, so both directions are one

        def alone(batch: tuple[PromptBox, ...], pixels: npt.NDArray[Any]) -> torch.Tensor:
            prompt = prompter.prompt(batch)

            def make() -> torch.Tensor:
                return engine.memories(frame.picture(pixels, window, engine.device), prompt)

            return cache.remember(keys.of_slices(pixels, prompt), make) if cache and keys else make()

        read = zip(batches, read_ahead(batches, slices), strict=True)
        memories = _join((alone(*both) for both in track(read, stage, len(batches), progress)), len(used))
    else:
        prompts = _Prompts(prompter, used, every=config.mode == "streamed")
        passes = 2 if config.direction == "both" else 1

        def together() -> torch.Tensor:
            run = _both_ways if passes == 2 else _one_way
            return run(engine, features(), prompts, Meter(stage, passes * len(used), progress))

        if cache and keys:
            both = (prompts, prompts.reverse())[:passes]
            given = (one[position] for one in both for position in range(len(one)))
            pixels = (slices((box,))[0] for box in used)
            key = keys.of_pass(config.mode, config.direction, config.batch_size, pixels, given)
            memories = cache.remember(key, together)
            progress(ProgressEvent(stage, passes * len(used), passes * len(used), 0.0))
        else:
            memories = together()
    region = Region(frame, mask, [box.z for box in used])
    readout = make_readout(config.readout, memories, config.inside, region, modality, engine.reader)
    return Pass(modality, used, frame, window, memories, readout, config.mode, prompter)


@dataclass(frozen=True, eq=False)
class _Prompts:
    """The prompts of a pass through memory: on every slice or on the first one only."""

    prompter: Prompter
    boxes: tuple[PromptBox, ...]
    every: bool

    def reverse(self) -> _Prompts:
        return _Prompts(self.prompter, self.boxes[::-1], self.every)

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, position: int) -> Prompt | None:
        return self.prompter.prompt([self.boxes[position]]) if self.every or position == 0 else None


def _batches(boxes: tuple[PromptBox, ...], size: int) -> list[tuple[PromptBox, ...]]:
    return [boxes[start : start + size] for start in range(0, len(boxes), size)]


def _join(parts: Iterable[torch.Tensor], count: int) -> torch.Tensor:
    """The memories of `count` slices from those of some slices after the other; never both in memory at once."""
    joined, done = torch.empty(0), 0
    for part in parts:
        if done == 0:
            joined = torch.empty((count, *part.shape[1:]), dtype=part.dtype)
        joined[done : done + len(part)] = part
        done += len(part)
    return joined


def _one_way(engine: MemoryEngine, features: Iterator[Features], prompts: _Prompts, meter: Meter) -> torch.Tensor:
    """Memories (slices, channels, h, w), bfloat16 on the CPU, of one pass through the memory bank."""
    bank = MemoryBank(engine, len(prompts))

    def each() -> Iterator[torch.Tensor]:
        for position, one in enumerate(features):
            yield bank.take(one, prompts[position]).memory.cpu()
            meter.step()

    return _join(each(), len(prompts))


def _both_ways(engine: MemoryEngine, features: Iterator[Features], prompts: _Prompts, meter: Meter) -> torch.Tensor:
    """The mean of each slice's memories in the pass and in the reverse pass, which reuses the encoded features."""
    with tempfile.TemporaryFile(prefix="memory-survival-") as spill:
        file = FeatureFile(spill, engine.device)

        def keep() -> Iterator[Features]:
            for one in features:
                file.append(one)
                yield one

        there = _one_way(engine, keep(), prompts, meter)
        again = (file.read(number) for number in reversed(range(len(prompts))))
        back = _one_way(engine, again, prompts.reverse(), meter).flip(0)
    return ((there.float() + back.float()) / 2).to(torch.bfloat16)
