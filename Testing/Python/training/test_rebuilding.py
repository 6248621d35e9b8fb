"""A second demonstration bundle for weights that a user has: made small, stopped, gone on with, used."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made_up import make_patient

from MemorySurvivalLib.bundle.bundle import load_bundle
from MemorySurvivalLib.bundle.registry import find_bundle, list_bundles
from MemorySurvivalLib.bundle.summary import summarize_bundle
from MemorySurvivalLib.cli import main
from MemorySurvivalLib.errors import BundleError, DeviceError, InputError, WeightsError
from MemorySurvivalLib.jobs import find_job
from MemorySurvivalLib.jobs.context import JobContext
from MemorySurvivalLib.memory.backbone import BackboneSpec, build_backbone
from MemorySurvivalLib.memory.engine import MemoryEngine
from MemorySurvivalLib.memory.prompts import Prompt
from MemorySurvivalLib.memory.weights import WeightsStore, find_weights
from MemorySurvivalLib.memory.weights_store import Stamp, WeightsRecord, hash_file, timestamp
from MemorySurvivalLib.progress import ProgressEvent
from MemorySurvivalLib.training.demonstration import DemonstrationConfig
from MemorySurvivalLib.training.demonstration_heads import HeadRecipe
from MemorySurvivalLib.training.embedded_cohort import CohortCase, find_missing
from MemorySurvivalLib.training.fit import FitConfig
from MemorySurvivalLib.training.rebuild_estimate import estimate_rebuild, say_duration
from MemorySurvivalLib.training.rebuilding import RebuildPlan, plan_rebuild, rebuild_bundle

TINY = BackboneSpec("sam2.1-hiera-tiny", 64)


def simulate_small(seed: int) -> CohortCase:
    """A made-up patient of one read slice, brighter where the hazard is higher."""
    rng = np.random.default_rng(seed)
    patient = make_patient(Path(), seed=seed)
    log_hazard = float(rng.normal())
    region = np.zeros_like(patient.spine.voxels)
    region[4:6] = patient.spine.voxels[4:6]
    time_months, censored = rng.exponential(30 * np.exp(-log_hazard)), rng.uniform(20, 80)
    typical = {"creatinine_mg_dl": 1.0, "haemoglobin_g_dl": 12.0, "platelets_10e9_l": 200.0}
    typical |= {"light_chain_ratio": 9.0, "calcium_mg_dl": 9.5, "age_years": 60 + 5 * log_hazard}
    numbers = {name: f"{value * rng.uniform(0.9, 1.1):.2f}" for name, value in typical.items()}
    choices = (("male", "IgG", "I"), ("female", "IgA", "II"))[seed % 2]
    return CohortCase(
        patient.ct,
        patient.pet.with_voxels(patient.pet.voxels * np.float32(np.exp(0.3 * log_hazard))),
        patient.spine.with_voxels(region),
        float(min(time_months, censored)) + 0.1,
        bool(time_months <= censored),
        numbers | dict(zip(("sex", "isotype", "r_iss"), choices, strict=True)),
    )


class Repeating(MemoryEngine):
    """Encodes six slices with hiera-tiny; later ones get those memories again with noise, which is faster."""

    def memories(self, pictures: torch.Tensor, prompt: torch.Tensor | Prompt) -> torch.Tensor:
        made = self.__dict__.setdefault("made", [])
        if len(made) < 6:
            made.append(super().memories(pictures, prompt))
            return torch.as_tensor(made[-1])
        self.encoded_slices += len(pictures)
        again = made[self.encoded_slices % 6]
        return torch.as_tensor(again + 0.02 * torch.randn_like(again))


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


def small_plan(cases: int = 40) -> RebuildPlan:
    return replace(
        plan_rebuild("seeded", cases),
        backbone=TINY,
        recipe=HeadRecipe(fit=FitConfig(epochs=1)),
        simulate=simulate_small,
    )


@pytest.fixture(scope="module")
def engine(data: Path) -> Repeating:
    return Repeating(small_plan().load_engine(torch.device("cpu")).model, torch.device("cpu"))


def test_stopped_goes_on_and_gives_a_bundle_that_names_the_weights(
    data: Path, engine: Repeating, monkeypatch: pytest.MonkeyPatch
) -> None:
    for extra in ("torchsurv", "lifelines", "pycox", "sklearn", "optuna"):  # Slicer has none of these
        monkeypatch.setitem(sys.modules, extra, None)
    plan = small_plan()
    told: list[Any] = []

    def stop_at_five(event: ProgressEvent) -> None:
        told.append(event)
        if event.done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rebuild_bundle(plan, engine, stop_at_five)
    assert [seed for seed in plan.seeds if seed not in find_missing(plan.seeds, plan.folder)] == plan.seeds[:5]
    assert not plan.out.exists()
    first = sorted(plan.folder.iterdir())[0]
    first.write_bytes(first.read_bytes()[:-7])  # a case that the disk lost a part of is made anew

    before = engine.encoded_slices
    estimate = estimate_rebuild(plan, engine)
    assert (estimate.cases, estimate.done, estimate.slices) == (40, 4, 2 * 36)
    assert estimate.seconds > estimate.embed_seconds > 36 * estimate.seconds_per_phantom > 0
    assert "40 simulated patients (4 are embedded already): about" in estimate.sentence
    engine.encoded_slices = before
    told.clear()
    manifest = rebuild_bundle(plan, engine, told.append)
    assert engine.encoded_slices - before == 2 * 36, "what was embedded before is not embedded again"
    assert (told[0].done, told[0].total) == (4, 40)
    assert {event.stage for event in told} == {"simulated patients", "training image", "training image+clinical"}

    bundle = load_bundle(find_bundle("demonstration-seeded-40"))
    assert (manifest.status, manifest.backbone.weights, manifest.provenance.cases) == ("demonstration", "external", 20)
    assert manifest.backbone.sha256 == plan.record.sha256
    assert manifest.backbone.learned_from is None and bundle.backbone_training == {}, "the weights are another's"
    assert not manifest.backbone.simulated_only
    assert manifest.provenance.population.endswith("no patient's data was used for the heads")
    assert "Its heads learned from simulated patients only" in bundle.card and "its heads trained on" in manifest.title
    assert bundle.archive.path.stat().st_size < 1e6, "the weights are not in it"
    assert f"sha256 {plan.record.sha256}" in bundle.card and "SIMULATED MODEL" in bundle.card
    assert "not in this bundle" in bundle.card and "Embedded on: cpu." in bundle.card
    summary = summarize_bundle(bundle.archive, WeightsStore())
    assert summary.weights.state == "present"
    assert summary.heads[0].real.labels == ("SIMULATED MODEL",)
    assert summary.heads[0].reference_cases == 20
    assert not {event.done for event in told if event.total == 40} - set(range(4, 41))

    none_left = estimate_rebuild(plan, engine)
    assert (none_left.slices, none_left.embed_seconds) == (0, 0.0)
    assert "on cpu, for training the heads. It can" in none_left.sentence
    stamp = plan.out.stat().st_mtime_ns
    assert rebuild_bundle(plan, engine).backbone.sha256 == plan.record.sha256
    assert plan.out.stat().st_mtime_ns == stamp, "a bundle that is there is left as it is"
    for job in ("rebuild_estimate", "rebuild_bundle"):  # the worker finds it there too, whatever the panel calls it
        asked = {"weights": plan.record.sha256, "cases": 40, "device": "cpu"}
        said = find_job(job)(asked, JobContext(told.append, told.append)).result
        assert said["name"] == "demonstration-seeded-40"
    assert [each["name"] for each in said["bundles"]] == ["demonstration", "demonstration-seeded-40"]
    monkeypatch.setenv("MEMORYSURVIVAL_DATA", str(data / "elsewhere"))
    with pytest.raises(WeightsError, match=f"weights with sha256 {plan.record.sha256} are not on this machine; import"):
        find_weights(bundle.manifest.backbone.sha256)


def test_the_cases_are_those_of_the_demonstration_and_more_cases_continue_them(data: Path) -> None:
    shipped = DemonstrationConfig()
    plan = plan_rebuild("seeded", 210)
    assert (plan.training, plan.reference) == (shipped.training_seeds, shipped.reference_seeds)
    more = plan_rebuild("seeded", 300)
    assert set(plan.seeds) < set(more.seeds) and plan.folder == more.folder
    assert not set(more.training) & set(more.reference)
    assert plan.folder != replace(plan, backbone=TINY).folder


def test_what_stands_in_the_way_is_said_before_it_starts(data: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"MedSAM2_latest .* `memory-survival weights fetch MedSAM2_latest`\.$"):
        plan_rebuild("medsam2")
    with pytest.raises(WeightsError, match=r"No backbone weights called 'mine' .*there are: seeded"):
        plan_rebuild("mine")
    with pytest.raises(InputError, match=r"of 39 simulated patients; give 40 to 5000\.$"):
        plan_rebuild("seeded", 39)
    with pytest.raises(BundleError, match=r"ends in \.msbundle"):
        plan_rebuild("seeded", out=tmp_path / "mine")
    with pytest.raises(BundleError, match="ships with MemorySurvival"):
        plan_rebuild("seeded", out=tmp_path / "demonstration.msbundle")
    taken = tmp_path / "taken.msbundle"
    taken.write_bytes(list_bundles()["demonstration"].read_bytes())
    with pytest.raises(BundleError, match=r"another bundle at .*taken\.msbundle already"):
        plan_rebuild("seeded", out=taken)


def test_a_full_gpu_is_told_and_nothing_else_is_mistaken_for_it(data: Path, engine: Repeating) -> None:
    def fail(text: str) -> Callable[[ProgressEvent], None]:
        def raising(event: ProgressEvent) -> None:
            raise RuntimeError(text)

        return raising

    plan = replace(small_plan(50), work=data / "elsewhere")
    with pytest.raises(DeviceError, match="what was embedded is kept"):
        rebuild_bundle(plan, engine, fail("CUDA out of memory. Tried to allocate 2 GiB"))
    with pytest.raises(RuntimeError, match="broken"):
        rebuild_bundle(plan, engine, fail("broken"))


def test_the_command_asks_before_it_starts(
    data: Path, engine: Repeating, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = replace(small_plan(50), work=data / "elsewhere")
    monkeypatch.setattr("MemorySurvivalLib.training.rebuilding.plan_rebuild", lambda *_a, **_k: plan)
    monkeypatch.setattr(RebuildPlan, "load_engine", lambda plan, device: engine)
    assert main(["bundle", "rebuild", "--backbone", "seeded", "--n", "50", "--device", "cpu"]) == 2
    said = capsys.readouterr().err
    assert "seeded: 50 simulated patients: about" in said and " on cpu, for 100 slices of" in said
    assert "Nothing was started; add --yes to start." in said
    assert "demonstration-seeded-50" not in list_bundles()

    made = load_bundle(find_bundle("demonstration")).manifest
    monkeypatch.setattr("MemorySurvivalLib.training.rebuilding.rebuild_bundle", lambda plan, engine, progress: made)
    assert main(["bundle", "rebuild", "--backbone", "seeded", "--n", "50", "--device", "cpu", "--yes"]) == 0
    said = capsys.readouterr().out
    assert "image+clinical: {'training_c_index'" in said
    assert "demonstration-seeded-50.msbundle is written (status demonstration, SIMULATED MODEL)." in said
    assert "Research use only, not a medical device" in said
    there = replace(plan, out=find_bundle("demonstration"))
    monkeypatch.setattr("MemorySurvivalLib.training.rebuilding.plan_rebuild", lambda *_a, **_k: there)
    assert main(["bundle", "rebuild", "--backbone", "seeded", "--n", "50"]) == 0
    assert "demonstration.msbundle is there already" in capsys.readouterr().out


@pytest.mark.parametrize(("seconds", "said"), [(12.1, "13 s"), (89.5, "90 s"), (91, "2 min"), (5400, "1 h 30 min")])
def test_durations_are_rounded_up(seconds: float, said: str) -> None:
    assert say_duration(seconds) == said
