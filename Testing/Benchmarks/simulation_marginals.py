"""Simulated cohorts against the paper's marginals, at its n and at 5,000; what an oracle and clinical values reach."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from MemorySurvivalLib.simulation.patient import Patient, draw_patients
from MemorySurvivalLib.simulation.scenario import SCENARIOS, load_scenario

PAPER_N, COHORTS, MANY = 227, 12, 5000
FIRST_SEED = 7000
"""Cohort seeds of this figure; a study takes others."""

Floats = npt.NDArray[np.float64]

_NUMBERS = {
    "age_years": False,
    "creatinine_mg_dl": True,
    "haemoglobin_g_dl": False,
    "platelets_10e9_l": True,
    "light_chain_ratio": True,
    "calcium_mg_dl": False,
    "beta2_microglobulin_mg_l": True,
    "albumin_g_dl": False,
    "ldh_u_l": True,
}
_WORDS = {
    "sex": ("male",),
    "isotype": ("IgA", "light_chain"),
    "iss": ("II", "III"),
    "r_iss": ("II", "III", ""),
    "del_17p": ("yes",),
    "t_4_14": ("yes",),
    "t_14_16": ("yes",),
    "gain_1q": ("yes", ""),
}


def run() -> dict[str, Any]:
    start = time.process_time()
    main = load_scenario("main")
    small = [list(draw_patients(main, FIRST_SEED + number, range(PAPER_N))) for number in range(COHORTS)]
    many = list(draw_patients(main, FIRST_SEED + 100, range(MANY)))
    rows, ok = [], True
    for name, target, tolerance, measure in _quantities():
        each = [measure(patients) for patients in small]
        large = measure(many)
        met = abs(float(np.mean(each)) - target) <= 1.5 * tolerance and abs(large - target) <= tolerance
        ok &= met
        rows.append(
            {
                "quantity": name,
                "target": target,
                f"mean of {COHORTS} cohorts of {PAPER_N}": round(float(np.mean(each)), 3),
                "SD between cohorts": round(float(np.std(each, ddof=1)), 3),
                f"n = {MANY}": round(large, 3),
                "tolerance": tolerance,
                "met": met,
            }
        )
    scenarios = [_describe(name, many if name == "main" else None) for name in SCENARIOS]
    return {
        "marginals of main (simulated)": rows,
        f"scenarios (simulated, n = {MANY})": scenarios,
        "patients_a_second": round((COHORTS * PAPER_N + MANY * len(SCENARIOS)) / (time.process_time() - start)),
        "goal": "main within the tolerances at n = 5000, and within 1.5 times them in the mean of cohorts of 227",
        "ok": ok,
    }


def _quantities() -> list[tuple[str, float, float, Callable[[Sequence[Patient]], float]]]:
    """Name, target, tolerance and how to measure; targets from the paper (SPEC: 227 patients) and Zamagni 2021."""

    def share(test: Callable[[Patient], bool]) -> Callable[[Sequence[Patient]], float]:
        return lambda patients: float(np.mean([test(patient) for patient in patients]))

    def stage(name: str) -> Callable[[Sequence[Patient]], float]:
        def of_known(patients: Sequence[Patient]) -> float:
            stages = [patient.covariates["r_iss"] for patient in patients]
            return stages.count(name) / (len(stages) - stages.count(""))

        return of_known

    def months(event: bool | None) -> Callable[[Sequence[Patient]], float]:
        return lambda patients: float(np.median([p.time_months for p in patients if event is None or p.event == event]))

    return [
        ("age, mean (years)", 62.5, 0.7, lambda ps: float(np.mean([p.person.spec.age_years for p in ps]))),
        ("age, SD (years)", 9.7, 0.5, lambda ps: float(np.std([p.person.spec.age_years for p in ps]))),
        ("men", 0.58, 0.03, share(lambda p: p.covariates["sex"] == "male")),
        ("focal lesions", 0.78, 0.02, share(lambda p: p.person.disease.count("focal") > 0)),
        ("extramedullary disease", 0.11, 0.02, share(lambda p: p.person.disease.count("extramedullary") > 0)),
        ("marrow at least as hot as the liver", 0.355, 0.03, share(_hot_marrow)),
        ("FDG-negative", 0.10, 0.015, share(lambda p: p.person.disease.fdg_negative)),
        ("R-ISS I of known", 49 / 169, 0.03, stage("I")),
        ("R-ISS II of known", 95 / 169, 0.04, stage("II")),
        ("R-ISS III of known", 25 / 169, 0.03, stage("III")),
        ("R-ISS missing", 58 / 227, 0.02, share(lambda p: p.covariates["r_iss"] == "")),
        ("events", 160 / 227, 0.03, share(lambda p: p.event)),
        ("median time (months)", 30.0, 1.5, months(None)),
        ("median time with event (months)", 25.5, 1.5, months(True)),
        ("median time, censored (months)", 35.0, 1.5, months(False)),
        ("reverse Kaplan-Meier follow-up (months)", 50.0, 2.0, _follow_up),
        ("c of the clinical values (half to fit, half to test)", 0.667, 0.02, _clinical_or_nan),
    ]


def _hot_marrow(patient: Patient) -> bool:
    """True uptake of vertebral marrow after an hour against the mean liver, before the scanner."""
    disease, benign = patient.shown.disease, patient.shown.spec.distractors
    normal = 1.15 * benign.marrow_stimulation * (1 - 0.3 * disease.marrow_infiltration)
    return bool(normal + 5.5 * disease.avidity * disease.marrow_infiltration**1.5 >= 2.3)


def _follow_up(patients: Sequence[Patient]) -> float:
    from lifelines import KaplanMeierFitter

    censored = [not patient.event for patient in patients]
    return float(KaplanMeierFitter().fit([p.time_months for p in patients], censored).median_survival_time_)


def _clinical_or_nan(patients: Sequence[Patient]) -> float:
    """The c-index of a Cox model on all clinical values, fitted on one half of the patients and tested on the other.

    Cohorts of 227 are too small for 25 columns, so there it is fitted on 3,000 other patients of the scenario.
    """
    half = len(patients) // 2
    if half > 1000:
        return clinical_c(patients[:half], patients[half:])
    return clinical_c(_others(patients[0].scenario), patients)


@cache
def _others(scenario: str) -> tuple[Patient, ...]:
    return tuple(draw_patients(load_scenario(scenario), FIRST_SEED + 500, range(3000)))


def clinical_c(fitting: Sequence[Patient], held_out: Sequence[Patient]) -> float:
    """What clinical values alone can reach: lightly penalised Cox, missing values as the mean and an indicator."""
    import pandas as pd
    from lifelines import CoxPHFitter

    columns, held = _columns(fitting, fitting), _columns(held_out, fitting)
    frame = pd.DataFrame(columns).assign(months=[p.time_months for p in fitting], event=[p.event for p in fitting])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = CoxPHFitter(penalizer=0.001).fit(frame, "months", "event")
    risk = np.asarray(model.predict_log_partial_hazard(pd.DataFrame(held)), dtype=float)
    return _concordance(held_out, risk)


def _columns(patients: Sequence[Patient], reference: Sequence[Patient]) -> dict[str, Floats]:
    columns: dict[str, Floats] = {}
    for name, logarithm in _NUMBERS.items():
        own, known = (np.array([float(p.covariates[name] or np.nan) for p in group]) for group in (patients, reference))
        if logarithm:
            own, known = np.log(own), np.log(known)
        missing = np.isnan(own)
        filled = np.where(missing, np.nanmean(known), own)
        columns[name] = (filled - np.nanmean(known)) / np.nanstd(known)
        if np.isnan(known).mean() > 0.01:
            columns[f"{name} missing"] = missing.astype(float)
    for name, levels in _WORDS.items():
        for level in levels:
            columns[f"{name} {level}"] = np.array([float(p.covariates[name] == level) for p in patients])
    return columns


def _concordance(patients: Sequence[Patient], risk: Floats) -> float:
    from lifelines.utils import concordance_index

    times, events = [p.time_months for p in patients], [p.event for p in patients]
    return float(concordance_index(times, -risk, events))


def _describe(name: str, patients: Sequence[Patient] | None) -> dict[str, Any]:
    """One scenario: its outcome, both oracles, the clinical values, and the tumour's true millilitres in the images."""
    if patients is None:
        patients = list(draw_patients(load_scenario(name), FIRST_SEED + 100, range(MANY)))
    risk = np.array([p.log_hazard for p in patients])
    frailty = np.array([p.log_frailty for p in patients])
    shown = np.array([p.shown.tumour_ml for p in patients])
    half = len(patients) // 2
    return {
        "scenario": name,
        "events": round(float(np.mean([p.event for p in patients])), 3),
        "median months": round(float(np.median([p.time_months for p in patients])), 1),
        "SD of the log hazard": round(float(risk.std()), 3),
        "oracle c": round(_concordance(patients, risk), 3),
        "oracle c with frailty": round(_concordance(patients, risk + frailty), 3),
        "clinical c": round(clinical_c(patients[:half], patients[half:]), 3),
        "c of the tumour's true volume shown": round(_concordance(patients, shown), 3),
    }
