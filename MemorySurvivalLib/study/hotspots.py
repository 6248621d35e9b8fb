"""Explanation against truth: patches of simulated patients occluded, and whether the map finds the planted lesions."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage

from MemorySurvivalLib.explain.fills import FILLING_VERSION, Fills, make_fills
from MemorySurvivalLib.explain.heatmap import spread_effects
from MemorySurvivalLib.explain.hotspots import find_hotspots
from MemorySurvivalLib.explain.plan import ExplainConfig, Patch, plan_patches
from MemorySurvivalLib.files import atomic_file
from MemorySurvivalLib.imaging.case import Case
from MemorySurvivalLib.imaging.volume import Volume
from MemorySurvivalLib.imaging.window import MODALITIES, Modality
from MemorySurvivalLib.memory.engine import MemoryEngine
from MemorySurvivalLib.memory.inside import InsideReadout, choose_pool, cover_cells
from MemorySurvivalLib.memory.lesion_reader import LesionReader
from MemorySurvivalLib.memory.prompts import box_prompt
from MemorySurvivalLib.memory.readout import Readout, read_out
from MemorySurvivalLib.memory.slices import SliceFrame, close_up
from MemorySurvivalLib.progress import ProgressCallback, ignore_progress, track
from MemorySurvivalLib.roi.boxes import SliceBox
from MemorySurvivalLib.roi.roi import Roi
from MemorySurvivalLib.simulation.patient import draw_patient
from MemorySurvivalLib.simulation.scenario import load_scenario
from MemorySurvivalLib.simulation.scenario_case import simulate_patient
from MemorySurvivalLib.study.cohorts import read_cohort
from MemorySurvivalLib.study.configuration import CLOSE, Embedding, Explaining, StudyConfiguration
from MemorySurvivalLib.study.embed_cohorts import load_engine, take_in
from MemorySurvivalLib.study.embedding import choose_boxes, split_key
from MemorySurvivalLib.study.hotspot_places import PlaceMap, Truth, find_places, read_truth
from MemorySurvivalLib.study.hotspot_results import (
    ExplainedCase,
    Finding,
    HotspotResults,
    hotspot_path,
    read_hotspots,
)
from MemorySurvivalLib.study.measuring import RegionValues
from MemorySurvivalLib.study.models import hotspot_models
from MemorySurvivalLib.study.parts import NOTICE
from MemorySurvivalLib.study.readings import pool_inside
from MemorySurvivalLib.training.data import CohortData, Floats
from MemorySurvivalLib.training.models.cox import RidgeCox
from MemorySurvivalLib.training.nested import TunedModel, derive_seed, fit_tuned
from MemorySurvivalLib.training.tuning import Budget

HOTTEST = "hottest voxel in the region"

PET_ALONE = "PET alone occluded"
"""Every map is also made with the CT left as it is: the tissue keeps its shape, its uptake becomes ordinary."""


@dataclass(frozen=True, eq=False)
class Pass:
    """One modality of a case, embedded in one way: the ladder's boxes, how much of each cell the ROI covers, and each
    slice's memory."""

    way: Embedding
    image: Volume
    frame: SliceFrame
    boxes: tuple[SliceBox, ...]
    cells: torch.Tensor
    memories: torch.Tensor


def explain_cases(
    configuration: StudyConfiguration,
    parts: Path,
    results: Path,
    *,
    cases: int | None = None,
    minutes: float = float("inf"),
    backbone: Path | None = None,
    progress: ProgressCallback = ignore_progress,
) -> HotspotResults:
    """Explain test cases of the configured scenario that have a planted lesion in the ROI, until there are enough.

    Models are fitted on the development patients that are embedded. Finished cases are kept in `hotspots.json` of the
    results' folder. `backbone` is as `load_engine` takes it. Raises InputError where too few patients are embedded.
    """
    settings = configuration.explaining
    development = read_cohort(configuration, settings.development, settings.scenario, parts)
    path = hotspot_path(configuration, results)
    kept = _begin(configuration, settings, len(development.data), path)
    wanted = settings.cases if cases is None else cases
    todo = [n for n in range(configuration.cohort(settings.cohort).patients) if n not in _known(kept)]
    deadline = time.monotonic() + 60 * minutes
    fitted: dict[str, TunedModel] = {}
    engine: MemoryEngine | None = None
    for _ in track(range(max(wanted - len(kept.cases), 0)), "explain", max(wanted - len(kept.cases), 0), progress):
        while todo and time.monotonic() < deadline:
            if engine is None:
                engine = load_engine(configuration.embedding, backbone=backbone)
                fitted = dict(_fit(configuration, development.data))
            number = todo.pop(0)
            explained = explain_number(configuration, number, engine, fitted)
            if explained is None:
                kept.passed_over.append(number)
            else:
                kept.cases[str(number)] = explained
            with atomic_file(path) as temporary:
                temporary.write_bytes(msgspec.json.format(msgspec.json.encode(kept), indent=1) + b"\n")
            if explained is not None:
                break
    return kept


def explain_number(
    configuration: StudyConfiguration, number: int, engine: MemoryEngine, fitted: Mapping[str, TunedModel]
) -> ExplainedCase | None:
    """One test patient, None where the ROI holds no voxel of a planted lesion."""
    settings = configuration.explaining
    cohort = configuration.cohort(settings.cohort)
    images = simulate_patient(draw_patient(load_scenario(settings.scenario), cohort.seed, number))
    case, masks = take_in(images.ct, images.pet, {settings.roi: getattr(images, settings.roi)})
    truth = read_truth(images, case.ct)
    return explain_case(
        configuration, case, Roi(masks[settings.roi], settings.roi, "site"), truth, number, engine, fitted
    )


def explain_case(
    configuration: StudyConfiguration,
    case: Case,
    roi: Roi,
    truth: Truth,
    number: int,
    engine: MemoryEngine,
    fitted: Mapping[str, TunedModel],
) -> ExplainedCase | None:
    """Occlude every patch of the lattice and compare each model's map with what was planted (same grid)."""
    start = time.process_time()
    settings, embedding = configuration.explaining, configuration.embedding
    inside, planted = roi.mask.voxels, truth.lesions
    lesion_share = float(planted[inside].mean())
    if lesion_share == 0:
        return None
    places = find_places(truth, settings.tolerance_mm)
    config = ExplainConfig(settings.patch_mm, settings.stride_mm, settings.fill)
    patches = plan_patches(roi, config)
    fills = make_fills(case, roi, settings.fill, settings.patch_mm)
    keys = _keys_read(fitted)
    passes = read_passes(engine, case, roi, embedding, keys)
    counted = engine.encoded_slices
    readouts = make_readouts(passes, keys, engine.reader)
    changed = {
        shown: occlude_slices(engine, one, patches, fills, shown[0], find_seen(readouts, shown, len(one.boxes)))
        for shown, one in passes.items()
    }
    encoded = engine.encoded_slices - counted
    findings = {}
    for suffix, occluded in (("", MODALITIES), (f"; {PET_ALONE}", ("PET",))):
        data = collect_rows(embedding, case, roi, passes, readouts, patches, changed, fills, occluded)
        for name, model in fitted.items():
            risks = model.log_risk(data)
            findings[name + suffix] = _judge(roi, patches, risks[0] - risks[1:], places, truth, settings)
    hottest = np.argwhere(inside)[int(case.pet.voxels[inside].argmax())]
    findings[HOTTEST] = Finding(_point(case.ct, hottest), places.distance_mm(hottest), None, places.at(hottest))
    return ExplainedCase(
        number,
        int(ndimage.label(planted & inside)[1]),
        round(lesion_share, 5),
        places.shares(inside),
        round(float(case.pet.voxels[inside & planted].max()), 2),
        len(patches),
        encoded,
        round(time.process_time() - start, 1),
        findings,
    )


Shown = tuple[Modality, bool]
"""Which image, and whether its pictures are close-ups."""


def read_passes(
    engine: MemoryEngine, case: Case, roi: Roi, embedding: Embedding, keys: Iterable[str]
) -> dict[Shown, Pass]:
    """The passes that the states `keys` are read out of."""
    passes = {}
    for modality, close in sorted({_shown(key) for key in keys}):
        way = next(one for one in embedding.ways if (one.close_up_mm is not None) == close)
        boxes = choose_boxes({roi.kind: roi.mask}, way.first_step, way.most_slices)[0][roi.kind]
        image = case.image(modality)
        field = None if way.close_up_mm is None else close_up(roi.mask, way.close_up_mm)
        frame = SliceFrame.of(image, engine.image_size, field)
        pixels = [(position, image.voxels[box.z]) for position, box in enumerate(boxes)]
        memories = torch.cat(list(_memories(engine, frame, boxes, pixels, modality, way)))
        cells = cover_cells(frame, roi.mask.voxels[[box.z for box in boxes]])
        passes[modality, close] = Pass(way, image, frame, boxes, cells, memories)
    return passes


def _shown(key: str) -> Shown:
    modality, _roi, _readout, kind = split_key(key)
    return modality, kind.startswith(CLOSE)


def _memories(
    engine: MemoryEngine,
    frame: SliceFrame,
    boxes: Sequence[SliceBox],
    slices: Sequence[tuple[int, npt.NDArray[np.float32]]],
    modality: Modality,
    embedding: Embedding,
) -> Iterator[torch.Tensor]:
    """Memories of slices (position in the pass, pixels), some at a time."""
    size = engine.batch_size(embedding.batch_size)
    for first in range(0, len(slices), size):
        batch = slices[first : first + size]
        pictures = frame.picture(
            np.stack([pixels for _, pixels in batch]), embedding.window_map[modality], engine.device
        )
        prompt = box_prompt(torch.stack([frame.box(boxes[position]) for position, _ in batch]))
        yield engine.memories(pictures, prompt)


def make_readouts(passes: Mapping[Shown, Pass], keys: Iterable[str], reader: LesionReader | None) -> dict[str, Readout]:
    """The readout of each of the states `keys`; `reader` reads lesions in the engine's memories, where any needs it."""
    found: dict[str, Readout] = {}
    for key in keys:
        _modality, _roi, name, kind = split_key(key)
        shown = _shown(key)
        one, pooling = passes[shown], kind.removeprefix(CLOSE)
        if pooling == "grid":
            found[key] = read_out(name, one.memories)
        else:
            pool = choose_pool(pool_inside(pooling), shown[0], reader)
            found[key] = InsideReadout(name, one.memories, one.cells, pool)
    return found


def find_seen(readouts: Mapping[str, Readout], shown: Shown, count: int) -> frozenset[int]:
    """Positions of a pass of `count` slices that any readout of it sees; no other has to be encoded again."""
    own = [readout for key, readout in readouts.items() if _shown(key) == shown]
    return frozenset(k for k in range(count) if any(readout.sees(k) for readout in own))


Changed = dict[tuple[tuple[int, int, int, int], int], torch.Tensor]
"""By plane of the patch and position in the pass: the memory after occlusion."""


def occlude_slices(
    engine: MemoryEngine,
    one: Pass,
    patches: Sequence[Patch],
    fills: Fills,
    modality: Modality,
    seen: Container[int],
) -> Changed:
    """Each distinct (slice, rows, columns) at a position in `seen` is encoded once, whichever patches contain it."""
    wanted = {
        (patch.plane, position): patch
        for patch in patches
        for position, box in enumerate(one.boxes)
        if position in seen and patch.touches(box.z)
    }
    slices = []
    for (_plane, position), patch in wanted.items():
        z = one.boxes[position].z
        slices.append((position, fills[modality].occlude(one.image.voxels[z], z, patch)))
    memories = _memories(engine, one.frame, one.boxes, slices, modality, one.way)
    return dict(zip(wanted, (memory for batch in memories for memory in batch), strict=True))


def collect_rows(
    embedding: Embedding,
    case: Case,
    roi: Roi,
    passes: Mapping[Shown, Pass],
    readouts: Mapping[str, Readout],
    patches: Sequence[Patch],
    changed: Mapping[Shown, Changed],
    fills: Fills,
    occluded: tuple[Modality, ...] = MODALITIES,
) -> CohortData:
    """The case as it is and after each patch, as rows of a cohort, with the states of `readouts` by their keys and
    every statistic. Images that are not among the `occluded` ones stay as they are."""
    states: dict[str, torch.Tensor] = {}
    for key, readout in readouts.items():
        shown = _shown(key)
        one = passes[shown]
        rows = [readout.state()]
        for patch in patches if shown[0] in occluded else ():
            touched = [k for k, box in enumerate(one.boxes) if patch.touches(box.z) and readout.sees(k)]
            memories = {k: changed[shown][patch.plane, k] for k in touched}
            rows.append(readout.state_with(memories))
        rows += rows[:1] * (len(patches) + 1 - len(rows))
        states[key] = torch.stack([row.mean(dim=(2, 3)).flatten() for row in rows]).half()[:, :, None, None]
    values = RegionValues(case, roi, embedding.lesion_suv)
    measured = [values.as_they_are, *(values.occluded(patch, fills, occluded) for patch in patches)]
    statistics = {f"{roi.kind}/{name}": np.array([row[name] for row in measured]) for name in values.as_they_are}
    n = len(patches) + 1
    names = tuple(f"row {row}" for row in range(n))
    return CohortData(names, np.ones(n), np.ones(n, dtype=np.bool_), (), statistics, states, simulated=True)


def _keys_read(fitted: Mapping[str, TunedModel]) -> list[str]:
    chosen = [model.choice.model for model in fitted.values()]
    vectors = [model.features.states for model in chosen if isinstance(model, RidgeCox)]
    return sorted({key for one in vectors if one is not None for key in one.keys})


def _judge(
    roi: Roi,
    patches: Sequence[Patch],
    effects: Floats,
    places: PlaceMap,
    truth: Truth,
    settings: Explaining,
) -> Finding:
    effect, _covered = spread_effects(roi, patches, effects)
    raising = effect.with_voxels(np.maximum(effect.voxels, 0))
    total = float(raising.voxels.sum(dtype=np.float64))
    if total <= 0:
        return Finding(None, None, None)
    lesions = roi.mask.with_voxels(truth.lesions).cropped(*roi.bounds_zyx).voxels
    energy = float(raising.voxels[lesions].sum(dtype=np.float64)) / total
    found = find_hotspots(raising, 0.0, settings.stride_mm, most=1)
    if not found:
        return Finding(None, None, round(energy, 4))
    index = np.rint(roi.mask.affine.indices(found[0].position_lps_mm)).astype(np.intp)[::-1]
    return Finding(_point(roi.mask, index), places.distance_mm(index), round(energy, 4), places.at(index))


def _fit(configuration: StudyConfiguration, data: CohortData) -> Iterator[tuple[str, TunedModel]]:
    fitting = configuration.fitting
    budget = Budget(fitting.trials, fitting.inner_folds, fitting.seed)
    for recipe in hotspot_models(configuration.embedding, configuration.explaining.roi):
        yield recipe.name, fit_tuned(recipe, data, budget, derive_seed(fitting.seed, recipe.name, "hotspots"))


def _begin(configuration: StudyConfiguration, settings: Explaining, learned_from: int, path: Path) -> HotspotResults:
    recipes = [repr(recipe) for recipe in hotspot_models(configuration.embedding, settings.roi)]
    ways = [way.sha256 for way in configuration.embedding.ways]
    said = (ways, load_scenario(settings.scenario).sha256, settings, FILLING_VERSION, PET_ALONE, learned_from, recipes)
    key = hashlib.sha256(msgspec.json.encode((*said, configuration.fitting))).hexdigest()[:16]
    kept = read_hotspots(path)
    if kept is not None and kept.key == key:
        return kept
    return HotspotResults(NOTICE, key, settings.scenario, settings.cohort, learned_from)


def _known(kept: HotspotResults) -> set[int]:
    return {*map(int, kept.cases), *kept.passed_over}


def _point(grid: Volume, index_zyx: npt.NDArray[np.intp]) -> tuple[float, float, float]:
    x, y, z = grid.affine.points_mm(index_zyx[::-1]).tolist()
    return round(x, 1), round(y, 1), round(z, 1)
