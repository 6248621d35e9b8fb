"""Reading one case under many changes: every picture goes through the image encoder once, whatever the boxes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy.typing as npt
import torch

from MemorySurvivalLib.imaging.case import Case
from MemorySurvivalLib.imaging.volume import Volume
from MemorySurvivalLib.imaging.window import Modality, Window
from MemorySurvivalLib.memory.engine import MemoryEngine
from MemorySurvivalLib.memory.features import Features
from MemorySurvivalLib.memory.inside import Region, make_readout
from MemorySurvivalLib.memory.mapped import take_slices
from MemorySurvivalLib.memory.prompts import MaskPrompt, PointPrompt, Prompt, PromptBox, Prompter
from MemorySurvivalLib.memory.propagation import propagate
from MemorySurvivalLib.memory.slices import SliceFrame
from MemorySurvivalLib.progress import Meter, ProgressCallback, ProgressEvent, ignore_progress
from MemorySurvivalLib.stability.arrangement import Arrangement, Steps, moved

STAGE = "stability"

TOGETHER = 16
"""So many prompts of one slice go through the decoder together at most."""

States = dict[Modality, torch.Tensor]


def read_arrangements(
    engine: MemoryEngine,
    case: Case,
    arrangements: Sequence[Arrangement],
    windows: Mapping[Modality, Window],
    progress: ProgressCallback = ignore_progress,
) -> list[States]:
    """The memory states (layers, channels, h, w), float32, of each arrangement, for the modalities of `windows`.

    In `boxed` mode a memory depends on its picture and prompt alone, so each picture is encoded once for all
    arrangements, and each of its prompts is followed once. Slices go through the encoder one by one and prompts
    through the decoder several at once, which rounds as larger batches do (docs/method.md, Tolerances). The other modes
    run a whole pass for each.
    """
    meter = Meter(STAGE, _count(arrangements, tuple(windows)), progress)
    states: list[States] = [{} for _ in arrangements]
    for modality, window in windows.items():
        together: dict[tuple[Steps, SliceFrame], list[int]] = defaultdict(list)
        for number, one in enumerate(arrangements):
            steps = one.pet_steps if modality == "PET" else (0, 0, 0)
            if one.config.mode == "boxed":
                frame = one.config.frame(case.image(modality), engine.image_size, one.mask)
                together[steps, frame].append(number)
            else:
                image = _image(case, modality, steps)
                states[number][modality] = _pass_through(engine, image, modality, window, one, meter)
        for (steps, frame), numbers in together.items():
            image = _image(case, modality, steps)
            found = _read_boxed(
                engine, image, modality, frame, window, [arrangements[number] for number in numbers], meter
            )
            for number, state in zip(numbers, found, strict=True):
                states[number][modality] = state
    return states


def _count(arrangements: Sequence[Arrangement], modalities: Iterable[Modality]) -> int:
    """How many prompted slices there are in all."""
    each = (len(one.boxes) * (2 if _twice(one) else 1) for one in arrangements)
    return sum(each) * len(tuple(modalities))


def _twice(one: Arrangement) -> bool:
    return one.config.direction == "both" and one.config.mode != "boxed"


def _image(case: Case, modality: Modality, steps: Steps) -> Volume:
    image = case.image(modality)
    return moved(image, steps) if any(steps) else image


def _pass_through(
    engine: MemoryEngine, image: Volume, modality: Modality, window: Window, one: Arrangement, meter: Meter
) -> torch.Tensor:
    def tick(event: ProgressEvent) -> None:
        if event.done:
            meter.step()

    run = propagate(engine, image, modality, window, one.boxes, one.config, tick, mask=one.mask)
    return run.readout.state()


def _read_boxed(
    engine: MemoryEngine,
    image: Volume,
    modality: Modality,
    frame: SliceFrame,
    window: Window,
    arrangements: Sequence[Arrangement],
    meter: Meter,
) -> list[torch.Tensor]:
    """The states of arrangements that read the same pictures of one image in `boxed` mode."""
    wanted: dict[int, list[tuple[int, int, Prompter, PromptBox]]] = defaultdict(list)
    memories: list[list[torch.Tensor]] = []
    for number, one in enumerate(arrangements):
        prompter = Prompter(one.config.prompt, frame, image.spacing_mm, one.mask)
        used = [prompter.edges(box) for box in one.boxes]
        if one.config.direction == "feet_to_head":
            used = used[::-1]
        memories.append([torch.empty(0)] * len(used))
        for position, box in enumerate(used):
            wanted[box.z].append((number, position, prompter, box))
    for z, asked in wanted.items():
        pixels: npt.NDArray[Any] = take_slices(image.voxels, [z])
        features = engine.encode(frame.picture(pixels, window, engine.device))
        found = _follow(engine, features, [prompter.prompt([box]) for _, _, prompter, box in asked])
        for (number, position, _, _), memory in zip(asked, found, strict=True):
            memories[number][position] = memory
            meter.step()
    states = []
    for one, kept in zip(arrangements, memories, strict=True):
        zs = [box.z for box in one.boxes]
        zs = zs[::-1] if one.config.direction == "feet_to_head" else zs
        region = Region(frame, one.mask, zs)
        readout = make_readout(
            one.config.readout, torch.stack(kept), one.config.inside, region, modality, engine.reader
        )
        states.append(readout.state())
    return states


def _follow(engine: MemoryEngine, features: Features, prompts: Sequence[Prompt]) -> list[torch.Tensor]:
    """The memory (channels, h, w) that one encoded slice leaves after each of the prompts; equal ones share it.

    Prompts of one kind go through the decoder together, which takes little more than half the time.
    """
    known: dict[bytes, torch.Tensor] = {}
    kinds: dict[tuple[type, torch.Size], dict[bytes, Prompt]] = defaultdict(dict)
    keys = []
    for prompt in prompts:
        numbers = prompt.masks if isinstance(prompt, MaskPrompt) else prompt.points
        labels = b"" if isinstance(prompt, MaskPrompt) else prompt.labels.numpy().tobytes()
        keys.append(type(prompt).__name__.encode() + labels + numbers.numpy().tobytes())
        kinds[type(prompt), numbers.shape][keys[-1]] = prompt
    for alike in kinds.values():
        named = list(alike.items())
        for start in range(0, len(named), TOGETHER):
            batch = named[start : start + TOGETHER]
            trace = engine.condition(_repeat(features, len(batch)), _join([prompt for _, prompt in batch]))
            known |= {key: one for (key, _), one in zip(batch, trace.memory.cpu(), strict=True)}
    return [known[key] for key in keys]


def _repeat(features: Features, times: int) -> Features:
    if times == 1:
        return features
    return Features(
        tuple(one.expand(times, -1, -1, -1) for one in features.maps),
        tuple(one.expand(times, -1, -1, -1) for one in features.positions),
    )


def _join(prompts: Sequence[Prompt]) -> Prompt:
    """Prompts of one kind and size as one."""
    points = [prompt for prompt in prompts if isinstance(prompt, PointPrompt)]
    if points:
        return PointPrompt(torch.cat([one.points for one in points]), torch.cat([one.labels for one in points]))
    return MaskPrompt(torch.cat([prompt.masks for prompt in prompts if isinstance(prompt, MaskPrompt)]))
