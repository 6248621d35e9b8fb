"""About how long rebuilding a demonstration bundle takes on a device, from a phantom and a few slices measured now."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from MemorySurvivalLib.devices import describe_device
from MemorySurvivalLib.imaging.case import make_case
from MemorySurvivalLib.imaging.window import MODALITIES
from MemorySurvivalLib.memory.engine import MemoryEngine
from MemorySurvivalLib.memory.propagation import propagate
from MemorySurvivalLib.progress import ProgressCallback, ProgressEvent, ignore_progress
from MemorySurvivalLib.risk.downsamplers import GRID
from MemorySurvivalLib.risk.head import RiskHead
from MemorySurvivalLib.training.demonstration_heads import HEADS, head_spec
from MemorySurvivalLib.training.embedded_cohort import CohortCase, find_missing, make_ahead
from MemorySurvivalLib.training.rebuilding import RebuildPlan

STAGE = "measuring the speed"

_SLICES = 3
_MAPS = 16
_STATE_CHANNELS = 64
_BYTES = 2  # float16


@dataclass(frozen=True)
class RebuildEstimate:
    """`done` of `cases` are embedded already. `embed_seconds` is for the others (simulating and encoding, one after the
    other, though some of it overlaps), `fit_seconds` for all epochs of both heads, which mostly stop earlier.

    `slices` are those still to encode, PET and CT together; `disk_mb` is what all cases take in `folder`.
    """

    cases: int
    done: int
    slices: int
    seconds_per_slice: float
    seconds_per_phantom: float
    embed_seconds: float
    fit_seconds: float
    disk_mb: float
    folder: str
    device: str

    @property
    def seconds(self) -> float:
        """All of it, rather too long than too short."""
        return self.embed_seconds + self.fit_seconds

    @property
    def sentence(self) -> str:
        """What to tell a person before it starts."""
        there = f" ({self.done} are embedded already)" if self.done else ""
        slices = f"{self.slices} slices of {self.seconds_per_slice:.2g} s, the phantoms, and " if self.slices else ""
        return (
            f"{self.cases} simulated patients{there}: about {say_duration(self.seconds)} on {self.device}, for {slices}"
            f"training the heads. It can be stopped at any time and goes on where it was; {self.disk_mb:.0f} MB are "
            f"kept in {self.folder}."
        )


def estimate_rebuild(
    plan: RebuildPlan, engine: MemoryEngine, progress: ProgressCallback = ignore_progress
) -> RebuildEstimate:
    """Simulate the first patient that is missing, encode a few of its slices, and train one epoch on made-up maps.

    Takes seconds (a phantom, and about four slices or one batch of them). Nothing is kept of it.
    """

    reached = 0

    def tell() -> None:
        progress(ProgressEvent(STAGE, reached, 3, None))

    missing = find_missing(plan.seeds, plan.folder)
    phantom_s = slice_s = 0.0
    slices = 0
    tell()
    begun = time.monotonic()
    for case in make_ahead(missing[:1], plan.simulate, tell):
        phantom_s = time.monotonic() - begun
        slices = len(MODALITIES) * len(case.boxes(plan.recipe.propagation)) * len(missing)
        reached = 1
        slice_s = _measure_slice(plan, engine, case, tell)
    reached = 2
    tell()
    fit_s = len(HEADS) * plan.recipe.fit.epochs * len(plan.training) * _epoch_seconds_a_case()
    reached = 3
    tell()
    side = plan.backbone.memory_grid
    return RebuildEstimate(
        cases=len(plan.seeds),
        done=len(plan.seeds) - len(missing),
        slices=slices,
        seconds_per_slice=slice_s,
        seconds_per_phantom=phantom_s,
        embed_seconds=slices * slice_s + len(missing) * phantom_s,
        fit_seconds=fit_s,
        disk_mb=len(plan.seeds) * len(MODALITIES) * _STATE_CHANNELS * side**2 * _BYTES / 1e6,
        folder=str(plan.folder),
        device=describe_device(engine.device),
    )


def say_duration(seconds: float) -> str:
    """Such as "40 s", "21 min" or "5 h 20 min", rounded up so that it never promises too much."""
    if seconds < 90:
        return f"{math.ceil(seconds)} s"
    minutes = math.ceil(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def _measure_slice(plan: RebuildPlan, engine: MemoryEngine, case: CohortCase, tell: Callable[[], None]) -> float:
    """Seconds a slice of the CT, encoded as the cohort will be, after as many to warm up."""
    recipe = plan.recipe
    image = make_case(case.ct, case.pet).image("CT")
    boxes = case.boxes(recipe.propagation)[: max(_SLICES, engine.batch_size(recipe.propagation.batch_size))]

    def listen(event: ProgressEvent) -> None:
        tell()

    propagate(engine, image, "CT", recipe.windows.CT, boxes[: engine.batch_size(1)], recipe.propagation, listen)
    begun = time.monotonic()
    propagate(engine, image, "CT", recipe.windows.CT, boxes, recipe.propagation, listen)
    return (time.monotonic() - begun) / len(boxes)


def _epoch_seconds_a_case() -> float:
    """Seconds that a patient costs an epoch of a head, on made-up maps; the caller's random numbers are left alone."""
    with torch.random.fork_rng(devices=[]):
        spec = head_spec(None)
        head, maps = RiskHead(spec).train(), {m: torch.rand(_MAPS, 1, GRID, GRID) for m in spec.modalities}
        taken = []
        for _ in range(2):  # the first one warms up
            begun = time.monotonic()
            torch.autograd.backward(head(maps, torch.zeros(_MAPS, 0)).log_risk.sum())
            taken.append(time.monotonic() - begun)
    return taken[-1] / _MAPS
