"""ISS, R-ISS and R2-ISS as risk models: what a clinic has without any image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from MemorySurvivalLib.clinical.staging import compute_scores
from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.risk.covariate_fields import is_missing, plain_name
from MemorySurvivalLib.training.data import CohortData, Floats
from MemorySurvivalLib.training.models.cox import fit_cox
from MemorySurvivalLib.training.models.fingerprint import hash_fitted
from MemorySurvivalLib.training.models.outcomes import check_outcomes

StageName = Literal["ISS", "R-ISS", "R2-ISS"]

_ORDER: Mapping[str, tuple[str, ...]] = {
    "ISS": ("I", "II", "III"),
    "R-ISS": ("I", "II", "III"),
    "R2-ISS": ("low", "low-intermediate", "intermediate-high", "high"),
}
_COLUMN: Mapping[str, str] = {"ISS": "iss", "R-ISS": "r_iss", "R2-ISS": "r2_iss"}

SMALLEST_SLOPE = 0.01
PENALTY = 0.01


@dataclass(frozen=True)
class StageRisk:
    """A stage as a risk: equal steps from the lowest to the highest, one slope fitted to make them log-risks.

    A stage that a column states (`iss`, `r_iss`, `r2_iss`) is taken; else it is computed from the laboratory and FISH
    columns. Where it is not known either way the training patients' mean stage stands in. A higher stage is never a
    lower risk: the order is the stage's own, not learned (a slope below 0.01 is set to 0.01).
    """

    stage: StageName

    @property
    def name(self) -> str:
        """Its name in tables."""
        return f"{self.stage} alone"

    def fit(self, data: CohortData, seed: int) -> FittedStage:
        """Fit the mean stage and the slope; `seed` changes nothing."""
        check_outcomes(data)
        steps = stage_steps(self.stage, data)
        known = steps[~np.isnan(steps)]
        if len(np.unique(known)) < 2:
            raise InputError(
                f"The {self.stage} is {'the same' if len(known) else 'not known'} in all patients to learn from, so "
                "it cannot order them; give its column or the laboratory and FISH values that it is made of."
            )
        mean = float(known.mean())
        filled = np.where(np.isnan(steps), mean, steps)
        slope = float(fit_cox(filled[:, None], data.times_months, data.events, PENALTY)[0])
        return FittedStage(self.stage, mean, max(slope, SMALLEST_SLOPE))


@dataclass(frozen=True)
class FittedStage:
    """The mean stage and the log-risk of one step."""

    stage: StageName
    mean: float
    slope: float

    def log_risk(self, data: CohortData) -> Floats:
        """Log-risks (n,), 0 at the mean stage."""
        steps = stage_steps(self.stage, data)
        risk: Floats = self.slope * (np.where(np.isnan(steps), self.mean, steps) - self.mean)
        return risk

    def fingerprint(self) -> str:
        """A hash of what was fitted."""
        return hash_fitted(self.stage, self.mean, self.slope)


def stage_steps(stage: StageName, data: CohortData) -> Floats:
    """Steps (n,): 0 for the lowest stage, NaN where not known. Raises InputError for a stage that does not exist."""
    if not data.covariates:
        raise InputError(f"The cohort has no clinical covariates, so its {stage} is not known; give them.")
    return np.array([_step(stage, row, number) for number, row in enumerate(data.covariates, 1)])


def _step(stage: StageName, row: Mapping[str, str], number: int) -> float:
    order = _ORDER[stage]
    stated = next(
        (t.strip() for name, t in row.items() if plain_name(name) == _COLUMN[stage] and not is_missing(t)), ""
    )
    if not stated:
        try:
            score = next(score for score in compute_scores(row) if score.name == stage)
        except InputError as error:
            raise InputError(f"Row {number} of the cohort: {error}") from error
        return float(order.index(score.value)) if score.value is not None else float("nan")
    match = next((i for i, level in enumerate(order) if level.lower() == stated.lower()), None)
    if match is None:
        raise InputError(
            f"Row {number} of the cohort: {stage} has the unknown value {stated!r}; use one of {', '.join(order)}."
        )
    return float(match)
