"""What tests of validation make up: a cohort whose hazard hangs on one statistic, and a small model that is fast."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.training.data import CohortData


def make_cohort_data(
    n: int, seed: int, *, effect: float = 1.0, statistics: int = 3, states: bool = False
) -> CohortData:
    """n patients with monthly times; the first statistic is the log hazard times `effect`, the others are noise."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, statistics))
    times = rng.exponential(30 * np.exp(-effect * x[:, 0]))
    censoring = rng.uniform(10, 60, n)
    return CohortData(
        tuple(f"P{i:03d}" for i in range(n)),
        np.ceil(np.minimum(times, censoring)),
        times <= censoring,
        tuple({"age_years": f"{a:.1f}", "sex": "male" if a > 62 else "female"} for a in rng.normal(62, 9, n)),
        {f"statistic {i}": x[:, i] for i in range(statistics)},
        {"PET/mean": torch.from_numpy(rng.normal(size=(n, 2, 2, 2))).half()} if states else {},
        tuple("AB"[i % 2] for i in range(n)),
        simulated=True,
    )


@dataclass(frozen=True, eq=False)
class FittedLine:
    """One column, z-scored with what was seen."""

    column: int
    mean: float
    sd: float
    sign: float
    scale: float

    def log_risk(self, data: CohortData) -> npt.NDArray[np.float64]:
        values = np.asarray(list(data.statistics.values())[self.column])
        return self.scale * self.sign * (values - self.mean) / self.sd

    def fingerprint(self) -> str:
        return hashlib.sha256(repr((self.column, self.mean, self.sd, self.sign)).encode()).hexdigest()


@dataclass(frozen=True)
class Line:
    """The column nearest to `which` (0 to 1) of the statistics, with the sign that its correlation with time has."""

    name: str = "line"
    which: float = 0.0
    scale: float = 1.0
    fails_above: float = 2.0

    def fit(self, data: CohortData, seed: int) -> FittedLine:
        if self.which > self.fails_above:
            raise InputError("This setting cannot be fitted.")
        columns = list(data.statistics.values())
        column = min(int(self.which * len(columns)), len(columns) - 1)
        values = columns[column]
        weight = np.where(data.events, 1.0, 0.5)
        sign = -np.sign(np.sum(weight * (values - values.mean()) * (data.times_months - data.times_months.mean())))
        return FittedLine(column, float(values.mean()), float(values.std()), float(sign or 1.0), self.scale)
