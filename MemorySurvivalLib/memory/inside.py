"""One value a channel instead of a grid: on each slice the mean, or the peak, of the memory's cells inside the region.

Not in the paper, which reads the whole grid; most of that is tissue outside the region.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import avg_pool2d

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.volume import Volume
from MemorySurvivalLib.memory.readout import Readout, ReadoutName, Replacements, read_out
from MemorySurvivalLib.memory.slices import SliceFrame

CELL = 16
"""A memory cell covers so many pixels of the model's picture along each side."""

PEAK_SHARE = 0.1
"""A cell counts for the peak where the region covers so much of it."""

Inside = bool | Literal["peak"]
"""What is kept of a slice's memory: all cells (False), their mean inside the region (True), or their peak there."""


class InsideReadout:
    """A readout of memories (slices, channels, h, w) pooled over the cells that the region covers on each slice.

    `cells` (slices, 1, h, w) are the shares of each cell that the region covers. States are (layers, channels, 1, 1).
    Takes whole memories where slices are exchanged, as every readout does.
    """

    def __init__(self, name: ReadoutName, memories: torch.Tensor, cells: torch.Tensor, peak: bool = False) -> None:
        self.cells, self.peak = cells, peak
        self.within: Readout = read_out(name, self.pool(memories, cells))
        """The readout of what was pooled."""

    def pool(self, memories: torch.Tensor, cells: torch.Tensor) -> torch.Tensor:
        """Memories (n, channels, h, w) of slices with these cells, pooled as this readout does."""
        return peak_inside(memories, cells) if self.peak else average_inside(memories, cells)

    def state(self) -> torch.Tensor:
        return self.within.state()

    def state_with(self, replacements: Replacements) -> torch.Tensor:
        pooled = {k: self.pool(memory[None], self.cells[k : k + 1])[0] for k, memory in replacements.items()}
        return self.within.state_with(pooled)

    def sees(self, position: int) -> bool:
        return self.within.sees(position)


def make_readout(
    name: ReadoutName, memories: torch.Tensor, inside: Inside, frame: SliceFrame, mask: Volume | None, zs: Sequence[int]
) -> Readout:
    """The readout `name` of memories (slices, channels, h, w) of the slices `zs`, `inside` the region or of all cells.

    Raises InputError where the region is needed and there is no mask.
    """
    if not inside:
        return read_out(name, memories)
    if mask is None:
        raise InputError("Memories are to be pooled inside the region, but there is no mask; give one.")
    cells = torch.cat([cover_cells(frame, np.asarray(mask.voxels[[z]], dtype=np.bool_)) for z in zs])
    return InsideReadout(name, memories, cells, inside == "peak")


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
    enough = torch.minimum(cells.amax(dim=(2, 3), keepdim=True), cells.new_tensor(PEAK_SHARE))
    peak: torch.Tensor = memories.float().masked_fill(cells < enough, float("-inf")).amax(dim=(2, 3), keepdim=True)
    return peak
