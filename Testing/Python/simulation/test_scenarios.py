"""Scenarios stay as they were frozen, and their patients are what the definitions say."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.simulation.biology import Biology, Genetics
from MemorySurvivalLib.simulation.body_plan import PhantomSpec
from MemorySurvivalLib.simulation.cohort_data import collect_patients
from MemorySurvivalLib.simulation.disease import Disease, Focus
from MemorySurvivalLib.simulation.hazard import draw_frailty, draw_time, log_hazard
from MemorySurvivalLib.simulation.patient import COVARIATE_COLUMNS, Patient, draw_patient, draw_patients
from MemorySurvivalLib.simulation.scenario import SCENARIOS, Hazard, Outcome, Scenario, load_scenario
from MemorySurvivalLib.simulation.tissues import Tissue

# Frozen before any head was trained. Never put a new value here: a changed scenario is a new one with a new name.
FROZEN = {
    "main": "37b026f2aa748c28da730cdb4f0a1daf599ecacaa5234d9c088943a88b2546c8",
    "null": "6cb24bb0dbf312f25d1c2fd7723c69228dfa4514f9b5b53c5b1e3e045d0d85e7",
    "burden-only": "2fa4e3d1537895b9730fe94e1a040c129ce7864ed1d25a08978c73d6cda729fb",
    "spatial": "85a9464681fd01c2859df59e60e6b950df81a015d894dcb7ff4e9bbdadad7a6b",
    "ct-only": "6518fa0c380c90a5b304bce0ef4b675ac5dc83f529149ba549359d1e885c9823",
    "confounded-site": "76c80608a4c9a3fbfaac9f1686b638a9d489e3fedfaff17b3a2e0a0ed9fe4eba",
    "confounded-site-swapped": "e27f3748db7893cf626512614341433ce17b0d0444d4af026b1e61eb89e55783",
    "misspecified": "b56a3eadf787a41f78a5e755c73580527a0f66c64b7cbe48c253ade96c252408",
    "second": "a48ff6220cfdb3f636f9288ad61566e38b25cb0a7df76937b986a808ca55f8e2",
}
# The first patients of each, so that a change of the drawing code is noticed too.
FIRST_PATIENTS = {
    "main": "6aa4eded8439586b",
    "null": "d940175dd28efb29",
    "burden-only": "4d61f26c6f2601b0",
    "spatial": "318f107a485fc4bc",
    "ct-only": "d369951550666445",
    "confounded-site": "89d2216bfce77a4c",
    "confounded-site-swapped": "94ed7e3889e62dd1",
    "misspecified": "18db338662c6c2dd",
    "second": "86c656e78ebd43bf",
}
N = 1100


def digest(scenario: Scenario) -> str:
    rows = [
        [p.site.name, p.uptake_minutes, dict(p.covariates), round(p.log_hazard, 3), round(p.time_months, 1), p.event]
        for p in draw_patients(scenario, 3, range(6))
    ]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:16]


@pytest.fixture(scope="module")
def main() -> list[Patient]:
    return list(draw_patients(load_scenario("main"), 1, range(N)))


@pytest.fixture(scope="module")
def second() -> list[Patient]:
    return list(draw_patients(load_scenario("second"), 1, range(600)))


def numbers(patients: Sequence[Patient], column: str) -> npt.NDArray[np.float64]:
    return np.array([float(p.covariates[column] or np.nan) for p in patients])


def correlation(a: npt.ArrayLike, b: npt.ArrayLike) -> float:
    x, y = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    known = np.isfinite(x) & np.isfinite(y)
    return float(np.corrcoef(x[known], y[known])[0, 1])


@pytest.mark.parametrize("name", SCENARIOS)
def test_definitions_are_frozen(name: str) -> None:
    assert load_scenario(name).sha256 == FROZEN[name]


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_patients_of_a_definition_are_frozen(name: str) -> None:
    assert digest(load_scenario(name)) == FIRST_PATIENTS[name]


def test_an_unknown_scenario_is_named_with_those_that_there_are() -> None:
    with pytest.raises(InputError, match=r"^There is no scenario 'easy'; use one of main, null, .*, second\.$"):
        load_scenario("easy")


def test_the_rarest_patients_can_be_drawn() -> None:
    # Its avidity would be above what a disease can have.
    assert draw_patient(load_scenario("main"), 7500, 1286).person.disease.avidity == 3.0


def test_impossible_patients_are_refused() -> None:
    for seed, number in ((-1, 0), (1, -1), (1, 100_000)):
        with pytest.raises(InputError, match=r"^Patient -?\d+ of cohort -?\d+ cannot be drawn;"):
            draw_patient(load_scenario("main"), seed, number)


def test_a_patient_does_not_depend_on_the_others(main: list[Patient]) -> None:
    assert draw_patient(load_scenario("main"), 1, 17) == main[17]
    assert draw_patient(load_scenario("main"), 2, 17) != main[17]


@pytest.mark.parametrize("name", ["null", "burden-only", "spatial", "confounded-site", "misspecified"])
def test_scenarios_that_share_images_show_the_same_patients(name: str, main: list[Patient]) -> None:
    scenario = load_scenario(name)
    assert scenario.images_sha256 == load_scenario("main").images_sha256
    for number in (0, 5):
        other = draw_patient(scenario, 1, number)
        assert other.shown == main[number].shown
        assert (other.site, other.uptake_minutes) == (main[number].site, main[number].uptake_minutes)
        assert other.image_seed == main[number].image_seed


def test_people_disease_and_outcome_of_main(main: list[Patient]) -> None:
    ages = numbers(main, "age_years")
    assert ages.mean() == pytest.approx(62.5, abs=0.8)
    assert ages.std() == pytest.approx(9.7, abs=0.7)
    assert np.mean([p.covariates["sex"] == "male" for p in main]) == pytest.approx(0.58, abs=0.04)
    diseases = [p.person.disease for p in main]
    assert np.mean([d.count("focal") > 0 for d in diseases]) == pytest.approx(0.78, abs=0.03)
    assert np.mean([d.count("extramedullary") > 0 for d in diseases]) == pytest.approx(0.10, abs=0.025)
    assert np.mean([d.fdg_negative for d in diseases]) == pytest.approx(0.10, abs=0.025)
    times, events = np.array([p.time_months for p in main]), np.array([p.event for p in main])
    assert events.mean() == pytest.approx(0.70, abs=0.04)
    assert np.median(times) == pytest.approx(30, abs=2)
    assert np.median(times[events]) == pytest.approx(25.5, abs=2)
    assert np.median(times[~events]) == pytest.approx(35, abs=2)
    assert np.std([p.log_hazard for p in main]) == pytest.approx(0.88, abs=0.06)
    assert abs(np.mean([p.log_hazard for p in main])) < 0.1


def test_stages_are_as_frequent_as_in_the_paper(main: list[Patient]) -> None:
    stages = [p.covariates["r_iss"] for p in main]
    assert stages.count("") / N == pytest.approx(58 / 227, abs=0.04)
    known = N - stages.count("")
    np.testing.assert_allclose(
        [stages.count(stage) / known for stage in ("I", "II", "III")], np.array([49, 95, 25]) / 169, atol=0.045
    )
    assert {p.covariates["r2_iss"] for p in main} == {"", "low", "low-intermediate", "intermediate-high", "high"}


def test_laboratory_values_follow_burden_and_host(main: list[Patient]) -> None:
    burden, host = [p.person.burden for p in main], [p.person.host for p in main]
    for column, low, high in (
        ("haemoglobin_g_dl", -0.75, -0.45),
        ("calcium_mg_dl", 0.15, 0.5),
        ("creatinine_mg_dl", 0.05, 0.35),
        ("beta2_microglobulin_mg_l", 0.3, 0.75),
        ("ldh_u_l", 0.25, 0.65),
        ("albumin_g_dl", -0.6, -0.2),
    ):
        assert low < correlation(numbers(main, column), burden) < high, column
    assert correlation(numbers(main, "albumin_g_dl"), host) < -0.2
    assert correlation(burden, host) == pytest.approx(0, abs=0.08)


def test_values_are_missing_by_chance_by_site_and_by_what_they_would_show(main: list[Patient]) -> None:
    no_fish = np.array([p.covariates["del_17p"] == "" for p in main])
    infiltration = np.array([p.person.disease.marrow_infiltration for p in main])
    ages, sites = numbers(main, "age_years"), np.array([p.site.name for p in main])
    assert no_fish[infiltration < 0.2].mean() > no_fish[infiltration > 0.5].mean() + 0.05
    assert no_fish[ages > 68].mean() > no_fish[ages < 57].mean() + 0.04
    no_ratio = np.isnan(numbers(main, "light_chain_ratio"))
    assert no_ratio[sites == "C"].mean() > no_ratio[sites == "A"].mean() + 0.06
    for column in ("calcium_mg_dl", "beta2_microglobulin_mg_l", "isotype"):
        assert 0 < np.mean([p.covariates[column] == "" for p in main]) < 0.08
    assert all(tuple(p.covariates) == COVARIATE_COLUMNS for p in main[:5])


def test_null_images_say_nothing_about_the_outcome_or_the_values() -> None:
    patients = list(draw_patients(load_scenario("null"), 4, range(450)))
    shown = np.array([p.shown.burden for p in patients])
    for told in (
        [p.log_hazard for p in patients],
        [p.time_months for p in patients],
        numbers(patients, "haemoglobin_g_dl"),
        numbers(patients, "age_years"),
    ):
        assert abs(correlation(shown, told)) < 0.15
    assert abs(correlation([p.shown.spec.age_years for p in patients], numbers(patients, "age_years"))) < 0.15
    assert correlation([p.person.burden for p in patients], [p.log_hazard for p in patients]) > 0.5


def test_ct_only_disease_is_no_hotter_than_marrow() -> None:
    patients = list(draw_patients(load_scenario("ct-only"), 1, range(60)))
    foci = [focus for p in patients for focus in p.shown.disease.foci]
    assert max(focus.suv_bw for focus in foci) <= 1.4
    assert np.mean([focus.lytic for focus in foci]) > 0.75
    assert all(p.shown.disease.fdg_negative for p in patients)


def test_a_confounding_site_changes_the_outcome_and_nothing_that_is_seen(main: list[Patient]) -> None:
    plain, swapped = load_scenario("confounded-site"), load_scenario("confounded-site-swapped")
    by_site: dict[str, set[float]] = {}
    for usual in main[:60]:
        patient, other = (draw_patient(scenario, 1, usual.number) for scenario in (plain, swapped))
        assert patient.covariates == usual.covariates
        by_site.setdefault(usual.site.name, set()).add(round(patient.log_hazard - usual.log_hazard, 6))
        assert (patient.log_hazard > usual.log_hazard) == (other.log_hazard < usual.log_hazard)
    assert by_site == {"A": {-0.55}, "B": {0.15}, "C": {0.95}, "D": {-0.2}}


def person(*foci: Focus, **changes: object) -> Biology:
    plain = Biology(PhantomSpec(age_years=62.5), Disease(foci), Genetics(), 0.0)
    return replace(plain, **changes)  # type: ignore[arg-type]


def bone(site: Tissue, avidity: float = 8.0) -> Focus:
    return Focus("focal", 15, avidity, True, site)


def test_the_hazard_looks_at_biology_and_not_at_the_uptake() -> None:
    hazard = load_scenario("main").hazard
    assert log_hazard(hazard, person(bone(Tissue.L3, 20)), "A") == log_hazard(hazard, person(bone(Tissue.T2, 0.8)), "A")
    least = log_hazard(hazard, person(), "A")
    for worse in (
        person(bone(Tissue.L3)),
        person(Focus("paramedullary", 30, 8, False)),
        person(Focus("extramedullary", 30, 8, False)),
        person(disease=Disease((), 0.4)),
        person(genetics=Genetics(t_14_16=True)),
        person(genetics=Genetics(gain_1q=True)),
        person(host=1.0),
        person(spec=PhantomSpec(age_years=75.0)),
    ):
        assert log_hazard(hazard, worse, "A") > least
    few, many = (log_hazard(hazard, person(*[bone(Tissue.L3)] * n), "A") for n in (20, 40))
    assert many - few < 0.1


def test_spatial_counts_the_lower_spine_alone() -> None:
    hazard = load_scenario("spatial").hazard
    least = log_hazard(hazard, person(), "A")
    for harmless in (Tissue.C3, Tissue.T8, Tissue.HIP_LEFT, Tissue.RIBS_LEFT, Tissue.FEMUR_RIGHT, Tissue.SKULL):
        assert log_hazard(hazard, person(*[bone(harmless)] * 5), "A") == least
    for harmful in (Tissue.T9, Tissue.L5, Tissue.SACRUM):
        assert log_hazard(hazard, person(bone(harmful)), "A") > least + 0.3


def test_burden_only_counts_millilitres() -> None:
    hazard = load_scenario("burden-only").hazard
    one, two = Focus("focal", 20, 8, False, Tissue.L3), Focus("extramedullary", 20, 2, True)
    assert log_hazard(hazard, person(one), "A") == log_hazard(hazard, person(two), "A")
    assert log_hazard(hazard, person(one, one), "A") > log_hazard(hazard, person(one), "A")


def test_misspecified_is_not_proportional_and_bends_with_age() -> None:
    scenario = load_scenario("misspecified")
    ages = [log_hazard(scenario.hazard, person(spec=PhantomSpec(age_years=age)), "A") for age in (40.0, 61.0, 85.0)]
    assert ages[1] < min(ages[0], ages[2])
    late = Outcome(late_from_months=18, late_factor=0.0, scale_months=40, censoring_months=(900, 901))
    rng = np.random.default_rng(0)
    low, high = (np.array([draw_time(late, risk, rng)[0] for _ in range(3000)]) for risk in (-1.0, 1.0))
    assert (high < 18).mean() > (low < 18).mean() + 0.2
    # Whoever reaches 18 months has the same future whatever the risk was.
    assert np.median(high[high > 18]) == pytest.approx(np.median(low[low > 18]), rel=0.05)


@pytest.mark.parametrize("kind", ["normal", "log-gamma"])
def test_frailty_has_its_spread(kind: str) -> None:
    rng = np.random.default_rng(1)
    outcome = Outcome(frailty=kind, frailty_sd=0.4)  # type: ignore[arg-type]
    drawn = np.array([draw_frailty(outcome, rng) for _ in range(6000)])
    assert (drawn.mean(), drawn.std()) == pytest.approx((0, 0.4), abs=0.02)


def test_times_follow_their_family() -> None:
    rng = np.random.default_rng(2)
    weibull = Outcome(shape=2.2, scale_months=40, censoring_months=(900, 901))
    times = np.array([draw_time(weibull, 0.5, rng)[0] for _ in range(4000)])
    assert np.median(times) == pytest.approx(40 * (np.log(2) * np.exp(-0.5)) ** (1 / 2.2), rel=0.03)
    cure = Outcome("log-normal-cure", shape=2, scale_months=30, log_sd=0.5, cure_logit=-1, censoring_months=(900, 901))
    drawn = [draw_time(cure, 0.4, rng) for _ in range(4000)]
    events = np.array([event for _, event in drawn])
    assert 1 - events.mean() == pytest.approx(1 / (1 + np.exp(1.4)), abs=0.02)
    assert np.median([t for t, event in drawn if event]) == pytest.approx(30 * np.exp(-0.2), rel=0.04)
    lost = replace_loss(weibull)
    assert np.mean([draw_time(lost, 0.5, rng)[1] for _ in range(1000)]) < 0.5


def replace_loss(outcome: Outcome) -> Outcome:
    return Outcome(
        shape=outcome.shape, scale_months=outcome.scale_months, censoring_months=(900, 901), loss_per_year=0.5
    )


def test_site_effects_enter_by_name() -> None:
    hazard = Hazard(site={"B": 0.7})
    assert log_hazard(hazard, person(), "B") - log_hazard(hazard, person(), "A") == pytest.approx(0.7)


def test_the_second_generator_is_another_one_with_a_like_population(main: list[Patient], second: list[Patient]) -> None:
    assert {p.site.name for p in second}.isdisjoint(p.site.name for p in main)
    assert numbers(second, "age_years").mean() == pytest.approx(62.5, abs=1)
    diseases = [p.person.disease for p in second]
    assert np.mean([d.count("focal") > 0 for d in diseases]) == pytest.approx(0.78, abs=0.05)
    assert np.mean([d.count("extramedullary") > 0 for d in diseases]) == pytest.approx(0.11, abs=0.03)
    assert np.mean([d.fdg_negative for d in diseases]) == pytest.approx(0.10, abs=0.025)
    assert np.mean([p.event for p in second]) == pytest.approx(0.69, abs=0.06)
    # Bigger lesions are hotter there, and not in the first.
    for patients, low, high in ((main, -0.1, 0.1), (second, 0.2, 0.9)):
        foci = [f for p in patients if not p.person.disease.fdg_negative for f in p.person.disease.foci]
        focal = [f for f in foci if f.kind == "focal"]
        assert low < correlation([f.diameter_mm for f in focal], [f.suv_bw for f in focal]) < high


def test_patients_become_a_cohort_that_says_it_is_simulated(main: list[Patient]) -> None:
    data = collect_patients(main[:8])
    assert data.simulated and data.patient_ids[3] == "main-1-00003"
    assert data.times_months.tolist() == [p.time_months for p in main[:8]]
    assert data.events.tolist() == [p.event for p in main[:8]]
    assert data.covariates[2] == main[2].covariates and data.sites[2] == main[2].site.name
