"""Heads of small maps, and models that learn with hidden images and are asked without one."""

from __future__ import annotations

import dataclasses

import msgspec
import numpy as np
import pytest
import torch
from study_makers import embed_all, make_configuration

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.window import Modality
from MemorySurvivalLib.study.cohorts import read_cohort
from MemorySurvivalLib.study.configuration import StudyConfiguration
from MemorySurvivalLib.study.hidden_images import AskedWithout, hide_image
from MemorySurvivalLib.study.models import DEEP_HIDING, DEEP_STATISTICS, study_models
from MemorySurvivalLib.training.data import CohortData
from MemorySurvivalLib.training.models.deep_surv import DeepSurv
from MemorySurvivalLib.training.models.fitting import TrainingConfig
from MemorySurvivalLib.training.models.image import ImageModel
from MemorySurvivalLib.training.nested import fit_tuned
from MemorySurvivalLib.training.tuning import Budget, Recipe

FEW = TrainingConfig(epochs=2)


@pytest.fixture(scope="module")
def configuration() -> StudyConfiguration:
    made = make_configuration(40)
    first, *others = made.cohorts
    return msgspec.structs.replace(made, cohorts=(msgspec.structs.replace(first, small_maps=40), *others))


@pytest.fixture(scope="module")
def vectors(configuration: StudyConfiguration, tmp_path_factory: pytest.TempPathFactory) -> CohortData:
    root = tmp_path_factory.mktemp("parts")
    embed_all(configuration, root)
    cohort: CohortData = read_cohort(configuration, "main-dev", "main", root, 40, ("small",)).data
    return cohort


def find_recipe(configuration: StudyConfiguration, name: str) -> Recipe:
    (found,) = (one.recipe for one in study_models(configuration.embedding, ("deep",)) if one.name == name)
    return found


def quick(model: ImageModel) -> ImageModel:
    return dataclasses.replace(model, training=dataclasses.replace(model.training, epochs=3))


@pytest.mark.parametrize("modality", ["PET", "CT"])
def test_a_model_asked_without_an_image_does_not_see_it(
    configuration: StudyConfiguration, vectors: CohortData, modality: Modality
) -> None:
    recipe = find_recipe(configuration, f"{DEEP_HIDING}, asked without {modality}")
    model = recipe.alternatives[0].base
    assert isinstance(model, AskedWithout) and model.hidden == modality
    assert recipe.alternatives[0].space[0].name.startswith("base.training.")
    fitted = dataclasses.replace(model, base=quick(model.base)).fit(vectors, 1)
    risk = fitted.log_risk(vectors)
    assert np.isfinite(risk).all() and risk.std() > 0
    states = {key: 2 * values + 1 if key.startswith(modality) else values for key, values in vectors.states.items()}
    np.testing.assert_array_equal(fitted.log_risk(dataclasses.replace(vectors, states=states)), risk)
    assert np.abs(fitted.fitted.log_risk(vectors) - risk).max() > 0, "with the image it says something else"


def test_what_is_hidden_are_states_and_statistics_of_the_image(vectors: CohortData) -> None:
    hidden = hide_image(vectors, "CT")
    blind = {key for key, values in hidden.states.items() if torch.isnan(values).all()}
    assert blind == {key for key in vectors.states if key.startswith("CT/")}
    unknown = {name.rpartition("/")[2] for name, values in hidden.statistics.items() if np.isnan(values).all()}
    assert unknown == {"hu_mean", "hu_sd", "hu_tenth_percentile"}
    assert not any(torch.isnan(values).any() for values in vectors.states.values()), "the cohort itself stays"


def test_a_model_that_hid_nothing_in_training_refuses(configuration: StudyConfiguration, vectors: CohortData) -> None:
    model = find_recipe(configuration, DEEP_STATISTICS).alternatives[0].base
    assert isinstance(model, ImageModel) and not model.missing_modality
    with pytest.raises(InputError, match="has no image of CT"):
        quick(model).fit(vectors, 1).log_risk(hide_image(vectors, "CT"))


def test_its_settings_are_searched(configuration: StudyConfiguration, vectors: CohortData) -> None:
    found = find_recipe(configuration, f"{DEEP_HIDING}, asked without CT").alternatives[0]
    assert isinstance(found.base, AskedWithout)
    one = dataclasses.replace(found, base=AskedWithout(quick(found.base.base), "CT"))
    tuned = fit_tuned(Recipe("hiding", (one,)), vectors, Budget(trials=2, inner_folds=2), 3)
    assert isinstance(tuned.choice.model, AskedWithout)
    assert tuned.choice.values["base.dropout"] == tuned.choice.model.base.dropout


def test_heads_of_small_maps_fit(configuration: StudyConfiguration, vectors: CohortData) -> None:
    rows = [row for row in study_models(configuration.embedding, ("small maps",)) if row.readout == "last"]
    kinds = {row.downsampler for row in rows}
    assert kinds == {"attention", "channels", "flatten", "volume", "PCA"}
    for row in rows:
        model = row.recipe.alternatives[0].base
        assert isinstance(model, (ImageModel, DeepSurv))
        if isinstance(model, DeepSurv):
            assert model.features.states is not None
            model = dataclasses.replace(
                model,
                features=dataclasses.replace(
                    model.features, states=dataclasses.replace(model.features.states, components=4)
                ),
            )
        assert np.isfinite(dataclasses.replace(model, training=FEW).fit(vectors, 0).log_risk(vectors)).all(), row.name
