"""What the lesion reader learns from: memories of close-ups of phantoms, and how much of each cell is lesion.

The phantoms are no patients of the study: cohort seeds of their own.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import msgspec
import numpy as np
import safetensors
import safetensors.torch
import SimpleITK as sitk
import torch

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.files import atomic_file
from MemorySurvivalLib.imaging.volume import Volume
from MemorySurvivalLib.imaging.window import MODALITIES, Modality
from MemorySurvivalLib.memory.engine import MemoryEngine
from MemorySurvivalLib.memory.inside import counted, cover_cells
from MemorySurvivalLib.memory.lesion_reader import KINDS
from MemorySurvivalLib.memory.prompts import box_prompt
from MemorySurvivalLib.memory.slices import SliceFrame, close_up
from MemorySurvivalLib.progress import ProgressCallback, ignore_progress, track
from MemorySurvivalLib.roi.boxes import prompt_boxes
from MemorySurvivalLib.roi.roi import RoiKind
from MemorySurvivalLib.simulation.patient import Patient, draw_patient
from MemorySurvivalLib.simulation.scenario import load_scenario
from MemorySurvivalLib.simulation.scenario_case import simulate_patient
from MemorySurvivalLib.study.configuration import Embedding
from MemorySurvivalLib.study.embed_cohorts import load_engine, take_in

TRAINING_COHORT = 63_000
"""Cohort seed of the phantoms the reader learns from: no cohort of the study and no figure draws it."""

HELD_OUT_COHORT = 64_000
"""Cohort seed of the phantoms it is judged on."""


@dataclass(frozen=True, eq=False)
class ReaderCase:
    """One phantom: memories (slices, channels, h, w) by modality, bfloat16, which cells count (slices, 1, h, w), and
    the share of each cell that is lesion of each kind (slices, kinds, h, w)."""

    memories: dict[Modality, torch.Tensor]
    counted: torch.Tensor
    shares: torch.Tensor


def gather_cases(
    settings: Embedding,
    scenario: str,
    seed: int,
    count: int,
    folder: Path,
    *,
    processes: int = 1,
    progress: ProgressCallback = ignore_progress,
) -> list[Path]:
    """Simulate and read so many patients of a cohort; what is in `folder` is not made again.

    `settings` embed close-ups of one region. Raises InputError for others, and where the weights are not theirs.
    """
    if settings.close_up_mm is None:
        raise InputError("The lesion reader reads close-ups; give the study's settings for these.")
    place = folder / f"reader-{_name(settings)}" / f"{scenario}-seed-{seed}"
    paths = [place / f"case-{number:05d}.safetensors" for number in range(count)]
    missing = [number for number, path in enumerate(paths) if not path.exists()]
    encoded = msgspec.json.encode(settings)
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        made = (
            pool.map(_work, *zip(*((encoded, scenario, seed, n, paths[n]) for n in missing), strict=True))
            if missing
            else ()
        )
        for _ in track(made, f"phantoms {seed}", len(missing), progress):
            pass
    return paths


def _name(settings: Embedding) -> str:
    """Of the folder: cases of another backbone, other windows, slices or fields are others."""
    return msgspec.structs.replace(
        settings, region_readouts=(), peak_readouts=(), lesion_readouts=(), reader_sha256=None
    ).sha256[:12]


def _work(settings: bytes, scenario: str, seed: int, number: int, path: Path) -> None:
    torch.set_num_threads(1)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    given, engine = _engine(settings)
    made = make_case(engine, given, draw_patient(load_scenario(scenario), seed, number))
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors: dict[str, torch.Tensor] = {
        **{str(m): one for m, one in made.memories.items()},
        "counted": made.counted,
        "shares": made.shares.half(),
    }
    with atomic_file(path) as temporary:
        temporary.write_bytes(safetensors.torch.save({key: one.contiguous() for key, one in tensors.items()}))


@cache
def _engine(settings: bytes) -> tuple[Embedding, MemoryEngine]:
    """Loaded once a process."""
    given = msgspec.json.decode(settings, type=Embedding)
    return given, load_engine(given)


def make_case(engine: MemoryEngine, settings: Embedding, patient: Patient) -> ReaderCase:
    """Simulate one patient and read the slices that the study would."""
    images = simulate_patient(patient)
    kind = settings.rois[0]
    given: dict[RoiKind, Volume] = {kind: getattr(images, kind)}
    case, masks = take_in(images.ct, images.pet, given)
    mask = masks[kind]
    foci = images.lesions.reoriented()
    assert foci.same_grid(case.ct)
    boxes = prompt_boxes(mask, settings.first_step, settings.most_slices)
    levels = [box.z for box in boxes]
    assert settings.close_up_mm is not None
    frame = SliceFrame.of(case.ct, engine.image_size, close_up(mask, settings.close_up_mm))
    memories = {}
    for modality in MODALITIES:
        image, window = case.image(modality), settings.window_map[modality]
        memories[modality] = torch.cat(
            [
                engine.memories(
                    frame.picture(image.voxels[levels[first : first + settings.batch_size]], window, engine.device),
                    box_prompt(torch.stack([frame.box(box) for box in boxes[first : first + settings.batch_size]])),
                )
                for first in range(0, len(boxes), settings.batch_size)
            ]
        )
    numbers = {kind: [n for n, focus in enumerate(images.phantom.foci, 1) if focus.kind == kind] for kind in KINDS}
    shares = [cover_cells(frame, np.isin(foci.voxels[levels], numbers[kind])) for kind in KINDS]
    return ReaderCase(memories, counted(cover_cells(frame, mask.voxels[levels])), torch.cat(shares, dim=1))


def read_cases(paths: Iterable[Path]) -> list[ReaderCase]:
    """Raises InputError for a damaged file."""
    found = []
    for path in paths:
        try:
            tensors = safetensors.torch.load_file(path)
            memories = {modality: tensors[modality] for modality in MODALITIES}
            found.append(ReaderCase(memories, tensors["counted"], tensors["shares"].float()))
        except (OSError, KeyError, safetensors.SafetensorError) as error:
            raise InputError(f"{path} cannot be read ({error}); delete it and train again.") from error
    return found
