"""Tables of subgroups."""

from __future__ import annotations

import numpy as np
import pytest
from outcomes_made_up import make_sample

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.evaluation.discrimination import harrell_pairs
from MemorySurvivalLib.evaluation.estimates import Estimate
from MemorySurvivalLib.evaluation.outcomes import Index
from MemorySurvivalLib.evaluation.subgroups import bands, subgroup_table

SAMPLE = make_sample(120, 1)


def concordance_of(rows: Index) -> Estimate:
    own = SAMPLE.take(rows)
    return harrell_pairs(own.times, own.events).estimate(own.log_risk, 100)


def test_groups_are_judged_by_themselves_and_small_ones_are_refused() -> None:
    labels = ["F"] * 55 + ["M"] * 50 + ["", " "] * 5 + ["X"] * 5
    table = subgroup_table("sex", labels, SAMPLE.events, concordance_of)
    assert [(row.label, row.n) for row in table] == [("F", 55), ("M", 50), ("X", 5), ("not recorded", 10)]
    assert table[0].estimate == concordance_of(np.arange(55))
    assert table[2].estimate is None
    assert table[2].refused.endswith("at least 30 and 10 are needed")
    assert sum(row.events for row in table) == SAMPLE.events.sum()


def test_a_figure_that_cannot_be_had_in_a_group_is_said_there() -> None:
    def fails(rows: Index) -> Estimate:
        raise InputError(f"Not with {len(rows)}.")

    assert subgroup_table("site", ["A"] * 120, SAMPLE.events, fails)[0].refused == "Not with 120."


def test_bands_of_age() -> None:
    labels = bands(np.array([40.0, 55.0, 64.9, 65.0, np.nan]), (55, 65), "years")
    assert labels == (
        "under 55 years",
        "55 to under 65 years",
        "55 to under 65 years",
        "65 years and over",
        "",
    )
    with pytest.raises(InputError, match="ascending"):
        bands(np.array([40.0]), (65, 55), "years")
    with pytest.raises(InputError, match="give one each"):
        subgroup_table("sex", ["F"], SAMPLE.events, concordance_of)
