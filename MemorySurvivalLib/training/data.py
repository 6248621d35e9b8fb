"""A cohort as models see it: outcomes, covariates as given, region statistics and memory states of each patient."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch

from MemorySurvivalLib.errors import InputError

Floats = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class CohortData:
    """n patients in one order.

    `times_months` (n,) from the scan to progression, death or the last visit, `events` (n,) bool. `covariates` are rows
    as they were given (text, empty: missing). `statistics` are numbers measured in the region, (n,) each, by name with
    its unit; NaN where missing. `states` are memory states (n, channels, h, w) by "MODALITY/readout", float16 on the
    CPU. `sites` name where a patient was scanned. Valid or refused with InputError.
    """

    patient_ids: tuple[str, ...]
    times_months: Floats
    events: npt.NDArray[np.bool_]
    covariates: tuple[Mapping[str, str], ...] = ()
    statistics: Mapping[str, Floats] = field(default_factory=dict)
    states: Mapping[str, torch.Tensor] = field(default_factory=dict)
    sites: tuple[str, ...] = ()
    simulated: bool = False

    def __post_init__(self) -> None:
        n = len(self.patient_ids)
        lengths = {
            "times": len(self.times_months),
            "events": len(self.events),
            **({"covariates": len(self.covariates)} if self.covariates else {}),
            **({"sites": len(self.sites)} if self.sites else {}),
            **{name: len(values) for name, values in self.statistics.items()},
            **{name: len(states) for name, states in self.states.items()},
        }
        wrong = {name: length for name, length in lengths.items() if length != n}
        if wrong:
            raise InputError(f"The cohort has {n} patients, but {wrong}; every column needs one row a patient.")
        bad = ~(np.isfinite(self.times_months) & (self.times_months > 0))
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            months = self.times_months[row]
            raise InputError(f"Patient {row + 1} of the cohort has a follow-up of {months:g} months; give more than 0.")

    def __len__(self) -> int:
        return len(self.patient_ids)

    def take(self, index: Index) -> CohortData:
        """The patients at `index`, in that order."""
        index = np.ascontiguousarray(index)  # torch takes no negative strides
        rows = torch.from_numpy(index)
        return CohortData(
            tuple(self.patient_ids[i] for i in index),
            self.times_months[index],
            self.events[index],
            tuple(self.covariates[i] for i in index) if self.covariates else (),
            {name: values[index] for name, values in self.statistics.items()},
            {name: values[rows] for name, values in self.states.items()},
            tuple(self.sites[i] for i in index) if self.sites else (),
            self.simulated,
        )
