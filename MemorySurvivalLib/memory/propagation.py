"""One pass over the body: which slices, in which order, with which boxes, and the memory each leaves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import msgspec
import torch

from MemorySurvivalLib.imaging.volume import Volume
from MemorySurvivalLib.imaging.window import Modality, Window
from MemorySurvivalLib.memory.engine import MemoryEngine
from MemorySurvivalLib.memory.readout import Readout, ReadoutName, read_out
from MemorySurvivalLib.memory.slices import SliceFrame
from MemorySurvivalLib.progress import ProgressCallback, ignore_progress, track
from MemorySurvivalLib.roi.boxes import SliceBox


class PropagationConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How slices are prompted and read: part of a model bundle.

    `slice_step` 2 uses every second ROI slice (paper section 2.3.1); passes run from head to feet; `batch_size` 1
    keeps the numbers bit-identical to the official predictor.
    """

    readout: ReadoutName
    slice_step: int = 2
    mode: Literal["boxed"] = "boxed"
    batch_size: int = 1


@dataclass(frozen=True, eq=False)
class Pass:
    """The memories one modality left behind: (slices, channels, h, w) bfloat16, in the order of `boxes`."""

    modality: Modality
    boxes: tuple[SliceBox, ...]
    frame: SliceFrame
    window: Window
    memories: torch.Tensor
    readout: Readout


def propagate(
    engine: MemoryEngine,
    image: Volume,
    modality: Modality,
    window: Window,
    boxes: tuple[SliceBox, ...],
    config: PropagationConfig,
    progress: ProgressCallback = ignore_progress,
) -> Pass:
    """Run the engine over the boxed slices of `image` (axes running to LPS, HU or SUVbw).

    Slices are read, windowed and encoded a batch at a time, so memory does not grow with the volume beyond the
    kept memories.
    """
    frame = SliceFrame.of(image, engine.image_size)
    batches = [boxes[start : start + config.batch_size] for start in range(0, len(boxes), config.batch_size)]
    memories = []
    for batch in track(batches, f"memory {modality}", len(batches), progress):
        pictures = frame.picture(image.voxels[[box.z for box in batch]], window)
        memories.append(engine.memories(pictures, torch.stack([frame.box(box) for box in batch])))
    stacked = torch.cat(memories)
    return Pass(modality, boxes, frame, window, stacked, read_out(config.readout, stacked))
