"""What is searched for each kind of model: the ranges and alternatives that make a model a recipe."""

from __future__ import annotations

import dataclasses

from MemorySurvivalLib.training.harmonise import Harmonised
from MemorySurvivalLib.training.models.cox import RidgeCox
from MemorySurvivalLib.training.models.deep_surv import DeepSurv
from MemorySurvivalLib.training.models.image import ImageModel
from MemorySurvivalLib.training.stacked_mlp import StackedMlp
from MemorySurvivalLib.training.survival_model import SurvivalModel
from MemorySurvivalLib.training.tuning import Alternative, Budget, FloatRange, Range, Recipe

HEAD_BUDGET = Budget(trials=8, inner_folds=3)
"""For heads on whole memory states, of which one fit takes seconds to minutes."""

HIDDEN: tuple[tuple[int, ...], ...] = ((16,), (64,), (32, 32))
"""Shapes between which DeepSurv chooses; each is a study of its own."""


def searched(model: SurvivalModel, budget: Budget | None = None) -> Recipe:
    """`model` with its usual search; a model without one (a stage, say) is taken as it is.

    `budget` is the recipe's own; without one, heads on memory states have HEAD_BUDGET and the others the validation's.
    """
    if budget is None and isinstance(_inner(model), ImageModel):
        budget = HEAD_BUDGET
    return Recipe(model.name, _alternatives(model), budget)


def _alternatives(model: SurvivalModel) -> tuple[Alternative, ...]:
    if isinstance(model, Harmonised):
        return tuple(
            Alternative(one.name, dataclasses.replace(model, base=one.base), tuple(map(_one_deeper, one.space)))
            for one in _alternatives(model.base)
        )
    if isinstance(model, RidgeCox):
        return (Alternative("ridge", model, (FloatRange("penalty", 1e-3, 1e2, log=True),)),)
    if isinstance(model, DeepSurv):
        return tuple(
            Alternative(
                "hidden " + "-".join(map(str, hidden)), dataclasses.replace(model, hidden=hidden), _network("training.")
            )
            for hidden in HIDDEN
        )
    if isinstance(model, StackedMlp):
        return (Alternative(f"hidden {model.width}", model, _network("")),)
    if isinstance(model, ImageModel):
        return (Alternative("as it is", model, _network("training.")),)
    return (Alternative("as it is", model),)


def _network(training: str) -> tuple[Range, ...]:
    return (
        FloatRange(f"{training}learning_rate", 3e-4, 3e-2, log=True),
        FloatRange(f"{training}weight_decay", 1e-3, 1.0, log=True),
        FloatRange("dropout", 0.0, 0.6),
    )


def _one_deeper(number: Range) -> Range:
    return dataclasses.replace(number, name=f"base.{number.name}")


def _inner(model: SurvivalModel) -> SurvivalModel:
    return _inner(model.base) if isinstance(model, Harmonised) else model
