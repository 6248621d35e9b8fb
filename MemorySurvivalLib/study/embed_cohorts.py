"""Embedding the study's cohorts: simulate, embed, forget the images; stopped and continued on any machine."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import msgspec
import SimpleITK as sitk
import torch

from MemorySurvivalLib.devices import DeviceName, choose_device
from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.case import Case, make_case
from MemorySurvivalLib.imaging.volume import Volume, resample_onto
from MemorySurvivalLib.memory.backbone import weights_sha256
from MemorySurvivalLib.memory.engine import MemoryEngine
from MemorySurvivalLib.models import Models
from MemorySurvivalLib.progress import Meter, ProgressCallback, ignore_progress
from MemorySurvivalLib.roi.roi import RoiKind
from MemorySurvivalLib.simulation.patient import Patient, draw_patient
from MemorySurvivalLib.simulation.scenario import load_scenario
from MemorySurvivalLib.simulation.scenario_case import ScenarioCase, simulate_patient
from MemorySurvivalLib.study.configuration import Cohort, Embedding, Extra, Stage, StudyConfiguration
from MemorySurvivalLib.study.embedding import EmbeddedCase, embed_case
from MemorySurvivalLib.study.imagenet_network import ImagenetNetwork, load_network, locate_weights
from MemorySurvivalLib.study.lesion_reader import reader_of
from MemorySurvivalLib.study.parts import CaseNote, PartFolder
from MemorySurvivalLib.training.demonstration import load_compact

Extras = frozenset[Extra]

EmbedOne = Callable[[Patient, Embedding, Extras], EmbeddedCase]
"""(patient, settings, what is kept beside the part) -> what is kept."""


@dataclass(frozen=True)
class Job:
    """One case to embed, in each of the ways that are missing, and where each is kept."""

    cohort: Cohort
    number: int
    wanted: tuple[tuple[Embedding, PartFolder], ...]

    @property
    def extras(self) -> Extras:
        """What is kept of it beside the part."""
        return self.cohort.extras(self.number)


def part_folder(
    configuration: StudyConfiguration, cohort: Cohort, root: Path, embedding: Embedding | None = None
) -> PartFolder:
    """Where a cohort's parts lie, of one way to embed (None: the first)."""
    sha256 = (embedding or configuration.embedding).sha256
    return PartFolder.of(root, sha256, cohort.images, cohort.seed, configuration.part_cases)


def embed_cohorts(
    configuration: StudyConfiguration,
    stages: Sequence[Stage],
    root: Path,
    *,
    minutes: float = float("inf"),
    processes: int = 1,
    device: DeviceName = "cpu",
    backbone: Path | None = None,
    embed_one: EmbedOne | None = None,
    progress: ProgressCallback = ignore_progress,
) -> dict[str, int]:
    """Embed the cohorts of `stages` in their order until all is there or the minutes are over; the n reached by cohort.

    What is there is not made again. Cases begun are finished. With several processes each has one thread. `backbone` is
    as `load_engine` takes it; `embed_one` stands in for simulation and backbone in tests. Raises InputError where
    weights are absent or not the study's.
    """
    jobs = _jobs(configuration, stages, root)
    if embed_one is None and any("imagenet" in job.extras for job in jobs):
        locate_weights()  # before minutes are spent
    deadline = time.monotonic() + 60 * minutes
    meter = Meter("embed", len(jobs), progress)
    done = (
        _alone(jobs, embed_one or _embedder(configuration.embedding, device, backbone), deadline)
        if embed_one is not None or processes == 1
        else _together(configuration.embedding, jobs, device, backbone, processes, deadline)
    )
    for job in done:
        for _settings, folder in job.wanted:
            folder.join(job.number // configuration.part_cases)
        meter.step()
    reached = {}
    for name in dict.fromkeys(stage.cohort for stage in stages):
        cohort = configuration.cohort(name)
        for embedding in configuration.embedding.ways:
            folder = part_folder(configuration, cohort, root, embedding)
            for index in range(cohort.patients // configuration.part_cases):  # what a killed run left unjoined
                folder.join(index)
        reached[name] = count_embedded(configuration, name, root)
    return reached


def count_embedded(configuration: StudyConfiguration, cohort: str, root: Path) -> int:
    """How many cases of a cohort there are in every way without a gap."""
    found = configuration.cohort(cohort)
    folders = (part_folder(configuration, found, root, embedding) for embedding in configuration.embedding.ways)
    return min(folder.reached(found.patients) for folder in folders)


def embed_images(images: ScenarioCase, settings: Embedding, extras: Extras, engine: MemoryEngine) -> EmbeddedCase:
    """Embed one simulated patient's images."""
    baseline = settings.imagenet if "imagenet" in extras else None
    network = _network(baseline.weights_sha256, engine.device) if baseline is not None else None
    given: dict[RoiKind, Volume] = {"spine_dilated": images.spine_dilated, "skeleton": images.skeleton}
    case, masks = take_in(images.ct, images.pet, {kind: given[kind] for kind in settings.rois})
    return embed_case(engine, case, masks, settings, small_maps="small" in extras, imagenet=network)


def take_in(ct: Volume, pet: Volume, masks: Mapping[RoiKind, Volume]) -> tuple[Case, dict[RoiKind, Volume]]:
    """The case as a user's would be (PET on the CT's grid, axes to LPS) and the ROIs as boolean masks on it."""
    case = make_case(ct, pet)
    straight = {kind: mask.reoriented() for kind, mask in masks.items()}
    on_grid = {
        kind: mask if mask.same_grid(case.ct) else resample_onto(mask, case.ct, linear=False)
        for kind, mask in straight.items()
    }
    return case, {kind: mask.with_voxels(mask.voxels > 0) for kind, mask in on_grid.items()}


def load_engine(settings: Embedding, device: DeviceName = "cpu", backbone: Path | None = None) -> MemoryEngine:
    """The study's backbone: that of its bundle, or the folder of a training (`training.demonstration.load_compact`),
    with the study's lesion reader where lesions are read.

    Raises InputError where these are other weights than the study names.
    """
    if backbone is not None:
        model, _training = load_compact(backbone)
        _check_weights(settings, f"The training {backbone.name}", weights_sha256(model), model.image_size)
        return MemoryEngine(model, choose_device(device), reader=reader_of(settings))
    bundle = Models().bundle(settings.bundle)
    entry = bundle.manifest.backbone
    _check_weights(settings, f"The bundle {settings.bundle}", entry.sha256, entry.image_size)
    return MemoryEngine(bundle.backbone(), choose_device(device), reader=reader_of(settings))


def _check_weights(settings: Embedding, where: str, sha256: str, image_size: int) -> None:
    if (sha256, image_size) != (settings.backbone_sha256, settings.image_size):
        raise InputError(
            f"{where} holds the backbone {sha256[:12]} at {image_size} px, the study was configured for "
            f"{settings.backbone_sha256[:12]} at {settings.image_size} px; give that backbone, or change "
            "Resources/Study/study.json and embed anew."
        )


def _jobs(configuration: StudyConfiguration, stages: Sequence[Stage], root: Path) -> list[Job]:
    jobs: dict[tuple[str, int], Job] = {}
    for stage in stages:
        cohort = configuration.cohort(stage.cohort)
        numbers = range(min(stage.patients, cohort.patients))
        wanted: dict[int, list[tuple[Embedding, PartFolder]]] = {}
        for embedding in configuration.embedding.ways:
            folder = part_folder(configuration, cohort, root, embedding)
            for number in folder.missing(numbers):
                wanted.setdefault(number, []).append((embedding, folder))
        for number in sorted(wanted):
            jobs.setdefault((cohort.name, number), Job(cohort, number, tuple(wanted[number])))
    return list(jobs.values())


def _alone(jobs: Sequence[Job], embed_one: EmbedOne, deadline: float) -> Iterator[Job]:
    for job in jobs:
        if time.monotonic() >= deadline:
            return
        _make(job, embed_one)
        yield job


def _together(
    settings: Embedding,
    jobs: Sequence[Job],
    device: DeviceName,
    backbone: Path | None,
    processes: int,
    deadline: float,
) -> Iterator[Job]:
    waiting = iter(jobs)
    running: dict[Future[None], Job] = {}
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        while True:
            while len(running) < processes and time.monotonic() < deadline:
                job = next(waiting, None)
                if job is None:
                    break
                running[pool.submit(_work, job, settings, device, backbone)] = job
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                future.result()
                yield running.pop(future)


def _work(job: Job, settings: Embedding, device: DeviceName, backbone: Path | None) -> None:
    """One case in a process of its own."""
    torch.set_num_threads(1)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    _make(job, _embedder(settings, device, backbone))


@cache
def _engine(settings: bytes, device: DeviceName, backbone: Path | None) -> MemoryEngine:
    """Loaded once a process; settings as JSON, because they hold dictionaries."""
    return load_engine(msgspec.json.decode(settings, type=Embedding), device, backbone)


@cache
def _network(sha256: str, device: torch.device) -> ImagenetNetwork:
    """Loaded once a process, and only where a case needs it."""
    return load_network(sha256).to(device)


def _embedder(settings: Embedding, device: DeviceName, backbone: Path | None) -> EmbedOne:
    """Simulates and embeds. The images of the last patient are kept, so that a second way to embed does without
    simulating them again."""
    engine = _engine(msgspec.json.encode(settings), device, backbone)
    last: list[tuple[Patient, ScenarioCase]] = []

    def embed(patient: Patient, given: Embedding, extras: Extras) -> EmbeddedCase:
        if not last or last[0][0] is not patient:
            last[:] = [(patient, simulate_patient(patient))]
        return embed_images(last[0][1], given, extras, engine)

    return embed


def _make(job: Job, embed_one: EmbedOne) -> None:
    patient = draw_patient(load_scenario(job.cohort.scenario), job.cohort.seed, job.number)
    for settings, folder in job.wanted:
        extras = job.extras if settings.close_up_mm is None else frozenset()
        embedded = embed_one(patient, settings, extras)
        folder.write_case(note_case(patient, embedded), embedded)


def note_case(patient: Patient, embedded: EmbeddedCase, computed_on: str = "") -> CaseNote:
    """What is kept of a patient beside the tensors; statistics with six digits."""
    return CaseNote(
        patient.number,
        patient.image_seed,
        patient.site.name,
        {name: float(f"{value:.6g}") for name, value in embedded.statistics.items()},
        {str(kind): count for kind, count in embedded.slices.items()},
        embedded.step,
        round(embedded.seconds, 2),
        computed_on,
    )
