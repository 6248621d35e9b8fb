"""What a head is held against: ridge Cox on clinical values and on plain statistics of the region, same folds."""

from __future__ import annotations

from MemorySurvivalLib.training.models.cox import RidgeCox
from MemorySurvivalLib.training.models.features import VectorFeatures
from MemorySurvivalLib.training.own_cohort import OwnCohort
from MemorySurvivalLib.training.quantities import make_schema

CLINICAL, STATISTICS, BOTH = "clinical values alone", "region statistics alone", "both without memory states"


def plain_models(cohort: OwnCohort) -> list[RidgeCox]:
    """Those that the cohort has the values for; no head counts as good before it beats them."""
    clinical = make_schema(cohort.intake.covariates) if cohort.intake.covariates else None
    models = []
    if clinical is not None:
        models.append(RidgeCox(CLINICAL, VectorFeatures(clinical)))
    if cohort.data.statistics:
        models.append(RidgeCox(STATISTICS, VectorFeatures(statistics=("*",))))
        if clinical is not None:
            models.append(RidgeCox(BOTH, VectorFeatures(clinical, ("*",))))
    return models
