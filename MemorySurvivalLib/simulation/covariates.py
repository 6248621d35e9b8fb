"""Clinical covariates of a simulated patient, consistent with the burden; some are missing, as in the paper."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from MemorySurvivalLib.simulation.body_plan import PhantomSpec
from MemorySurvivalLib.simulation.disease import Disease


@dataclass(frozen=True)
class Covariates:
    """The paper's nine covariates; None is missing. The units are in the names, `light_chain_ratio` is
    involved over uninvolved."""

    age_years: float | None
    sex: str | None
    creatinine_mg_dl: float | None
    haemoglobin_g_dl: float | None
    platelets_10e9_l: float | None
    isotype: str | None
    light_chain_ratio: float | None
    calcium_mg_dl: float | None
    r_iss: str | None

    def row(self) -> dict[str, str]:
        """Column name to text; a missing value is an empty text."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: "" if value is None else str(value) for name, value in values.items()}


COLUMNS: tuple[str, ...] = tuple(field.name for field in fields(Covariates))

# Chance that a value is missing; R-ISS is missing in 58 of the paper's 227 patients.
_MISSING = {
    "creatinine_mg_dl": 0.02,
    "haemoglobin_g_dl": 0.02,
    "platelets_10e9_l": 0.03,
    "isotype": 0.01,
    "light_chain_ratio": 0.10,
    "calcium_mg_dl": 0.04,
    "r_iss": 58 / 227,
}


def tumour_burden(disease: Disease) -> float:
    """Tumour mass on a scale of about 0 to 1, as blood values feel it."""
    focal = 1 - np.exp(-len(disease.foci) / 10)
    return float(0.65 * disease.marrow_infiltration + 0.35 * focal)


def draw_covariates(spec: PhantomSpec, disease: Disease, rng: np.random.Generator) -> Covariates:
    """Blood values that follow burden and genetics with the scatter of real ones.

    R-ISS comes from cut points of a latent stage; its known values are I/II/III in 37/46/17 % (paper: 29/56/15 %).
    """
    burden = tumour_burden(disease)
    renal = rng.random() < 0.08 + 0.2 * burden
    creatinine = np.exp(rng.normal(-0.08 + (0.12 if spec.sex == "male" else -0.08) + 0.15 * burden, 0.2))
    if renal:
        creatinine *= np.exp(abs(rng.normal(0.7, 0.45)))
    haemoglobin = rng.normal((14.2 if spec.sex == "male" else 13.2) - 6.0 * burden - 0.5 * renal, 1.4)
    platelets = np.exp(rng.normal(5.52 - 0.35 * burden, 0.32))
    isotype = str(rng.choice(["IgG", "IgA", "light_chain", "other"], p=[0.57, 0.21, 0.18, 0.04]))
    ratio = np.exp(rng.normal(2.4 + 2.6 * burden + (1.6 if isotype == "light_chain" else 0.0), 1.3))
    calcium = rng.normal(9.3 + 0.8 * burden, 0.5) + (abs(rng.normal(0, 1.6)) if rng.random() < 0.25 * burden else 0)
    stage = 3.4 * (burden - 0.38) + 1.1 * disease.high_risk_genetics + 0.35 * renal + rng.normal(0, 0.6)
    r_iss = "I" if stage < -0.33 else "II" if stage < 1.16 else "III"
    drawn: dict[str, float | str] = {
        "creatinine_mg_dl": round(float(np.clip(creatinine, 0.4, 12)), 2),
        "haemoglobin_g_dl": round(float(np.clip(haemoglobin, 5.5, 17.5)), 1),
        "platelets_10e9_l": round(float(np.clip(platelets, 25, 600))),
        "isotype": isotype,
        "light_chain_ratio": round(float(np.clip(ratio, 1, 5000)), 1),
        "calcium_mg_dl": round(float(np.clip(calcium, 7.5, 16)), 2),
        "r_iss": r_iss,
    }
    # Every chance is drawn, so that a change of one value leaves the others' pattern as it was.
    kept = {name: value for name, value in drawn.items() if rng.random() >= _MISSING[name]}

    def number(name: str) -> float | None:
        value = kept.get(name)
        return float(value) if value is not None else None

    def word(name: str) -> str | None:
        value = kept.get(name)
        return str(value) if value is not None else None

    return Covariates(
        age_years=spec.age_years,
        sex=spec.sex,
        creatinine_mg_dl=number("creatinine_mg_dl"),
        haemoglobin_g_dl=number("haemoglobin_g_dl"),
        platelets_10e9_l=number("platelets_10e9_l"),
        isotype=word("isotype"),
        light_chain_ratio=number("light_chain_ratio"),
        calcium_mg_dl=number("calcium_mg_dl"),
        r_iss=word("r_iss"),
    )
