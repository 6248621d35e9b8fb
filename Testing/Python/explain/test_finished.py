"""A map that was stopped goes on where it was, and only where nothing has changed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from explain_makers import make_engine, make_scene, make_subject

from MemorySurvivalLib.explain import finished
from MemorySurvivalLib.explain.fills import make_fills
from MemorySurvivalLib.explain.finished import Finished, key_of
from MemorySurvivalLib.explain.occlusion import OccludedRisks, occluded_log_risks
from MemorySurvivalLib.explain.plan import ExplainConfig, plan_patches
from MemorySurvivalLib.explain.subject import Subject
from MemorySurvivalLib.imaging.case import Case
from MemorySurvivalLib.memory.cache import MemoryCache
from MemorySurvivalLib.memory.engine import MemoryEngine
from MemorySurvivalLib.memory.propagation import PropagationConfig
from MemorySurvivalLib.progress import ProgressCallback, ProgressEvent, ignore_progress
from MemorySurvivalLib.roi.roi import Roi

CONFIG = ExplainConfig(36, 36)


class Stopped(BaseException):
    """What a cancelled job raises from its progress callback."""


@pytest.fixture(scope="module")
def engine() -> MemoryEngine:
    return make_engine()


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> tuple[Case, Roi]:
    return make_scene(tmp_path_factory.mktemp("patient"))


@pytest.fixture
def cache(tmp_path: Path) -> MemoryCache:
    return MemoryCache(tmp_path, 10**9)


def run(
    subject: Subject, roi: Roi, cache: MemoryCache | None, progress: ProgressCallback = ignore_progress
) -> OccludedRisks:
    patches = plan_patches(roi, CONFIG)
    fills = make_fills(subject.case, roi, "roi_median", 36)
    return occluded_log_risks(subject, patches, fills, cache=cache, progress=progress)


def stop_after(steps: int) -> ProgressCallback:
    def progress(event: ProgressEvent) -> None:
        if event.stage == "occlusion" and event.done >= steps:
            raise Stopped

    return progress


@pytest.mark.parametrize("mode", ["boxed", "tracked"])
def test_a_stopped_map_goes_on_where_it_was(
    engine: MemoryEngine, scene: tuple[Case, Roi], cache: MemoryCache, mode: str
) -> None:
    subject = make_subject(engine, scene, PropagationConfig("mean", mode=mode))  # type: ignore[arg-type]
    whole = run(subject, scene[1], None)
    with pytest.raises(Stopped):
        run(subject, scene[1], cache, stop_after(8 if mode == "boxed" else 30))
    before = engine.encoded_slices
    again = run(subject, scene[1], cache)
    assert 0 < again.resumed < len(whole.risks)
    assert np.array_equal(again.risks, whole.risks), "a resumed map is the same to the last bit"
    spent = engine.encoded_slices - before
    before = engine.encoded_slices
    third = run(subject, scene[1], cache)
    assert third.resumed == len(whole.risks)
    assert engine.encoded_slices == before, "a finished map costs nothing"
    assert spent > 0
    assert np.array_equal(third.risks, whole.risks)


def test_without_a_cache_nothing_is_kept(engine: MemoryEngine, scene: tuple[Case, Roi], tmp_path: Path) -> None:
    subject = make_subject(engine, scene, PropagationConfig("last"))
    nothing = MemoryCache(tmp_path, 0)
    run(subject, scene[1], nothing)
    assert run(subject, scene[1], nothing).resumed == 0
    assert not list(tmp_path.rglob("*.safetensors"))


def test_a_damaged_file_is_made_again(engine: MemoryEngine, scene: tuple[Case, Roi], cache: MemoryCache) -> None:
    subject = make_subject(engine, scene, PropagationConfig("last"))
    whole = run(subject, scene[1], cache)
    [file] = [entry.path for entry in cache.folder.entries()]
    content = bytearray(file.read_bytes())
    content[-3] ^= 0xFF
    file.write_bytes(bytes(content))
    again = run(subject, scene[1], cache)
    assert again.resumed == 0
    assert np.array_equal(again.risks, whole.risks)
    assert run(subject, scene[1], cache).resumed == len(whole.risks)


def test_a_full_disk_does_not_stop_the_map(
    engine: MemoryEngine, scene: tuple[Case, Roi], cache: MemoryCache, caplog: pytest.LogCaptureFixture
) -> None:
    subject = make_subject(engine, scene, PropagationConfig("last"))
    (cache.folder.path.parent).mkdir(exist_ok=True)
    cache.folder.path.write_bytes(b"a file where the folder should be")
    found = run(subject, scene[1], cache)
    assert np.isfinite(found.risks).all()
    assert "Finished patches cannot be kept" in caplog.text


def test_whatever_changes_a_number_changes_the_key(engine: MemoryEngine, scene: tuple[Case, Roi]) -> None:
    case, roi = scene
    subject = make_subject(engine, scene, PropagationConfig("mean"))
    patches = plan_patches(roi, CONFIG)
    fills = make_fills(case, roi, "roi_median", 36)
    key = key_of(subject, patches, fills)
    assert key_of(make_subject(engine, scene, PropagationConfig("mean")), patches, fills) == key
    voxels = case.pet.voxels.copy()
    voxels[0, 0, 0] += 1  # no slice that is read, but a fill may depend on it
    changed = replace(case, pet=case.pet.with_voxels(voxels))
    others = [
        (replace(subject, case=changed), patches, fills),
        (replace(subject, covariates=(1.0,)), patches, fills),
        (replace(subject, modalities=("PET",)), patches, fills),
        (make_subject(engine, scene, PropagationConfig("max")), patches, fills),
        (make_subject(make_engine(4), scene, PropagationConfig("mean")), patches, fills),
        (subject, patches[:-1], fills),
        (subject, patches, make_fills(case, roi, "volume_mean", 36)),
        (subject, patches, make_fills(case, roi, "blur", 36)),
    ]
    keys = [key_of(*other) for other in others]
    assert len({key, *keys}) == len(others) + 1


def test_half_a_plan_of_another_shape_is_not_taken(cache: MemoryCache) -> None:
    key = "a" * 64
    with Finished(cache, key, 3, 2) as kept:
        kept.add(1, np.array([0.5, 0.25]))
    assert Finished(cache, key, 3, 2).done.tolist() == [False, True, False]
    assert Finished(cache, key, 4, 2).resumed == 0


def test_finished_patches_are_written_while_the_work_goes_on(
    cache: MemoryCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finished, "WRITE_EVERY_S", 0.0)
    kept = Finished(cache, "b" * 64, 2, 1)
    kept.add(0, np.array([1.0]))
    assert Finished(cache, "b" * 64, 2, 1).resumed == 1, "a kill now loses nothing"
