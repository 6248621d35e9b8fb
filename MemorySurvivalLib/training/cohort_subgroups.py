"""Harrell's c of a log-risk by sex, age, scanner and site of a cohort."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from MemorySurvivalLib.evaluation.discrimination import harrell_pairs
from MemorySurvivalLib.evaluation.subgroups import Subgroup, bands, subgroup_table
from MemorySurvivalLib.training.data import CohortData, Floats
from MemorySurvivalLib.training.intake import OwnPatient

AGE_EDGES = (65.0, 75.0)
"""Bands of age in the subgroup table, chosen before any outcome was seen."""


def cohort_subgroups(
    data: CohortData, patients: Sequence[OwnPatient], log_risk: Floats, resamples: int, seed: int
) -> tuple[Subgroup, ...]:
    """A row for each group that the table tells; `log_risk` (n,) is of the patients in their order."""
    ages = np.array([float(row.get("age_years") or "nan") for row in data.covariates])
    variables = {
        "sex": [row.get("sex", "") for row in data.covariates],
        "age": list(bands(ages, AGE_EDGES, "years")),
        "scanner": [patient.scanner for patient in patients],
        "site": [patient.site for patient in patients],
    }
    rows: list[Subgroup] = []
    for name, labels in variables.items():
        # Ages that nobody states are all "not recorded", which is no group.
        told = not np.isnan(ages).all() if name == "age" else any(labels)
        if told:
            rows += subgroup_table(
                name,
                labels,
                data.events,
                lambda index: harrell_pairs(data.times_months[index], data.events[index]).estimate(
                    log_risk[index], resamples, seed
                ),
            )
    return tuple(rows)
