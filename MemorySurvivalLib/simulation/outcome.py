"""Progression-free survival of a simulated patient: a hazard on latent biology, Weibull times, censoring.

The score never looks at the images nor at region statistics, only at what made them. Benign findings carry none.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from MemorySurvivalLib.simulation.disease import Disease


@dataclass(frozen=True)
class OutcomeModel:
    """Weibull baseline in months, spread of unobserved frailty (on the log hazard), uniform censoring."""

    shape: float = 2.2
    scale_months: float = 40.0
    frailty_sd: float = 0.35
    censoring_months: tuple[float, float] = (20.0, 80.0)


def hazard_score(disease: Disease, age_years: float) -> float:
    """Log hazard ratio against the average patient (mean about 0, SD about 0.8 over `draw_disease`).

    Focal count and infiltration saturate; paramedullary and extramedullary disease, genetics and age add.
    """
    focal = 1 - np.exp(-disease.count("focal") / 7)
    beyond = 1 - np.exp(-disease.count("extramedullary") / 1.2)
    beside = 1 - np.exp(-disease.count("paramedullary") / 1.2)
    score = (
        1.35 * focal
        + 1.5 * disease.marrow_infiltration
        + 1.1 * beyond
        + 0.6 * beside
        + 0.55 * disease.high_risk_genetics
        + 0.018 * (age_years - 62.5)
    )
    return float(score - _MEAN_SCORE)


_MEAN_SCORE = 1.35


def draw_outcome(score: float, rng: np.random.Generator, model: OutcomeModel | None = None) -> tuple[float, bool]:
    """Observed time in months (never below 0.1) and whether it ended in progression (else censored)."""
    model = model or OutcomeModel()
    log_hazard = score + rng.normal(0, model.frailty_sd)
    progression = model.scale_months * (rng.exponential() * np.exp(-log_hazard)) ** (1 / model.shape)
    censoring = rng.uniform(*model.censoring_months)
    return round(max(float(min(progression, censoring)), 0.1), 2), bool(progression <= censoring)
