"""A stack of networks: its loss is torchsurv's, its optimiser torch's, and each network is the one fitted alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from cohorts_made_up import make_cohort_data
from lifelines.utils import concordance_index
from torchsurv.loss.cox import neg_partial_log_likelihood

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.training.folds import FoldPlan, make_splits
from MemorySurvivalLib.training.models.features import VectorFeatures
from MemorySurvivalLib.training.nested import Validation, fit_unit
from MemorySurvivalLib.training.stacked_mlp import StackedEfron, StackedMlp, _StackedAdamW
from MemorySurvivalLib.training.tuning import Alternative, Budget, FloatRange, Recipe

SMALL = StackedMlp("mlp", VectorFeatures(statistics=("*",)), learning_rate=1e-2, width=8, epochs=40, patience=8)


def test_the_loss_is_efrons() -> None:
    data = make_cohort_data(80, 1)
    risks = torch.from_numpy(np.random.default_rng(2).normal(size=(3, 80))).float()
    losses = StackedEfron(data.times_months, data.events)(risks)
    for risk, loss in zip(risks, losses, strict=True):
        with pytest.warns(UserWarning, match="Ties"):
            total = neg_partial_log_likelihood(
                risk, torch.from_numpy(data.events), torch.from_numpy(data.times_months), "efron", reduction="sum"
            )
        assert float(loss) == pytest.approx(float(total) / data.events.sum(), rel=1e-5)


def test_a_step_is_that_of_adamw_with_clipping() -> None:
    generator = torch.Generator().manual_seed(1)
    shapes = ((2, 3, 4), (2, 1, 4), (2, 4, 1))
    stacked = tuple(torch.randn(shape, generator=generator) for shape in shapes)
    settings = [(1e-2, 0.1), (3e-1, 2.0)]
    alone = [[torch.nn.Parameter(w[i].clone()) for w in stacked] for i in range(2)]
    torches = [
        torch.optim.AdamW(own, lr=rate, weight_decay=decay) for own, (rate, decay) in zip(alone, settings, strict=True)
    ]
    rates, decays = (torch.tensor(column)[:, None, None] for column in zip(*settings, strict=True))
    ours = _StackedAdamW(stacked, rates, decays)  # type: ignore[arg-type]
    for _ in range(5):
        gradients = tuple(torch.randn(shape, generator=generator) for shape in shapes)
        ours.step(stacked, gradients)  # type: ignore[arg-type]
        for i in range(2):
            for parameter, gradient in zip(alone[i], gradients, strict=True):
                parameter.grad = gradient[i].clone()
            torch.nn.utils.clip_grad_norm_(alone[i], 1.0)
            torches[i].step()
    for i in range(2):
        for parameter, stack in zip(alone[i], stacked, strict=True):
            torch.testing.assert_close(parameter.detach(), stack[i], rtol=1e-4, atol=1e-5)


def test_networks_of_a_stack_are_those_fitted_alone() -> None:
    data = make_cohort_data(80, 2)
    settings = [(1e-2, 0.1, 0.0), (1e-4, 1.0, 0.5), (3e-2, 0.01, 0.3), (1e-1, 0.1, 0.2)]
    variants = [replace(SMALL, learning_rate=r, weight_decay=w, dropout=d) for r, w, d in settings]
    together = SMALL.fit_together(variants, data, seed=4)
    for variant, fitted in zip(variants, together, strict=True):
        np.testing.assert_allclose(fitted.log_risk(data), variant.fit(data, 4).log_risk(data), atol=1e-4)
    assert len({fitted.fingerprint() for fitted in together}) == 4


def test_a_planted_effect_is_found_and_equal_seeds_give_equal_networks() -> None:
    data, other = make_cohort_data(150, 7), make_cohort_data(150, 8)
    data.statistics["statistic 1"][::5] = np.nan
    other.statistics["statistic 0"][0] = np.nan
    fitted = SMALL.fit(data, 1)
    assert concordance_index(other.times_months, -fitted.log_risk(other), other.events) > 0.68
    assert fitted.fingerprint() == SMALL.fit(data, 1).fingerprint() != SMALL.fit(data, 2).fingerprint()
    assert fitted.log_risk(data).mean() == pytest.approx(0, abs=1e-6)


def test_a_unit_of_a_nested_validation_does_not_see_held_out_rows() -> None:
    data = make_cohort_data(60, 3)
    space = (FloatRange("learning_rate", 1e-3, 1e-1, log=True), FloatRange("dropout", 0.0, 0.6))
    recipe = Recipe("mlp", (Alternative("8 wide", SMALL, space),))
    settings = Validation(FoldPlan(4, 1), Budget(4, 2))
    fold = make_splits(data, settings.plan).fold(data, 0, 0)
    unit = fit_unit(recipe, data, fold, settings, "study")
    assert not unit.error
    for values in data.statistics.values():
        values[fold.test] = 1e4
    data.events[fold.test] = ~data.events[fold.test]
    assert fit_unit(recipe, data, fold, settings, "study").fingerprint == unit.fingerprint


def test_a_stack_has_one_shape_and_needs_events() -> None:
    data = make_cohort_data(60, 3)
    with pytest.raises(InputError, match="must share features and shape"):
        SMALL.fit_together([SMALL, replace(SMALL, width=9)], data, 1)
    data.events[:] = False
    with pytest.raises(InputError, match="event"):
        SMALL.fit(data, 1)
