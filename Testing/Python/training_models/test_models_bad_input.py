"""What cannot be fitted or scored is refused in one sentence; what can be left out is left out and said."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from model_cohorts import QUICK, SCHEMA, change, make_cohort

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.training.models.cox import RidgeCox
from MemorySurvivalLib.training.models.deep_surv import DeepSurv
from MemorySurvivalLib.training.models.features import StateVectors, VectorFeatures
from MemorySurvivalLib.training.models.image import ImageModel
from MemorySurvivalLib.training.models.stage import StageRisk
from MemorySurvivalLib.training.survival_model import SurvivalModel

FEW = dataclasses.replace(QUICK, epochs=2)
COX = RidgeCox("Cox", VectorFeatures(SCHEMA, ("*",)))
DEEP = DeepSurv("DeepSurv", VectorFeatures(SCHEMA, ("*",)), training=FEW)
IMAGE = ImageModel("image", downsampler="channels", clinical=SCHEMA, statistics=("*",), training=FEW, hidden=(8,))
MODELS: list[SurvivalModel] = [COX, DEEP, IMAGE, StageRisk("R-ISS")]
EACH = pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)


@EACH
def test_ten_patients(model: SurvivalModel) -> None:
    with pytest.raises(InputError, match=r"^Only 10 patients .* needs at least 20, so add patients\.$"):
        model.fit(make_cohort(10), 0)


@EACH
def test_no_events(model: SurvivalModel) -> None:
    with pytest.raises(InputError, match=r"^None of the 40 patients to learn from has an event"):
        model.fit(change(make_cohort(40), events=False), 0)


@EACH
def test_too_few_events(model: SurvivalModel) -> None:
    with pytest.raises(InputError, match=r"^Only 4 of the 40 patients to learn from have an event"):
        model.fit(change(make_cohort(40), events=np.arange(40) < 4), 0)


@EACH
def test_one_time_for_all(model: SurvivalModel) -> None:
    with pytest.raises(InputError, match=r"^All 40 patients to learn from have the same time \(12 months\)"):
        model.fit(change(make_cohort(40), times=12), 0)


@EACH
def test_ties_almost_everywhere_and_events_everywhere_are_fine(model: SurvivalModel) -> None:
    data = make_cohort(40)
    tied = change(data, times=np.where(data.times_months < 20, 12.0, 24.0))
    assert np.isfinite(model.fit(tied, 0).log_risk(tied)).all()
    all_events = change(data, events=True)
    assert np.isfinite(model.fit(all_events, 0).log_risk(all_events)).all()


def test_a_constant_covariate_is_left_out_and_said() -> None:
    data = make_cohort(40)
    constant = change(data, covariates={"sex": "male", "age_years": "60"})
    fitted = COX.fit(constant, 0)
    assert "The covariate sex is the same in all patients to learn from; it is not used." in fitted.notes
    assert "The covariate age_years is the same in all patients to learn from; it is not used." in fitted.notes
    other = change(data, covariates={"sex": "female", "age_years": "40"})
    assert np.array_equal(fitted.log_risk(constant), fitted.log_risk(other))
    assert DEEP.fit(constant, 0).notes == IMAGE.fit(constant, 0).notes == fitted.notes


def test_an_empty_covariate_is_left_out_and_said() -> None:
    fitted = COX.fit(change(make_cohort(40), covariates={"r_iss": "unknown"}), 0)
    assert "The covariate r_iss is missing in all patients to learn from; it is not used." in fitted.notes


def test_only_constant_covariates() -> None:
    data = change(make_cohort(40), covariates=dict.fromkeys(SCHEMA.names, ""))
    with pytest.raises(
        InputError, match=r"^No clinical covariate differs between the patients to learn from \(age_years"
    ):
        RidgeCox("clinical", VectorFeatures(SCHEMA)).fit(data, 0)
    with pytest.raises(InputError, match=r"^The cohort has no clinical covariates"):
        COX.fit(dataclasses.replace(data, covariates=()), 0)


@pytest.mark.parametrize("model", [COX, DEEP, IMAGE], ids=lambda model: model.name)
def test_a_category_that_was_never_seen(model: SurvivalModel) -> None:
    data = make_cohort(40)
    fitted = model.fit(data, 0)
    with pytest.raises(
        InputError, match=r"^Row 1 of the cohort: The covariate sex has the unknown value 'x'; use one of"
    ):
        fitted.log_risk(change(data, covariates={"sex": "x"}))
    with pytest.raises(
        InputError, match=r"^Row 1 of the cohort: The covariate age_years is 999, outside 18 to 110 years"
    ):
        model.fit(change(data, covariates={"age_years": "999"}), 0)


def test_a_stage_that_does_not_exist() -> None:
    data = make_cohort(40)
    fitted = StageRisk("R-ISS").fit(data, 0)
    with pytest.raises(
        InputError, match=r"^Row 1 of the cohort: R-ISS has the unknown value 'IV'; use one of I, II, III"
    ):
        fitted.log_risk(change(data, covariates={"r_iss": "IV"}))
    with pytest.raises(InputError, match="not known in all patients to learn from"):
        StageRisk("R2-ISS").fit(data, 0)


def test_missing_statistics() -> None:
    data = make_cohort(60, 1)
    some = np.where(np.arange(60) % 5 == 0, np.nan, data.statistics["tlg_g"])
    part = change(data, statistics={"tlg_g": some})
    for model in (COX, DEEP, IMAGE):
        assert np.isfinite(model.fit(part, 0).log_risk(part)).all()
    nothing = change(data, statistics={"tlg_g": np.nan, "suv_max_g_ml": 5})
    with pytest.raises(InputError, match=r"^No statistic differs between the patients to learn from"):
        RidgeCox("statistics", VectorFeatures(statistics=("*",))).fit(nothing, 0)
    with pytest.raises(InputError, match=r"^Every statistic \(tlg_g\) is missing in all patients"):
        dataclasses.replace(IMAGE, statistics=("tlg_g",)).fit(nothing, 0)
    with pytest.raises(InputError, match=r"^The cohort has no statistic MTV; it has tlg_g"):
        dataclasses.replace(IMAGE, statistics=("MTV",)).fit(data, 0)
    with pytest.raises(InputError, match=r"^The cohort has no statistic at all; it has none"):
        DEEP.fit(dataclasses.replace(data, statistics={}), 0)


def test_missing_images() -> None:
    data = make_cohort(40)
    states = dict(data.states)
    states["CT/mean"] = states["CT/mean"].clone()
    states["CT/mean"][[2, 5]] = torch.nan
    part = dataclasses.replace(data, states=states)
    with pytest.raises(
        InputError, match=r"^Row 3 of the cohort has no image of CT \(2 of 40 rows are like that\); leave"
    ):
        IMAGE.fit(part, 0)
    with pytest.raises(InputError, match=r"^Row 3 of the cohort has no image of CT"):
        IMAGE.fit(data, 0).log_risk(part)
    tolerant = dataclasses.replace(IMAGE, missing_modality=True)
    assert np.isfinite(tolerant.fit(part, 0).log_risk(part)).all()
    states["PET/mean"] = states["PET/mean"].clone()
    states["PET/mean"][5] = torch.nan
    with pytest.raises(InputError, match=r"^Row 6 of the cohort has no image of PET, CT \(1 of 40"):
        tolerant.fit(dataclasses.replace(data, states=states), 0)
    with pytest.raises(InputError, match=r"^The cohort has no memory states CT/last; it has PET/mean"):
        dataclasses.replace(IMAGE, inputs=("PET/mean", "CT/last")).fit(data, 0)
    states["CT/mean"][1:] = torch.nan
    states["PET/mean"] = data.states["PET/mean"]
    with pytest.raises(InputError, match=r"^Fewer than two patients to learn from have a CT; leave CT out\."):
        tolerant.fit(dataclasses.replace(data, states=states), 0)


def test_a_missing_image_in_a_pooled_vector_takes_the_mean() -> None:
    data = make_cohort(40)
    states = {**data.states, "CT/mean": data.states["CT/mean"].clone()}
    states["CT/mean"][3] = torch.nan
    part = dataclasses.replace(data, states=states)
    model = RidgeCox("pooled", VectorFeatures(states=StateVectors(("PET/mean", "CT/mean"))))
    assert np.isfinite(model.fit(part, 0).log_risk(part)).all()


def test_training_that_diverges() -> None:
    wild = dataclasses.replace(QUICK, learning_rate=1e30, clip_norm=1e30, epochs=20)
    with pytest.raises(InputError, match=r"^The training went astray in epoch \d+ .* lower the learning rate"):
        dataclasses.replace(DEEP, training=wild, hidden=()).fit(make_cohort(40), 0)
