"""Running an occlusion plan: every occluded slice is encoded once, and the readout is updated exactly."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby

import numpy as np
import numpy.typing as npt
import torch

from MemorySurvivalLib.explain.fills import Fills
from MemorySurvivalLib.explain.finished import Finished, key_of
from MemorySurvivalLib.explain.plan import Occlusion, Patch
from MemorySurvivalLib.explain.sequential import run_sequential
from MemorySurvivalLib.explain.subject import Subject, exchanged
from MemorySurvivalLib.imaging.window import Modality
from MemorySurvivalLib.memory.cache import MemoryCache
from MemorySurvivalLib.memory.side_by_side import RunEach, run_side_by_side
from MemorySurvivalLib.progress import Meter, ProgressCallback, ignore_progress

Memories = dict[Modality, dict[int, torch.Tensor]]
"""By modality and position in the pass: the memory that an occluded slice leaves."""


@dataclass(frozen=True)
class OccludedRisks:
    """Log-risks (occlusions, variants) in the order of the plan, and how many of them an earlier run had finished."""

    risks: npt.NDArray[np.float64]
    resumed: int


def occluded_log_risks(
    subject: Subject,
    occlusions: Sequence[Occlusion],
    fills: Fills,
    *,
    stage: str = "occlusion",
    batch_size: int = 1,
    cache: MemoryCache | None = None,
    progress: ProgressCallback = ignore_progress,
) -> OccludedRisks:
    """Log-risk after each occlusion, for each of the subject's variants (all modalities at once, then each alone).

    In `boxed` mode a slice's memory depends on that slice alone, so an occlusion changes only the memories of the
    slices it touches: each distinct (slice, rows, columns) is encoded once, for all patches that contain it, and the
    readout exchanges those memories. In `streamed` and `tracked` mode the pass is resumed at the first slice that
    changed. What the readout cannot see is not encoded at all: its effect is exactly 0. Equal to running the whole
    pass again for every patch with the same prompts, within 1e-5 at `batch_size` 1; larger batches round differently.
    Statistics that the head takes are measured again for every occlusion.

    Finished patches are kept in the folder of `cache` while the work goes on; the same request starts with them.
    """
    with Finished(cache, key_of(subject, occlusions, fills) if cache else "", len(occlusions), len(subject.names)) as f:
        wanted = [n for n in range(len(occlusions)) if not f.done[n]]
        run = _run_boxed if subject.mode == "boxed" else run_sequential
        run(subject, occlusions, wanted, fills, f, stage, batch_size, progress)
    return OccludedRisks(f.risks, f.resumed)


def touched_positions(subject: Subject, occlusion: Occlusion) -> list[int]:
    """Positions of the pass whose slices an occlusion changes and whose memories the readout sees."""
    return subject.positions([k for k, box in enumerate(subject.any_pass.boxes) if occlusion.touches(box.z)])


def count_encodings(subject: Subject, occlusions: Sequence[Occlusion]) -> int:
    """How many slices a plan encodes in all modalities together."""
    distinct = {(k, _key(one)) for one in occlusions for k in touched_positions(subject, one)}
    return len(distinct) * len(subject.modalities)


def _key(occlusion: Occlusion) -> Hashable:
    """Occlusions of one key change a slice in the same way."""
    return occlusion.plane if isinstance(occlusion, Patch) else id(occlusion)


def _run_boxed(
    subject: Subject,
    occlusions: Sequence[Occlusion],
    wanted: list[int],
    fills: Fills,
    finished: Finished,
    stage: str,
    batch_size: int,
    progress: ProgressCallback,
) -> None:
    """Column by column: only patches of one plane share slices, so patches are finished soon and little is kept."""
    baseline = subject.baseline_states()
    unmoved = subject.variant_risks(baseline, baseline)
    slices = {n: touched_positions(subject, occlusions[n]) for n in wanted}
    for n in wanted:
        if not slices[n]:
            measured = subject.measure(occlusions[n], fills)
            finished.add(n, subject.variant_risks(baseline, baseline, measured) if measured else unmoved)
    ordered = sorted((n for n in wanted if slices[n]), key=lambda n: (str(_key(occlusions[n])), slices[n][0]))
    columns = [list(group) for _, group in groupby(ordered, key=lambda n: _key(occlusions[n]))]
    meter = Meter(stage, sum(len({k for n in column for k in slices[n]}) for column in columns), progress)
    with run_side_by_side(subject.engine.device, len(subject.modalities)) as run_each:
        for column in columns:
            _run_column(subject, occlusions, column, slices, fills, finished, batch_size, meter, run_each)


def _run_column(
    subject: Subject,
    occlusions: Sequence[Occlusion],
    column: list[int],
    slices: dict[int, list[int]],
    fills: Fills,
    finished: Finished,
    batch_size: int,
    meter: Meter,
    run_each: RunEach,
) -> None:
    """Finish the patches of one plane, from the head down."""
    baseline = subject.baseline_states()
    kept: Memories = {modality: {} for modality in subject.modalities}
    needs = sorted({k for n in column for k in slices[n]})
    for n in column:
        missing = [k for k in slices[n] if k not in kept[subject.modalities[0]]]
        # A batch may run ahead into the slices of the next patches of the column.
        ahead = needs[needs.index(missing[0]) :] if missing else []
        while missing:
            batch, ahead = ahead[:batch_size], ahead[batch_size:]
            found = run_each(partial(_encode, subject, occlusions[n], batch, fills), subject.modalities)
            for modality, memories in zip(subject.modalities, found, strict=True):
                kept[modality] |= memories
            for _ in batch:
                meter.step()
            missing = [k for k in missing if k not in batch]
        states = {
            modality: exchanged(subject.passes[modality].readout, {k: kept[modality][k] for k in slices[n]})
            for modality in subject.modalities
        }
        finished.add(n, subject.variant_risks(baseline, states, subject.measure(occlusions[n], fills)))
        for modality in subject.modalities:
            kept[modality] = {k: memory for k, memory in kept[modality].items() if k >= slices[n][0]}


def _encode(
    subject: Subject, occlusion: Occlusion, positions: list[int], fills: Fills, modality: Modality
) -> dict[int, torch.Tensor]:
    """The memories of the slices at these positions after the occlusion."""
    one = subject.passes[modality]
    voxels = subject.case.image(modality).voxels
    zs = [one.boxes[k].z for k in positions]
    pixels = np.stack([fills[modality].occlude(voxels[z], z, occlusion) for z in zs])
    prompt = one.prompter.prompt([one.boxes[k] for k in positions])
    memories = subject.engine.memories(one.frame.picture(pixels, one.window, subject.engine.device), prompt)
    return dict(zip(positions, memories, strict=True))
