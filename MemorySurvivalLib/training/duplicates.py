"""Rows that are one patient, or look like one: found before a cohort is split, so that no patient is on both sides."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.training.data import CohortData

SamePatient = Literal["refuse", "group"]

MIN_KNOWN_VALUES = 4
"""Rows with fewer values than this may be equal by chance (age, sex and stage often are), so they prove nothing."""


@dataclass(frozen=True)
class Duplicate:
    """Rows (0-based, ascending) that seem to be one patient, and the reason."""

    rows: tuple[int, ...]
    reason: Literal["equal patient ids", "equal covariates and statistics", "equal images"]


def find_duplicates(data: CohortData, image_hashes: Sequence[str] = ()) -> tuple[Duplicate, ...]:
    """Every set of rows with equal ids (case and spaces aside), equal values, or equal images.

    Values are all covariates and statistics of a row; a row with fewer than MIN_KNOWN_VALUES of them is not compared.
    `image_hashes` is empty or has one text a row; a blank one is not compared.
    Raises InputError when the number of hashes is not the number of rows.
    """
    n = len(data)
    if image_hashes and len(image_hashes) != n:
        raise InputError(f"The cohort has {n} rows but {len(image_hashes)} image hashes were given; give one a row.")
    ids: list[Hashable] = [name.strip().casefold() for name in data.patient_ids]
    return (
        *(Duplicate(rows, "equal patient ids") for rows in _repeated(ids)),
        *(Duplicate(rows, "equal covariates and statistics") for rows in _repeated(_values(data))),
        *(Duplicate(rows, "equal images") for rows in _repeated([text.strip() or None for text in image_hashes])),
    )


def group_patients(
    data: CohortData,
    image_hashes: Sequence[str] = (),
    same_patient: SamePatient = "refuse",
    row_numbers: Sequence[int] = (),
) -> npt.NDArray[np.intp]:
    """Group number of each row (n,): rows that may be one patient share one, so that a split keeps them together.

    With `refuse`, a cohort with such rows raises InputError, which names rows, not patients: by `row_numbers` (n,),
    those of the table's file, or from 1.
    """
    found = find_duplicates(data, image_hashes)
    if found and same_patient == "refuse":
        first = found[0]
        numbers = row_numbers or range(1, len(data) + 1)
        rows = " and ".join(str(numbers[row]) for row in first.rows[:4])
        more = f" ({len(found)} such sets in all)" if len(found) > 1 else ""
        raise InputError(
            f"Rows {rows} of the cohort have {first.reason}{more}; keep one row a patient, or set "
            '"same_patient": "group", so that they never stand on both sides of a split.'
        )
    groups = np.arange(len(data), dtype=np.intp)
    for duplicate in found:
        joined = groups[list(duplicate.rows)]
        groups[np.isin(groups, joined)] = joined.min()
    return np.unique(groups, return_inverse=True)[1].astype(np.intp)


def _values(data: CohortData) -> list[Hashable]:
    """What a row says, or None where it says too little to be compared."""
    keys: list[Hashable] = []
    for row in range(len(data)):
        known: list[tuple[str, Hashable]] = []
        if data.covariates:
            given = data.covariates[row]
            known += [(name, given[name].strip()) for name in sorted(given) if given[name].strip()]
        known += [(n, float(v[row])) for n, v in sorted(data.statistics.items()) if not np.isnan(v[row])]
        keys.append(tuple(known) if len(known) >= MIN_KNOWN_VALUES else None)
    return keys


def _repeated(keys: Sequence[Hashable | None]) -> list[tuple[int, ...]]:
    rows: dict[Hashable, list[int]] = defaultdict(list)
    for row, key in enumerate(keys):
        if key is not None:
            rows[key].append(row)
    return [tuple(members) for members in rows.values() if len(members) > 1]
