"""Networks learn planted hazards, keep to their seeds, and everything they learned is in their fingerprint."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from made_up import make_head, make_manifest
from model_cohorts import QUICK, SCHEMA, held_out_c, make_cohort

from MemorySurvivalLib.bundle.bundle import as_float16, save_bundle
from MemorySurvivalLib.bundle.manifest import BackboneEntry, describe_statistics
from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.risk.covariates import encode_covariates
from MemorySurvivalLib.risk.head import RiskHead
from MemorySurvivalLib.training.models.deep_surv import DeepSurv
from MemorySurvivalLib.training.models.features import StateVectors, VectorFeatures
from MemorySurvivalLib.training.models.fitting import TrainingConfig, make_batches
from MemorySurvivalLib.training.models.image import ImageModel
from MemorySurvivalLib.training.models.outcomes import split_for_watching
from MemorySurvivalLib.training.models.stage import StageRisk

CHANNELS = ImageModel("channels", downsampler="channels", downsampler_width=8, hidden=(8,), dropout=0.1, training=QUICK)


def test_deep_surv_finds_a_planted_hazard_and_nothing_in_noise() -> None:
    model = DeepSurv("mlp", VectorFeatures(SCHEMA, ("*",)), (8,), 0.1, dataclasses.replace(QUICK, epochs=40))
    assert held_out_c(model, make_cohort(100, 5), make_cohort(150, 6)) >= 0.70
    noise = [held_out_c(model, make_cohort(80, 2 * s, 0.0), make_cohort(150, 2 * s + 1, 0.0)) for s in range(20, 23)]
    assert 0.42 <= np.mean(noise) <= 0.58


def test_pycox_trains_the_same_network() -> None:
    data = make_cohort(60, 3)
    features = VectorFeatures(SCHEMA, states=StateVectors(("PET/mean",), "flatten", components=3))
    ours = DeepSurv("ours", features, (8,), 0.0, dataclasses.replace(QUICK, schedule="step", step_epochs=3))
    theirs = dataclasses.replace(ours, engine="pycox")
    first, second = ours.fit(data, 4), theirs.fit(data, 4)
    assert first.history.best_epoch == second.history.best_epoch
    assert first.history.epochs == second.history.epochs == QUICK.epochs
    assert first.log_risk(data) == pytest.approx(second.log_risk(data), abs=1e-5)
    with pytest.raises(ValueError, match="full"):
        dataclasses.replace(theirs, training=dataclasses.replace(QUICK, batch_size=8)).fit(data, 4)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"fusion": "gated", "statistics": ("*",), "clinical": SCHEMA, "indicators": True},
        {"inputs": ("PET/mean",), "region_keys": ("PET/region",)},
        {"inputs": ("PET/mean", "PET/max"), "missing_modality": True},
        {"downsampler": "average", "downsampler_width": 4},
        {"downsampler": "attention"},
        {"downsampler": "volume", "downsampler_width": 2},
        {"downsampler": "flatten"},
    ],
    ids=lambda changes: str(changes.get("downsampler", sorted(changes))),
)
def test_every_kind_fits_repeats_and_scores_one_patient_as_in_company(changes: dict[str, Any]) -> None:
    n = 24
    data, other = make_cohort(n, 1), make_cohort(n, 2)
    model = dataclasses.replace(CHANNELS, training=dataclasses.replace(QUICK, epochs=1), **changes)
    fitted = model.fit(data, 7)
    risks = fitted.log_risk(other)
    assert risks.shape == (n,) and np.ptp(risks) > 0
    assert fitted.log_risk(data).mean() == pytest.approx(0, abs=1e-5)
    torch.rand(3)  # the caller's own draws change nothing
    assert model.fit(data, 7).fingerprint() == fitted.fingerprint()
    assert model.fit(data, 8).fingerprint() != fitted.fingerprint()
    assert fitted.log_risk(other.take(np.array([5])))[0] == pytest.approx(risks[5], abs=1e-5)


def test_fitting_leaves_the_callers_generator_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    dataclasses.replace(CHANNELS, training=dataclasses.replace(QUICK, epochs=1)).fit(make_cohort(30), 1)
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize("statistics", [(), ("*",)])
def test_image_models_find_a_planted_hazard(statistics: tuple[str, ...]) -> None:
    model = dataclasses.replace(CHANNELS, inputs=("PET/mean",), statistics=statistics)
    assert held_out_c(model, make_cohort(80, 5), make_cohort(120, 6)) >= 0.68


def test_hidden_images_teach_to_do_without_and_are_never_all_hidden() -> None:
    data = make_cohort(60, 5)
    model = dataclasses.replace(
        CHANNELS, missing_modality=True, training=dataclasses.replace(QUICK, modality_dropout=0.5)
    )
    fitted = model.fit(data, 1)
    absent = fitted.head.absent
    assert all(float(absent[modality].detach().abs().max()) > 0 for modality in ("PET", "CT")), "never hidden"
    without = dataclasses.replace(
        data, states={**data.states, "CT/mean": torch.full_like(data.states["CT/mean"], torch.nan)}
    )
    seen, unseen = fitted.log_risk(data), fitted.log_risk(without)
    assert np.isfinite(unseen).all() and not np.allclose(seen, unseen)
    assert np.corrcoef(seen, unseen)[0, 1] > 0.5, "the PET says most of it"


def test_pooling_in_the_region_does_not_see_what_lies_outside() -> None:
    data = make_cohort(40, 1)
    model = dataclasses.replace(
        CHANNELS, inputs=("PET/mean",), region_keys=("PET/region",), training=dataclasses.replace(QUICK, epochs=2)
    )
    fitted = model.fit(data, 0)
    changed = data.states["PET/mean"].clone()
    changed[:, :, 3] += 5  # the region is rows 0 and 1; a 3 x 3 convolution looks one row further
    other = dataclasses.replace(data, states={**data.states, "PET/mean": changed})
    assert np.array_equal(fitted.log_risk(data), fitted.log_risk(other))
    with pytest.raises(InputError, match="pools inside the region, which scoring does not hand to a head"):
        fitted.export_head()


def test_an_exported_head_scores_a_case_as_the_model_does() -> None:
    data = make_cohort(40, 1)
    few = dataclasses.replace(QUICK, epochs=2)
    model = dataclasses.replace(
        CHANNELS, fusion="gated", clinical=SCHEMA, indicators=True, statistics=("tlg_g",), training=few
    )
    fitted = model.fit(data, 0)
    exported = fitted.export_head()
    assert exported.readout == "mean" and exported.covariates is not None
    assert exported.covariates.find_problem() is None
    assert exported.covariates.width == exported.head.spec.covariate_width
    row = 4
    vector = encode_covariates(exported.covariates, data.covariates[row]).vector
    states = {
        modality: data.states[f"{modality}/mean"][row].float()[None] for modality in exported.head.spec.modalities
    }
    output = exported.head.score(states, vector, (float(data.statistics["tlg_g"][row]),))
    assert float(output.log_risk[0]) == pytest.approx(fitted.log_risk(data)[row], abs=1e-5)
    mixed = dataclasses.replace(model, inputs=("PET/mean", "PET/max"), fusion="concatenation").fit(data, 0)
    with pytest.raises(InputError, match="A bundle has one readout, but channels takes max, mean"):
        mixed.export_head()


def test_an_exported_head_survives_a_bundle(tmp_path: Path) -> None:
    data = make_cohort(24, 1)
    model = dataclasses.replace(
        CHANNELS, statistics=("*",), missing_modality=True, training=dataclasses.replace(QUICK, epochs=2)
    )
    exported = model.fit(data, 0).export_head()
    spec = exported.head.spec
    entry = msgspec.structs.replace(
        make_head("a", None, 0)[1], spec=spec, statistics=describe_statistics(spec.statistics)
    )
    head = as_float16(exported.head)
    weights = BackboneEntry("sam2.1-compact", 256, "external", "0" * 64, "made up")
    loaded = save_bundle(
        tmp_path / "a.msbundle", make_manifest((entry,), weights), {"a": exported.head}, "# Card", None
    )
    states = {"PET": data.states["PET/mean"][0].float()[None]}
    assert isinstance(head, RiskHead)
    expected = head.score(states, (), (100.0, 5.0)).log_risk  # type: ignore[arg-type]
    assert torch.equal(loaded.heads["a"].score(states, (), (100.0, 5.0)).log_risk, expected)  # type: ignore[arg-type]
    assert torch.isfinite(expected).all()


def test_batches_never_have_one_row_or_no_event() -> None:
    rows, events = torch.arange(21), torch.zeros(21, dtype=torch.bool)
    events[::5] = True
    rng = np.random.default_rng(0)
    for size in (2, 4, 5, 10, 20):
        batches = list(make_batches(rows, events, size, rng))
        assert all(len(batch) >= 2 and events[batch].any() for batch in batches)
        assert len(set(torch.cat(batches).tolist())) == sum(map(len, batches))
    assert torch.equal(next(make_batches(rows, events, 0, rng)), rows)
    model = DeepSurv("batches", VectorFeatures(SCHEMA), training=dataclasses.replace(QUICK, batch_size=4, epochs=2))
    data = make_cohort(26)
    assert len(split_for_watching(data.events, QUICK.validation_share, 0)[0]) % 4 == 1, "a last batch of one"
    assert np.isfinite(model.fit(data, 0).log_risk(data)).all()


def test_the_watched_part_has_events_and_is_stratified() -> None:
    events = np.arange(40) % 4 == 0
    fitting, watching = split_for_watching(events, 0.2, 3)
    assert sorted([*fitting, *watching]) == list(range(40))
    assert events[watching].sum() == 2 and len(watching) == 8
    few = np.arange(40) < 5
    assert few[split_for_watching(few, 0.05, 0)[1]].sum() == 1


def test_early_stopping_keeps_the_best_epoch() -> None:
    model = dataclasses.replace(
        CHANNELS, training=dataclasses.replace(QUICK, epochs=60, patience=3, learning_rate=0.05)
    )
    history = model.fit(make_cohort(40, 2, effect=0.0), 0).history
    assert history.epochs < 60 and history.epochs == history.best_epoch + 1 + 3


def test_stages_keep_their_order_and_take_the_mean_where_unknown() -> None:
    data = make_cohort(60, 5)
    fitted = StageRisk("R-ISS").fit(data, 0)
    risks = {row["r_iss"]: risk for row, risk in zip(data.covariates, fitted.log_risk(data), strict=True)}
    assert risks["I"] < risks["II"] < risks["III"] and risks["I"] < risks[""] < risks["III"]
    assert risks[""] == 0
    turned = dataclasses.replace(
        data, covariates=tuple({"r_iss": {"I": "III", "III": "I"}.get(r["r_iss"], r["r_iss"])} for r in data.covariates)
    )
    other = StageRisk("R-ISS").fit(turned, 0)
    assert other.slope == 0.01, "a higher stage is never a lower risk"
    computed = dataclasses.replace(
        data,
        covariates=tuple(
            {"beta2_microglobulin_mg_l": f"{b:.1f}", "albumin_g_dl": "4"} for b in np.linspace(2, 8, len(data))
        ),
    )
    steps = StageRisk("ISS").fit(computed, 0).log_risk(computed)
    assert len(np.unique(steps)) == 3 and (np.diff(steps) >= 0).all()
    assert StageRisk("ISS").name == "ISS alone"


@pytest.mark.parametrize(
    "changes",
    [
        {"inputs": ()},
        {"inputs": ("MR/mean",)},
        {"inputs": ("PET/mean", "PET/max"), "downsampler": "average"},
        {"inputs": ("PET/mean",), "fusion": "gated"},
        {"region_keys": ("PET/region",)},
        {"training": dataclasses.replace(QUICK, modality_dropout=0.3)},
    ],
)
def test_image_models_that_cannot_be_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        dataclasses.replace(CHANNELS, **changes)


@pytest.mark.parametrize(
    "changes",
    [{"epochs": 0}, {"batch_size": 1}, {"validation_share": 0.0}, {"modality_dropout": 1.0}, {"learning_rate": 0.0}],
)
def test_trainings_that_cannot_be_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        TrainingConfig(**changes)
