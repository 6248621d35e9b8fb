"""One patient of a scenario without images: person, disease, values, outcome, and everything that is true."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from MemorySurvivalLib.clinical.staging import compute_scores
from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.simulation.biology import Biology, hide_from_fdg
from MemorySurvivalLib.simulation.first_patients import draw_first_biology, draw_first_values
from MemorySurvivalLib.simulation.hazard import draw_frailty, draw_time, log_hazard
from MemorySurvivalLib.simulation.missing_values import FISH_COLUMNS, lose_values
from MemorySurvivalLib.simulation.scenario import Generator, Scenario, Site
from MemorySurvivalLib.simulation.second_patients import draw_second_biology, draw_second_values

COVARIATE_COLUMNS = (
    "age_years",
    "sex",
    "creatinine_mg_dl",
    "haemoglobin_g_dl",
    "platelets_10e9_l",
    "isotype",
    "light_chain_ratio",
    "calcium_mg_dl",
    "beta2_microglobulin_mg_l",
    "albumin_g_dl",
    "ldh_u_l",
    "ldh_upper_limit_u_l",
    *FISH_COLUMNS,
    "iss",
    "r_iss",
    "r2_iss",
)
"""Columns of a patient's covariates; an empty text is missing. The stages are computed from what is known."""

MOST_PATIENTS = 100_000
"""Patients of one cohort seed."""


@dataclass(frozen=True)
class Patient:
    """`shown` is who the images show; `person` whom values and outcome belong to (the same one unless the scenario says
    otherwise). `log_hazard` is the oracle without, `log_hazard + log_frailty` the oracle with frailty."""

    scenario: str
    generator: Generator
    cohort_seed: int
    number: int
    site: Site
    uptake_minutes: float
    shown: Biology
    person: Biology
    covariates: Mapping[str, str]
    log_hazard: float
    log_frailty: float
    time_months: float
    event: bool

    @property
    def patient_id(self) -> str:
        """Scenario, cohort seed and number: unique over all cohorts."""
        return f"{self.scenario}-{self.cohort_seed}-{self.number:05d}"

    @property
    def image_seed(self) -> int:
        """The seed of the patient's voxels: the same in scenarios whose images are the same."""
        return self.cohort_seed * MOST_PATIENTS + self.number


def draw_patient(scenario: Scenario, cohort_seed: int, number: int) -> Patient:
    """Patient `number` (from 0) of the cohort `cohort_seed`; nothing depends on how many others are drawn.

    Who is shown depends on the scenario's `images` alone. Raises InputError for negative or too large numbers.
    """
    if not (cohort_seed >= 0 and 0 <= number < MOST_PATIENTS):
        raise InputError(
            f"Patient {number} of cohort {cohort_seed} cannot be drawn; give a seed of zero or more and at most "
            f"{MOST_PATIENTS} patients."
        )
    second = scenario.images.generator == "second"

    def stream(purpose: int) -> np.random.Generator:
        return np.random.default_rng([cohort_seed, number, purpose, 2 if second else 1, 7])

    draw = draw_second_biology if second else draw_first_biology
    shown = draw(stream(1))
    if not scenario.images.fdg_visible:
        shown = replace(shown, disease=hide_from_fdg(shown.disease, stream(2)))
    site, uptake_minutes = _draw_site(scenario.images.sites, stream(3))
    contrast = bool(stream(4).random() < site.contrast_share)
    spec = replace(
        shown.spec,
        spacing_mm=site.ct_spacing_mm,
        distractors=replace(shown.spec.distractors, contrast=contrast),
    )
    shown = replace(shown, spec=spec)
    person = shown if scenario.linked else draw(stream(11))
    values = (draw_second_values if second else draw_first_values)(person, stream(5))
    values |= {name: "yes" if getattr(person.genetics, name) else "no" for name in FISH_COLUMNS}
    covariates = _write(person, lose_values(values, person, site, stream(6)))
    score = log_hazard(scenario.hazard, person, site.name)
    frailty = draw_frailty(scenario.outcome, stream(7))
    time_months, event = draw_time(scenario.outcome, score + frailty, stream(8))
    return Patient(
        scenario.name,
        scenario.images.generator,
        cohort_seed,
        number,
        site,
        uptake_minutes,
        shown,
        person,
        covariates,
        score,
        frailty,
        time_months,
        event,
    )


def draw_patients(scenario: Scenario, cohort_seed: int, numbers: Iterable[int]) -> Iterator[Patient]:
    """Patients one after the other; about a thousand a second."""
    return (draw_patient(scenario, cohort_seed, number) for number in numbers)


def _draw_site(sites: tuple[Site, ...], rng: np.random.Generator) -> tuple[Site, float]:
    site = sites[int(rng.choice(len(sites), p=[site.share for site in sites]))]
    mean, sd = site.uptake_minutes
    return site, round(float(np.clip(rng.normal(mean, sd), 40, 130)), 1)


def _write(person: Biology, values: Mapping[str, float | str]) -> dict[str, str]:
    """Covariates as text, with the stages that the known values allow."""
    row = {"age_years": str(person.spec.age_years), "sex": person.spec.sex}
    row |= {name: value if isinstance(value, str) else f"{value:g}" for name, value in values.items()}
    iss, r_iss, r2_iss = (score.value or "" for score in compute_scores(row))
    row |= {"iss": iss, "r_iss": r_iss, "r2_iss": r2_iss}
    return {name: row.get(name, "") for name in COVARIATE_COLUMNS}
