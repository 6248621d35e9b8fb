"""Simulated patients a minute on one core: the phantoms that the study embeds, from both generators."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import SimpleITK as sitk

from MemorySurvivalLib.simulation.patient import Patient, draw_patient
from MemorySurvivalLib.simulation.scenario import load_scenario
from MemorySurvivalLib.simulation.scenario_case import simulate_patient, with_ct_spacing
from MemorySurvivalLib.study.configuration import load_configuration

PATIENTS = 12
COHORTS = ("main-dev", "second-test")
"""One cohort of each generator."""
LIMIT_S = 3.0
"""1,000 patients then take 25 minutes on two cores, a small part of what embedding them takes."""

Spacing = tuple[float, float, float]


def run(patients: int = PATIENTS, spacing_mm: Spacing | None = None) -> dict[str, Any]:
    """Simulate the first patients of each cohort in one thread; `spacing_mm` of the CT instead of the site's is for
    tests. Nothing is written: the study keeps no images."""
    configuration = load_configuration()
    threads = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    try:
        rows = []
        for name in COHORTS:
            cohort = configuration.cohort(name)
            scenario = load_scenario(cohort.scenario)
            drawn = [draw_patient(scenario, cohort.seed, number) for number in range(patients)]
            if spacing_mm is not None:
                drawn = [with_ct_spacing(patient, spacing_mm) for patient in drawn]
            rows.append({"cohort": name, "generator": drawn[0].generator, **_measure(drawn)})
    finally:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)
    slowest = max(float(row["cpu_seconds_each"]) for row in rows)
    return {
        "patients_each": patients,
        "what": "CT, PET, both masks and the truth, simulated, in memory; not embedded",
        "threads": 1,
        "cohorts": rows,
        "cases_a_minute_and_core": min(float(row["cases_a_minute_and_core"]) for row in rows),
        "minutes_of_227_on_one_core": round(227 * slowest / 60, 1),
        "goal": f"at most {LIMIT_S:g} s of processor time a patient with either generator",
        "ok": slowest <= LIMIT_S,
    }


def _measure(patients: Sequence[Patient]) -> dict[str, Any]:
    """Processor time counts as well: on a busy machine a case takes longer, not more."""
    simulate_patient(patients[0])  # what is imported and cached once is no part of a case
    seconds, cpu_seconds, voxels = [], [], []
    for patient in patients:
        start, cpu_start = time.perf_counter(), time.process_time()
        images = simulate_patient(patient)
        seconds.append(time.perf_counter() - start)
        cpu_seconds.append(time.process_time() - cpu_start)
        voxels.append(images.ct.voxels.size)
    return {
        "seconds_each": round(float(np.mean(seconds)), 2),
        "seconds_most": round(max(seconds), 2),
        "cpu_seconds_each": round(float(np.mean(cpu_seconds)), 2),
        "ct_megavoxels_each": round(float(np.mean(voxels)) / 1e6, 2),
        "cases_a_minute_and_core": round(60 / float(np.mean(cpu_seconds)), 1),
    }
