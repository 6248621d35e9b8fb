"""About how long rebuilding a demonstration bundle takes on a device, from a phantom and a few slices measured now."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
import torch

from MemorySurvivalLib.devices import describe_device
from MemorySurvivalLib.imaging.window import MODALITIES
from MemorySurvivalLib.measure.statistics import measure_statistics
from MemorySurvivalLib.memory.engine import MemoryEngine
from MemorySurvivalLib.progress import ProgressCallback, ProgressEvent, ignore_progress
from MemorySurvivalLib.simulation.cohort_data import collect_patients
from MemorySurvivalLib.simulation.patient import Patient
from MemorySurvivalLib.simulation.scenario_case import ScenarioCase
from MemorySurvivalLib.study.configuration import StudyConfiguration
from MemorySurvivalLib.study.embed_cohorts import take_in
from MemorySurvivalLib.study.embedding import choose_boxes, embed_case
from MemorySurvivalLib.study.models import SPATIAL_STATISTICS
from MemorySurvivalLib.study.rebuild_cohorts import PEAK_READOUTS, REGION_READOUTS, list_cases
from MemorySurvivalLib.study.rebuilding import RebuildPlan
from MemorySurvivalLib.study.shipping_heads import REGION, head_recipes
from MemorySurvivalLib.training.data import CohortData
from MemorySurvivalLib.training.embedded_cohort import make_ahead
from MemorySurvivalLib.training.models.image import ImageModel
from MemorySurvivalLib.training.survival_model import SurvivalModel

STAGE = "measuring the speed"

_SLICES = 3
_EPOCHS = (2, 6)
_STATE_CHANNELS = 64
_CASE_MB = 0.004
"""Vectors, statistics and the rest of a case on disk, not yet packed with others."""


@dataclass(frozen=True)
class RebuildEstimate:
    """`done` of `cases` are embedded already. `embed_seconds` is for the others (simulating, measuring, encoding, one
    after the other, though some of it overlaps), `fit_seconds` for the search of both heads' settings with all epochs,
    though most fits stop earlier.

    `slices` are those still to encode, PET and CT together, if all patients have as many as the first;
    `seconds_per_phantom` is for all of a patient but his slices; `disk_mb` is what all cases take in `folder`.
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
    """Simulate the first patient that is missing, encode a few of its slices, fit each kind of head on made-up states.

    Takes seconds (a phantom, about eight slices or four batches of them, few epochs). Nothing is kept of it.
    """
    reached = 0

    def tell() -> None:
        progress(ProgressEvent(STAGE, reached, 3, None))

    cases = list_cases(plan.configuration, plan.work)
    missing = [case for case in cases if not case.is_there()]
    case_s = slice_s = 0.0
    slices = 0
    tell()
    begun = time.monotonic()
    for images in make_ahead([case.patient for case in missing[:1]], plan.simulate, tell):
        case_s = time.monotonic() - begun
        reached = 1
        tell()
        cost = _measure_case(plan.configuration, images, engine)
        slices, slice_s, case_s = cost.slices * len(missing), cost.slice_s, case_s + cost.rest_s
    reached = 2
    tell()
    learned_from = plan.configuration.cohorts[0].patients
    fit_s = _fit_seconds(plan.configuration, [case.patient for case in cases[:learned_from]])
    reached = 3
    tell()
    return RebuildEstimate(
        cases=len(cases),
        done=len(cases) - len(missing),
        slices=slices,
        seconds_per_slice=slice_s,
        seconds_per_phantom=case_s,
        embed_seconds=slices * slice_s + len(missing) * case_s,
        fit_seconds=fit_s,
        disk_mb=float(math.ceil(len(cases) * _CASE_MB)),
        folder=str(plan.folder),
        device=describe_device(engine.device),
    )


def say_duration(seconds: float) -> str:
    """Such as "40 s", "21 min" or "5 h 20 min", rounded up so that it never promises too much."""
    if seconds < 90:
        return f"{math.ceil(seconds)} s"
    minutes = math.ceil(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


@dataclass(frozen=True)
class _CaseCost:
    """Slices of a case, PET and CT together, seconds for each, and seconds for what is done once a case."""

    slices: int
    slice_s: float
    rest_s: float


def _measure_case(configuration: StudyConfiguration, images: ScenarioCase, engine: MemoryEngine) -> _CaseCost:
    """From a few slices, embedded as the cohort will be, after as many to warm up."""
    settings = configuration.embedding
    begun = time.monotonic()
    case, masks = take_in(images.ct, images.pet, {REGION: images.spine_dilated})
    taken_in = time.monotonic()
    measure_statistics(case, masks[REGION].voxels)
    measured_s = time.monotonic() - taken_in
    boxes, _step = choose_boxes(masks, settings.first_step, settings.most_slices)
    batch = engine.batch_size(1)
    few, more = (msgspec.structs.replace(settings, most_slices=most) for most in (batch, max(_SLICES, batch)))
    embed_case(engine, case, masks, few, small_maps=False)
    before = time.monotonic()
    read = len(MODALITIES) * embed_case(engine, case, masks, more, small_maps=False).slices[REGION]
    slice_s = max(time.monotonic() - before - measured_s, 0.0) / read
    return _CaseCost(len(MODALITIES) * len(boxes[REGION]), slice_s, taken_in - begun + measured_s)


def _fit_seconds(configuration: StudyConfiguration, patients: Sequence[Patient]) -> float:
    """Seconds for the search of both heads' settings by these patients, whose states are made up here."""
    data, fitting = _make_up(patients), configuration.fitting
    total = 0.0
    for recipe in head_recipes(configuration.embedding):
        by_kind: dict[type, list[SurvivalModel]] = {}
        for alternative in recipe.alternatives:
            by_kind.setdefault(type(alternative.base), []).append(alternative.base)
        fit_s = sum(len(models) * _seconds_of(models[0], data) for models in by_kind.values())
        total += fitting.trials * fitting.inner_folds * fit_s
    return total


def _seconds_of(model: SurvivalModel, data: CohortData) -> float:
    """Seconds of a fit with all its epochs."""

    def fit(one: SurvivalModel) -> float:
        begun = time.monotonic()
        one.fit(data, 0)
        return time.monotonic() - begun

    if not isinstance(model, ImageModel):
        return fit(model)
    few, more = (
        dataclasses.replace(model, training=dataclasses.replace(model.training, epochs=epochs)) for epochs in _EPOCHS
    )
    fit(few)  # the first one warms up
    few_s, more_s = fit(few), fit(more)
    epoch_s = max(more_s - few_s, 0.0) / (_EPOCHS[1] - _EPOCHS[0])
    return few_s + epoch_s * model.training.epochs


def _make_up(patients: Sequence[Patient]) -> CohortData:
    """These patients with states and statistics that mean nothing."""
    rng, n = np.random.default_rng(0), len(patients)
    readouts = [f"{name}/region" for name in REGION_READOUTS] + [f"{name}/peak" for name in PEAK_READOUTS]
    states = {
        f"{modality}/{REGION}/{readout}": torch.from_numpy(rng.normal(size=(n, _STATE_CHANNELS, 1, 1))).half()
        for modality in MODALITIES
        for readout in readouts
    }
    statistics = {f"{REGION}/{name}": rng.normal(size=n) for name in SPATIAL_STATISTICS}
    return dataclasses.replace(collect_patients(patients), states=states, statistics=statistics)
