"""Folds: stratified, whole patients, the same wherever they are made; duplicates are found before."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from cohorts_made_up import make_cohort_data

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.training.data import CohortData
from MemorySurvivalLib.training.duplicates import find_duplicates, group_patients
from MemorySurvivalLib.training.folds import FoldPlan, load_splits, make_splits, save_splits

PLAN = FoldPlan(folds=5, repeats=3, seed=11)


def with_ids(data: CohortData, ids: dict[int, str]) -> CohortData:
    return replace(data, patient_ids=tuple(ids.get(i, name) for i, name in enumerate(data.patient_ids)))


def test_every_patient_is_held_out_once_a_repeat_and_never_trained_on_then() -> None:
    data = make_cohort_data(53, 1)
    splits = make_splits(data, PLAN)
    for repeat in range(PLAN.repeats):
        folds = [splits.fold(data, repeat, number) for number in range(PLAN.folds)]
        assert sorted(np.concatenate([fold.test for fold in folds])) == list(range(53))
        for fold in folds:
            assert sorted([*fold.train, *fold.test]) == list(range(53))


def test_repeats_and_seeds_differ() -> None:
    data = make_cohort_data(53, 1)
    splits = make_splits(data, PLAN)
    assert len(set(splits.assignments)) == PLAN.repeats
    assert make_splits(data, msgspec.structs.replace(PLAN, seed=12)).assignments != splits.assignments
    assert make_splits(data, PLAN) == splits


def test_events_times_and_sizes_are_balanced() -> None:
    data = make_cohort_data(227, 2)
    splits = make_splits(data, PLAN)
    early = data.events & (data.times_months <= np.median(data.times_months[data.events]))
    for fold in (splits.fold(data, r, k) for r in range(PLAN.repeats) for k in range(PLAN.folds)):
        assert len(fold.test) in (45, 46)
        assert data.events[fold.test].sum() == pytest.approx(data.events.sum() / 5, abs=1)
        # two strata of four lie in the early half of the events, each within one of a fifth
        assert early[fold.test].sum() == pytest.approx(early.sum() / 5, abs=2)


def test_the_order_of_the_cohorts_rows_does_not_matter() -> None:
    data = make_cohort_data(40, 3)
    shuffled = np.random.default_rng(0).permutation(40)
    other = data.take(shuffled)
    splits, others = make_splits(data, PLAN), make_splits(other, PLAN)
    assert splits == others
    for number in range(PLAN.folds):
        ours = [data.patient_ids[i] for i in splits.fold(data, 1, number).test]
        assert ours == [other.patient_ids[i] for i in others.fold(other, 1, number).test]


def test_few_events_are_spread_over_all_folds() -> None:
    data = make_cohort_data(37, 4)
    data.events[:] = False
    data.events[:5] = True
    splits = make_splits(data, FoldPlan(folds=5, repeats=20))
    for fold in (splits.fold(data, r, k) for r in range(20) for k in range(5)):
        assert data.events[fold.test].sum() == 1


@pytest.mark.parametrize(
    ("n", "events", "sentence"), [(9, 9, "9 patients, and 5"), (30, 4, "4 patients with an event")]
)
def test_too_few_patients_or_events(n: int, events: int, sentence: str) -> None:
    data = make_cohort_data(n, 5)
    data.events[:] = np.arange(n) < events
    with pytest.raises(InputError, match=sentence):
        make_splits(data, PLAN)


def test_groups_that_leave_a_fold_without_events_are_refused() -> None:
    data = make_cohort_data(20, 6)
    data.events[:] = np.arange(20) < 6
    groups = np.arange(20)
    groups[:2] = 0
    groups[6:20] = 6 + np.arange(14) // 7 * 7
    with pytest.raises(InputError, match="patients"):
        make_splits(data, FoldPlan(folds=5), groups)


@pytest.mark.parametrize("change", [{"folds": 1}, {"repeats": 0}, {"time_quantiles": 0}, {"seed": -1}])
def test_a_plan_is_valid(change: dict[str, int]) -> None:
    with pytest.raises(InputError, match="at least 2 folds"):
        FoldPlan(**change)


def test_splits_come_back_from_their_file(tmp_path: Path) -> None:
    data = make_cohort_data(30, 7)
    splits = make_splits(data, PLAN)
    save_splits(splits, tmp_path / "splits.json")
    assert load_splits(tmp_path / "splits.json", data.take(np.arange(29, -1, -1))) == splits
    assert b"P00" not in (tmp_path / "splits.json").read_bytes()


def test_splits_of_others_and_changed_splits_are_refused(tmp_path: Path) -> None:
    data = make_cohort_data(30, 7)
    path = tmp_path / "splits.json"
    save_splits(make_splits(data, PLAN), path)
    later = make_cohort_data(30, 7)
    later.times_months[3] += 1
    with pytest.raises(InputError, match="other patients, outcomes or groups"):
        load_splits(path, later)
    with pytest.raises(InputError, match="other patients, outcomes or groups"):
        load_splits(path, data, np.minimum(np.arange(30), 28))
    path.write_text(path.read_text().replace('"seed": 11', '"seed": 12'))
    with pytest.raises(InputError, match="changed after"):
        load_splits(path, data)
    path.write_text("{}")
    with pytest.raises(InputError, match="does not hold splits"):
        load_splits(path, data)
    with pytest.raises(InputError, match="cannot be read"):
        load_splits(tmp_path / "none.json", data)


def test_same_patients_are_found_by_id_values_and_images() -> None:
    data = with_ids(make_cohort_data(12, 8), {4: " p001 "})
    for values in data.statistics.values():
        values[7] = values[2]
    rows = tuple(data.covariates[2] if i == 7 else row for i, row in enumerate(data.covariates))
    found = find_duplicates(replace(data, covariates=rows), ["", "", "a", "b", "", "a", *[f"h{i}" for i in range(6)]])
    assert [(d.rows, d.reason) for d in found] == [
        ((1, 4), "equal patient ids"),
        ((2, 7), "equal covariates and statistics"),
        ((2, 5), "equal images"),
    ]


def test_rows_that_say_little_may_be_equal() -> None:
    data = make_cohort_data(12, 8, statistics=1)
    row = {"age_years": "61", "sex": "male", "r_iss": "II", "ldh_u_l": " "}
    data.statistics["statistic 0"][:] = np.nan
    assert not find_duplicates(replace(data, covariates=(row,) * 12))


def test_rows_of_one_patient_are_refused_or_kept_together() -> None:
    data = with_ids(make_cohort_data(40, 9), {4: "P001", 7: "P001"})
    hashes = [""] * 40
    hashes[7] = hashes[20] = "equal"
    with pytest.raises(InputError, match=r"Rows 2 and 5 and 8 of the cohort have equal patient ids \(2 such sets"):
        group_patients(data, hashes)
    groups = group_patients(data, hashes, "group")
    assert groups[1] == groups[4] == groups[7] == groups[20]
    assert len(np.unique(groups)) == 37
    splits = make_splits(data, FoldPlan(folds=5, repeats=4), groups)
    for fold in (splits.fold(data, r, k) for r in range(4) for k in range(5)):
        assert len({row in fold.test for row in (1, 4, 7, 20)}) == 1


def test_hashes_and_groups_need_one_a_row() -> None:
    data = make_cohort_data(12, 8)
    with pytest.raises(InputError, match="12 rows but 2 image hashes"):
        find_duplicates(data, ["a", "b"])
    with pytest.raises(InputError, match="12 rows but 3 group numbers"):
        make_splits(data, FoldPlan(folds=2), np.arange(3))
