"""A simulated cohort embedded once and kept on disk, one file a case, so that any machine can continue it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
import safetensors.torch
import torch

from MemorySurvivalLib.files import atomic_file
from MemorySurvivalLib.imaging.case import make_case
from MemorySurvivalLib.imaging.window import MODALITIES, Modality, Window
from MemorySurvivalLib.memory.engine import MemoryEngine
from MemorySurvivalLib.memory.propagation import PropagationConfig, propagate
from MemorySurvivalLib.progress import ProgressCallback, ignore_progress, track
from MemorySurvivalLib.risk.downsamplers import AverageDownsampler
from MemorySurvivalLib.roi.boxes import prompt_boxes
from MemorySurvivalLib.simulation.case import SimulatedCase, simulate_case


class CaseOutcome(msgspec.Struct, frozen=True):
    """What is kept of a simulated patient besides the memory states."""

    seed: int
    time_months: float
    event: bool
    covariates: dict[str, str]


@dataclass(frozen=True, eq=False)
class EmbeddedCohort:
    """Averaged maps (n, 1, 64, 64) by modality, outcomes and covariates of n cases in the order of their seeds."""

    maps: Mapping[Modality, torch.Tensor]
    outcomes: tuple[CaseOutcome, ...]

    @property
    def times_months(self) -> npt.NDArray[np.float64]:
        """Observed times (n,)."""
        return np.array([outcome.time_months for outcome in self.outcomes])

    @property
    def events(self) -> npt.NDArray[np.bool_]:
        """Whether progression was observed (n,)."""
        return np.array([outcome.event for outcome in self.outcomes])

    def take(self, index: npt.NDArray[np.intp]) -> EmbeddedCohort:
        """The cases at `index`."""
        rows = torch.from_numpy(index)
        return EmbeddedCohort(
            {modality: maps[rows] for modality, maps in self.maps.items()}, tuple(self.outcomes[i] for i in index)
        )


def embed_cohort(
    engine: MemoryEngine,
    seeds: range,
    spacing_mm: tuple[float, float, float],
    windows: Mapping[Modality, Window],
    config: PropagationConfig,
    folder: Path,
    progress: ProgressCallback = ignore_progress,
) -> EmbeddedCohort:
    """Simulate and embed the cases that are not on disk yet, then read them all.

    The spine mask is the phantom's true one. States are kept as float16 (64 channels, 16 x 16).
    """
    for seed in track(seeds, "cohort", len(seeds), progress):
        target = folder / f"case-{seed:06d}.safetensors"
        if target.exists():
            continue
        case = simulate_case(seed, spacing_mm=spacing_mm)
        states = _embed(engine, case, windows, config)
        outcome = CaseOutcome(seed, case.truth.time_months, case.truth.event, case.covariates.row())
        metadata = {"outcome": msgspec.json.encode(outcome).decode()}
        with atomic_file(target) as temporary:
            temporary.write_bytes(safetensors.torch.save({m: s.half() for m, s in states.items()}, metadata))
    return read_cohort(folder, seeds)


def read_cohort(folder: Path, seeds: range) -> EmbeddedCohort:
    """Read the embedded cases of `seeds`."""
    maps: dict[Modality, list[torch.Tensor]] = {modality: [] for modality in MODALITIES}
    outcomes = []
    for seed in seeds:
        path = folder / f"case-{seed:06d}.safetensors"
        with safetensors.safe_open(path, framework="pt") as file:
            outcomes.append(msgspec.json.decode(file.metadata()["outcome"], type=CaseOutcome))
            for modality in MODALITIES:
                maps[modality].append(AverageDownsampler.average(file.get_tensor(modality).float()[None]))
    return EmbeddedCohort({m: torch.cat(tensors) for m, tensors in maps.items()}, tuple(outcomes))


def _embed(
    engine: MemoryEngine, simulated: SimulatedCase, windows: Mapping[Modality, Window], config: PropagationConfig
) -> dict[Modality, torch.Tensor]:
    case = make_case(simulated.ct, simulated.pet)
    mask = simulated.spine_dilated
    boxes = prompt_boxes(mask.with_voxels(mask.voxels > 0), config.slice_step)
    return {
        modality: propagate(engine, case.image(modality), modality, windows[modality], boxes, config).readout.state()
        for modality in MODALITIES
    }
