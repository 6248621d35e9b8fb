"""What the IMPeTUs form suggests against the truth of 12 simulated patients that were not used in development."""

from __future__ import annotations

from typing import Any

import numpy as np

from MemorySurvivalLib.clinical.impetus import GROUPS, find_item
from MemorySurvivalLib.clinical.prefill import prefill
from MemorySurvivalLib.imaging.case import Case, make_case
from MemorySurvivalLib.measure.measuring import measure_case
from MemorySurvivalLib.roi.automatic import derive_roi, segment_case
from MemorySurvivalLib.simulation.case import SimulatedCase, simulate_case

SEEDS = tuple(range(400, 412))
LEAST_TRUE_ML = 1.0
SUV = 4.0
"""What a reader can be expected to see: a focus of this size whose uptake reaches the lesion list's threshold."""

LEFT_TO_THE_READER = ("lytic_group", "fractures", "paramedullary", "extramedullary", "extramedullary_deauville")


def run() -> dict[str, Any]:
    """Measure every patient with the built-in segmenter's masks, fill in the form, and compare."""
    rows = [_compare(seed) for seed in SEEDS]
    told = [row for row in rows if row["suggested_group"] is not None]
    exact = sum(row["suggested_group"] == row["true_group"] for row in told)
    near = sum(abs(_rank(row["suggested_group"]) - _rank(row["true_group"])) <= 1 for row in told)
    guessed = sum(row["guessed"] for row in rows)
    return {
        "patients": rows,
        "focal_group_suggested": len(told),
        "focal_group_right": exact,
        "focal_group_right_or_next_to_it": near,
        "marrow_suggested": sum(row["marrow"] is not None for row in rows),
        "items_guessed_without_a_measurement": guessed,
        "goal": "Nothing is suggested for what is not measured, and no focal group is more than one group off.",
        "ok": guessed == 0 and near == len(told),
    }


def _compare(seed: int) -> dict[str, Any]:
    simulated = simulate_case(seed)
    case = make_case(simulated.ct, simulated.pet)
    segmentation = segment_case(case.ct)
    record = measure_case(case, segmentation, derive_roi(segmentation, "skeleton", grid=case.ct)).record
    form = prefill(record)
    seen = _count_visible(simulated, case)
    return {
        "seed": seed,
        "foci_to_be_seen": seen,
        "true_group": _group(seen),
        "suggested_group": find_item(form, "focal_group").suggested,
        "sites": str(find_item(form, "focal_sites").suggested),
        "marrow": find_item(form, "marrow_deauville").suggested,
        "hottest": find_item(form, "focal_deauville").suggested,
        "guessed": sum(find_item(form, key).suggested is not None for key in LEFT_TO_THE_READER),
    }


def _count_visible(simulated: SimulatedCase, case: Case) -> int:
    """Focal foci in bone that are large and hot enough to be seen on the PET."""
    truth = simulated.lesions.voxels
    voxel_ml = float(np.prod(case.ct.spacing_mm)) / 1000.0
    count = 0
    for number, focus in enumerate(simulated.phantom.foci, start=1):
        here = truth == number
        large = np.count_nonzero(here) * voxel_ml >= LEAST_TRUE_ML
        count += bool(focus.kind == "focal" and large and case.pet.voxels[here].max() >= SUV)
    return count


def _group(count: int) -> str:
    return GROUPS[int(np.searchsorted((0, 3, 10), count))]


def _rank(group: Any) -> int:
    return GROUPS.index(group)
