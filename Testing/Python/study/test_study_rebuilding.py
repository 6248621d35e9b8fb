"""A second demonstration bundle for weights that a user has: made small, stopped, gone on with, used."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast
from xml.etree import ElementTree

import msgspec
import numpy as np
import pytest
import torch
from made_up import ROOT, make_patient

from MemorySurvivalLib.bundle.bundle import ModelBundle, load_bundle
from MemorySurvivalLib.bundle.registry import find_bundle, list_bundles
from MemorySurvivalLib.bundle.summary import summarize_bundle
from MemorySurvivalLib.cli import main
from MemorySurvivalLib.errors import BundleError, DeviceError, InputError, WeightsError
from MemorySurvivalLib.imaging.reading import write_volume
from MemorySurvivalLib.jobs import find_job
from MemorySurvivalLib.jobs.context import JobContext
from MemorySurvivalLib.memory.backbone import MEDSAM2, BackboneSpec, build_backbone
from MemorySurvivalLib.memory.engine import MemoryEngine
from MemorySurvivalLib.memory.weights import WeightsStore, find_weights
from MemorySurvivalLib.memory.weights_store import Stamp, WeightsRecord, hash_file, timestamp
from MemorySurvivalLib.progress import ProgressEvent
from MemorySurvivalLib.scoring import score_states
from MemorySurvivalLib.simulation.cohort_data import collect_patients
from MemorySurvivalLib.simulation.patient import Patient, draw_patient
from MemorySurvivalLib.simulation.scenario import load_scenario
from MemorySurvivalLib.simulation.scenario_case import ScenarioCase, simulate_patient
from MemorySurvivalLib.study import rebuilding, shipping_heads
from MemorySurvivalLib.study.cohorts import read_cohort
from MemorySurvivalLib.study.configuration import load_configuration
from MemorySurvivalLib.study.models import SPATIAL_STATISTICS, deep_recipe
from MemorySurvivalLib.study.readings import pool_inside, whole_scan
from MemorySurvivalLib.study.rebuild_cohorts import list_cases
from MemorySurvivalLib.study.rebuild_estimate import estimate_rebuild, say_duration
from MemorySurvivalLib.study.rebuilding import (
    DEFAULT_CASES,
    FEWEST_CASES,
    MOST_CASES,
    RebuildPlan,
    plan_rebuild,
    rebuild_bundle,
)
from MemorySurvivalLib.study.shipping_heads import REGION
from MemorySurvivalLib.training.data import CohortData
from MemorySurvivalLib.training.folds import FoldPlan, make_splits
from MemorySurvivalLib.training.models.fitting import TrainingConfig
from MemorySurvivalLib.training.models.image import ImageModel
from MemorySurvivalLib.training.models.outcomes import check_outcomes
from MemorySurvivalLib.training.tuning import Recipe

TINY = BackboneSpec("sam2.1-hiera-tiny", 64)

SLICES = 2
"""Read of every third small patient, in each image; one of the others."""

EXTRAS = ("torchsurv", "torchsurv.loss.cox", "lifelines", "pycox", "torchtuples", "sklearn", "optuna", "pandas")
"""What training brings beside torch; Slicer has none of these."""

SAME_SDS = 5e-3
"""float16 vectors and six digits of a statistic are off by thousandths of the log-risks' spread."""


def simulate_small(patient: Patient) -> ScenarioCase:
    """Small images of a scenario's patient, hotter where there is more disease."""
    small = make_patient(Path(), seed=patient.image_seed % 1000)
    region = np.zeros_like(small.spine.voxels)
    levels = slice(4, 8 if patient.number % 3 == 0 else 7)  # of which every third is read
    region[levels] = small.spine.voxels[levels]
    mask = small.spine.with_voxels(region)
    heat = np.float32(np.exp(0.2 * np.log1p(patient.shown.tumour_ml)))
    pet = small.pet.with_voxels(small.pet.voxels * heat)
    return ScenarioCase(patient, small.ct, pet, mask, mask, mask, cast(Any, None))


@pytest.fixture(scope="module", autouse=True)
def small() -> Iterator[None]:
    """A small network, small images and few short fits in place of MedSAM2, phantoms and the study's search."""

    def make(*given: object, **named: object) -> Recipe:
        recipe = deep_recipe(*given, **named)  # type: ignore[arg-type]
        alternatives = []
        for one in recipe.alternatives:
            assert isinstance(one.base, ImageModel)
            alternatives.append(replace(one, base=replace(one.base, training=TrainingConfig(epochs=12))))
        return replace(recipe, alternatives=tuple(alternatives))

    study = load_configuration()
    few = msgspec.structs.replace(study.fitting, trials=2, inner_folds=2, resamples=50)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shipping_heads, "deep_recipe", make)
        patch.setattr(rebuilding, "MEDSAM2", TINY)
        patch.setattr(rebuilding, "simulate_patient", simulate_small)
        patch.setattr(rebuilding, "load_configuration", lambda: msgspec.structs.replace(study, fitting=few))
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A data folder whose store holds seeded random weights under hiera-tiny's real keys."""
    folder = tmp_path_factory.mktemp("rebuild")
    store = WeightsStore(folder / "weights")
    store.folder.mkdir()
    file = store.folder / "seeded.pt"
    torch.save({"model": build_backbone(TINY, seed=17).state_dict()}, file)
    stamp = Stamp.of(file)
    sha256 = hash_file(file, "hash")
    record = WeightsRecord(
        "seeded", file.name, sha256, stamp.size_bytes, False, "CC0-1.0", "a test", None, timestamp(), stamp
    )
    store.write_record(record)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEMORYSURVIVAL_DATA", str(folder))
        yield folder


@pytest.fixture(scope="module")
def engine(data: Path) -> MemoryEngine:
    return plan_rebuild("seeded", 60).load_engine(torch.device("cpu"))


@dataclass(frozen=True, eq=False)
class Made:
    """A rebuild that was stopped after five patients and gone on with, and what it told in the second part."""

    plan: RebuildPlan
    told: tuple[ProgressEvent, ...]
    encoded_slices: int


@pytest.fixture(scope="module")
def made(engine: MemoryEngine) -> Made:
    """With none of training's extras, as in Slicer."""
    with pytest.MonkeyPatch.context() as patch:
        for extra in EXTRAS:
            patch.setitem(sys.modules, extra, None)
        plan = plan_rebuild("seeded", 60)
        told: list[ProgressEvent] = []

        def stop_at_five(event: ProgressEvent) -> None:
            if event.done == 5:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            rebuild_bundle(plan, engine, stop_at_five)
        cases = list_cases(plan.configuration, plan.work)
        assert [case.is_there() for case in cases] == [True] * 5 + [False] * 55
        assert not plan.out.exists()
        assert estimate_rebuild(plan, engine).done == 5
        before = engine.encoded_slices
        rebuild_bundle(plan, engine, told.append)
        return Made(plan, tuple(told), engine.encoded_slices - before)


@pytest.fixture(scope="module")
def bundle(made: Made) -> ModelBundle:
    return load_bundle(made.plan.out)


def test_stopped_it_goes_on_with_the_patients_that_are_missing(made: Made) -> None:
    later = [*range(5, 40), *range(20)]  # of the development and of the test patients
    slices = sum(SLICES if number % 3 == 0 else 1 for number in later)
    assert made.encoded_slices == 2 * slices, "what was embedded before is not embedded again"
    first = made.told[0]
    assert (first.stage, first.done, first.total) == ("simulated patients", 5, 60)
    assert {event.stage for event in made.told} == {"simulated patients", "training image", "training image+clinical"}
    assert {event.done for event in made.told if event.stage == "simulated patients"} == set(range(5, 61))


def test_the_bundle_names_the_weights_and_does_not_hold_them(
    made: Made, bundle: ModelBundle, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest, record = bundle.manifest, made.plan.record
    assert made.plan.out == find_bundle("demonstration-seeded-60")
    assert (manifest.status, manifest.backbone.weights, manifest.provenance.cases) == ("demonstration", "external", 40)
    assert manifest.backbone.sha256 == record.sha256
    assert manifest.backbone.learned_from is None and bundle.backbone_training == {}, "the weights are another's"
    assert manifest.backbone.reader is None and bundle.reader is None
    assert not manifest.backbone.simulated_only
    assert manifest.provenance.population.endswith("no patient's data was used for the heads")
    assert manifest.provenance.how == "memory-survival bundle rebuild --backbone seeded --n 60"
    assert "its heads trained on" in manifest.title and manifest.licence.endswith("CC0-1.0")
    assert bundle.archive.path.stat().st_size < 1e6, "the weights are not in it"
    summary = summarize_bundle(bundle.archive, WeightsStore())
    assert summary.weights.state == "present"
    assert summary.heads[0].real.labels == ("SIMULATED MODEL",)
    assert summary.heads[0].reference_cases == 20
    monkeypatch.setenv("MEMORYSURVIVAL_DATA", str(data / "elsewhere"))
    with pytest.raises(WeightsError, match=f"weights with sha256 {record.sha256} are not on this machine; import"):
        find_weights(manifest.backbone.sha256)


def test_the_card_says_whose_weights_whom_the_heads_learned_from_and_how_they_did(
    made: Made, bundle: ModelBundle
) -> None:
    card, configuration = bundle.card, made.plan.configuration
    assert "SIMULATED MODEL" in card and "Research use only, not a medical device" in card
    assert f"sha256 {made.plan.record.sha256}" in card and "not in this bundle" in card
    assert "Embedded on: cpu." in card and "Its heads learned from simulated patients only" in card
    development, scenario = load_configuration().cohort("main-dev"), load_scenario("main")
    assert f"(cohort main-dev, seed\n  {development.seed}, scenario main with sha256 {scenario.sha256})" in card
    assert "Reference risks: 20 patients of main-test, whom no head saw." in card
    assert "| image | 20 of main-test (scenario main)," in card and "SUVmax" in card
    assert configuration.sha256 in card and configuration.embedding.sha256 in card
    for word in ("average downsampler", "lesion reader, sha256"):
        assert word not in card


def test_a_bundle_that_is_there_is_left_as_it_is(made: Made, engine: MemoryEngine) -> None:
    plan, told = made.plan, cast(list[Any], [])
    none_left = estimate_rebuild(plan, engine)
    assert (none_left.done, none_left.slices, none_left.embed_seconds) == (60, 0, 0.0)
    assert "on cpu, for training the heads. It can" in none_left.sentence
    stamp = plan.out.stat().st_mtime_ns
    assert rebuild_bundle(plan, engine).backbone.sha256 == plan.record.sha256
    assert plan.out.stat().st_mtime_ns == stamp
    for job in ("rebuild_estimate", "rebuild_bundle"):  # the worker finds it there too, whatever the panel calls it
        asked = {"weights": plan.record.sha256, "cases": 60, "device": "cpu"}
        said = find_job(job)(asked, JobContext(told.append, told.append)).result
        assert said["name"] == "demonstration-seeded-60"
    assert "demonstration-seeded-60" in [each["name"] for each in said["bundles"]]


def test_the_same_patients_give_the_same_bundle(
    made: Made, bundle: ModelBundle, engine: MemoryEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bit for bit, from what was embedded; without training's extras, as the first time."""
    for extra in EXTRAS:
        monkeypatch.setitem(sys.modules, extra, None)
    before = engine.encoded_slices
    elsewhere = replace(made.plan, out=tmp_path / made.plan.out.name)
    manifest = rebuild_bundle(elsewhere, engine)
    assert engine.encoded_slices == before
    assert load_bundle(elsewhere.out).archive.members == bundle.archive.members
    assert manifest.heads == bundle.manifest.heads


def test_heads_see_pooled_memories_and_statistics_as_the_study_embedded_them(made: Made, bundle: ModelBundle) -> None:
    """Reference risks are those of embedded test patients, and each kind of input matters."""
    manifest, plan = bundle.manifest, made.plan
    propagation, kept = manifest.propagation, whole_scan(plan.configuration.embedding, REGION)
    assert {(readout, pool_inside(pooling)) for readout, pooling in kept} == {
        ("mean", True),
        ("mean", "peak"),
        ("max", "peak"),
    }
    pooling = next(p for readout, p in kept if (readout, pool_inside(p)) == (propagation.readout, propagation.inside))
    study = load_configuration()
    assert (propagation.slice_step, propagation.most_slices, propagation.close_up_mm) == (3, 48, None)
    assert (manifest.windows, manifest.roi) == (study.embedding.windows, REGION)
    judged, ships = study.explaining, manifest.explain
    assert (ships.patch_mm, ships.stride_mm, ships.fill) == (judged.patch_mm, judged.stride_mm, judged.fill)
    assert ships.modalities == ("PET",)
    for entry in manifest.heads:
        assert (entry.spec.downsampler, entry.spec.memory_shape) == ("pooled", (64, 1, 1))
        assert entry.spec.statistics == SPATIAL_STATISTICS
    assert manifest.heads[0].covariates is None and manifest.heads[1].covariates is not None

    tests = read_cohort(plan.configuration, "main-test", "main", plan.work).data
    cohort = load_configuration().cohort("main-test")
    patients = [draw_patient(load_scenario("main"), cohort.seed, number) for number in range(20)]
    assert [patient.time_months for patient in patients] == tests.times_months.tolist()

    def ask(number: int, covariates: Any, **changed: float) -> float:
        return _ask(bundle, tests, f"{propagation.readout}/{pooling}", number, covariates, **changed)

    for entry, known in zip(manifest.heads, (False, True), strict=True):
        assert entry.reference is not None
        values = [patient.covariates if known else None for patient in patients]
        risks = [ask(number, one) for number, one in enumerate(values)]
        spread = np.std(entry.reference.log_risks)
        np.testing.assert_allclose(np.sort(risks), entry.reference.log_risks, rtol=0, atol=SAME_SDS * spread)
        assert abs(ask(0, values[0], states=1.5) - risks[0]) > 1e-4
        assert abs(ask(0, values[0], statistics=4.0) - risks[0]) > 1e-4


def _ask(
    bundle: ModelBundle,
    data: CohortData,
    reading: str,
    number: int,
    covariates: Any,
    states: float = 1.0,
    statistics: float = 1.0,
) -> float:
    """The log-risk of an embedded patient, whose states or statistics may be multiplied."""
    memories = {m: data.states[f"{m}/{REGION}/{reading}"][number][None].float() * states for m in ("PET", "CT")}
    measured = {name: data.statistics[f"{REGION}/{name}"][number] * statistics for name in SPATIAL_STATISTICS}
    return score_states(
        bundle, cast(Any, memories), covariates, simulated_case=True, other_roi=False, statistics=measured
    ).log_risk


def test_from_the_command_to_a_bundle_that_scores_a_case(
    made: Made, engine: MemoryEngine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One patient more than before is the only one that is embedded anew."""
    assert main(["bundle", "rebuild", "--backbone", "seeded", "--n", "61", "--device", "cpu", "--yes"]) == 0
    captured = capsys.readouterr()
    assert "seeded: 61 simulated patients (60 are embedded already): about" in captured.err
    assert "image+clinical: {'training_c_index'" in captured.out
    assert "demonstration-seeded-61.msbundle is written (status demonstration, SIMULATED MODEL)." in captured.out
    assert "Research use only, not a medical device" in captured.out

    cohort = load_configuration().cohort("main-test")
    patient = draw_patient(load_scenario("main"), cohort.seed, 3)
    images = simulate_small(patient)
    for name, volume in (("ct", images.ct), ("pet", images.pet), ("roi", images.spine_dilated)):
        write_volume(volume, tmp_path / f"{name}.nrrd")
    given = [f"--{name}={tmp_path / name}.nrrd" for name in ("ct", "pet", "roi")]
    scored = ["score", *given, "--bundle", "demonstration-seeded-61", "--device", "cpu", "--alignment", "off"]
    assert main([*scored, "--out", str(tmp_path / "out")]) == 0
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    bundle = load_bundle(find_bundle("demonstration-seeded-61"))
    propagation, reference = bundle.manifest.propagation, bundle.manifest.heads[0].reference
    assert reference is not None
    assert [one["shape"] for one in result["memory"]] == [[1, 64, 1, 1]] * 2
    assert [one["name"] for one in result["risk"]["statistics"]] == list(SPATIAL_STATISTICS)
    tests = read_cohort(made.plan.configuration, "main-test", "main", made.plan.work).data
    pooling = "peak" if propagation.inside == "peak" else "region"
    expected = _ask(bundle, tests, f"{propagation.readout}/{pooling}", 3, None)
    assert abs(result["risk"]["log_risk"] - expected) < SAME_SDS * np.std(reference.log_risks)


def test_the_patients_are_the_studys_and_more_cases_continue_them(data: Path) -> None:
    plan, more = plan_rebuild("seeded", 210), plan_rebuild("seeded", 300)
    assert [cohort.patients for cohort in plan.configuration.cohorts] == [150, 60]
    assert [cohort.patients for cohort in more.configuration.cohorts] == [214, 86]
    study = load_configuration()
    for cohort in plan.configuration.cohorts:
        known = study.cohort(cohort.name)
        assert (cohort.scenario, cohort.seed, cohort.images) == ("main", known.seed, known.images)
    assert len({cohort.seed for cohort in plan.configuration.cohorts}) == 2
    assert plan.folder == more.folder
    few, many = (list_cases(one.configuration, one.work) for one in (plan, more))
    assert {_where(case) for case in few} < {_where(case) for case in many}
    first = draw_patient(load_scenario("main"), study.cohort("main-dev").seed, 0)
    assert (few[0].patient.image_seed, few[0].patient.number) == (first.image_seed, 0)
    fitting, usual = plan_rebuild("seeded", 300).configuration.fitting, rebuilding.load_configuration().fitting
    assert (fitting.trials, fitting.inner_folds, fitting.seed) == (usual.trials, usual.inner_folds, usual.seed)


def test_the_fewest_cases_are_enough_to_learn_from_in_every_fold(data: Path) -> None:
    configuration = plan_rebuild("seeded", FEWEST_CASES).configuration
    fitting, count = load_configuration().fitting, configuration.cohorts[0].patients
    cases = list_cases(configuration, data)
    patients = collect_patients(case.patient for case in cases[:count])
    splits = make_splits(patients, FoldPlan(fitting.inner_folds, 1, seed=fitting.seed))
    for number in range(fitting.inner_folds):
        check_outcomes(patients.take(splits.fold(patients, 0, number).train))


def test_the_panel_offers_what_can_be_made() -> None:
    spin = ElementTree.parse(ROOT / "Resources" / "UI" / "Model.ui").find(".//widget[@name='rebuildCasesSpin']")
    assert spin is not None
    limits = [spin.findtext(f"property[@name='{name}']/number") for name in ("minimum", "value", "maximum")]
    assert limits == [str(number) for number in (FEWEST_CASES, DEFAULT_CASES, MOST_CASES)]


def _where(case: Any) -> Path:
    return Path(case.folder.case(case.patient.number))


def test_as_it_is_used_medsam2_reads_phantoms_and_other_settings_lie_elsewhere(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = plan_rebuild("seeded")
    monkeypatch.setattr(rebuilding, "MEDSAM2", MEDSAM2)
    monkeypatch.setattr(rebuilding, "simulate_patient", simulate_patient)
    plan = plan_rebuild("seeded")
    assert plan.simulate is simulate_patient
    assert (plan.backbone, plan.configuration.embedding.image_size) == (MEDSAM2, 512)
    assert (plan.work, plan.cases) == (small.work, 300) and plan.folder != small.folder


def test_what_stands_in_the_way_is_said_before_it_starts(data: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"MedSAM2_latest .* `memory-survival weights fetch MedSAM2_latest`\.$"):
        plan_rebuild("medsam2")
    with pytest.raises(WeightsError, match=r"No backbone weights called 'mine' .*there are: seeded"):
        plan_rebuild("mine")
    with pytest.raises(InputError, match=r"of 59 simulated patients; give 60 to 5000\.$"):
        plan_rebuild("seeded", 59)
    with pytest.raises(BundleError, match=r"ends in \.msbundle"):
        plan_rebuild("seeded", out=tmp_path / "mine")
    with pytest.raises(BundleError, match="ships with MemorySurvival"):
        plan_rebuild("seeded", out=tmp_path / "demonstration.msbundle")
    taken = tmp_path / "taken.msbundle"
    taken.write_bytes(list_bundles()["demonstration"].read_bytes())
    with pytest.raises(BundleError, match=r"another bundle at .*taken\.msbundle already"):
        plan_rebuild("seeded", out=taken)


def test_a_bundle_of_an_older_recipe_is_another_bundle(made: Made, tmp_path: Path) -> None:
    """Of these weights and as many patients, but of other settings: it is neither replaced nor taken for this one."""
    other = msgspec.structs.replace(made.plan.configuration.fitting, seed=1)
    older = replace(
        made.plan, configuration=msgspec.structs.replace(made.plan.configuration, fitting=other), out=made.plan.out
    )
    with pytest.raises(BundleError, match=r"another bundle at .*demonstration-seeded-60\.msbundle already"):
        rebuilding._check_place(older)


def test_a_full_gpu_is_told_and_nothing_else_is_mistaken_for_it(engine: MemoryEngine, data: Path) -> None:
    def fail(text: str) -> Callable[[ProgressEvent], None]:
        def raising(event: ProgressEvent) -> None:
            raise RuntimeError(text)

        return raising

    plan = replace(plan_rebuild("seeded", 70), work=data / "elsewhere")
    with pytest.raises(DeviceError, match="what was embedded is kept"):
        rebuild_bundle(plan, engine, fail("CUDA out of memory. Tried to allocate 2 GiB"))
    with pytest.raises(RuntimeError, match="broken"):
        rebuild_bundle(plan, engine, fail("broken"))


def test_the_command_asks_before_it_starts(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["bundle", "rebuild", "--backbone", "seeded", "--n", "70", "--device", "cpu", "--work", str(tmp_path)]
    assert main(asked) == 2
    said = capsys.readouterr().err
    assert "seeded: 70 simulated patients: about" in said and f" on cpu, for {70 * 2 * SLICES} slices of" in said
    assert "Nothing was started; add --yes to start." in said
    assert "demonstration-seeded-70" not in list_bundles() and not list(tmp_path.iterdir())
    plan = replace(plan_rebuild("seeded", 70), out=find_bundle("demonstration"))
    monkeypatch.setattr(rebuilding, "plan_rebuild", lambda *_a, **_k: plan)
    assert main(asked) == 0
    assert "demonstration.msbundle is there already" in capsys.readouterr().out


def test_the_estimate_counts_every_part(data: Path, engine: MemoryEngine) -> None:
    plan = replace(plan_rebuild("seeded", 60), work=data / "nothing yet")
    told: list[ProgressEvent] = []
    estimate = estimate_rebuild(plan, engine, told.append)
    assert (estimate.cases, estimate.done, estimate.slices) == (60, 0, 60 * 2 * SLICES)
    assert estimate.seconds_per_slice > 0 and estimate.fit_seconds > 0
    assert estimate.embed_seconds > 60 * estimate.seconds_per_phantom > 0
    assert estimate.seconds == estimate.embed_seconds + estimate.fit_seconds
    assert {event.stage for event in told} == {"measuring the speed"} and told[-1].done == told[-1].total
    assert not plan.work.exists()


def test_what_is_kept_takes_no_more_room_than_was_promised(made: Made, engine: MemoryEngine) -> None:
    promised = estimate_rebuild(made.plan, engine)
    used = sum(path.stat().st_size for path in made.plan.folder.rglob("*") if path.is_file())
    assert 0 < used < promised.disk_mb * 1e6
    assert promised.folder == str(made.plan.folder)


@pytest.mark.parametrize(("seconds", "said"), [(12.1, "13 s"), (89.5, "90 s"), (91, "2 min"), (5400, "1 h 30 min")])
def test_durations_are_rounded_up(seconds: float, said: str) -> None:
    assert say_duration(seconds) == said
