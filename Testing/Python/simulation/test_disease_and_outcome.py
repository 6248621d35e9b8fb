"""Marginals of the simulated patients against the paper's, and hazards that mean what they say."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.simulation.body_plan import PhantomSpec, draw_spec
from MemorySurvivalLib.simulation.covariates import COLUMNS, Covariates, draw_covariates
from MemorySurvivalLib.simulation.disease import MAX_FOCI, NO_DISEASE, Disease, Focus, draw_disease
from MemorySurvivalLib.simulation.outcome import OutcomeModel, draw_outcome, hazard_score


@dataclass(frozen=True)
class Patient:
    spec: PhantomSpec
    disease: Disease
    blood: Covariates
    score: float
    time: float
    event: bool


@pytest.fixture(scope="module")
def cohort() -> list[Patient]:
    rng = np.random.default_rng(0)
    patients = []
    for _ in range(1500):
        spec, disease = draw_spec(rng), draw_disease(rng)
        score = hazard_score(disease, spec.age_years)
        patients.append(Patient(spec, disease, draw_covariates(spec, disease, rng), score, *draw_outcome(score, rng)))
    return patients


def test_people_are_those_of_the_paper(cohort: list[Patient]) -> None:
    ages = np.array([p.spec.age_years for p in cohort])
    assert ages.mean() == pytest.approx(62.5, abs=1)
    assert ages.std() == pytest.approx(9.7, abs=1)
    assert np.mean([p.spec.sex == "male" for p in cohort]) == pytest.approx(0.58, abs=0.05)


def test_disease_is_as_frequent_as_at_diagnosis(cohort: list[Patient]) -> None:
    diseases = [p.disease for p in cohort]
    assert np.mean([d.count("focal") > 0 for d in diseases]) == pytest.approx(0.78, abs=0.04)
    assert np.mean([d.count("extramedullary") > 0 for d in diseases]) == pytest.approx(0.11, abs=0.03)
    assert np.mean([d.fdg_negative for d in diseases]) == pytest.approx(0.10, abs=0.03)
    assert max(len(d.foci) for d in diseases) <= MAX_FOCI


def test_outcomes_have_the_papers_shape(cohort: list[Patient]) -> None:
    times, events = np.array([p.time for p in cohort]), np.array([p.event for p in cohort])
    assert events.mean() == pytest.approx(0.70, abs=0.06)
    assert np.median(times) == pytest.approx(30, abs=3)
    assert np.median(times[events]) == pytest.approx(25.5, abs=3)
    assert np.median(times[~events]) == pytest.approx(35, abs=4)
    assert np.std([p.score for p in cohort]) == pytest.approx(0.8, abs=0.08)


def test_a_higher_score_shortens_the_time(cohort: list[Patient]) -> None:
    scores, times = np.array([p.score for p in cohort]), np.array([p.time for p in cohort])
    low, high = np.quantile(scores, [0.25, 0.75])
    assert np.median(times[scores <= low]) > np.median(times[scores >= high]) + 8


def test_blood_follows_the_burden(cohort: list[Patient]) -> None:
    pairs = [(p.blood.haemoglobin_g_dl, p.disease.marrow_infiltration) for p in cohort]
    known = np.array([(h, m) for h, m in pairs if h is not None])
    assert np.corrcoef(known.T)[0, 1] < -0.4


def test_values_are_in_range_or_missing(cohort: list[Patient]) -> None:
    ranges = {
        "creatinine_mg_dl": (0.4, 12),
        "haemoglobin_g_dl": (5.5, 17.5),
        "platelets_10e9_l": (25, 600),
        "light_chain_ratio": (1, 5000),
        "calcium_mg_dl": (7.5, 16),
    }
    for name, (low, high) in ranges.items():
        values = [v for p in cohort if (v := getattr(p.blood, name)) is not None]
        assert low <= min(values) and max(values) <= high
        assert len(values) < len(cohort), f"{name} is never missing"
    assert {p.blood.isotype for p in cohort} == {"IgG", "IgA", "light_chain", "other", None}
    missing = np.mean([p.blood.r_iss is None for p in cohort])
    assert missing == pytest.approx(58 / 227, abs=0.04)
    stages = [p.blood.r_iss for p in cohort if p.blood.r_iss]
    share = [stages.count(stage) / len(stages) for stage in ("I", "II", "III")]
    np.testing.assert_allclose(share, [0.37, 0.46, 0.17], atol=0.04)


def test_columns_are_the_papers_nine_and_missing_is_empty() -> None:
    assert COLUMNS == (
        "age_years",
        "sex",
        "creatinine_mg_dl",
        "haemoglobin_g_dl",
        "platelets_10e9_l",
        "isotype",
        "light_chain_ratio",
        "calcium_mg_dl",
        "r_iss",
    )
    blank = Covariates(61.0, "female", None, 11.5, None, None, None, None, "II").row()
    assert tuple(blank) == COLUMNS
    assert (blank["creatinine_mg_dl"], blank["haemoglobin_g_dl"], blank["r_iss"]) == ("", "11.5", "II")


def test_each_part_of_the_disease_raises_the_hazard_and_the_count_saturates() -> None:
    bone, beside, beyond = (Focus(k, 15, 8, False) for k in ("focal", "paramedullary", "extramedullary"))  # type: ignore[arg-type]
    least = hazard_score(NO_DISEASE, 62.5)
    for worse in (
        Disease((bone,)),
        Disease((beside,)),
        Disease((beyond,)),
        Disease((), 0.3),
        Disease((), high_risk_genetics=True),
    ):
        assert hazard_score(worse, 62.5) > least
    assert hazard_score(NO_DISEASE, 72.5) > least
    early = hazard_score(Disease((bone,) * 4), 62.5) - hazard_score(Disease((bone,) * 2), 62.5)
    late = hazard_score(Disease((bone,) * 42), 62.5) - hazard_score(Disease((bone,) * 40), 62.5)
    assert late < 0.05 * early


def test_the_hazard_looks_at_biology_not_at_what_the_image_shows() -> None:
    visible = Disease((Focus("focal", 30, 15, True),), 0.4, avidity=1.5)
    hidden = replace(visible, foci=(Focus("focal", 8, 1, False),), avidity=0.1)
    assert hazard_score(visible, 60) == hazard_score(hidden, 60)


def test_outcomes_repeat_with_the_seed_and_frailty_can_be_switched_off() -> None:
    assert draw_outcome(0.4, np.random.default_rng(3)) == draw_outcome(0.4, np.random.default_rng(3))
    calm = OutcomeModel(frailty_sd=0.0, censoring_months=(500.0, 501.0))
    rng = np.random.default_rng(0)
    times = [draw_outcome(0.0, rng, calm)[0] for _ in range(2000)]
    assert np.median(times) == pytest.approx(40 * np.log(2) ** (1 / 2.2), rel=0.04)


def test_impossible_disease_is_refused() -> None:
    with pytest.raises(InputError, match=r"^A disease needs a marrow infiltration of 0-1 and an FDG avidity of 0-3;"):
        Disease(marrow_infiltration=1.2)
    with pytest.raises(InputError, match=r"^A focus of 0 mm with SUV 5 is not plausible; give 0-150 mm and 0-60\.$"):
        Focus("focal", 0, 5, False)
    with pytest.raises(InputError, match=r"^A phantom holds at most 60 foci, got 61; give fewer\.$"):
        Disease((Focus("focal", 10, 5, False),) * 61)
