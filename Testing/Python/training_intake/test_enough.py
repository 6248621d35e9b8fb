"""Cohorts that cannot be judged are refused in one sentence, before anything is embedded."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from test_cohort_commands import call
from test_packing import QUICK, make_cohort

from MemorySurvivalLib.bundle.bundle import load_bundle
from MemorySurvivalLib.errors import InputError, OutputError
from MemorySurvivalLib.evaluation.calibration import calibration_intercept, calibration_slope
from MemorySurvivalLib.training import own_cohort
from MemorySurvivalLib.training.enough import check_enough_to_train, check_enough_to_validate
from MemorySurvivalLib.training.model_card import Stated
from MemorySurvivalLib.training.own_cohort import OwnCohort, drop_constant
from MemorySurvivalLib.training.packing import train_bundle

HEADER = "patient_id,ct,pet,time_months,event,age_years"
NO_EVENT = "None of the 40 patients of the cohort has an event"
SAME_TIME = r"All 40 patients of the cohort have the same time \(12 months\)"


def write_cohort(folder: Path, months: list[float], events: list[int]) -> str:
    """A table of patients whose files are there and empty."""
    for name in ("ct.nrrd", "pet.nrrd"):
        (folder / name).touch()
    rows = [f"P{i},ct.nrrd,pet.nrrd,{m:g},{e},{50 + i}" for i, (m, e) in enumerate(zip(months, events, strict=True))]
    path = folder / "cohort.csv"
    path.write_text("\n".join([HEADER, *rows]) + "\n")
    return str(path)


BAD = [
    ([5.0 + i for i in range(40)], [0] * 40, NO_EVENT, NO_EVENT),
    ([12.0] * 40, [1] * 40, SAME_TIME, SAME_TIME),
    (
        [5.0 + i for i in range(10)],
        [1] * 10,
        "10 patients with 10 events; 5 folds with 3 inner ones need 38 patients and 10 events",
        "10 patients with 10 events; to judge a bundle at least 20 patients",
    ),
    ([5.0 + i for i in range(60)], [1] * 4 + [0] * 56, "60 patients with 4 events; 5 folds", "4 events; to judge"),
]


@pytest.mark.parametrize(("months", "events", "learning", "judging"), BAD)
def test_nothing_is_embedded_of_a_cohort_that_is_too_small(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, months: list[float], events: list[int], learning: str, judging: str
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("something was embedded")

    monkeypatch.setattr(own_cohort, "embed_patients", refuse)
    table = write_cohort(tmp_path, months, events)
    for last in (["--check"], ["--out", str(tmp_path / "x.msbundle")]):
        with pytest.raises(InputError, match=learning):
            call("train", table, *last)
    with pytest.raises(InputError, match=judging):
        call("validate", "demonstration", table)


def test_a_bundle_that_is_there_is_not_found_out_after_the_embedding(tmp_path: Path) -> None:
    table = write_cohort(tmp_path, [5.0 + i for i in range(60)], [1] * 60)
    out = tmp_path / "x.msbundle"
    out.touch()
    with pytest.raises(OutputError, match="is there already"):
        call("train", table, "--out", str(out))
    few = write_cohort(tmp_path, [5.0 + i for i in range(40)], [1] * 40)
    with pytest.raises(InputError, match="The new site has 40 patients with 40 events"):
        call("bundle", "recalibrate", "demonstration", few, "--site", "B", "--out", str(tmp_path / "y.msbundle"))


def test_all_events_and_ties_are_fine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = write_cohort(tmp_path, [float(5 + i % 6) for i in range(40)], [1] * 40)
    assert call("train", table, "--check") == 0
    assert "40 events" in capsys.readouterr().out


def test_what_is_needed_follows_the_folds() -> None:
    patients = make_cohort(38).patients
    check_enough_to_train(patients, 5, 3)
    check_enough_to_validate(patients[:25])
    with pytest.raises(InputError, match="need 40 patients"):
        check_enough_to_train(patients, 4, 3)
    with pytest.raises(InputError, match="No patient of the cohort is left"):
        check_enough_to_validate(())


def test_constant_covariates_are_left_out_and_the_images_still_train(tmp_path: Path, light_base: Path) -> None:
    cohort = make_cohort(80)
    rows = tuple(
        {**row, "age_years": "60", "sex": "male" if i % 3 else ""} for i, row in enumerate(cohort.data.covariates)
    )
    constant = replace(cohort, data=replace(cohort.data, covariates=rows))
    kept, notes = drop_constant(constant)
    assert kept.intake.covariates == () and len(notes) == 3
    out = tmp_path / "own.msbundle"
    train_bundle(constant, load_bundle(light_base), QUICK, Stated(), out, tmp_path / "work")
    bundle = load_bundle(out)
    assert [head.name for head in bundle.manifest.heads] == ["image"]
    assert "age_years is 60 in every patient who has a value, so it was left out." in bundle.card
    assert "No covariate is left, so there is no head with clinical values." in bundle.card
    assert drop_constant(cohort) == (cohort, ())
    one = replace(
        cohort, data=replace(cohort.data, covariates=tuple({**r, "sex": "male"} for r in cohort.data.covariates))
    )
    assert drop_constant(one)[0].intake.covariates == ("age_years",)


def test_equal_images_of_everybody_are_told(tmp_path: Path, light_base: Path) -> None:
    cohort = make_cohort(80)
    states = {"PET/mean": cohort.data.states["PET/mean"][:1].expand(80, -1, -1, -1)}
    same = replace(cohort, data=replace(cohort.data, states=states))
    with pytest.raises(InputError, match="PET/mean are the same in all 80 patients; check which images"):
        train_bundle(same, load_bundle(light_base), QUICK, Stated(), tmp_path / "x.msbundle", tmp_path / "work")


def test_rows_of_one_patient_are_those_of_the_file(tmp_path: Path, light_base: Path) -> None:
    cohort = make_cohort(80)
    hashes = tuple("same" if i in (3, 7) else str(i) for i in range(80))
    twice = OwnCohort(cohort.intake, cohort.patients, cohort.data, cohort.flow, hashes, {})
    assert [cohort.patients[i].row for i in (3, 7)] == [5, 9]
    with pytest.raises(InputError, match=r'Rows 5 and 9 of the cohort have equal images; .*"same_patient": "group"'):
        train_bundle(twice, load_bundle(light_base), QUICK, Stated(), tmp_path / "x.msbundle", tmp_path / "work")


def test_separable_outcomes_give_no_warning() -> None:
    """Risks that tell the outcomes apart have no slope; scipy's complaints reach nobody."""
    n = 40
    events = np.arange(n) < n // 2
    times = np.where(events, 10.0, 50.0) + np.arange(n) / 100
    risk = np.where(events, 0.6, 0.4)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(InputError, match="separated by their predicted risk"):
            calibration_slope(times, events, risk, 24.0)
        assert np.isfinite(calibration_intercept(times, events, risk, 24.0))
