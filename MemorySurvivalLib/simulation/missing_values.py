"""Which laboratory values are not known: by chance, by site and age (at random), and by what they would have shown."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from MemorySurvivalLib.simulation.biology import Biology
from MemorySurvivalLib.simulation.scenario import Site

FISH_COLUMNS = ("del_17p", "t_4_14", "t_14_16", "gain_1q")

# By chance alone, whoever the patient is.
_BY_CHANCE = {
    "creatinine_mg_dl": 0.02,
    "haemoglobin_g_dl": 0.02,
    "platelets_10e9_l": 0.03,
    "isotype": 0.01,
    "calcium_mg_dl": 0.04,
    "beta2_microglobulin_mg_l": 0.03,
    "ldh_u_l": 0.03,
}


def lose_values(
    values: Mapping[str, float | str], person: Biology, site: Site, rng: np.random.Generator
) -> dict[str, float | str]:
    """The values that are known.

    At random: the light-chain ratio by site, FISH by site and age. Not at random: FISH fails where the marrow holds few
    tumour cells, and albumin is measured less often where it would be normal. Every chance is drawn, so that a change
    of one value leaves the others' pattern as it was.
    """
    chances = dict(_BY_CHANCE)
    chances["light_chain_ratio"] = site.ratio_missing
    albumin = float(values["albumin_g_dl"])
    chances["albumin_g_dl"] = 0.06 if albumin >= 3.8 else 0.015
    older = 0.03 * (person.spec.age_years - 62.5)
    few_cells = 2.2 * (0.25 - person.disease.marrow_infiltration)
    odds = site.fish_failure / (1 - site.fish_failure) * np.exp(older + few_cells)
    no_fish = rng.random() < odds / (1 + odds)
    lost = {name for name in chances if rng.random() < chances[name]}
    gain_alone = rng.random() < 0.06  # 1q is the mark that panels leave out most often
    lost |= set(FISH_COLUMNS) if no_fish else {"gain_1q"} if gain_alone else set()
    if "ldh_u_l" in lost:
        lost.add("ldh_upper_limit_u_l")
    return {name: value for name, value in values.items() if name not in lost}
