"""How the first generator draws biology and laboratory values."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from MemorySurvivalLib.simulation.biology import Biology, Genetics, settle
from MemorySurvivalLib.simulation.body_plan import draw_spec
from MemorySurvivalLib.simulation.disease import draw_disease
from MemorySurvivalLib.simulation.scenario import Region

_REGION_SHARES: Mapping[Region, float] = {
    "upper_spine": 0.20,
    "lower_spine": 0.32,
    "pelvis": 0.17,
    "thorax": 0.15,
    "limbs": 0.14,
    "skull": 0.02,
}
# Which marks high-risk disease has (del(17p), t(4;14), t(14;16)) and how often.
_MARKS = (((1, 0, 0), 0.41), ((0, 1, 0), 0.40), ((0, 0, 1), 0.11), ((1, 1, 0), 0.06), ((1, 0, 1), 0.02))


def draw_first_biology(rng: np.random.Generator) -> Biology:
    """A newly diagnosed patient; persons and disease are those of `draw_spec` and `draw_disease`."""
    spec = draw_spec(rng)
    disease = settle(draw_disease(rng), _REGION_SHARES, 0.9, rng)
    pattern = _MARKS[int(rng.choice(len(_MARKS), p=[share for _, share in _MARKS]))][0]
    del_17p, t_4_14, t_14_16 = (bool(mark) and disease.high_risk_genetics for mark in pattern)
    gain = rng.random() < (0.58 if disease.high_risk_genetics else 0.29)
    return Biology(spec, disease, Genetics(del_17p, t_4_14, t_14_16, bool(gain)), float(rng.normal()))


def draw_first_values(person: Biology, rng: np.random.Generator) -> dict[str, float | str]:
    """Laboratory values by column name, all known; units are in the names. They follow burden and host with scatter."""
    burden, host, male = person.burden, person.host, person.spec.sex == "male"
    more = burden - 0.38
    renal = rng.random() < 1 / (1 + np.exp(1.75 - 2.4 * more - 0.45 * host))
    creatinine = np.exp(rng.normal((0.04 if male else -0.16) + 0.15 * burden + 0.05 * host, 0.2))
    renal_step = abs(rng.normal(0.7, 0.45))
    creatinine *= np.exp(renal_step) if renal else 1.0
    isotype = str(rng.choice(["IgG", "IgA", "light_chain", "other"], p=[0.57, 0.21, 0.18, 0.04]))
    spike = abs(rng.normal(0, 1.6)) if rng.random() < 0.25 * burden else 0.0
    beyond = person.disease.count("extramedullary") > 0
    return {
        "creatinine_mg_dl": _clip(creatinine, 0.4, 12, 2),
        "haemoglobin_g_dl": _clip(
            rng.normal((14.2 if male else 13.2) - 6.0 * burden - 0.5 * renal - 0.25 * host, 1.4), 5.5, 17.5, 1
        ),
        "platelets_10e9_l": _clip(np.exp(rng.normal(5.52 - 0.35 * burden, 0.32)), 25, 600, 0),
        "isotype": isotype,
        "light_chain_ratio": _clip(
            np.exp(rng.normal(2.4 + 2.6 * burden + (1.6 if isotype == "light_chain" else 0.0), 1.3)), 1, 5000, 1
        ),
        "calcium_mg_dl": _clip(rng.normal(9.3 + 0.8 * burden, 0.5) + spike, 7.5, 16, 2),
        "beta2_microglobulin_mg_l": _clip(
            np.exp(rng.normal(1.39 + 2.0 * more + 0.25 * host + (0.5 * renal_step if renal else 0.0), 0.33)), 0.8, 60, 2
        ),
        "albumin_g_dl": _clip(rng.normal(3.74 - 1.1 * more - 0.2 * host, 0.42), 1.5, 5.3, 1),
        "ldh_u_l": _clip(np.exp(rng.normal(5.24 + 0.9 * more + 0.12 * host + 0.2 * beyond, 0.25)), 80, 2500, 0),
        "ldh_upper_limit_u_l": 250.0,
    }


def _clip(value: float, low: float, high: float, digits: int) -> float:
    return round(float(np.clip(value, low, high)), digits)
