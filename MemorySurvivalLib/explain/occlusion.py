"""Running an occlusion plan: every occluded slice is encoded once, and the readout is updated exactly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import numpy.typing as npt
import torch

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.explain.plan import FillName, Patch
from MemorySurvivalLib.imaging.case import Case
from MemorySurvivalLib.imaging.window import Modality
from MemorySurvivalLib.memory.engine import MemoryEngine
from MemorySurvivalLib.memory.propagation import Pass
from MemorySurvivalLib.progress import Meter, ProgressCallback, ignore_progress
from MemorySurvivalLib.risk.downsamplers import AverageDownsampler
from MemorySurvivalLib.risk.head import RiskHead
from MemorySurvivalLib.roi.roi import Roi

InPlane = tuple[int, int, int, int]
"""Rows and columns of a patch: y0, y1, x0, x1."""


@dataclass(frozen=True)
class Work:
    """One slice with one in-plane occlusion, shared by all patches that contain it."""

    position: int
    plane: InPlane


def fill_values(case: Case, roi: Roi, fill: FillName) -> dict[Modality, float]:
    """What occluded voxels become, in HU and SUVbw, taken once from the unoccluded volume."""
    values: dict[Modality, float] = {}
    modalities: tuple[Modality, ...] = ("PET", "CT")
    for modality in modalities:
        voxels = case.image(modality).voxels
        values[modality] = float(
            np.median(voxels[roi.mask.voxels]) if fill == "roi_median" else voxels.mean(dtype=np.float64)
        )
    return values


def occluded_log_risks(
    engine: MemoryEngine,
    case: Case,
    passes: Mapping[Modality, Pass],
    head: RiskHead,
    covariates: tuple[float, ...],
    patches: tuple[Patch, ...],
    fills: Mapping[Modality, float],
    progress: ProgressCallback = ignore_progress,
) -> npt.NDArray[np.float64]:
    """Log-risk after occluding each patch in all modalities at once, in the order of `patches`.

    In `boxed` mode a slice's memory depends on that slice alone, so a patch changes only the memories of the slices
    it touches: each distinct (slice, rows, columns) is encoded once and the readout exchanges those memories. Slices
    that the readout cannot see are not encoded at all. Equal to re-running the whole pass for every patch with the
    same prompts. Raises InputError for the modes in which a slice changes the memories of others.
    """
    for one_pass in passes.values():
        if one_pass.mode != "boxed":
            raise InputError(
                f"There is no heatmap for mode {one_pass.mode}, in which a slice changes the memories of slices after "
                "it; score without a heatmap or use a bundle of mode boxed."
            )
    layers = [_Layer(span, tuple(group)) for span, group in groupby(range(len(patches)), lambda i: _span(patches[i]))]
    any_pass = next(iter(passes.values()))
    positions = [_visible_positions(any_pass, layer.span) for layer in layers]
    wanted = [
        [Work(k, _plane(patches[i])) for k in visible for i in layer.members]
        for layer, visible in zip(layers, positions, strict=True)
    ]
    last_use = {work: number for number, works in enumerate(wanted) for work in works}
    meter = Meter("occlusion", len(last_use), progress)
    log_risks = np.empty(len(patches))
    memories: dict[Work, dict[Modality, torch.Tensor]] = {}
    for number, (layer, visible) in enumerate(zip(layers, positions, strict=True)):
        for work in wanted[number]:
            if work not in memories:
                memories[work] = {m: _occluded_memory(engine, case, p, work, fills[m]) for m, p in passes.items()}
                meter.step()
        states: dict[Modality, list[torch.Tensor]] = {
            modality: [
                one_pass.readout.state_with({k: memories[Work(k, _plane(patches[i]))][modality] for k in visible})
                for i in layer.members
            ]
            for modality, one_pass in passes.items()
        }
        log_risks[list(layer.members)] = _score(head, states, covariates)
        memories = {work: kept for work, kept in memories.items() if last_use[work] > number}
    return log_risks


@dataclass(frozen=True)
class _Layer:
    """Patches of one z-span; their slices are the same, so their work is shared and can be forgotten together."""

    span: tuple[int, int]
    members: tuple[int, ...]


def _visible_positions(one_pass: Pass, span: tuple[int, int]) -> list[int]:
    """Positions of the pass whose slices lie in the z-span and can change the readout."""
    return [k for k, box in enumerate(one_pass.boxes) if span[0] <= box.z < span[1] and one_pass.readout.sees(k)]


def _occluded_memory(engine: MemoryEngine, case: Case, one_pass: Pass, work: Work, fill: float) -> torch.Tensor:
    box = one_pass.boxes[work.position]
    y0, y1, x0, x1 = work.plane
    pixels = case.image(one_pass.modality).voxels[box.z].astype(np.float32)
    pixels[y0:y1, x0:x1] = fill
    picture = one_pass.frame.picture(pixels[None], one_pass.window)
    return engine.memories(picture, one_pass.prompt(work.position))[0]


@torch.inference_mode()
def _score(
    head: RiskHead, states: Mapping[Modality, list[torch.Tensor]], covariates: tuple[float, ...]
) -> npt.NDArray[np.float64]:
    count = len(next(iter(states.values())))
    vector = torch.tensor([covariates], dtype=torch.float32).reshape(1, -1).expand(count, -1)
    maps = {modality: AverageDownsampler.average(torch.stack(tensors)) for modality, tensors in states.items()}
    log_risks: npt.NDArray[np.float64] = head(maps, vector).log_risk.double().numpy()
    return log_risks


def _span(patch: Patch) -> tuple[int, int]:
    return patch.z0, patch.z1


def _plane(patch: Patch) -> InPlane:
    return patch.y0, patch.y1, patch.x0, patch.x1
