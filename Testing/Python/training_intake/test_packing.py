"""An embedded cohort becomes a bundle that loads, whose evidence is out of fold and whose status is what it may be."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from backbone_cards import carry_training

from MemorySurvivalLib.bundle.bundle import load_bundle
from MemorySurvivalLib.bundle.card import find_open_fields
from MemorySurvivalLib.errors import InputError, OutputError
from MemorySurvivalLib.evaluation.measures import EvaluationPlan
from MemorySurvivalLib.training.data import CohortData
from MemorySurvivalLib.training.exclusion import Excluded, ExclusionFlow
from MemorySurvivalLib.training.folds import FoldPlan
from MemorySurvivalLib.training.intake import Intake, OwnPatient
from MemorySurvivalLib.training.model_card import QUESTIONS, Stated
from MemorySurvivalLib.training.models.fitting import TrainingConfig
from MemorySurvivalLib.training.nested import Validation
from MemorySurvivalLib.training.own_cohort import OwnCohort, bundle_log_risks, read_otherwise
from MemorySurvivalLib.training.packing import TrainConfig, read_config, train_bundle
from MemorySurvivalLib.training.tuning import Budget
from MemorySurvivalLib.worklist.items import CaseFiles

QUICK = TrainConfig(
    title="Quick",
    modalities=("PET",),
    downsampler="channels",
    downsampler_width=2,
    hidden=(4,),
    training=TrainingConfig(epochs=3, patience=3),
    validation=Validation(FoldPlan(2, 1), Budget(1, 2)),
    head_budget=Budget(1, 2),
    evaluation=EvaluationPlan((24.0,), 30.0, (6.0, 30.0), (0.3,), 100, 99),
    horizon_months=24.0,
)


def make_cohort(n: int = 100, *, simulated: bool = False) -> OwnCohort:
    """States whose mean is the hazard's driver; sex and age as covariates."""
    rng = np.random.default_rng(5)
    driver = rng.normal(0, 1, n)
    failure = rng.exponential(30 / np.exp(driver))
    censored = rng.uniform(35, 80, n)
    times, events = np.minimum(failure, censored) + 0.1, failure <= censored
    states = torch.from_numpy(driver)[:, None, None, None] * 0.2 + 0.1 * torch.randn(n, 64, 4, 4)
    covariates = tuple(
        {"age_years": f"{rng.normal(62, 9):.1f}", "sex": "male" if i % 2 else "female"} for i in range(n)
    )
    patients = tuple(
        OwnPatient(
            i + 2,
            f"P{i}",
            CaseFiles(),
            float(times[i]),
            bool(events[i]),
            covariates[i],
            "A",
            scan_date=date(2015, 1, 1),
        )
        for i in range(n)
    )
    flow = ExclusionFlow(n + 1, (Excluded(n + 2, "no image", f"Row {n + 2} names no image."),))
    intake = Intake(Path("cohort.csv"), patients, flow, (), ("age_years", "sex"), (), ("scanner",))
    ids = tuple(patient.patient_id for patient in patients)
    data = CohortData(
        ids, times, events, covariates, states={"PET/mean": states.half()}, sites=("A",) * n, simulated=simulated
    )
    return OwnCohort(intake, patients, data, flow, tuple(map(str, range(n))), {})


def test_a_bundle_of_an_own_cohort(tmp_path: Path, light_base: Path) -> None:
    cohort = make_cohort()
    out = tmp_path / "own.msbundle"
    trained = train_bundle(cohort, load_bundle(light_base), QUICK, Stated(), out, tmp_path / "work")
    bundle = load_bundle(out)
    assert bundle.manifest.status == "local-research"
    assert [head.name for head in bundle.manifest.heads] == ["image", "image+clinical"]
    for entry in bundle.manifest.heads:
        assert entry.reference is not None and len(entry.reference.log_risks) == 100
        assert entry.metrics["nested_c_index_pooled"] < 1
        held_out = next(one for one in trained.heads if one.entry.name == entry.name).validated.log_risk[0]
        assert entry.reference.log_risks == pytest.approx(np.sort(held_out), abs=1e-4)
    assert sorted(find_open_fields(bundle.card)) == sorted(QUESTIONS.values())
    assert "101 patients in the table, 1 no image, 100 remain." in bundle.card
    assert "The table does not say: scanner." in bundle.card
    assert "SIMULATED" not in bundle.card
    risks = bundle_log_risks(bundle, cohort.data)
    assert set(risks) == {"image", "image+clinical"} and np.isfinite(risks["image"]).all()
    with pytest.raises(OutputError, match="is there already"):
        train_bundle(cohort, load_bundle(light_base), QUICK, Stated(), out, tmp_path / "work")


def test_the_same_patient_twice_is_refused(tmp_path: Path, light_base: Path) -> None:
    cohort = make_cohort()
    same = OwnCohort(cohort.intake, cohort.patients, cohort.data, cohort.flow, ("one",) * 100, {})
    with pytest.raises(InputError, match="have equal images"):
        train_bundle(same, load_bundle(light_base), QUICK, Stated(), tmp_path / "a.msbundle", tmp_path / "work")


def test_settings_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "train.json"
    path.write_bytes(msgspec.json.encode(QUICK))
    assert read_config(path) == QUICK
    path.write_text('{"epochs": 3}')
    with pytest.raises(InputError, match="epochs"):
        read_config(path)
    assert read_config(None) == TrainConfig()


@pytest.mark.parametrize("model", ["ridge", "network"])
def test_heads_that_take_statistics(tmp_path: Path, light_base: Path, model: str) -> None:
    cohort = make_cohort()
    driver = cohort.data.states["PET/mean"].float().mean(dim=(1, 2, 3)).numpy()
    tlg = np.where(np.arange(100) % 11 == 3, np.nan, np.exp(4 + 5 * driver))
    cohort = replace(cohort, data=replace(cohort.data, statistics={"tlg_g": tlg, "lesion_tlg_g": tlg}))
    config = msgspec.structs.replace(QUICK, model=model, statistics=("tlg_g",))
    out = tmp_path / "own.msbundle"
    train_bundle(cohort, load_bundle(light_base), config, Stated(), out, tmp_path / "work")
    bundle = load_bundle(out)
    assert [head.name for head in bundle.manifest.heads] == ["image+statistics", "image+statistics+clinical"]
    for entry in bundle.manifest.heads:
        assert entry.statistics is not None and [one.name for one in entry.statistics.entries] == ["tlg_g"]
    assert "tlg_g" in bundle.card and "lesion_tlg_g" not in bundle.card
    risks = bundle_log_risks(bundle, cohort.data)
    for entry in bundle.manifest.heads:
        groups = entry.groups
        assert groups is not None
        share = np.mean(risks[entry.name] < groups.thresholds[0])
        assert share == pytest.approx(1 / 3, abs=0.03), "the loaded head scores as the fitted one"
    half = replace(cohort.data, statistics={})
    with pytest.raises(InputError, match="no statistic tlg_g, which the head image"):
        bundle_log_risks(bundle, half)


def test_statistics_that_no_bundle_takes_are_refused_first(tmp_path: Path, light_base: Path) -> None:
    for names, said in ((("lesion_tlg_g",), "no statistic of a region"), (("hu_mean",), "measured in the CT")):
        config = msgspec.structs.replace(QUICK, statistics=names)
        with pytest.raises(InputError, match=said):
            train_bundle(make_cohort(), load_bundle(light_base), config, Stated(), tmp_path / "a.msbundle", tmp_path)


@pytest.mark.parametrize("downsampler", ["average", "attention"])
def test_a_network_reads_maps_also_on_a_base_that_reads_inside(
    tmp_path: Path, light_base: Path, downsampler: str
) -> None:
    """One number a channel would be blown up to a map for the one, and be too small for the other."""
    base = read_otherwise(load_bundle(light_base), None, inside=True)
    assert base.manifest.propagation.inside
    out = tmp_path / "own.msbundle"
    config = msgspec.structs.replace(QUICK, downsampler=downsampler, training=TrainingConfig(epochs=1, patience=1))
    assert (config.reads_inside, msgspec.structs.replace(config, model="ridge").reads_inside) == (False, None)
    cohort = make_cohort(80)
    cohort = replace(cohort, intake=replace(cohort.intake, covariates=()))
    train_bundle(cohort, base, config, Stated(), out, tmp_path / "work")
    manifest = load_bundle(out).manifest
    assert not manifest.propagation.inside
    assert [head.spec.memory_shape for head in manifest.heads] == [(64, 4, 4)]
    asked = msgspec.structs.replace(config, inside=True)
    (tmp_path / "train.json").write_bytes(msgspec.json.encode(asked))
    with pytest.raises(InputError, match='take the model "ridge" or "mlp"'):
        read_config(tmp_path / "train.json")
    with pytest.raises(InputError, match='leave "inside" out'):
        train_bundle(cohort, base, asked, Stated(), tmp_path / "b.msbundle", tmp_path / "work")


def test_another_readout_than_the_base_on_a_backbone_whose_training_is_known(
    tmp_path: Path, small_bundle: Path
) -> None:
    base = carry_training(load_bundle(small_bundle), tmp_path / "base.msbundle")
    cohort = make_cohort()
    inside = cohort.data.states["PET/mean"].float().mean(dim=(2, 3), keepdim=True).half()
    cohort = replace(cohort, data=replace(cohort.data, states={"PET/max": inside}, covariates=()))
    cohort = replace(cohort, intake=replace(cohort.intake, covariates=()))
    config = msgspec.structs.replace(QUICK, model="ridge", readout="max", inside=True)
    out = tmp_path / "own.msbundle"
    train_bundle(cohort, base, config, Stated(), out, tmp_path / "work")
    made = load_bundle(out)
    manifest = made.manifest
    assert made.backbone_training == base.backbone_training and manifest.backbone == base.manifest.backbone
    assert "## How the backbone was trained" in made.card and "real-STS_002-PET" in made.card
    assert (manifest.propagation.readout, manifest.propagation.inside) == ("max", True)
    assert [head.spec.memory_shape for head in manifest.heads] == [(64, 1, 1)]
    assert base.manifest.propagation.readout == "mean"
