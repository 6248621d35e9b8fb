"""What the study keeps of one case: memories pooled and read out in many ways from slices that are encoded once."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import adaptive_avg_pool2d

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.case import Case
from MemorySurvivalLib.imaging.volume import Volume
from MemorySurvivalLib.imaging.window import MODALITIES, Modality, Window
from MemorySurvivalLib.measure.statistics import HOT_SUV, measure_statistics
from MemorySurvivalLib.memory.engine import MemoryEngine
from MemorySurvivalLib.memory.features import Features
from MemorySurvivalLib.memory.inside import average_inside, choose_pool, cover_cells, peak_inside
from MemorySurvivalLib.memory.prompts import box_prompt
from MemorySurvivalLib.memory.readout import ReadoutName, read_out
from MemorySurvivalLib.memory.slices import Field, SliceFrame, close_up
from MemorySurvivalLib.roi.boxes import SliceBox, prompt_boxes, raise_step
from MemorySurvivalLib.roi.roi import RoiKind
from MemorySurvivalLib.study.configuration import ENCODER, Embedding
from MemorySurvivalLib.study.imagenet import IMAGENET, embed_slices
from MemorySurvivalLib.study.imagenet_network import ImagenetNetwork

Levels = npt.NDArray[np.intp]
"""Slices of a volume by their number, which grows towards the head."""


@dataclass(frozen=True, eq=False)
class EmbeddedCase:
    """`vectors` (channels,) and `maps` (channels, h, w), float16, by "MODALITY/roi/readout/kind"; `statistics` by
    "roi/name"; `slices` how many slices each ROI was read on, `step` every how many-th of the first ROI;
    `seconds` of processor time."""

    vectors: Mapping[str, torch.Tensor]
    maps: Mapping[str, torch.Tensor]
    small_maps: Mapping[str, torch.Tensor]
    statistics: Mapping[str, float]
    slices: Mapping[RoiKind, int]
    step: int
    seconds: float


@dataclass(frozen=True, eq=False)
class _Passes:
    """What the slices of one ROI and modality leave: memories (n, channels, h, w), their means and peaks inside the
    ROI, the means of the encoder's features there (n, channels, 1, 1), and the share of each cell that the ROI covers
    (n, 1, h, w)."""

    memories: torch.Tensor
    inside: torch.Tensor
    peaks: torch.Tensor
    encoder: torch.Tensor
    cells: torch.Tensor


def choose_boxes(
    masks: Mapping[RoiKind, Volume], first_step: int, most_slices: int
) -> tuple[dict[RoiKind, tuple[SliceBox, ...]], int]:
    """Boxes of each ROI, from head to feet, and the step of the first ROI.

    The first ROI is read as scoring reads it, `prompt_boxes(mask, first_step, most_slices)`, whatever the others hold.
    The others are read on every second of its slices, so that most slices serve both, and as sparsely where it has
    none; on every third, and so on, where that would be more than `most_slices`.
    """
    present = {kind: np.flatnonzero(mask.voxels.any(axis=(1, 2))) for kind, mask in masks.items()}
    empty = [kind for kind, levels in present.items() if not len(levels)]
    if empty:
        raise InputError(f"The region {empty[0]} has no voxels, so there is nothing to read; give another mask.")
    first, *others = present
    step = raise_step(len(present[first]), first_step, most_slices)
    boxes = {first: prompt_boxes(masks[first], step)}
    ladder = np.array([box.z for box in boxes[first]])
    for kind in others:
        sparser = (_share(present[kind], ladder, step, multiple) for multiple in count(2))
        levels = next(levels for levels in sparser if len(levels) <= most_slices)
        boxes[kind] = prompt_boxes(_only(masks[kind], levels), 1)
    return boxes, step


def embed_case(
    engine: MemoryEngine,
    case: Case,
    masks: Mapping[RoiKind, Volume],
    settings: Embedding,
    *,
    small_maps: bool,
    imagenet: ImagenetNetwork | None = None,
) -> EmbeddedCase:
    """Embed a case for every ROI of `settings` (bool masks on the case's grid), and by the ImageNet network if given.

    Mode `boxed`: a slice's memory depends on that slice and its box alone, so each slice is encoded once for both ROIs.
    """
    start = time.process_time()
    if settings.lesion_suv != HOT_SUV:
        raise ValueError(f"MTV and TLG are measured at SUVbw {HOT_SUV:g}, not {settings.lesion_suv:g}")
    masks = {kind: masks[kind] for kind in settings.rois}
    boxes, step = choose_boxes(masks, settings.first_step, settings.most_slices)
    field = None if settings.close_up_mm is None else close_up(masks[settings.rois[0]], settings.close_up_mm)
    vectors: dict[str, torch.Tensor] = {}
    maps: dict[str, torch.Tensor] = {}
    small: dict[str, torch.Tensor] = {}
    for modality in MODALITIES:
        passes = _read(
            engine, case.image(modality), settings.window_map[modality], masks, boxes, settings.batch_size, field
        )
        pool = choose_pool("lesions", modality, engine.reader) if settings.lesion_readouts else None
        for kind, one in passes.items():
            place = f"{modality}/{kind}"
            for name in settings.region_readouts:
                vectors[f"{place}/{name}/{settings.kind('region')}"] = _state(name, one.inside).flatten()
            for name in settings.peak_readouts:
                vectors[f"{place}/{name}/{settings.kind('peak')}"] = _state(name, one.peaks).flatten()
            for name in settings.lesion_readouts:
                assert pool is not None
                found = pool(one.memories, one.cells)
                vectors[f"{place}/{name}/{settings.kind('lesions')}"] = _state(name, found).flatten()
            for name in settings.grid_readouts:
                vectors[f"{place}/{name}/{settings.kind('grid')}"] = (
                    _state(name, one.memories).mean(dim=(2, 3)).flatten()
                )
            if settings.region_readouts:
                vectors[f"{place}/{ENCODER}/{settings.kind('region')}"] = _state("mean", one.encoder).flatten()
            for name in settings.average_maps.get(kind, ()):
                maps[f"{place}/{name}/average"] = _state(name, one.memories).mean(dim=(0, 1))[None]
            for name in settings.small_maps.get(kind, ()) if small_maps else ():
                side = settings.small_side
                small[f"{place}/{name}/small"] = adaptive_avg_pool2d(_state(name, one.memories), side).flatten(0, 1)
    if imagenet is not None and settings.imagenet is not None:
        baseline, windows = settings.imagenet, settings.window_map
        levels = [box.z for box in boxes[baseline.roi]]
        for modality in MODALITIES:
            vectors[f"{modality}/{baseline.roi}/{IMAGENET}/grid"] = embed_slices(
                imagenet, case.image(modality), windows[modality], levels, baseline, engine.device
            )
    statistics = {
        f"{kind}/{name}": value
        for kind, mask in masks.items()
        for name, value in measure_statistics(case, mask.voxels).items()
    }
    slices = {kind: len(found) for kind, found in boxes.items()}
    seconds = time.process_time() - start
    return EmbeddedCase(_half(vectors), _half(maps), _half(small), statistics, slices, step, seconds)


def _read(
    engine: MemoryEngine,
    image: Volume,
    window: Window,
    masks: Mapping[RoiKind, Volume],
    boxes: Mapping[RoiKind, tuple[SliceBox, ...]],
    batch_size: int,
    field: Field | None,
) -> dict[RoiKind, _Passes]:
    frame = SliceFrame.of(image, engine.image_size, field)
    by_level = {kind: {box.z: box for box in found} for kind, found in boxes.items()}
    levels = sorted({z for found in by_level.values() for z in found}, reverse=True)
    size = engine.batch_size(batch_size)
    memories: dict[RoiKind, list[torch.Tensor]] = {kind: [] for kind in boxes}
    inside: dict[RoiKind, list[torch.Tensor]] = {kind: [] for kind in boxes}
    peaks: dict[RoiKind, list[torch.Tensor]] = {kind: [] for kind in boxes}
    encoder: dict[RoiKind, list[torch.Tensor]] = {kind: [] for kind in boxes}
    covered: dict[RoiKind, list[torch.Tensor]] = {kind: [] for kind in boxes}
    for start in range(0, len(levels), size):
        batch = levels[start : start + size]
        features = engine.encode(frame.picture(image.voxels[batch], window, engine.device))
        coarsest = features.maps[-1].float().cpu()
        for kind, found in by_level.items():
            rows = [row for row, z in enumerate(batch) if z in found]
            if not rows:
                continue
            own = [batch[row] for row in rows]
            prompt = box_prompt(torch.stack([frame.box(found[z]) for z in own]))
            memory = engine.condition(_take(features, rows), prompt).memory.cpu()
            cells = cover_cells(frame, masks[kind].voxels[own])
            memories[kind].append(memory)
            inside[kind].append(average_inside(memory, cells))
            peaks[kind].append(peak_inside(memory, cells))
            encoder[kind].append(average_inside(coarsest[rows], cells))
            covered[kind].append(cells)
    kept = (memories, inside, peaks, encoder, covered)
    return {kind: _Passes(*(torch.cat(one[kind]) for one in kept)) for kind in boxes}


def _take(features: Features, rows: list[int]) -> Features:
    if len(rows) == len(features.maps[0]):
        return features
    return Features(tuple(one[rows] for one in features.maps), tuple(one[rows] for one in features.positions))


def _state(name: ReadoutName, memories: torch.Tensor) -> torch.Tensor:
    return read_out(name, memories).state()


def _share(levels: Levels, ladder: Levels, step: int, multiple: int) -> Levels:
    """Those of `levels` (rising) that are every `multiple`-th of `ladder` (falling), and beyond its ends and in its
    gaps every `multiple * step`-th counted from it; never none."""
    rungs, every = ladder[::multiple][::-1], multiple * step
    position = np.searchsorted(rungs, levels)
    above = rungs[np.minimum(position, len(rungs) - 1)]
    below = np.concatenate(([levels[0] - every], rungs))[position]
    kept: npt.NDArray[np.bool_] = (levels == above) | ((above - levels) % every == 0) & (levels - below >= step)
    kept[-1] |= not kept.any()
    chosen: Levels = levels[kept]
    return chosen


def _only(mask: Volume, levels: Levels) -> Volume:
    kept = np.zeros_like(mask.voxels)
    kept[levels] = mask.voxels[levels]
    return mask.with_voxels(kept)


def _half(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: tensor.half().contiguous() for name, tensor in tensors.items()}


def split_key(key: str) -> tuple[Modality, str, str, str]:
    """Modality, ROI, readout and kind of a key."""
    modality, roi, readout, kind = key.split("/")
    return ("PET" if modality == "PET" else "CT"), roi, readout, kind
