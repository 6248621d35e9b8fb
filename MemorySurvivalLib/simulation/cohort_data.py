"""Simulated patients as the cohort that models are trained and judged on, without images."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from MemorySurvivalLib.simulation.patient import Patient
from MemorySurvivalLib.training.data import CohortData


def collect_patients(patients: Iterable[Patient]) -> CohortData:
    """Outcomes, covariates and sites of patients in their order; statistics and memory states stay empty."""
    known = tuple(patients)
    return CohortData(
        tuple(patient.patient_id for patient in known),
        np.array([patient.time_months for patient in known], dtype=np.float64),
        np.array([patient.event for patient in known], dtype=np.bool_),
        tuple(patient.covariates for patient in known),
        sites=tuple(patient.site.name for patient in known),
        simulated=True,
    )
