"""Coarse maps: what a fifth of the work tells of the rest, at the stated cost; with all of it they are the map."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from explain_makers import make_engine, make_scene, make_subject

from MemorySurvivalLib.explain import coarse, finished
from MemorySurvivalLib.explain.case import patches_to_do
from MemorySurvivalLib.explain.coarse import find_coarse_to_fine, finished_share
from MemorySurvivalLib.explain.fills import make_fills
from MemorySurvivalLib.explain.interpolation import MOST_SCALING, Interpolation, Work
from MemorySurvivalLib.explain.occlusion import occluded_log_risks
from MemorySurvivalLib.explain.plan import ExplainConfig, Patch, plan_patches
from MemorySurvivalLib.explain.subject import Subject
from MemorySurvivalLib.imaging.case import Case
from MemorySurvivalLib.memory.cache import MemoryCache
from MemorySurvivalLib.memory.propagation import PropagationConfig
from MemorySurvivalLib.progress import ProgressEvent
from MemorySurvivalLib.roi.roi import Roi

PLAN = ExplainConfig(30, 15)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> tuple[Case, Roi]:
    return make_scene(tmp_path_factory.mktemp("scene"))


@pytest.fixture(scope="module")
def subject(scene: tuple[Case, Roi]) -> Subject:
    return make_subject(make_engine(), scene, PropagationConfig("mean", slice_step=1))


def make_lattice(slices: int = 30, across: int = 4) -> tuple[list[Patch], list[list[int]]]:
    """Patches of 8 voxels, half as far apart, in a block of `across` x `across` of them."""
    places = [(z, y, x) for z in range(0, slices - 7, 4) for y in range(across) for x in range(across)]
    patches = [Patch(z, z + 8, 4 * y, 4 * y + 8, 4 * x, 4 * x + 8) for z, y, x in places]
    return patches, [list(range(patch.z0, patch.z1)) for patch in patches]


def make_field(known: Interpolation, rng: np.random.Generator, sizes: tuple[float, ...]) -> np.ndarray:
    """Effects as they are: alike where planes overlap, unlike from slice to slice, one modality weaker."""
    spread = np.linalg.cholesky(known._correlation + 1e-9 * np.eye(len(known.planes)))
    noise = rng.normal(size=known.known.shape)
    return np.asarray((noise @ spread.T) * np.asarray(sizes)[:, None, None])


def test_everything_known_is_the_sum_of_its_slices() -> None:
    patches, touched = make_lattice()
    known = Interpolation(patches, touched, 30, 2, 40.0, (5.0, 5.0, 5.0))
    field = make_field(known, np.random.default_rng(1), (1.0, 0.3))
    works = [Work(*map(int, place)) for place in np.argwhere(known.possible)]
    known.tell(works, [field[work] for work in works])
    assert not known.open.any() and known.choose(5) == []
    for n, patch in enumerate(patches):
        column = field[:, patch.z0 : patch.z1, known.planes.index(patch.plane)].sum(axis=1)
        assert known.finish()[:, n] == pytest.approx(column, abs=1e-4)


@pytest.mark.parametrize("spacing_mm", [(5.0, 5.0, 5.0), (2.0, 7.0, 3.0)])
def test_a_fifth_tells_most_of_the_rest(spacing_mm: tuple[float, float, float]) -> None:
    patches, touched = make_lattice()
    known = Interpolation(patches, touched, 30, 2, 8 * spacing_mm[0], spacing_mm)
    field = make_field(known, np.random.default_rng(2), (1.0, 0.1))
    total = int(known.possible.sum() * 0.2)
    works = known.spread(4)
    while works:
        assert len({(work.modality, work.position) for work in works}) == len(works), "one a slice and modality"
        assert all(known.open[work] for work in works)
        known.tell(works, [field[work] for work in works])
        left = total - int((~np.isnan(known.known)).sum())
        works = known.choose(min(10, left)) if left else []
    assert int((~np.isnan(known.known)).sum()) == total
    looked_at = (~np.isnan(known.known)).sum(axis=(1, 2))
    assert looked_at[0] > 3 * looked_at[1], "the modality that does little is left alone"
    truth = [field[0, p.z0 : p.z1, known.planes.index(p.plane)].sum() for p in patches]
    assert np.corrcoef(known.finish()[0], truth)[0, 1] > 0.7


def test_uncertain_effects_are_not_blown_up() -> None:
    patches, touched = make_lattice()
    known = Interpolation(patches, touched, 30, 1, 40.0, (5.0, 5.0, 5.0))
    first = known.spread(4)
    known.tell(first, [1.0] * len(first))
    drawn, made = np.abs(known.estimate().effects), np.abs(known.finish())
    assert (made >= drawn - 1e-12).all() and (made <= MOST_SCALING * drawn + 1e-12).all()


def test_nothing_known_is_no_effect() -> None:
    patches, touched = make_lattice()
    known = Interpolation(patches, [[] for _ in touched], 30, 1, 40.0, (5.0, 5.0, 5.0))
    assert known.spread(4) == [] and known.choose(3) == []
    assert not known.finish().any()


def test_a_coarse_map_costs_a_fifth_and_resumes(subject: Subject, scene: tuple[Case, Roi], tmp_path: Path) -> None:
    case, roi = scene
    fills = make_fills(case, roi, "roi_median", PLAN.patch_mm)
    events: list[ProgressEvent] = []
    cache = MemoryCache(tmp_path, 10**9)
    before = subject.engine.encoded_slices
    first = find_coarse_to_fine(subject, roi, PLAN, fills, cache=cache, progress=events.append)
    spent = subject.engine.encoded_slices - before
    assert spent == round(coarse.SHARE * first.full_encodings)
    assert {event.stage for event in events} == {"occlusion"}
    assert all(a.done <= b.done for a, b in pairwise(events)) and events[-1].done == events[-1].total == spent
    assert first.patches == plan_patches(roi, PLAN)
    assert first.effects.shape == (len(first.patches), 3)
    assert first.effects[:, 0] == pytest.approx(first.effects[:, 1:].sum(axis=1))
    before = subject.engine.encoded_slices
    again = find_coarse_to_fine(subject, roi, PLAN, fills, cache=cache)
    assert subject.engine.encoded_slices == before and again.resumed == len(first.patches)
    assert np.array_equal(again.effects, first.effects)


def test_with_all_of_the_work_it_is_the_map(scene: tuple[Case, Roi], monkeypatch: pytest.MonkeyPatch) -> None:
    case, roi = scene
    subject = make_subject(make_engine(), scene, PropagationConfig("mean", slice_step=2), ("PET",))
    config = ExplainConfig(40, 20, modalities=("PET",))
    fills = make_fills(case, roi, "roi_median", 40)
    exact = subject.baseline() - occluded_log_risks(subject, plan_patches(roi, config), fills).risks
    monkeypatch.setattr(coarse, "SHARE", 1.0)
    whole = find_coarse_to_fine(subject, roi, config, fills)
    assert whole.effects.shape == exact.shape
    assert np.corrcoef(whole.effects[:, 0], exact[:, 0])[0, 1] > 0.95


def test_where_slices_look_back_patches_are_picked(scene: tuple[Case, Roi]) -> None:
    case, roi = scene
    subject = make_subject(make_engine(), scene, PropagationConfig("mean", mode="streamed", slice_step=2), ("PET",))
    fills = make_fills(case, roi, "roi_median", 40)
    config = ExplainConfig(40, 20, modalities=("PET",))
    some = find_coarse_to_fine(subject, roi, config, fills)
    exact = subject.baseline() - occluded_log_risks(subject, some.patches, fills).risks
    assert 0 < len(some.patches) < len(plan_patches(roi, config))
    assert some.effects == pytest.approx(exact, abs=1e-5)


class Stopped(BaseException):
    """What a cancelled job raises through progress."""


@pytest.mark.parametrize("mode", ["boxed", "streamed"])
def test_how_much_an_interrupted_map_has_finished_is_known(
    scene: tuple[Case, Roi], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: Any
) -> None:
    """What comes next follows from what was found, so finished work counts only in its order; nothing is encoded."""
    monkeypatch.setattr(finished, "WRITE_EVERY_S", 3600.0)  # only the end writes
    case, roi = scene
    subject = make_subject(make_engine(), scene, PropagationConfig("mean", mode=mode, slice_step=4), ("PET",))
    config = ExplainConfig(40, 30 if mode == "boxed" else 20, modalities=("PET",), coarse=True)
    fills = make_fills(case, roi, "roi_median", 40)
    cache = MemoryCache(tmp_path, 10**9)
    total = 0

    def stop(event: ProgressEvent) -> None:
        nonlocal total
        total = event.total
        if event.stage == "occlusion" and event.done == event.total - 1:
            raise Stopped

    plan = len(plan_patches(roi, config))
    assert patches_to_do(subject, roi, config, cache).resumable == 0
    with pytest.raises(Stopped):
        find_coarse_to_fine(subject, roi, config, fills, cache=cache, progress=stop)
    before = subject.engine.encoded_slices
    share = finished_share(subject, roi, config, fills, cache)
    work = patches_to_do(subject, roi, config, cache)
    assert subject.engine.encoded_slices == before
    assert 0 < share < 1 and work.resumable == round(share * plan) < plan == work.patches
    if mode == "boxed":  # the step under way when it was stopped is lost
        assert share == pytest.approx((total - 2) / total)
    there = patches_to_do(subject, roi, config, None)
    assert there.resumable == 0 and work.encodings < there.encodings
    some = find_coarse_to_fine(subject, roi, config, fills, cache=cache)
    assert 0 < some.resumed < len(some.patches)
    assert patches_to_do(subject, roi, config, cache).resumable == plan
    assert find_coarse_to_fine(subject, roi, config, fills, cache=cache).resumed == len(some.patches)
