"""The gradient map: what the head makes of each cell of each slice's memory, followed back through the downsampler.

Cheap, since no slice is encoded again, and coarse: a cell covers 16 x 16 pixels of the model's picture and has itself
seen far more of it. It is what the paper calls Grad-CAM style, and no replacement for occlusion.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import interpolate

from MemorySurvivalLib.explain.subject import Subject
from MemorySurvivalLib.imaging.volume import Volume
from MemorySurvivalLib.imaging.window import Modality
from MemorySurvivalLib.memory.inside import InsideReadout, LesionPool
from MemorySurvivalLib.memory.propagation import Pass
from MemorySurvivalLib.memory.readout import (
    BankReadout,
    MaxReadout,
    MeanReadout,
    Readout,
    StationsReadout,
)
from MemorySurvivalLib.risk.downsamplers import AverageDownsampler
from MemorySurvivalLib.roi.roi import Roi

UNIT = "contribution to the log-risk, first order"
MEANING = "coarse: memory cells of the slices used; positive (red) speaks for a higher risk than the average map"

Cells = npt.NDArray[np.float32]
"""(slices, rows, columns) of the memory grid, in the order of the pass."""


def gradient_map(subject: Subject, roi: Roi) -> Volume:
    """Contributions summed over modalities on the ROI's bounding box (float32), zero outside the ROI.

    The log-risk's gradient by each cell times how far the cell lies from the training cohort's average map: together
    a first-order account of the log-risk. Voxels take the value of their cell in the nearest slice used; a cell's
    contribution counts at every voxel of it, so the map shows strengths, not densities.
    """
    start, stop = roi.bounds_zyx
    crop = roi.mask.cropped(start, stop)
    total = np.zeros(crop.shape, dtype=np.float32)
    for modality, cells in contributions(subject).items():
        one = subject.passes[modality]
        rows, columns = _cells_of(one, cells.shape[1], start[1:], stop[1:])
        zs = np.asarray([box.z for box in one.boxes])
        for offset in range(crop.shape[0]):
            nearest = int(np.abs(zs - (start[0] + offset)).argmin())
            total[offset] += cells[nearest][np.ix_(rows, columns)]
    total[~crop.voxels] = 0
    return Volume(total, crop.affine, {"unit": UNIT, "meaning": MEANING})


def contributions(subject: Subject) -> dict[Modality, Cells]:
    """For each occluded modality the contribution of every memory cell, to first order.

    Statistics that the head takes stay as they are: what goes through them has no memory cell.
    """
    memories = {m: one.memories.float().requires_grad_(m in subject.modalities) for m, one in subject.passes.items()}
    maps = {
        m: subject.head.prepare(_state(subject.passes[m].readout, memories[m])[None])
        for m in subject.head.spec.modalities
    }
    vector = torch.tensor([subject.covariates], dtype=torch.float32).reshape(1, -1)
    rows = subject.own_statistics()
    measured = torch.tensor(rows, dtype=torch.float32) if rows is not None else None
    risk = subject.head(maps, vector, measured).log_risk[0]
    gradients = torch.autograd.grad(risk, [memories[m] for m in subject.modalities])
    found: dict[Modality, Cells] = {}
    for modality, gradient in zip(subject.modalities, gradients, strict=True):
        readout = subject.passes[modality].readout
        if isinstance(readout, InsideReadout) and isinstance(readout.pool, LesionPool):
            # The head's averages are of lesions; of memories only the reader knows one, its training's.
            average = readout.pool.reader.get_buffer(f"{modality}_mean")[:, None, None]
        else:
            average = _average(subject.head.downsamplers[modality], gradient)
        found[modality] = (gradient * (memories[modality].detach() - average)).sum(dim=1).numpy()
    return found


def _average(downsampler: torch.nn.Module, gradient: torch.Tensor) -> torch.Tensor:
    """The training cohort's average memory (1 or channels, h, w); that of several layers is their mean."""
    mean = downsampler.mean
    assert isinstance(mean, torch.Tensor)
    if isinstance(downsampler, AverageDownsampler):
        return interpolate(mean[None], gradient.shape[-2:], mode="bilinear", align_corners=False)[0]
    return mean.reshape(-1, gradient.shape[1], *mean.shape[1:]).mean(dim=0)


def _state(readout: Readout, memories: torch.Tensor) -> torch.Tensor:
    """The readout of memories that a gradient can flow through; the values are those of `readout.state()`."""
    if isinstance(readout, InsideReadout):
        return _state(readout.within, readout.pool(memories, readout.cells))
    if isinstance(readout, MeanReadout):
        return memories.mean(dim=0, keepdim=True)
    if isinstance(readout, MaxReadout):
        return memories.amax(dim=0, keepdim=True)
    layers = len(readout.state())
    count = len(memories)
    if isinstance(readout, StationsReadout):
        parts = zip(readout.spans, readout.within, strict=True)
        return torch.cat([_state(one, memories[start:stop]) for (start, stop), one in parts])
    assert isinstance(readout, BankReadout)
    kept = memories[max(0, count - layers) :]
    padding = memories.new_zeros((layers - len(kept), *memories.shape[1:]))
    return torch.cat([padding, kept])


def _cells_of(
    one: Pass, grid: int, start_yx: tuple[int, ...], stop_yx: tuple[int, ...]
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Which row and column of the memory grid each row and column of voxels falls into."""
    frame = one.frame
    cell = frame.image_size / grid
    y = np.arange(start_yx[0], stop_yx[0])
    x = np.arange(start_yx[1], stop_yx[1])
    right, down = frame.places(x + 0.5, y + 0.5)
    return (
        np.clip((down / cell).astype(np.intp), 0, grid - 1),
        np.clip((right / cell).astype(np.intp), 0, grid - 1),
    )
