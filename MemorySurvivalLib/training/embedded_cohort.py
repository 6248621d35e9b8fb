"""A simulated cohort embedded once and kept on disk, one file a case, so that any machine can continue it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt
import safetensors.torch
import torch

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.files import atomic_file
from MemorySurvivalLib.imaging.case import make_case
from MemorySurvivalLib.imaging.volume import Volume
from MemorySurvivalLib.imaging.window import MODALITIES, Modality, Window
from MemorySurvivalLib.memory.engine import MemoryEngine
from MemorySurvivalLib.memory.propagation import PropagationConfig, propagate
from MemorySurvivalLib.progress import ProgressCallback, ProgressEvent, ignore_progress
from MemorySurvivalLib.risk.downsamplers import AverageDownsampler
from MemorySurvivalLib.roi.boxes import SliceBox
from MemorySurvivalLib.simulation.case import STUDY_SPACING_MM, simulate_case

STAGE = "simulated patients"
"""What progress calls the embedding of a cohort."""

_UNREADABLE = (OSError, KeyError, safetensors.SafetensorError, msgspec.DecodeError)

_LISTEN_EVERY_S = 0.2
"""How long to wait for a phantom before the progress is told again, which is how somebody stops the work."""


@dataclass(frozen=True, eq=False)
class CohortCase:
    """What is needed of a simulated patient: CT (HU), PET (SUVbw, own grid), the region (uint8, the CT's grid), outcome
    and covariates as a table has them."""

    ct: Volume
    pet: Volume
    region: Volume
    time_months: float
    event: bool
    covariates: dict[str, str]

    def boxes(self, config: PropagationConfig) -> tuple[SliceBox, ...]:
        """The prompt boxes of the slices that are read."""
        return config.boxes(self.region.with_voxels(self.region.voxels > 0))


Drawn = TypeVar("Drawn")
Made = TypeVar("Made")

Simulate = Callable[[int], CohortCase]
"""Makes the patient of a seed."""


def simulate_cohort_case(seed: int, spacing_mm: tuple[float, float, float] = STUDY_SPACING_MM) -> CohortCase:
    """A whole-body phantom with its true dilated spine."""
    case = simulate_case(seed, spacing_mm=spacing_mm)
    truth = case.truth
    return CohortCase(case.ct, case.pet, case.spine_dilated, truth.time_months, truth.event, case.covariates.row())


class CaseOutcome(msgspec.Struct, frozen=True):
    """What is kept of a simulated patient besides the memory states; `computed_on` is the device in words."""

    seed: int
    time_months: float
    event: bool
    covariates: dict[str, str]
    computed_on: str = ""


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
    seeds: Sequence[int],
    windows: Mapping[Modality, Window],
    config: PropagationConfig,
    folder: Path,
    progress: ProgressCallback = ignore_progress,
    simulate: Simulate = simulate_cohort_case,
) -> None:
    """Simulate and embed the cases that are not on disk yet; stopped at any moment, the next call goes on.

    States are kept as float16 (64 channels, one cell for 16 x 16 pixels of the picture). The next case is simulated
    while one is embedded. Progress is told at least every fifth of a second or slice, so that raising from it stops
    the work soon.
    """
    missing = find_missing(seeds, folder)
    meter = CaseMeter(len(seeds) - len(missing), len(seeds), progress)
    for seed, case in zip(missing, make_ahead(missing, simulate, meter.tell), strict=True):
        states = _embed(engine, case, windows, config, meter)
        outcome = CaseOutcome(seed, case.time_months, case.event, case.covariates, engine.describe())
        metadata = {"outcome": msgspec.json.encode(outcome).decode()}
        with atomic_file(_file(folder, seed)) as temporary:
            temporary.write_bytes(safetensors.torch.save({m: s.half() for m, s in states.items()}, metadata))
        meter.step()


def find_missing(seeds: Sequence[int], folder: Path) -> list[int]:
    """The seeds whose case is not on disk, or not in one piece; it is made anew."""
    return [seed for seed in seeds if not _is_whole(_file(folder, seed))]


def read_cohort(folder: Path, seeds: Sequence[int]) -> EmbeddedCohort:
    """Read the embedded cases of `seeds`. Raises InputError naming a file that is missing or damaged."""
    maps: dict[Modality, list[torch.Tensor]] = {modality: [] for modality in MODALITIES}
    outcomes = []
    for seed in seeds:
        path = _file(folder, seed)
        try:
            with safetensors.safe_open(path, framework="pt") as file:
                outcomes.append(_outcome(file))
                for modality in MODALITIES:
                    maps[modality].append(AverageDownsampler.average(file.get_tensor(modality).float()[None]))
        except _UNREADABLE as error:
            raise InputError(f"The embedded case {path} cannot be read ({error}); embed the cohort again.") from error
    return EmbeddedCohort({m: torch.cat(tensors) for m, tensors in maps.items()}, tuple(outcomes))


def make_ahead(drawn: Sequence[Drawn], simulate: Callable[[Drawn], Made], tell: Callable[[], None]) -> Iterator[Made]:
    """The cases of `drawn` (seeds or patients) in their order; the next one is made meanwhile, in its own thread.

    While a case is waited for, `tell` is called again and again; raising from it ends the wait at once.
    """
    thread = ThreadPoolExecutor(1, "simulate")
    try:
        coming = [thread.submit(simulate, one) for one in drawn[:1]]
        for following in [*drawn[1:], None]:
            if not coming:
                return
            while wait(coming, _LISTEN_EVERY_S).not_done:
                tell()
            ready = coming.pop().result()
            if following is not None:
                coming.append(thread.submit(simulate, following))
            yield ready
    finally:
        thread.shutdown(wait=False, cancel_futures=True)


class CaseMeter:
    """Counts the cases of a cohort, some of which are there already; the time left is that of the others."""

    def __init__(self, done: int, total: int, progress: ProgressCallback) -> None:
        self._before = self._done = done
        self._total, self._progress = total, progress
        self._start = time.monotonic()
        self._left_s: float | None = None
        self.tell()

    def step(self) -> None:
        """One more case is on disk."""
        self._done += 1
        each_s = (time.monotonic() - self._start) / (self._done - self._before)
        self._left_s = each_s * (self._total - self._done)
        self.tell()

    def tell(self) -> None:
        """Say again where the work stands."""
        self._progress(ProgressEvent(STAGE, self._done, self._total, self._left_s))

    def heard(self, event: ProgressEvent) -> None:
        """A step within a case."""
        self.tell()


def _embed(
    engine: MemoryEngine,
    simulated: CohortCase,
    windows: Mapping[Modality, Window],
    config: PropagationConfig,
    meter: CaseMeter,
) -> dict[Modality, torch.Tensor]:
    case = make_case(simulated.ct, simulated.pet)
    boxes = simulated.boxes(config)
    return {
        modality: propagate(
            engine, case.image(modality), modality, windows[modality], boxes, config, meter.heard
        ).readout.state()
        for modality in MODALITIES
    }


def _is_whole(path: Path) -> bool:
    try:
        with safetensors.safe_open(path, framework="pt") as file:  # compares the file's length with its header
            return set(file.keys()) >= set(MODALITIES) and _outcome(file).time_months > 0
    except _UNREADABLE:
        return False


def _outcome(file: Any) -> CaseOutcome:
    return msgspec.json.decode((file.metadata() or {})["outcome"], type=CaseOutcome)


def _file(folder: Path, seed: int) -> Path:
    return folder / f"case-{seed:06d}.safetensors"
