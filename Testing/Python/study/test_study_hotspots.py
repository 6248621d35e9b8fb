"""Explaining the study's models equals embedding and measuring an occluded case anew, and finds what was planted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from made_up import SMALL, make_patient, make_reader
from study_makers import embed_all, make_configuration

from MemorySurvivalLib.explain.fills import box_of, make_fills
from MemorySurvivalLib.explain.plan import ExplainConfig, plan_patches
from MemorySurvivalLib.imaging.case import Case
from MemorySurvivalLib.imaging.window import MODALITIES, Modality
from MemorySurvivalLib.measure.statistics import measure_statistics
from MemorySurvivalLib.memory.backbone import build_backbone
from MemorySurvivalLib.memory.engine import MemoryEngine
from MemorySurvivalLib.roi.roi import Roi
from MemorySurvivalLib.simulation.patient import draw_patient
from MemorySurvivalLib.simulation.scenario import load_scenario
from MemorySurvivalLib.simulation.scenario_case import simulate_patient
from MemorySurvivalLib.study import hotspots
from MemorySurvivalLib.study.configuration import StudyConfiguration
from MemorySurvivalLib.study.embed_cohorts import take_in
from MemorySurvivalLib.study.embedding import embed_case
from MemorySurvivalLib.study.hotspot_places import Truth, find_places, read_truth
from MemorySurvivalLib.study.hotspot_results import ExplainedCase, Finding
from MemorySurvivalLib.study.hotspot_summary import summarise
from MemorySurvivalLib.study.hotspots import (
    HOTTEST,
    PET_ALONE,
    collect_rows,
    explain_cases,
    find_seen,
    make_readouts,
    occlude_slices,
    read_passes,
)
from MemorySurvivalLib.study.measuring import RegionValues
from MemorySurvivalLib.study.models import EMBEDDING, EMBEDDING_STATISTICS, LAST
from MemorySurvivalLib.training.models.cox import RidgeCox
from MemorySurvivalLib.training.models.features import VectorFeatures
from MemorySurvivalLib.training.nested import TunedModel, fit_tuned
from MemorySurvivalLib.training.tuning import Alternative, Budget, Recipe

SHARES = {"lesion": 0.05, "distractor": 0.2, "organ": 0.3, "elsewhere": 0.45}


@pytest.fixture(scope="module")
def configuration() -> StudyConfiguration:
    made = make_configuration(20)
    embedding = msgspec.structs.replace(made.embedding, batch_size=1, rois=("spine_dilated",), first_step=4)
    explaining = msgspec.structs.replace(made.explaining, patch_mm=32, stride_mm=32, cases=2)
    return msgspec.structs.replace(made, embedding=embedding, explaining=explaining)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> tuple[Case, Roi]:
    patient = make_patient(tmp_path_factory.mktemp("scene"))
    case, masks = take_in(patient.ct, patient.pet, {"spine_dilated": patient.spine})
    return case, Roi(masks["spine_dilated"], "spine_dilated", "test")


@pytest.fixture(scope="module")
def engine() -> MemoryEngine:
    return MemoryEngine(build_backbone(SMALL, seed=3), torch.device("cpu"), reader=make_reader())


@pytest.mark.parametrize("occluded", [MODALITIES, ("PET",), ("CT",)])
def test_rows_are_what_an_occluded_case_gives(
    configuration: StudyConfiguration,
    scene: tuple[Case, Roi],
    engine: MemoryEngine,
    occluded: tuple[Modality, ...],
) -> None:
    case, roi = scene
    # Lung at the region's border, which no patch fills.
    hu = case.ct.voxels.copy()
    hu[roi.mask.voxels & (np.indices(hu.shape)[2] % 5 == 0)] = -700
    case = replace(case, ct=case.ct.with_voxels(hu))
    embedding = configuration.embedding
    patches = plan_patches(roi, ExplainConfig(24, 24))[3:7:3]
    fills = make_fills(case, roi, "roi_median", 24)
    kept = ("max/region", "stations:4/region", "last/grid", "tops:3/close-lesions")
    keys = [f"{m}/spine_dilated/{name}" for m in MODALITIES for name in kept]
    passes = read_passes(engine, case, roi, embedding, keys)
    readouts = make_readouts(passes, keys, engine.reader)
    changed = {
        shown: occlude_slices(engine, one, patches, fills, shown[0], find_seen(readouts, shown, len(one.boxes)))
        for shown, one in passes.items()
    }
    rows = collect_rows(embedding, case, roi, passes, readouts, patches, changed, fills, occluded)
    count = len(passes["PET", False].boxes)
    only_last = {key: readout for key, readout in readouts.items() if "/last/" in key}
    assert find_seen(only_last, ("PET", False), count) == {count - 1}, "no other slice is encoded again for it"
    assert find_seen(readouts, ("PET", False), count) == set(range(count))
    assert len(rows) == 3
    for number, patch in enumerate((None, *patches)):
        other = case
        if patch is not None:
            volumes = {}
            for modality in MODALITIES:
                voxels = case.image(modality).voxels.copy()
                box = box_of(patch)
                if modality in occluded:
                    voxels[box] = np.where(hu[box] < -300, voxels[box], fills[modality].value)
                volumes[modality] = case.image(modality).with_voxels(voxels)
            other = replace(case, ct=volumes["CT"], pet=volumes["PET"])
        ways = [embed_case(engine, other, {"spine_dilated": roi.mask}, w, small_maps=False) for w in embedding.ways]
        vectors = {key: vector for one in ways for key, vector in one.vectors.items()}
        for key in keys:
            torch.testing.assert_close(rows.states[key][number, :, 0, 0], vectors[key], rtol=2e-3, atol=2e-3)
        for name, value in ways[0].statistics.items():
            assert rows.statistics[name][number] == pytest.approx(value, rel=1e-5), name
    for modality, name in (("PET", "suv_mean_g_ml"), ("CT", "hu_mean")):
        different = {float(value) for value in rows.statistics[f"spine_dilated/{name}"]}
        assert len(different) == (3 if modality in occluded else 1), name


def test_statistics_without_a_patch_are_those_of_the_embedding(scene: tuple[Case, Roi]) -> None:
    case, roi = scene
    assert RegionValues(case, roi, 4.0).as_they_are == pytest.approx(measure_statistics(case, roi.mask.voxels))


def test_a_model_of_the_hottest_voxels_finds_the_planted_lesion(
    configuration: StudyConfiguration, scene: tuple[Case, Roi], engine: MemoryEngine, tmp_path: Path
) -> None:
    case, roi = scene
    rng = np.random.default_rng(0)
    embed_all(configuration, tmp_path)
    data = hotspots.read_cohort(configuration, "main-dev", "spatial", tmp_path).data
    name = "spine_dilated/tlg_g"
    tlg = np.exp(rng.normal(5, 1, len(data)))
    data = replace(
        data, times_months=100 / (1 + tlg), events=np.ones(len(data), dtype=np.bool_), statistics={name: tlg}
    )
    recipe = Recipe("TLG", (Alternative("as it is", RidgeCox("TLG", VectorFeatures(statistics=(name,)))),))
    fitted: dict[str, TunedModel] = {"TLG": fit_tuned(recipe, data, Budget(), 0)}
    planted = (case.pet.voxels > 5) & roi.mask.voxels
    nothing = np.zeros_like(planted)
    truth = Truth(planted, nothing, ~planted, case.ct.spacing_mm)
    found = hotspots.explain_case(configuration, case, roi, truth, 7, engine, fitted)
    assert found is not None
    assert found.findings["TLG"].distance_mm is not None
    assert found.findings["TLG"].distance_mm <= 32
    assert (found.findings["TLG"].energy_in_lesions or 0) > 2 * found.lesion_share
    assert found.findings[f"TLG; {PET_ALONE}"] == found.findings["TLG"], "the CT is none of its business"
    assert found.findings[HOTTEST].distance_mm == 0
    assert found.findings[HOTTEST].place == "lesion"
    shares = found.place_shares
    assert found.lesion_share < shares["lesion"] < 1
    assert (shares["distractor"], shares["elsewhere"]) == (0, 0)
    assert shares["lesion"] + shares["organ"] == pytest.approx(1, abs=1e-3)
    assert found.lesion_suv_max == pytest.approx(case.pet.voxels[roi.mask.voxels].max(), abs=0.01)
    healthy = replace(truth, lesions=nothing)
    assert hotspots.explain_case(configuration, case, roi, healthy, 7, engine, fitted) is None


def test_explaining_goes_on_and_passes_over_cases_without_disease(
    configuration: StudyConfiguration, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embed_all(configuration, tmp_path)
    asked: list[int] = []

    def explain(_: StudyConfiguration, number: int, __: object, fitted: dict[str, TunedModel]) -> ExplainedCase | None:
        assert set(fitted) == {EMBEDDING, EMBEDDING_STATISTICS, LAST}
        asked.append(number)
        found = {name: Finding((0.0, 0.0, 0.0), 1.0, 0.5, "lesion") for name in (*fitted, HOTTEST)}
        return None if number == 0 else ExplainedCase(number, 1, 0.01, SHARES, 3.0 - number, 9, 9, 1.0, found)

    monkeypatch.setattr(hotspots, "explain_number", explain)
    monkeypatch.setattr(hotspots, "load_engine", lambda _, backbone: None)
    monkeypatch.setattr(hotspots, "_fit", lambda *_: ((name, None) for name in (EMBEDDING, EMBEDDING_STATISTICS, LAST)))
    first = explain_cases(configuration, tmp_path, tmp_path, cases=1)
    assert (asked, list(first.cases), first.passed_over) == ([0, 1], ["1"], [0])
    second = explain_cases(configuration, tmp_path, tmp_path)
    assert (asked, list(second.cases)) == ([0, 1, 2], ["1", "2"])
    assert explain_cases(configuration, tmp_path, tmp_path, minutes=0).cases == second.cases
    row = summarise(second, 10)[0]
    assert (row["map"], row["cases"], row["top_in_or_near_a_lesion"]) == (EMBEDDING, 2, 1.0)
    assert row["interval"] == [0.342, 1.0], "Wilson's interval of 2 of 2"
    assert row["with_an_avid_lesion"] == "0 of 0", "SUV 2 and 1"
    second.cases["1"] = msgspec.structs.replace(second.cases["1"], lesion_suv_max=2.5)
    assert summarise(second, 10)[0]["with_an_avid_lesion"] == "1 of 1"
    assert row["median_energy_against_chance"] == 50.0
    chance = summarise(second, 10)[-1]
    assert (chance["top_in_or_near_a_lesion"], chance["at_distractor"], chance["at_elsewhere"]) == (0.05, "20%", "45%")
    far = Finding((0.0, 0.0, 0.0), 10.5, None, "distractor")
    second.cases["9"] = msgspec.structs.replace(second.cases["1"], findings={LAST: far})
    second.cases["8"] = msgspec.structs.replace(second.cases["1"], findings={LAST: Finding(None, None, None)})
    for case in ("1", "2"):
        second.cases.pop(case)
    row = summarise(second, 10)[0]
    assert (row["top_in_or_near_a_lesion"], row["without_any_hotspot"]) == (0.0, 1)
    assert (row["at_distractor"], row["at_organ"], row["at_elsewhere"]) == (1, 0, 0)


def test_places_are_measured_in_millimetres_and_lesions_come_first() -> None:
    lesions, distractors, organs = (np.zeros((5, 9, 30), np.bool_) for _ in range(3))
    lesions[2, 4, 2], distractors[2, 4, 8], organs[2, 4, 20] = True, True, True
    places = find_places(Truth(lesions, distractors, organs, (2.0, 3.0, 20.0)), 10)
    line = [places.at(np.array([2, 4, x])) for x in range(30)]
    assert line == ["lesion"] * 8 + ["distractor"] * 6 + ["elsewhere"] + ["organ"] * 11 + ["elsewhere"] * 4
    assert (places.distance_mm(np.array([2, 4, 5])), places.distance_mm(np.array([1, 4, 2]))) == (6.0, 20.0)
    assert places.at(np.array([1, 4, 2])) == "elsewhere", "20 mm between slices"
    whole = places.shares(np.ones_like(lesions))
    assert sum(whole.values()) == pytest.approx(1, abs=1e-3)


def test_the_truth_of_a_patient_lies_on_the_case_grid() -> None:
    patient = next(
        one
        for one in (draw_patient(load_scenario("spatial"), 2028, number) for number in range(50))
        if one.shown.spec.distractors.fracture is not None and one.shown.disease.foci
    )
    images = simulate_patient(patient)
    case, masks = take_in(images.ct, images.pet, {"skeleton": images.skeleton})
    truth = read_truth(images, case.ct)
    bones = masks["skeleton"].voxels
    assert truth.lesions.shape == case.ct.shape == truth.distractors.shape
    assert truth.spacing_mm == case.ct.spacing_mm
    assert truth.distractors.any() and truth.lesions.any()
    assert bones[truth.distractors].mean() > 0.9, "benign changes are of bone"
    assert bones[truth.organs].mean() < 0.1
    pet = case.pet.voxels
    assert np.median(pet[truth.organs]) > np.median(pet[bones]), "organs are hot"
