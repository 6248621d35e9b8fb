"""The permutation test of the whole procedure: signal is found, tuned noise is not, permutations are continued."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from cohorts_made_up import Line, make_cohort_data

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.progress import ProgressEvent
from MemorySurvivalLib.training.folds import FoldPlan
from MemorySurvivalLib.training.nested import Validation
from MemorySurvivalLib.training.tuning import Alternative, Budget, FloatRange, Recipe
from MemorySurvivalLib.training.whole_procedure import PermutationTest, permutation_test, permute_outcomes

SETTINGS = Validation(FoldPlan(folds=3, repeats=1, seed=3), Budget(trials=4, inner_folds=2), seed=9)
LINES = Recipe("lines", (Alternative("searched", Line(), (FloatRange("which", 0.0, 1.0),)),))


def test_signal_is_found_and_tuned_noise_is_not() -> None:
    signal = permutation_test(make_cohort_data(60, 1), LINES, SETTINGS, 19)
    assert signal.p_value <= 2 / 20
    noise = permutation_test(make_cohort_data(60, 2, effect=0.0, statistics=8), LINES, SETTINGS, 19)
    assert noise.p_value > 0.1
    assert 0.4 < np.mean([c for c in noise.permuted if c is not None]) < 0.6
    assert "19 permutations" in noise.method


def test_finished_permutations_are_kept_and_more_may_follow(tmp_path: Path) -> None:
    data = make_cohort_data(40, 3)

    class Stop(BaseException):
        pass

    def stop_at_3(event: ProgressEvent) -> None:
        if event.done == 3:
            raise Stop

    with pytest.raises(Stop):
        permutation_test(data, LINES, SETTINGS, 3, tmp_path, progress=stop_at_3)
    kept = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert len(kept) == 3
    shuffled = data.take(np.random.default_rng(0).permutation(40))
    more = permutation_test(shuffled, LINES, SETTINGS, 4, tmp_path)
    assert all((tmp_path / name).stat().st_mtime_ns == at for name, at in kept.items())
    assert more == permutation_test(data, LINES, SETTINGS, 4)
    with pytest.raises(InputError, match="other patients or settings"):
        permutation_test(data, LINES, Validation(SETTINGS.plan, SETTINGS.budget, seed=1), 2, tmp_path)


def test_outcomes_stay_whole_and_groups_of_one_size_exchange_theirs() -> None:
    data = make_cohort_data(30, 4)
    groups = np.arange(30)
    groups[1:12:2] = groups[:12:2]
    permuted = permute_outcomes(data, groups, 1, 5)

    def pairs(of: slice) -> list[tuple[float, bool]]:
        return sorted(zip(permuted.times_months[of], permuted.events[of], strict=True))

    def true_pairs(of: slice) -> list[tuple[float, bool]]:
        return sorted(zip(data.times_months[of], data.events[of], strict=True))

    assert pairs(slice(0, 12)) == true_pairs(slice(0, 12))
    assert pairs(slice(12, 30)) == true_pairs(slice(12, 30))
    assert (permuted.times_months != data.times_months).any()
    assert permute_outcomes(data, groups, 1, 0) is data
    together = {tuple(data.times_months[i : i + 2]) for i in range(0, 12, 2)}
    assert {tuple(permuted.times_months[i : i + 2]) for i in range(0, 12, 2)} == together


def test_permutations_that_cannot_be_fitted_count_against_the_signal() -> None:
    assert PermutationTest(0.7, (0.5, None, 0.71, 0.7), False).p_value == 4 / 5
    assert "tuning on the test folds" in PermutationTest(0.7, (0.5,), True).method


def test_what_cannot_be_tested() -> None:
    data = make_cohort_data(40, 3)
    with pytest.raises(InputError, match="at least 1 permutation"):
        permutation_test(data, LINES, SETTINGS, 0)
    broken = Recipe("broken", (Alternative("a", Line(fails_above=-1)),))
    with pytest.raises(InputError, match="none of the folds"):
        permutation_test(data, broken, SETTINGS, 3)
