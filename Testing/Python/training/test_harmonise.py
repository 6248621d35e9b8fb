"""ComBat: shifts of sites go, biology stays, held-out rows change nothing, confounded and small sites are refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from cohorts_made_up import Line, make_cohort_data
from lifelines.utils import concordance_index

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.training.combat import fit_combat
from MemorySurvivalLib.training.data import CohortData
from MemorySurvivalLib.training.folds import FoldPlan, make_splits
from MemorySurvivalLib.training.harmonise import Harmonised, check_harmonisable
from MemorySurvivalLib.training.nested import Validation, fit_unit, validate_models
from MemorySurvivalLib.training.tuning import Alternative, Budget, Recipe


def scanned(n: int, seed: int) -> CohortData:
    """Two sites; scanner B adds 4 to every statistic and doubles its spread. Sites have nothing to do with outcome."""
    data = make_cohort_data(n, seed, states=True)
    b = np.array(data.sites) == "B"
    statistics = {name: np.where(b, 4 + 2 * values, values) for name, values in data.statistics.items()}
    states = {key: values.clone() for key, values in data.states.items()}
    states["PET/mean"][torch.from_numpy(b)] += 3
    return replace(data, statistics=statistics, states=states)


def c(data: CohortData, risk: np.ndarray) -> float:
    return float(concordance_index(data.times_months, -risk, data.events))


def test_location_and_scale_of_sites_are_taken_out() -> None:
    rng = np.random.default_rng(1)
    sites = np.array(["A", "B", "C"])[rng.integers(0, 3, 600)]
    truth = rng.normal(size=(600, 8)) * np.linspace(1, 5, 8) + np.linspace(-3, 30, 8)
    shift, scale = {"A": 0.0, "B": 6.0, "C": -2.0}, {"A": 1.0, "B": 2.0, "C": 0.5}
    seen = np.stack([row * scale[s] + shift[s] for row, s in zip(truth, sites, strict=True)])
    harmonised = fit_combat(seen, sites).apply(seen, sites)
    for first, second in (("A", "B"), ("B", "C")):
        one, other = harmonised[sites == first], harmonised[sites == second]
        np.testing.assert_allclose(one.mean(axis=0), other.mean(axis=0), atol=0.25 * seen.std(axis=0).max() / 5)
        np.testing.assert_allclose(one.std(axis=0), other.std(axis=0), rtol=0.12)


def test_the_shrinkage_is_that_of_the_paper() -> None:
    """Both conditional modes hold at once (Johnson 2007), checked by a plain loop over features."""
    rng = np.random.default_rng(2)
    sites = ["A"] * 12 + ["B"] * 20
    x = rng.normal(size=(32, 5)) * rng.uniform(0.5, 2, 5)
    x[:12] += rng.normal(size=5)
    fitted = fit_combat(x, sites)
    z = (x - fitted.mean) / fitted.sd
    for i, rows in enumerate((z[:12], z[12:])):
        own, variance, n = rows.mean(axis=0), rows.var(axis=0, ddof=1), len(rows)
        bar, tau2, m, s2 = own.mean(), own.var(ddof=1), variance.mean(), variance.var(ddof=1)
        lam, theta = (2 * s2 + m**2) / s2, (m * s2 + m**3) / s2
        for g in range(5):
            shift, scale = fitted.shift[i, g], fitted.scale[i, g]
            assert shift == pytest.approx((n * tau2 * own[g] + scale * bar) / (n * tau2 + scale), rel=1e-4)
            squares = sum((value - shift) ** 2 for value in rows[:, g])
            assert scale == pytest.approx((theta + squares / 2) / (n / 2 + lam - 1), rel=1e-4)


def test_missing_values_stay_missing_and_do_not_spread() -> None:
    data = scanned(80, 3)
    x = np.stack(list(data.statistics.values()), axis=1)
    holed = x.copy()
    holed[[3, 40], [0, 2]] = np.nan
    fitted = fit_combat(holed, data.sites)
    harmonised = fitted.apply(holed, data.sites)
    assert np.isnan(harmonised).sum() == 2
    np.testing.assert_allclose(fitted.shift, fit_combat(x, data.sites).shift, atol=0.1)


def test_constant_features_and_single_features_are_borne() -> None:
    data = scanned(60, 4)
    one = np.stack([data.statistics["statistic 0"], np.full(60, 2.5)], axis=1)
    for columns in (one, one[:, :1]):
        harmonised = fit_combat(columns, data.sites).apply(columns, data.sites)
        assert np.isfinite(harmonised).all()
    np.testing.assert_allclose(harmonised[::2].mean(), harmonised[1::2].mean(), atol=1e-9)


def test_a_model_behind_combat_is_better_where_scanners_differ() -> None:
    data, other = scanned(150, 5), scanned(150, 6)
    plain = c(other, Line().fit(data, 1).log_risk(other))
    behind = c(other, Harmonised(Line()).fit(data, 1).log_risk(other))
    assert behind > plain + 0.03


def test_held_out_rows_change_nothing_and_states_are_harmonised_too() -> None:
    data = scanned(80, 7)
    fold = make_splits(data, FoldPlan(4, 1)).fold(data, 0, 0)
    recipe = Recipe("combat", (Alternative("a", Harmonised(Line(), states=("PET/mean",))),))
    unit = fit_unit(recipe, data, fold, Validation(), "study")
    assert not unit.error
    statistics = {name: values.copy() for name, values in data.statistics.items()}
    for values in statistics.values():
        values[fold.test] *= 1e3
    times, events = data.times_months.copy(), data.events.copy()
    times[fold.test], events[fold.test] = 1.0, True
    states = {"PET/mean": data.states["PET/mean"].clone()}
    states["PET/mean"][torch.from_numpy(fold.test)] = 50
    sites = tuple("A" if i in fold.test else site for i, site in enumerate(data.sites))
    other = replace(data, statistics=statistics, times_months=times, events=events, states=states, sites=sites)
    assert fit_unit(recipe, other, fold, Validation(), "study").fingerprint == unit.fingerprint
    harmonised = Harmonised(Line(), states=("PET/mean",)).fit(data, 1).harmoniser.apply(data).states["PET/mean"]
    assert harmonised.dtype == torch.float16
    apart = harmonised[1::2].float().mean() - harmonised[::2].float().mean()
    assert abs(float(apart)) < 0.15


def test_confounded_sites_are_refused_before_the_split_and_in_the_fold() -> None:
    data = scanned(120, 8)
    sites = tuple("B" if t > np.median(data.times_months) else "A" for t in data.times_months)
    confounded = replace(data, sites=sites)
    recipe = Recipe("combat", (Alternative("a", Harmonised(Line())),))
    with pytest.raises(InputError, match=r"differs between sites \(log-rank p = "):
        validate_models(confounded, [recipe], Validation(FoldPlan(4, 1), Budget()))
    with pytest.raises(InputError, match="differs between sites"):
        Harmonised(Line()).fit(confounded, 1)
    check_harmonisable(data)


def test_sites_that_cannot_be_harmonised_are_refused() -> None:
    data = scanned(60, 9)

    def at(sites: tuple[str, ...]) -> CohortData:
        return replace(data, sites=sites)

    for sites, sentence in [
        ((), "does not say at which site"),
        (("A",) * 60, "at least two sites"),
        (("A",) * 30 + ("",) * 30, "have no site"),
        (("A",) * 51 + ("B",) * 9, "'B' has 9 patients"),
    ]:
        with pytest.raises(InputError, match=sentence):
            check_harmonisable(at(sites))
    fitted = Harmonised(Line()).fit(data, 1)
    with pytest.raises(InputError, match="'C', which the harmonisation has not seen"):
        fitted.log_risk(at(("C",) * 60))
    with pytest.raises(InputError, match="lacks the statistics statistic 0"):
        fitted.log_risk(replace(data, statistics={}))
    with pytest.raises(InputError, match="nothing is harmonised"):
        Harmonised(Line()).fit(replace(data, statistics={}), 1)
    with pytest.raises(InputError, match="no memory states CT/mean"):
        Harmonised(Line(), states=("CT/mean",)).fit(data, 1)
    big = replace(data, states={"PET/last": torch.zeros(60, 64, 20, 20)})
    with pytest.raises(InputError, match="25600 values a patient, too many"):
        Harmonised(Line(), states=("PET/last",)).fit(big, 1)
    holes = data.statistics["statistic 1"]
    holes[:50:2] = np.nan
    with pytest.raises(InputError, match="'A' has 5 known values of feature 2"):
        Harmonised(Line()).fit(data, 1)
