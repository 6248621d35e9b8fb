"""How the second generator draws biology and laboratory values: the same words, other mechanisms."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from MemorySurvivalLib.simulation.biology import Biology, Genetics, settle
from MemorySurvivalLib.simulation.body_plan import Distractors, PhantomSpec, Sex, draw_distractors
from MemorySurvivalLib.simulation.disease import MAX_FOCI, Disease, Focus, FocusKind
from MemorySurvivalLib.simulation.scenario import Region

_REGION_SHARES: Mapping[Region, float] = {
    "upper_spine": 0.17,
    "lower_spine": 0.29,
    "pelvis": 0.21,
    "thorax": 0.16,
    "limbs": 0.14,
    "skull": 0.03,
}
# Liability thresholds of del(17p), t(4;14), t(14;16) and 1q gain: a mark is there where the liability exceeds it.
_THRESHOLDS = (1.30, 1.20, 1.95, 0.40)


def draw_second_biology(rng: np.random.Generator) -> Biology:
    """A newly diagnosed patient: skewed ages, gamma-distributed body-mass index, marks by liability, lesions that grew
    from different days on, marrow in two groups (little and much infiltrated)."""
    spec = _draw_person(rng)
    clone = float(rng.standard_t(6) / 1.22)
    liability = 0.35 * clone + np.sqrt(1 - 0.35**2) * rng.standard_normal(4)
    genetics = Genetics(*(bool(value > limit) for value, limit in zip(liability, _THRESHOLDS, strict=True)))
    disease = _draw_disease(clone, genetics, rng)
    return Biology(spec, settle(disease, _REGION_SHARES, 0.75, rng), genetics, float(rng.standard_t(6) / 1.22))


def _draw_person(rng: np.random.Generator) -> PhantomSpec:
    sex: Sex = "male" if rng.random() < 0.56 else "female"
    age = float(np.clip(84.5 - rng.gamma(5.2, 4.2), 30, 86))
    height = float(np.clip(rng.normal(173.5 if sex == "male" else 160.5, 7.2), 145, 199))
    bmi = float(np.clip(18.2 + rng.gamma(4.2, 2.05), 18.4, 40))
    density = float(np.clip(rng.uniform(0.75, 1.2) - 0.005 * (age - 50), 0.45, 1.3))
    benign = draw_distractors(rng, density)
    return PhantomSpec(
        sex=sex,
        age_years=round(age, 1),
        height_cm=round(height, 1),
        weight_kg=round(bmi * (height / 100) ** 2, 1),
        bone_density=round(density, 3),
        kyphosis=round(float(rng.uniform(0.6, 1.5)), 3),
        lordosis=round(float(rng.uniform(0.5, 1.5)), 3),
        scoliosis_mm=round(float(rng.uniform(-8, 8)), 2),
        arms="up" if rng.random() < 0.55 else "down",
        distractors=Distractors(
            benign.fracture, benign.degeneration, benign.implant, benign.contrast, benign.marrow_stimulation
        ),
    )


def _draw_disease(clone: float, genetics: Genetics, rng: np.random.Generator) -> Disease:
    avidity = float(np.clip(rng.gamma(12, 1 / 12) * np.exp(0.08 * clone), 0.5, 2.5))
    if rng.random() < 0.10:
        avidity = float(rng.uniform(0.05, 0.2))
    diffuse = rng.random() < 1 / (1 + np.exp(0.75 - 0.55 * clone))
    infiltration = float(rng.beta(4.0, 3.2) if diffuse else rng.beta(1.8, 7.0))
    count = 0
    if rng.random() < 0.80:
        count = min(1 + int(rng.poisson(rng.gamma(0.85, 6.5 * np.exp(0.4 * clone) / 0.85))), MAX_FOCI - 10)
    growth = float(np.exp(rng.normal(0.15 * clone, 0.2)))
    foci = [_grow("focal", growth, avidity, rng) for _ in range(count)]
    if count and rng.random() < 0.16:
        foci += [_grow("paramedullary", growth, avidity, rng) for _ in range(1 + min(int(rng.poisson(0.7)), 3))]
    if rng.random() < 1 / (1 + np.exp(2.35 - 0.6 * clone)):
        foci += [_grow("extramedullary", growth, avidity, rng) for _ in range(1 + min(int(rng.poisson(1.1)), 5))]
    return Disease(tuple(foci), round(infiltration, 4), round(avidity, 4), genetics.high_risk)


def _grow(kind: FocusKind, growth: float, avidity: float, rng: np.random.Generator) -> Focus:
    """Gompertz growth from 3 mm on for an exponential number of months; bigger lesions are hotter."""
    largest, months = {"focal": (48.0, 9.0), "paramedullary": (70.0, 17.0), "extramedullary": (62.0, 13.0)}[kind]
    age = rng.exponential(months) + 5.0
    diameter = float(largest * np.exp(-np.log(largest / 3.0) * np.exp(-0.07 * growth * age)))
    suv = 1.1 + avidity * (3.2 + 0.13 * min(diameter, 40.0)) * float(rng.gamma(6, 1 / 6))
    chance = 0.35 + 0.3 * (diameter > 14) if avidity > 0.5 else 0.85
    return Focus(kind, round(diameter, 2), round(float(np.clip(suv, 0.6, 30)), 3), bool(rng.random() < chance))


def draw_second_values(person: Biology, rng: np.random.Generator) -> dict[str, float | str]:
    """Laboratory values by column name, all known: thresholds and heavy tails where the first generator is smooth."""
    burden, host, male = person.burden, person.host, person.spec.sex == "male"

    def heavy(scale: float) -> float:
        return float(scale * rng.standard_t(5))

    kidney = 95 - 0.55 * (person.spec.age_years - 40) - 22 * burden - 8 * host + heavy(11)
    if rng.random() < 0.05 + 0.16 * burden:
        kidney *= float(rng.uniform(0.25, 0.6))
    kidney = float(np.clip(kidney, 6, 140))
    isotype = str(rng.choice(["IgG", "IgA", "light_chain", "other"], p=[0.55, 0.22, 0.19, 0.04]))
    light = 1.8 if isotype == "light_chain" else 0.0
    limit = float(rng.choice([225.0, 250.0]))
    return {
        "creatinine_mg_dl": _clip((82 if male else 64) / kidney, 0.4, 12, 2),
        "haemoglobin_g_dl": _clip(
            (13.9 if male else 12.9) - 7.5 * max(burden - 0.12, 0) - 0.4 * host + heavy(0.95), 5.5, 17.5, 1
        ),
        "platelets_10e9_l": _clip(rng.gamma(9, 27) * (1.1 - 0.45 * burden), 25, 600, 0),
        "isotype": isotype,
        "light_chain_ratio": _clip(10 ** (0.9 + 1.3 * burden + 0.4 * light + heavy(0.45)), 1, 5000, 1),
        "calcium_mg_dl": _clip(
            9.2 + heavy(0.35) + (rng.gamma(2, 0.8) if rng.random() < 0.3 * burden else 0), 7.5, 16, 2
        ),
        "beta2_microglobulin_mg_l": _clip(
            (1.2 + 5.0 * burden) * (82 / kidney) ** 0.75 * rng.gamma(11, 1 / 11) + 0.35 + 0.3 * host, 0.8, 60, 2
        ),
        "albumin_g_dl": _clip(3.95 - 0.9 * burden - 0.22 * host + heavy(0.33), 1.5, 5.3, 1),
        "ldh_u_l": _clip(limit * (0.64 + 0.36 * burden + 0.06 * host) * float(rng.gamma(16, 1 / 16)), 80, 2500, 0),
        "ldh_upper_limit_u_l": limit,
    }


def _clip(value: float, low: float, high: float, digits: int) -> float:
    return round(float(np.clip(value, low, high)), digits)
