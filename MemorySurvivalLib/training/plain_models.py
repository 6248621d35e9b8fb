"""What a head is held against: ridge Cox on clinical values and on plain statistics of the region, same folds."""

from __future__ import annotations

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.training.harmonise import Harmonised
from MemorySurvivalLib.training.models.cox import RidgeCox
from MemorySurvivalLib.training.models.features import VectorFeatures
from MemorySurvivalLib.training.own_cohort import OwnCohort
from MemorySurvivalLib.training.quantities import make_schema
from MemorySurvivalLib.training.survival_model import SurvivalModel

CLINICAL, STATISTICS, BOTH = "clinical values alone", "region statistics alone", "both without memory states"


def plain_models(cohort: OwnCohort, harmonise: bool = False) -> list[SurvivalModel]:
    """Those that the cohort has the values for; no head counts as good before it beats them.

    `harmonise` adds the statistics behind ComBat. A bundle scores patients of sites that nobody saw, so no head that
    ships is harmonised; this row says whether sites matter. Raises InputError where there is nothing to harmonise.
    """
    clinical = make_schema(cohort.intake.covariates) if cohort.intake.covariates else None
    models: list[SurvivalModel] = []
    if clinical is not None:
        models.append(RidgeCox(CLINICAL, VectorFeatures(clinical)))
    if cohort.data.statistics:
        models.append(RidgeCox(STATISTICS, VectorFeatures(statistics=("*",))))
        if clinical is not None:
            models.append(RidgeCox(BOTH, VectorFeatures(clinical, ("*",))))
    if harmonise:
        if not cohort.data.statistics:
            raise InputError("The cohort has no statistics of the region to harmonise; leave harmonise out.")
        models.append(Harmonised(RidgeCox(STATISTICS, VectorFeatures(statistics=("*",)))))
    return models
