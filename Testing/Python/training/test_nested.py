"""Nested validation: held-out rows change nothing that is fitted, units continue from files, failures are recorded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from cohorts_made_up import Line, make_cohort_data
from lifelines.utils import concordance_index

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.progress import ProgressEvent
from MemorySurvivalLib.training import nested
from MemorySurvivalLib.training.data import CohortData
from MemorySurvivalLib.training.folds import FoldPlan, make_splits
from MemorySurvivalLib.training.nested import Validation, fit_tuned, fit_unit, validate_models
from MemorySurvivalLib.training.results import FLAT_WARNING, hash_data
from MemorySurvivalLib.training.tuning import Alternative, Budget, FloatRange, Recipe

SETTINGS = Validation(FoldPlan(folds=4, repeats=2, seed=3), Budget(trials=8, inner_folds=3), seed=9)
LINES = Recipe("lines", (Alternative("searched", Line(), (FloatRange("which", 0.0, 1.0),)),))
FIXED = Recipe("fixed", (Alternative("first", Line()),))


def overwrite(data: CohortData, rows: np.ndarray, seed: int) -> CohortData:
    """Outcomes, covariates, statistics, states and sites of these rows drawn anew, wildly."""
    rng = np.random.default_rng(seed)
    times, events = data.times_months.copy(), data.events.copy()
    times[rows], events[rows] = rng.uniform(1, 900, len(rows)), rng.uniform(size=len(rows)) < 0.5
    statistics = {name: values.copy() for name, values in data.statistics.items()}
    for values in statistics.values():
        values[rows] = rng.normal(1e3, 1e4, len(rows))
    states = {name: values.clone() for name, values in data.states.items()}
    for tensor in states.values():
        tensor[torch.from_numpy(rows)] = 77
    covariates = tuple({"age_years": "1"} if i in rows else row for i, row in enumerate(data.covariates))
    sites = tuple("C" if i in rows else site for i, site in enumerate(data.sites))
    return replace(
        data,
        times_months=times,
        events=events,
        statistics=statistics,
        states=states,
        covariates=covariates,
        sites=sites,
    )


def test_overwriting_held_out_rows_changes_nothing_that_is_fitted() -> None:
    data = make_cohort_data(60, 1, states=True)
    fold = make_splits(data, SETTINGS.plan).fold(data, 1, 2)
    unit = fit_unit(LINES, data, fold, SETTINGS, "study")
    other = fit_unit(LINES, overwrite(data, fold.test, 5), fold, SETTINGS, "study")
    assert unit.fingerprint == other.fingerprint
    assert (unit.values, unit.inner_scores, unit.train_log_risk) == (
        other.values,
        other.inner_scores,
        other.train_log_risk,
    )
    assert unit.test_log_risk != other.test_log_risk
    # the proof can fail: one training row is enough to change what was fitted
    assert fit_unit(LINES, overwrite(data, fold.train[:1], 5), fold, SETTINGS, "study").fingerprint != unit.fingerprint


def test_log_risks_are_out_of_fold_and_scaled_by_the_training_rows() -> None:
    data = make_cohort_data(60, 2)
    (model,) = validate_models(data, [FIXED], SETTINGS)
    assert not model.errors
    splits = make_splits(data, SETTINGS.plan)
    for number in range(4):
        fold = splits.fold(data, 1, number)
        fitted = Line().fit(data.take(fold.train), 0)
        train, test = fitted.log_risk(data.take(fold.train)), fitted.log_risk(data.take(fold.test))
        np.testing.assert_array_equal(model.log_risk[1, fold.test], test)
        np.testing.assert_allclose(model.standardised[1, fold.test], (test - train.mean()) / train.std(ddof=1))


def test_the_metrics_take_what_is_left() -> None:
    data = make_cohort_data(60, 2)
    (model,) = validate_models(data, [FIXED], SETTINGS)
    seen = model.out_of_fold(data)
    np.testing.assert_array_equal(seen.log_risk, model.standardised)
    assert seen.repeats == 2


def test_values_of_each_fold() -> None:
    data = make_cohort_data(60, 2)
    (model,) = validate_models(data, [FIXED], SETTINGS)

    def c(times: np.ndarray, events: np.ndarray, risk: np.ndarray) -> float:
        return float(concordance_index(times, -risk, events))

    values = model.fold_values(c, data)
    assert values.shape == (2, 4)
    fold = model.folds[5]
    assert values[1, 1] == c(data.times_months[fold.test], data.events[fold.test], model.log_risk[1, fold.test])
    assert values.mean() > 0.65


def test_what_is_in_the_folder_is_not_fitted_again(tmp_path: Path) -> None:
    data = make_cohort_data(60, 3)

    class Stop(BaseException):
        pass

    def stop_at_5(event: ProgressEvent) -> None:
        if event.done == 5:
            raise Stop

    with pytest.raises(Stop):
        validate_models(data, [LINES, FIXED], SETTINGS, tmp_path, progress=stop_at_5)
    assert len(list((tmp_path / "lines").glob("*.json"))) == 5
    kept = (tmp_path / "lines" / "repeat-01-fold-02.json").stat().st_mtime_ns
    # another machine, the cohort's file sorted otherwise
    order = np.random.default_rng(1).permutation(60)
    continued = validate_models(data.take(order), [LINES, FIXED], SETTINGS, tmp_path)
    assert (tmp_path / "lines" / "repeat-01-fold-02.json").stat().st_mtime_ns == kept
    in_one_go = validate_models(data, [LINES, FIXED], SETTINGS)
    for one, other in zip(continued, in_one_go, strict=True):
        np.testing.assert_array_equal(one.log_risk, other.log_risk[:, order])
        assert [f.unit.fingerprint for f in one.folds] == [f.unit.fingerprint for f in other.folds]
    assert sorted(p.suffix for p in (tmp_path / "lines").iterdir()) == [".json"] * 8


def test_a_run_may_be_stopped_by_the_clock_and_read_as_far_as_it_is(tmp_path: Path) -> None:
    data = make_cohort_data(60, 3)
    (nothing,) = validate_models(data, [FIXED], SETTINGS, tmp_path, stop_after_s=0)
    assert not nothing.finished
    assert np.isnan(nothing.log_risk).all()
    assert nothing.fold_values(nested_c, data).shape == (2, 4)
    validate_models(data, [FIXED], SETTINGS, tmp_path)
    (tmp_path / "fixed" / "repeat-02-fold-03.json").unlink()
    (part,) = validate_models(data, [FIXED], SETTINGS, tmp_path, stop_after_s=0)
    with pytest.raises(InputError, match="fixed has 7 of 8 outer folds"):
        part.out_of_fold(data)
    assert np.isnan(part.fold_values(nested_c, data)).sum() == 1
    (whole,) = validate_models(data, [FIXED], SETTINGS, tmp_path)
    assert whole.finished


def test_a_recipe_may_have_a_budget_of_its_own() -> None:
    data = make_cohort_data(60, 3)
    cheap = Recipe("cheap", LINES.alternatives, Budget(trials=3, inner_folds=2))
    for settings in (SETTINGS, msgspec.structs.replace(SETTINGS, flat=True)):
        models = validate_models(data, [cheap, LINES], settings)
        assert [len(model.folds[0].unit.inner_scores) for model in models] == [3, 8]


def test_what_is_done_stands_in_a_sentence() -> None:
    nested_words, flat_words = SETTINGS.sentence, msgspec.structs.replace(SETTINGS, flat=True).sentence
    assert "Nested cross-validation, 2 x 4 folds" in nested_words
    assert "8 Sobol points" in nested_words and "3 inner folds" in nested_words
    assert "Flat cross-validation" in flat_words and "on the outer folds themselves" in flat_words


@pytest.mark.parametrize("change", ["feature", "budget", "recipe", "seed"])
def test_results_of_another_study_are_refused(tmp_path: Path, change: str) -> None:
    data, settings, recipe = make_cohort_data(60, 3), SETTINGS, FIXED
    validate_models(data, [recipe], settings, tmp_path)
    if change == "feature":
        data.statistics["statistic 2"][7] += 1e-9
    if change == "budget":
        settings = msgspec.structs.replace(settings, budget=Budget(trials=4))
    if change == "recipe":
        recipe = Recipe("fixed", (Alternative("first", Line(scale=2)),))
    if change == "seed":
        settings = msgspec.structs.replace(settings, seed=1)
    with pytest.raises(InputError, match="other patients, splits or settings"):
        validate_models(data, [recipe], settings, tmp_path)


def test_other_splits_and_damaged_results_are_refused(tmp_path: Path) -> None:
    data = make_cohort_data(60, 3)
    validate_models(data, [FIXED], SETTINGS, tmp_path)
    with pytest.raises(InputError, match="splits of another plan"):
        validate_models(data, [FIXED], Validation(FoldPlan(4, 1), SETTINGS.budget), tmp_path)
    (tmp_path / "fixed" / "repeat-01-fold-02.json").write_text("{")
    with pytest.raises(InputError, match="cannot be read"):
        validate_models(data, [FIXED], SETTINGS, tmp_path)


def test_a_fold_that_fails_is_recorded_and_the_others_go_on(tmp_path: Path) -> None:
    data = make_cohort_data(60, 4)
    unlucky = make_splits(data, SETTINGS.plan).fold(data, 0, 1)

    class Picky(Line):
        def fit(self, data: CohortData, seed: int):  # type: ignore[no-untyped-def]
            if not set(data.patient_ids) & set(names):
                raise InputError("These patients cannot be fitted.")
            return super().fit(data, seed)

    names = [data.patient_ids[i] for i in unlucky.test[:1]]
    picky = Recipe("picky", (Alternative("a", Picky()),))
    results = [validate_models(data, [picky, FIXED], SETTINGS, tmp_path) for _ in range(2)]
    for model, fixed in results:
        # that patient is held out once in each repeat
        assert len(model.errors) == 2
        assert model.errors[0] == "picky, repeat 1, fold 2: These patients cannot be fitted."
        assert np.isnan(model.log_risk[0, unlucky.test]).all()
        assert np.isfinite(model.log_risk[0, unlucky.train]).all()
        assert np.isnan(model.fold_values(lambda *_: 1.0, data)).sum() == 2
        assert not fixed.errors
        with pytest.raises(InputError, match="2 folds could not be fitted, so nothing is judged: picky"):
            model.out_of_fold(data)


def test_log_risks_that_are_not_finite_are_a_failure() -> None:
    data = make_cohort_data(60, 4)
    (model,) = validate_models(data, [Recipe("inf", (Alternative("a", Line(scale=np.inf)),))], SETTINGS)
    assert len(model.errors) == 8
    assert "finite numbers" in model.errors[0]


def test_a_constant_log_risk_pools_as_zero() -> None:
    data = make_cohort_data(60, 4)
    (model,) = validate_models(data, [Recipe("flatline", (Alternative("a", Line(scale=0.0)),))], SETTINGS)
    np.testing.assert_array_equal(model.standardised, 0)


def test_flat_validation_is_marked_and_optimistic_on_noise_where_nested_is_not() -> None:
    """The best of 64 columns of noise: chosen on the outer folds it seems to know something, nested it does not."""
    settings = Validation(FoldPlan(4, 1, seed=3), Budget(64, 3), seed=9)
    flat, honest = [], []
    for seed in range(3):
        noise = make_cohort_data(100, 20 + seed, effect=0.0, statistics=64)
        for how, into in ((msgspec.structs.replace(settings, flat=True), flat), (settings, honest)):
            (model,) = validate_models(noise, [LINES], how)
            assert model.flat == how.flat
            assert model.warning == (FLAT_WARNING if how.flat else "")
            into.append(model.fold_values(nested_c, noise).mean())
    assert np.mean(flat) > 0.56
    assert abs(np.mean(honest) - 0.5) < 0.04


def nested_c(times: np.ndarray, events: np.ndarray, risk: np.ndarray) -> float:
    return float(concordance_index(times, -risk, events))


def test_a_flat_choice_that_fails_is_recorded_for_every_fold() -> None:
    data = make_cohort_data(60, 4)
    broken = Recipe("broken", (Alternative("a", Line(fails_above=-1), (FloatRange("which", 0, 1),)),))
    (model,) = validate_models(data, [broken], msgspec.structs.replace(SETTINGS, flat=True))
    assert len(model.errors) == 8
    assert "None of the 8 settings" in model.errors[0]


def test_same_patient_rows_stay_together_in_inner_folds_too(monkeypatch: pytest.MonkeyPatch) -> None:
    data = make_cohort_data(60, 5)
    groups = np.arange(60) // 2
    asked: list[set[str]] = []
    real = nested.make_splits

    def spy(data: CohortData, plan: FoldPlan, groups: np.ndarray | None = None):  # type: ignore[no-untyped-def]
        splits = real(data, plan, groups)
        asked.append({data.patient_ids[i] for i in splits.fold(data, 0, 0).test})
        return splits

    monkeypatch.setattr(nested, "make_splits", spy)
    validate_models(data, [LINES], SETTINGS, groups=groups)
    assert len(asked) == 1 + 8
    for names in asked:
        numbers = {int(name[1:]) for name in names}
        assert all((number ^ 1) in numbers for number in numbers)


def test_the_final_model_is_fitted_on_all_patients_the_same_way() -> None:
    data = make_cohort_data(60, 6)
    tuned = fit_tuned(LINES, data, SETTINGS.budget, 4)
    assert tuned.choice.values["which"] < 1 / 3
    assert tuned.fingerprint() == fit_tuned(LINES, data, SETTINGS.budget, 4).fingerprint()
    assert tuned.fitted.fingerprint() == tuned.choice.model.fit(data, 4).fingerprint()


def test_models_need_names_of_their_own() -> None:
    data = make_cohort_data(60, 6)
    for recipes in ([FIXED, Recipe("Fixed!", FIXED.alternatives)], []):
        with pytest.raises(InputError, match="names of their own"):
            validate_models(data, recipes, SETTINGS)


def test_models_may_refuse_a_cohort_before_it_is_split() -> None:
    class Strict(Line):
        def check(self, data: CohortData) -> None:
            raise InputError(f"Not with {len(data)} patients.")

    with pytest.raises(InputError, match="Not with 60"):
        validate_models(make_cohort_data(60, 6), [FIXED, Recipe("strict", (Alternative("a", Strict()),))], SETTINGS)


def test_everything_in_a_cohort_counts_for_its_hash() -> None:
    data = make_cohort_data(20, 7, states=True)
    hashes = {hash_data(data)}
    assert hash_data(data.take(np.random.default_rng(1).permutation(20))) in hashes
    for row in (0, 19):
        one = np.array([row])
        hashes.add(hash_data(overwrite(data, one, 3)))
    data.states["PET/mean"][3, 1, 1, 1] += 1
    hashes.add(hash_data(data))
    data.statistics["statistic 1"][4] = np.nan
    hashes.add(hash_data(data))
    assert len(hashes) == 5
