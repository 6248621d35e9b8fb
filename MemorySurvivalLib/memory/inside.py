"""A few values a slice instead of a grid: of the memory's cells inside the region each channel's mean or peak, or what
a lesion reader finds in them.

Not in the paper, which reads the whole grid; most of that is tissue outside the region.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import avg_pool2d

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.volume import Volume
from MemorySurvivalLib.imaging.window import Modality
from MemorySurvivalLib.memory.lesion_reader import LesionReader, reader_sha256
from MemorySurvivalLib.memory.readout import Readout, ReadoutName, Replacements, read_out
from MemorySurvivalLib.memory.slices import SliceFrame

CELL = 16
"""A memory cell covers so many pixels of the model's picture along each side."""

PEAK_SHARE = 0.1
"""A cell counts for the peak, and for lesions, where the region covers so much of it."""

Inside = bool | Literal["peak", "lesions"]
"""What is kept of a slice's memory: all cells (False), their mean inside the region (True), their peak there, or the
lesions that the backbone's reader finds there."""

Pool = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""Memories (n, channels, h, w) and the share of each cell that the region covers (n, 1, h, w) -> (n, values, 1, 1)."""


class InsideReadout:
    """A readout of memories (slices, channels, h, w) pooled over the cells that the region covers on each slice.

    `cells` (slices, 1, h, w) are the shares of each cell that the region covers. States are (layers, values, 1, 1).
    Takes whole memories where slices are exchanged, as every readout does.
    """

    def __init__(self, name: ReadoutName, memories: torch.Tensor, cells: torch.Tensor, pool: Pool) -> None:
        self.cells, self.pool = cells, pool
        self.within: Readout = read_out(name, pool(memories, cells))
        """The readout of what was pooled."""

    def state(self) -> torch.Tensor:
        return self.within.state()

    def state_with(self, replacements: Replacements) -> torch.Tensor:
        pooled = {k: self.pool(memory[None], self.cells[k : k + 1])[0] for k, memory in replacements.items()}
        return self.within.state_with(pooled)

    def sees(self, position: int) -> bool:
        return self.within.sees(position)


@dataclass(frozen=True, eq=False)
class LesionPool:
    """What a reader finds in memories of one modality (`LesionReader.pool`) in the cells that count."""

    reader: LesionReader
    modality: Modality

    def __call__(self, memories: torch.Tensor, cells: torch.Tensor) -> torch.Tensor:
        return self.reader.pool(memories, counted(cells).float(), self.modality)


def choose_pool(inside: Literal[True, "peak", "lesions"], modality: Modality, reader: LesionReader | None) -> Pool:
    """How slices are pooled. Raises InputError where there is no reader and one is needed."""
    if inside == "lesions":
        if reader is None:
            raise InputError(
                "Lesions are to be read in the memories, but no lesion reader came with this backbone; choose a model "
                'whose bundle has one, or set "inside" to true or "peak".'
            )
        return LesionPool(reader, modality)
    return peak_inside if inside == "peak" else average_inside


def name_pool(pool: Pool) -> str:
    """What tells pools apart, for keys of what was computed with them."""
    if isinstance(pool, LesionPool):
        return f"lesions of {pool.modality} by {reader_sha256(pool.reader)}"
    return str(getattr(pool, "__name__", pool))


@dataclass(frozen=True, eq=False)
class Region:
    """Where readouts look: the slices `zs` of a mask as `frame` shows them, None where there is no mask."""

    frame: SliceFrame
    mask: Volume | None
    zs: Sequence[int]


def make_readout(
    name: ReadoutName,
    memories: torch.Tensor,
    inside: Inside,
    region: Region,
    modality: Modality,
    reader: LesionReader | None = None,
) -> Readout:
    """The readout `name` of memories (slices, channels, h, w) of one modality, `inside` the region or of all cells.

    Raises InputError where the region or the reader is needed and there is none.
    """
    if not inside:
        return read_out(name, memories)
    frame, mask, zs = region.frame, region.mask, region.zs
    if mask is None:
        raise InputError("Memories are to be pooled inside the region, but there is no mask; give one.")
    cells = torch.cat([cover_cells(frame, np.asarray(mask.voxels[[z]], dtype=np.bool_)) for z in zs])
    return InsideReadout(name, memories, cells, choose_pool(inside, modality, reader))


def cover_cells(frame: SliceFrame, masks: npt.NDArray[np.bool_]) -> torch.Tensor:
    """How much of each memory cell the masks (n, rows, columns) cover, 0 to 1: (n, 1, h, w), float32."""
    return avg_pool2d(frame.cover(masks), CELL)


def average_inside(memories: torch.Tensor, cells: torch.Tensor) -> torch.Tensor:
    """The mean of memories (n, channels, h, w) weighted by cells (n, 1, h, w): (n, channels, 1, 1), float32.

    The plain mean where the region covers no cell of a slice.
    """
    total = cells.sum(dim=(2, 3), keepdim=True)
    weights = torch.where(total > 0, cells, torch.ones_like(cells))
    averaged: torch.Tensor = (memories.float() * weights).sum(dim=(2, 3), keepdim=True)
    return averaged / weights.sum(dim=(2, 3), keepdim=True)


def peak_inside(memories: torch.Tensor, cells: torch.Tensor) -> torch.Tensor:
    """The largest value of each channel of memories (n, channels, h, w) among the cells (n, 1, h, w) of which the
    region covers a tenth or more: (n, channels, 1, 1), float32. A small lesion stands out where a mean drowns it.

    Where no cell is covered so far, the best covered one counts; where none is covered at all, every cell.
    """
    peak: torch.Tensor = memories.float().masked_fill(~counted(cells), float("-inf")).amax(dim=(2, 3), keepdim=True)
    return peak


def counted(cells: torch.Tensor) -> torch.Tensor:
    """Which of the cells (n, 1, h, w) count: those covered to a tenth or more, or, where none is, the best covered."""
    return cells >= torch.minimum(cells.amax(dim=(2, 3), keepdim=True), cells.new_tensor(PEAK_SHARE))
