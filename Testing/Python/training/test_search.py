"""The usual searches: every number that is searched is a setting of its model, and stages are taken as they are."""

from __future__ import annotations

import pytest
from cohorts_made_up import Line, make_cohort_data

from MemorySurvivalLib.training.folds import FoldPlan
from MemorySurvivalLib.training.harmonise import Harmonised
from MemorySurvivalLib.training.models.cox import RidgeCox
from MemorySurvivalLib.training.models.deep_surv import DeepSurv
from MemorySurvivalLib.training.models.features import StateVectors, VectorFeatures
from MemorySurvivalLib.training.models.image import ImageModel
from MemorySurvivalLib.training.nested import Validation, validate_models
from MemorySurvivalLib.training.search import HEAD_BUDGET, HIDDEN, searched
from MemorySurvivalLib.training.stacked_mlp import StackedMlp
from MemorySurvivalLib.training.survival_model import SurvivalModel
from MemorySurvivalLib.training.tuning import Budget, sobol_points

STATISTICS = VectorFeatures(statistics=("*",))
MODELS = (
    RidgeCox("ridge", STATISTICS),
    DeepSurv("network", STATISTICS),
    StackedMlp("stack", STATISTICS),
    ImageModel("image", ("PET/mean",)),
    Harmonised(DeepSurv("network", STATISTICS)),
)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_what_is_searched_are_settings_of_the_model(model: SurvivalModel) -> None:
    recipe = searched(model)
    assert recipe.name == model.name
    for alternative in recipe.alternatives:
        (first, second) = sobol_points(alternative.space, 2, 1)
        assert alternative.model(first) != alternative.model(second)
        assert alternative.model(first) == alternative.model(first)


def test_shapes_are_alternatives_and_dear_models_have_a_small_budget() -> None:
    assert len(searched(MODELS[1]).alternatives) == len(searched(MODELS[4]).alternatives) == len(HIDDEN)
    assert searched(MODELS[3]).budget == searched(Harmonised(MODELS[3])).budget == HEAD_BUDGET
    assert searched(MODELS[0]).budget is None
    assert searched(MODELS[3], Budget(2, 2)).budget == Budget(2, 2)


def test_a_model_without_a_search_is_taken_as_it_is() -> None:
    assert searched(Line()).fixed


def test_models_of_the_study_go_through_a_nested_validation() -> None:
    data = make_cohort_data(120, 1, states=True)
    pooled = RidgeCox("pooled", VectorFeatures(states=StateVectors(("PET/mean",))))
    recipes = [searched(MODELS[0]), searched(pooled), searched(Harmonised(MODELS[0]))]
    models = validate_models(data, recipes, Validation(FoldPlan(3, 1), Budget(4, 2)))
    assert [model.errors for model in models] == [(), (), ()]
    assert {name for model in models for fold in model.folds for name in fold.unit.values} == {
        "penalty",
        "base.penalty",
    }
