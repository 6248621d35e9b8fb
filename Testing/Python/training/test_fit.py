"""Fitting heads: a planted signal is found, noise is not, and the small statistics agree with lifelines."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from lifelines import CoxPHFitter
from lifelines.utils import concordance_index

from MemorySurvivalLib.risk.covariates import CategoricalCovariate, ContinuousCovariate, CovariateSchema
from MemorySurvivalLib.risk.head import HeadSpec
from MemorySurvivalLib.training.embedded_cohort import CaseOutcome, EmbeddedCohort
from MemorySurvivalLib.training.fit import FitConfig, breslow, covariate_matrix, fit_covariates, fit_head, predict

QUICK = FitConfig(epochs=12, patience=12, learning_rate=5e-3)


def make_cohort(n: int, effect: float, seed: int) -> EmbeddedCohort:
    """PET maps whose brightness in one corner is the log hazard times `effect`; CT maps of noise."""
    rng = np.random.default_rng(seed)
    log_hazard = rng.normal(size=n)
    maps = {m: torch.from_numpy(rng.normal(size=(n, 1, 64, 64)).astype(np.float32)) for m in ("PET", "CT")}
    maps["PET"][:, 0, 8:32, 8:32] += torch.from_numpy((effect * log_hazard).astype(np.float32))[:, None, None]
    times = rng.exponential(30 * np.exp(-log_hazard))
    censoring = rng.uniform(20, 80, n)
    outcomes = tuple(
        CaseOutcome(
            i,
            float(min(times[i], censoring[i])),
            bool(times[i] <= censoring[i]),
            {"age_years": "" if i % 7 == 0 else f"{60 + 5 * log_hazard[i]:.1f}", "sex": "male" if i % 3 else "female"},
        )
        for i in range(n)
    )
    return EmbeddedCohort(maps, outcomes)  # type: ignore[arg-type]


def held_out_concordance(effect: float) -> float:
    training, other = make_cohort(100, effect, 1), make_cohort(150, effect, 2)
    spec = HeadSpec(("PET", "CT"), "gated", covariate_width=0, downsampler_width=4, hidden=(16,))
    head = fit_head(spec, training, covariate_matrix(None, training), QUICK)
    risks = predict(head, other, covariate_matrix(None, other))
    return float(concordance_index(other.times_months, -risks, other.events))


def test_finds_a_planted_signal_on_cases_it_never_saw() -> None:
    assert held_out_concordance(effect=2.0) >= 0.65


def test_finds_nothing_in_noise() -> None:
    assert 0.40 <= held_out_concordance(effect=0.0) <= 0.60


def test_same_seed_same_head_and_mean_zero() -> None:
    cohort = make_cohort(60, 1.0, 3)
    spec = HeadSpec(("PET",), "concatenation", covariate_width=0, downsampler_width=4, hidden=(8,))
    config = FitConfig(epochs=3)
    none = covariate_matrix(None, cohort)
    first, second = (predict(fit_head(spec, cohort, none, config), cohort, none) for _ in range(2))
    assert np.array_equal(first, second)
    assert first.mean() == pytest.approx(0, abs=1e-5)


def test_preprocessing_comes_from_recorded_training_values() -> None:
    cohort = make_cohort(70, 1.0, 4)
    schema = CovariateSchema(
        (ContinuousCovariate("age_years", "years", 18, 110, 0, 1),),
        (CategoricalCovariate("sex", ("male", "female"), ()),),
    )
    fitted = fit_covariates(schema, cohort)
    known = [float(o.covariates["age_years"]) for o in cohort.outcomes if o.covariates["age_years"]]
    assert fitted.continuous[0].mean == pytest.approx(np.mean(known))
    assert fitted.continuous[0].sd == pytest.approx(np.std(known, ddof=1))
    assert sum(fitted.categorical[0].shares) == pytest.approx(1)
    matrix = covariate_matrix(fitted, cohort)
    assert matrix.shape == (70, 3)
    assert matrix[0, 0] == 0, "a missing value takes the training mean"


def test_breslow_agrees_with_lifelines() -> None:
    import pandas as pd

    cohort = make_cohort(80, 1.0, 5)
    x = np.random.default_rng(0).normal(size=80)
    frame = pd.DataFrame({"x": x, "time": cohort.times_months, "event": cohort.events})
    cox = CoxPHFitter().fit(frame, "time", "event")
    log_risks = (cox.params_["x"] * (x - x.mean())).astype(np.float32)
    ours = breslow(cohort, log_risks)
    theirs = cox.baseline_cumulative_hazard_["baseline cumulative hazard"]
    expected = [float(theirs[theirs.index <= t + 1e-2].iloc[-1]) for t in ours.times_months]
    assert np.abs(np.asarray(ours.cumulative_hazard) - expected).max() <= 1e-3
