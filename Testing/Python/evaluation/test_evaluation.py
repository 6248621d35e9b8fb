"""Everything of one validated model, and two models side by side."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from outcomes_made_up import Fold, make_out_of_fold, make_sample

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.evaluation.curves import breslow_survival, censoring_curve
from MemorySurvivalLib.evaluation.discrimination import harrell_pairs
from MemorySurvivalLib.evaluation.evaluation import compare, evaluate
from MemorySurvivalLib.evaluation.measures import EvaluationPlan
from MemorySurvivalLib.evaluation.out_of_fold import OutOfFold, judged_until

PLAN = EvaluationPlan((24.0,), 36.0, (6.0, 36.0), (0.3, 0.5), resamples=100, permutations=99)
SAMPLE = make_sample(160, 1)


def test_all_figures_are_there_by_fold_and_pooled() -> None:
    model = make_out_of_fold(SAMPLE)
    result = evaluate(model, PLAN)
    assert result.notes == ()
    names = [figure.name for figure in result.figures]
    assert names == [
        "Harrell's c",
        "Uno's c to 36 months",
        "AUC at 24 months",
        "gain in integrated Brier score, 6 to 36 months",
        "observed/expected at 24 months",
        "calibration intercept at 24 months",
        "calibration slope at 24 months",
        "ICI at 24 months",
        "net benefit gained at 24 months, threshold 0.3",
        "net benefit gained at 24 months, threshold 0.5",
    ]
    for figure in result.figures:
        assert figure.folds is not None and figure.pooled is not None
        assert figure.folds.name == figure.pooled.name == figure.name
        assert figure.folds.chance == figure.pooled.chance
        assert figure.pooled.n == result.n == 160 and figure.pooled.events == result.events
    assert result.quartiles is not None and result.brier is not None
    assert len(result.calibrations) == len(result.net_benefits) == 1


def test_pooling_forgives_a_shift_of_each_fold_but_not_a_wrong_scale_of_risks() -> None:
    """The made-up model's folds differ by 3 in log-risk; standardised in-fold they are as good as without."""
    true = harrell_pairs(SAMPLE.times, SAMPLE.events).value(SAMPLE.log_risk)
    model = make_out_of_fold(SAMPLE)
    assert harrell_pairs(SAMPLE.times, SAMPLE.events).value(model.log_risk) == pytest.approx(true, abs=0.02)
    extreme = evaluate(make_out_of_fold(SAMPLE, scale=3.0), PLAN)
    slope = next(figure.pooled for figure in extreme.figures if figure.name.startswith("calibration slope"))
    assert slope is not None and slope.value < 0.5 and slope.high < 1


def test_pooled_risks_are_scaled_by_the_training_patients_alone() -> None:
    model = make_out_of_fold(SAMPLE)
    for fold in model.folds:
        train = fold.train_log_risk
        expected = (fold.test_log_risk - train.mean()) / train.std(ddof=1)
        np.testing.assert_allclose(model.log_risk[fold.repeat, fold.test], expected)
    flat = [replace(f, train_log_risk=np.ones(len(f.train)), test_log_risk=np.ones(len(f.test))) for f in _folds(model)]
    assert not OutOfFold(SAMPLE.times, SAMPLE.events, tuple(flat)).log_risk.any()


def test_survival_and_weights_come_from_each_patients_own_training_part() -> None:
    model = make_out_of_fold(SAMPLE)
    grid = np.array([12.0, 24.0])
    for fold in model.folds:
        if fold.repeat == 0:
            train, test = fold.train, fold.test
            expected = breslow_survival(
                SAMPLE.times[train], SAMPLE.events[train], fold.train_log_risk, fold.test_log_risk, grid
            )
            np.testing.assert_allclose(model.survival(grid)[test], expected)
            curve = censoring_curve(SAMPLE.times[train], SAMPLE.events[train])
            assert (model.censoring.at(24.0)[test] == curve.at(24.0)).all()


def test_a_model_compared_to_noise_and_to_itself() -> None:
    model = make_out_of_fold(SAMPLE)
    noise = make_out_of_fold(replace(SAMPLE, log_risk=np.random.default_rng(3).normal(size=160)))
    better = compare(model, noise, PLAN)
    assert better.notes == ()
    for figure in better.figures:
        assert figure.folds is not None and figure.pooled is not None
        assert figure.pooled.low > 0 and figure.folds.value > 0
        assert figure.pooled.name == figure.folds.name == figure.name
    for figure in compare(model, model, PLAN).figures:
        assert figure.folds is not None and figure.pooled is not None
        assert figure.folds.value == figure.pooled.value == figure.pooled.low == 0.0


def test_what_cannot_be_judged_becomes_a_note_and_hides_nothing_else() -> None:
    far = replace(PLAN, horizons_months=(24.0, 500.0), until_months=600.0)
    result = evaluate(make_out_of_fold(make_sample(60, 2), 1, 5), far)
    harrell = result.figures[0]
    assert harrell.folds is not None and harrell.pooled is not None
    notes = "\n".join(result.notes)
    assert "AUC at 500 months, pooled: 500 months cannot be judged" in notes
    assert "Calibration at 500 months" in notes and "Net benefit at 500 months" in notes


def test_ten_patients_give_c_and_reasons_for_the_rest() -> None:
    result = evaluate(make_out_of_fold(make_sample(10, 3), 1, 2), PLAN)
    assert result.figures[0].pooled is not None
    assert result.quartiles is None and any(note.startswith("Quartiles of risk") for note in result.notes)


def test_a_validation_that_is_not_whole_is_refused() -> None:
    model = make_out_of_fold(SAMPLE)
    outcome = (SAMPLE.times, SAMPLE.events)
    with pytest.raises(InputError, match="folds are missing"):
        OutOfFold(*outcome, model.folds[:-1])
    first = model.folds[0]
    assert isinstance(first, Fold)
    with pytest.raises(InputError, match="Repeat 1, fold 1 has no log-risk"):
        OutOfFold(*outcome, (replace(first, test_log_risk=np.empty(0)), *model.folds[1:]))
    with pytest.raises(InputError, match="in training and in test"):
        OutOfFold(*outcome, (replace(first, train=np.arange(160)), *model.folds[1:]))
    with pytest.raises(InputError, match="same patients and splits"):
        compare(model, make_out_of_fold(SAMPLE, folds=5), PLAN)
    with pytest.raises(InputError, match="100 resamples"):
        replace(PLAN, resamples=10)
    with pytest.raises(InputError, match="window with a width"):
        replace(PLAN, window_months=(36.0, 6.0))


def test_a_time_to_judge_up_to_is_one_that_every_training_part_reaches() -> None:
    model = make_out_of_fold(SAMPLE)
    until = judged_until(model.folds, SAMPLE.times, 12)
    followed = [int((SAMPLE.times[fold.train] > until).sum()) for fold in model.folds]
    assert min(followed) == 12
    with pytest.raises(InputError, match="at least 501 are needed"):
        judged_until(model.folds, SAMPLE.times, 500)


def _folds(model: OutOfFold) -> list[Fold]:
    return [fold for fold in model.folds if isinstance(fold, Fold)]
