"""The log hazard of a scenario on latent biology, and the times that follow from it."""

from __future__ import annotations

import numpy as np

from MemorySurvivalLib.simulation.biology import Biology
from MemorySurvivalLib.simulation.scenario import Hazard, Outcome

_EULER = 0.5772156649


IMAGE_TERMS = ("focal", "lytic", "infiltration", "extramedullary", "paramedullary", "burden")
"""The terms of the log hazard that a perfect reading of the images would give."""


def hazard_terms(hazard: Hazard, person: Biology, site: str) -> dict[str, float]:
    """What each part of a patient's biology adds to the log hazard, by the name of its weight; 0 where it has none."""
    disease, genetics = person.disease, person.genetics
    count = float(disease.count("focal"))
    if hazard.focal_regions:
        count = sum(weight * person.focal_in(region) for region, weight in hazard.focal_regions.items())
    decades = (person.spec.age_years - 62.5) / 10
    infiltration = disease.marrow_infiltration
    return {
        "focal": hazard.focal * (1 - np.exp(-count / hazard.focal_half)),
        "lytic": hazard.lytic * (1 - np.exp(-person.lytic / hazard.focal_half)),
        "infiltration": hazard.infiltration * infiltration,
        "extramedullary": hazard.extramedullary * (1 - np.exp(-disease.count("extramedullary") / 1.2)),
        "paramedullary": hazard.paramedullary * (1 - np.exp(-disease.count("paramedullary") / 1.2)),
        "burden": hazard.burden * np.log10(1 + person.tumour_ml),
        "high_risk_fish": hazard.high_risk_fish * genetics.high_risk,
        "gain_1q": hazard.gain_1q * genetics.gain_1q,
        "genetics_x_infiltration": hazard.genetics_x_infiltration * genetics.high_risk * infiltration,
        "host": hazard.host * person.host,
        "age": hazard.age * decades,
        "age_bend": hazard.age_bend * decades**2,
        "site": hazard.site.get(site, 0.0),
    }


def log_hazard(hazard: Hazard, person: Biology, site: str) -> float:
    """Log hazard ratio of a patient against the average one; without the frailty that nobody can know."""
    return float(sum(hazard_terms(hazard, person, site).values()) - hazard.offset)


def draw_frailty(outcome: Outcome, rng: np.random.Generator) -> float:
    """What is added to the log hazard and nobody can know (mean 0)."""
    if outcome.frailty == "normal":
        return float(rng.normal(0, outcome.frailty_sd))
    # The logarithm of an exponential variate has mean -0.577 and SD 1.283: many robust, few very frail.
    return float(-(np.log(rng.exponential()) + _EULER) * outcome.frailty_sd / 1.2825)


def draw_time(outcome: Outcome, log_risk: float, rng: np.random.Generator) -> tuple[float, bool]:
    """Observed months (never below 0.1) and whether they ended in progression, for a log hazard with its frailty."""
    chance, cure = rng.exponential(), rng.random()
    if outcome.family == "weibull":
        progression = _weibull(outcome, log_risk, float(chance))
    else:
        log_time = np.log(outcome.scale_months) - log_risk / outcome.shape + rng.normal(0, outcome.log_sd)
        cured = cure < 1 / (1 + np.exp(-(outcome.cure_logit - log_risk)))
        progression = np.inf if cured else float(np.exp(log_time))
    censoring = rng.uniform(*outcome.censoring_months)
    if outcome.loss_per_year > 0:
        censoring = min(censoring, 12 * rng.exponential(1 / outcome.loss_per_year))
    return round(max(float(min(progression, censoring)), 0.1), 2), bool(progression <= censoring)


def _weibull(outcome: Outcome, log_risk: float, cumulative: float) -> float:
    """The time at which the cumulative hazard reaches `cumulative`; the log hazard may count less later on."""
    early = np.exp(log_risk)
    at_early = cumulative / early
    if outcome.late_from_months is not None:
        bend = (outcome.late_from_months / outcome.scale_months) ** outcome.shape
        if at_early > bend:
            at_early = bend + (cumulative - bend * early) / np.exp(outcome.late_factor * log_risk)
    return float(outcome.scale_months * at_early ** (1 / outcome.shape))
