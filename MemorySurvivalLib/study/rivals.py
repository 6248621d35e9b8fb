"""The row of a user's ImageNet network: its features of the study's first patients, under ridge Cox; simulated."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import safetensors.torch
import torch

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.evaluation.discrimination import harrell_pairs
from MemorySurvivalLib.files import atomic_file
from MemorySurvivalLib.imaging.window import MODALITIES
from MemorySurvivalLib.memory.slices import SliceFrame
from MemorySurvivalLib.progress import Meter, ProgressCallback, ignore_progress
from MemorySurvivalLib.simulation.patient import draw_patient
from MemorySurvivalLib.simulation.scenario import load_scenario
from MemorySurvivalLib.simulation.scenario_case import simulate_patient
from MemorySurvivalLib.study.cohorts import read_cohort
from MemorySurvivalLib.study.configuration import ImagenetBaseline, StudyConfiguration
from MemorySurvivalLib.study.embed_cohorts import take_in
from MemorySurvivalLib.study.embedding import choose_boxes
from MemorySurvivalLib.study.imagenet import choose_levels
from MemorySurvivalLib.study.models import EMBEDDING, STATE_PENALTY, STATISTICS, study_models
from MemorySurvivalLib.study.parts import NOTICE
from MemorySurvivalLib.study.rival_network import RivalNetwork
from MemorySurvivalLib.training.data import CohortData
from MemorySurvivalLib.training.models.cox import RidgeCox
from MemorySurvivalLib.training.models.features import StateVectors, VectorFeatures
from MemorySurvivalLib.training.nested import derive_seed, fit_tuned
from MemorySurvivalLib.training.tuning import Alternative, Budget, FloatRange, Recipe

DEVELOPMENT, TEST, SCENARIO = "main-dev", "main-test", "main"
PATIENTS = 227
"""Of each cohort: as many as the paper had, and as the study's own ImageNet row learns from."""


class RivalRow(msgspec.Struct, frozen=True):
    """One model: Harrell's c on the test patients with its interval."""

    model: str
    c: float
    low: float
    high: float


class RivalResult(msgspec.Struct, frozen=True):
    """What a run found; `reached` and `wanted` patients of both cohorts, no rows before all are there."""

    notice: str
    network: str
    weights_sha256: str
    learned_from: int
    tested_on: int
    reached: int
    wanted: int
    rows: tuple[RivalRow, ...]


def judge_rival(
    configuration: StudyConfiguration,
    rival: RivalNetwork,
    parts: Path,
    out: Path,
    *,
    patients: int = PATIENTS,
    minutes: float = float("inf"),
    progress: ProgressCallback = ignore_progress,
) -> RivalResult:
    """Embed the first patients of both cohorts with the network and judge it beside the study's own rows.

    Images are simulated anew, a few seconds each; each patient's features are a file in `out`, and what is there is not
    made again. Statistics and the memory's vectors come from `parts`. Raises InputError where these are too few.
    """
    baseline = configuration.embedding.imagenet
    if baseline is None:
        raise InputError("The study's configuration reads no slices with an ImageNet network, so there is no such row.")
    data = {name: read_cohort(configuration, name, SCENARIO, parts, patients).data for name in (DEVELOPMENT, TEST)}
    folder = out / "rivals" / f"{rival.name.replace(':', '-')}-{rival.sha256[:12]}"
    deadline = time.monotonic() + 60 * minutes
    meter = Meter(f"embed with {rival.name}", 2 * patients, progress)
    reached = 0
    for name in data:
        for number in range(patients):
            path = folder / f"{name}-{number:04d}.safetensors"
            if not path.exists() and time.monotonic() < deadline:
                _embed(configuration, baseline, rival, name, number, path)
            reached += path.exists()
            meter.step()
    rows: tuple[RivalRow, ...] = ()
    if reached == 2 * patients:
        with_features = {name: _with_features(rival, folder, name, one) for name, one in data.items()}
        rows = tuple(_judge(configuration, rival, with_features[DEVELOPMENT], with_features[TEST]))
    result = RivalResult(NOTICE, rival.name, rival.sha256, patients, patients, reached, 2 * patients, rows)
    with atomic_file(folder / "result.json") as temporary:
        temporary.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=1) + b"\n")
    return result


def _embed(
    configuration: StudyConfiguration,
    baseline: ImagenetBaseline,
    rival: RivalNetwork,
    cohort: str,
    number: int,
    path: Path,
) -> None:
    """The features of one patient's slices, averaged: the slices that the study's own ImageNet network reads."""
    embedding = configuration.embedding
    images = simulate_patient(draw_patient(load_scenario(SCENARIO), configuration.cohort(cohort).seed, number))
    case, masks = take_in(images.ct, images.pet, {baseline.roi: getattr(images, baseline.roi)})
    boxes, _step = choose_boxes(masks, embedding.first_step, embedding.most_slices)
    levels = choose_levels([box.z for box in boxes[baseline.roi]], baseline.most_slices)
    found = {}
    for modality in MODALITIES:
        image = case.image(modality)
        frame = SliceFrame.of(image, rival.image_size)
        greys = frame.greys(image.voxels[levels], embedding.window_map[modality], torch.device("cpu"))
        found[modality] = torch.cat([rival.features(grey[None]) for grey in greys]).mean(dim=0).half()
    with atomic_file(path) as temporary:
        safetensors.torch.save_file({key: value.contiguous() for key, value in found.items()}, temporary)


def _with_features(rival: RivalNetwork, folder: Path, cohort: str, data: CohortData) -> CohortData:
    kept = [safetensors.torch.load_file(folder / f"{cohort}-{number:04d}.safetensors") for number in range(len(data))]
    states = {f"{m}/rival": torch.stack([one[m] for one in kept])[:, :, None, None] for m in MODALITIES}
    return replace(data, states={**data.states, **states})


def _judge(
    configuration: StudyConfiguration, rival: RivalNetwork, development: CohortData, test: CohortData
) -> Iterator[RivalRow]:
    fitting = configuration.fitting
    budget = Budget(fitting.trials, fitting.inner_folds, fitting.seed)
    pairs = harrell_pairs(test.times_months, test.events)
    own = [one.recipe for one in study_models(configuration.embedding, ("baselines", "fused"))]
    beside = [recipe for recipe in own if recipe.name in (STATISTICS, EMBEDDING)]
    for recipe in (*rival_recipes(rival.name), *beside):
        tuned = fit_tuned(recipe, development, budget, derive_seed(fitting.seed, recipe.name, SCENARIO))
        found = pairs.estimate(tuned.log_risk(test), fitting.resamples, fitting.seed)
        yield RivalRow(recipe.name, round(found.value, 4), round(found.low, 4), round(found.high, 4))


def rival_recipes(name: str) -> Iterator[Recipe]:
    """PET, CT and both under ridge Cox, and both with the regions' statistics, as the study's own ImageNet rows."""
    penalty = FloatRange("penalty", *STATE_PENALTY, log=True)
    for modality in ("PET", "CT", "PET+CT"):
        states = StateVectors(tuple(f"{one}/rival" for one in modality.split("+")))
        title = f"{name}: {modality}"
        yield Recipe(title, (Alternative("ridge", RidgeCox(title, VectorFeatures(states=states)), (penalty,)),))
    title = f"{name}: PET+CT + statistics"
    both = VectorFeatures(statistics=("*",), states=StateVectors(("PET/rival", "CT/rival")))
    ranges = (FloatRange("penalty", 1e-3, 1e1, log=True), FloatRange("state_penalty", *STATE_PENALTY, log=True))
    yield Recipe(title, (Alternative("ridge", RidgeCox(title, both, state_penalty=1.0), ranges),))
