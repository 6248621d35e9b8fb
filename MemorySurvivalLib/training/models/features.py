"""One vector a patient from clinical columns, region statistics and pooled memory states; all fitted in the fold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.risk.covariates import CovariateSchema
from MemorySurvivalLib.risk.downsamplers import pool_in_region
from MemorySurvivalLib.training.data import CohortData
from MemorySurvivalLib.training.models.clinical_table import SMALLEST_SD, FittedClinical, fit_clinical
from MemorySurvivalLib.training.models.fingerprint import hash_fitted

Matrix = npt.NDArray[np.float64]
Pooling = Literal["mean", "max", "region", "flatten"]


@dataclass(frozen=True)
class StateVectors:
    """Memory states made to vectors: `keys` such as "PET/mean", pooled over the grid (or kept whole: "flatten").

    "region" is the mean weighted by `region_key`, weights (n, 1, h, w) among the states. With `components` > 0 their
    first principal components are kept ("PCA", one of the heads the paper rejected).
    """

    keys: tuple[str, ...]
    pooling: Pooling = "mean"
    components: int = 0
    region_key: str = ""


@dataclass(frozen=True)
class VectorFeatures:
    """What a vector is made of: clinical columns, statistics by name ("*": all that there are), memory states.

    Numbers are z-scored with the training patients' mean and SD, statistics on the arcsinh scale (like a logarithm
    where they are large, defined at 0 and below). A missing value takes the mean, and where training patients miss it
    too, one value more says so.
    """

    clinical: CovariateSchema | None = None
    statistics: tuple[str, ...] = ()
    states: StateVectors | None = None
    indicators: bool = True

    def __post_init__(self) -> None:
        if self.clinical is None and not self.statistics and self.states is None:
            raise ValueError("a model needs clinical columns, statistics or memory states")


@dataclass(frozen=True, eq=False)
class FittedScale:
    """Mean and SD of columns, which of them are used (not constant), and which are marked where missing."""

    names: tuple[str, ...]
    mean: Matrix
    sd: Matrix
    used: npt.NDArray[np.bool_]
    marked: npt.NDArray[np.bool_]

    def apply(self, values: Matrix) -> Matrix:
        """Z-scores (n, used) with 0 where missing, then indicators (n, marked)."""
        scaled = np.nan_to_num((values - self.mean) / self.sd, nan=0.0, posinf=0.0, neginf=0.0)[:, self.used]
        return np.concatenate([scaled, np.isnan(values[:, self.marked]).astype(np.float64)], axis=1)


@dataclass(frozen=True, eq=False)
class FittedFeatures:
    """Everything that was learned to make a vector."""

    config: VectorFeatures
    clinical: FittedClinical | None
    statistics: FittedScale | None
    states: FittedScale | None
    axes: Matrix | None
    notes: tuple[str, ...]

    @property
    def state_columns(self) -> int:
        """How many of the last values of a vector come from memory states."""
        if self.axes is not None:
            return int(self.axes.shape[1])
        return 0 if self.states is None else int(self.states.used.sum())

    def encode(self, data: CohortData) -> Matrix:
        """Vectors (n, p). Raises InputError for a value, statistic or state that is not there or cannot be taken."""
        parts = [self.clinical.encode(data)] if self.clinical else []
        if self.statistics:
            parts.append(self.statistics.apply(statistics_matrix(data, self.statistics.names)))
        if self.states and self.config.states:
            scaled = self.states.apply(state_matrix(data, self.config.states))
            parts.append(scaled if self.axes is None else scaled @ self.axes)
        return np.concatenate(parts, axis=1)

    def fingerprint(self) -> str:
        """A hash of what was fitted."""
        scales = [s for s in (self.statistics, self.states) if s is not None]
        arrays = [a for s in scales for a in (s.mean, s.sd, s.used, s.marked)] + (
            [] if self.axes is None else [self.axes]
        )
        return hash_fitted(self.clinical.schema if self.clinical else None, arrays)


def fit_features(config: VectorFeatures, data: CohortData) -> FittedFeatures:
    """Learn means, SDs, shares and axes from these patients. Raises InputError where a source has nothing to give."""
    clinical = fit_clinical(config.clinical, data, indicators=config.indicators) if config.clinical else None
    notes = list(clinical.notes) if clinical else []
    statistics = states = axes = None
    if config.statistics:
        names = choose_statistics(data, config.statistics)
        statistics = _fit_scale(statistics_matrix(data, names), names, config.indicators)
        for name, used in zip(names, statistics.used, strict=True):
            if not used:
                notes.append(
                    f"The statistic {name} is the same or missing in all patients to learn from; it is not used."
                )
        if not statistics.used.any():
            raise InputError(
                f"No statistic differs between the patients to learn from ({', '.join(names)}); check them."
            )
    if config.states:
        values = state_matrix(data, config.states)
        states = _fit_scale(values, tuple(map(str, range(values.shape[1]))), indicators=False)
        if not states.used.any():
            raise InputError(
                f"The memory states {', '.join(config.states.keys)} are the same in all patients; check them."
            )
        if config.states.components:
            axes = principal_axes(states.apply(values), config.states.components)
    return FittedFeatures(config, clinical, statistics, states, axes, tuple(notes))


def choose_statistics(data: CohortData, names: tuple[str, ...]) -> tuple[str, ...]:
    """The names asked for, "*" meaning all. Raises InputError for one that the cohort has not."""
    chosen = tuple(data.statistics) if "*" in names else names
    absent = [name for name in chosen if name not in data.statistics]
    if absent or not chosen:
        there = ", ".join(data.statistics) or "none"
        raise InputError(f"The cohort has no statistic {', '.join(absent) or 'at all'}; it has {there}.")
    return chosen


def statistics_matrix(data: CohortData, names: tuple[str, ...]) -> Matrix:
    """Statistics (n, p) on the arcsinh scale; NaN where missing."""
    choose_statistics(data, names)
    return np.arcsinh(np.stack([np.asarray(data.statistics[name], dtype=np.float64) for name in names], axis=1))


def state_tensor(data: CohortData, key: str) -> torch.Tensor:
    """The states under `key`. Raises InputError where the cohort has none of that name."""
    if key not in data.states:
        raise InputError(f"The cohort has no memory states {key}; it has {', '.join(data.states) or 'none'}.")
    return data.states[key]


def state_matrix(data: CohortData, config: StateVectors) -> Matrix:
    """Pooled states (n, p), keys side by side; rows of NaN where an image is missing."""
    parts = []
    for key in config.keys:
        states = state_tensor(data, key).float()
        if config.pooling == "region":
            part = pool_in_region(states, state_tensor(data, config.region_key).float())
        elif config.pooling == "flatten":
            part = states.flatten(1)
        else:
            part = states.mean(dim=(2, 3)) if config.pooling == "mean" else states.amax(dim=(2, 3))
        parts.append(part)
    return torch.cat(parts, dim=1).double().numpy()


def principal_axes(values: Matrix, components: int) -> Matrix:
    """The first axes (p, k) of centred values (n, p), scaled so that each gives unit variance; k <= n - 1."""
    kept = min(components, len(values) - 1, values.shape[1])
    _, sizes, axes = np.linalg.svd(values - values.mean(axis=0), full_matrices=False)
    kept = min(kept, int((sizes > SMALLEST_SD).sum()))
    # A sign convention, so that equal data give equal axes whatever the linear algebra underneath.
    signs = np.sign(axes[np.arange(kept), np.abs(axes[:kept]).argmax(axis=1)])
    scaled: Matrix = (axes[:kept] * signs[:, None]).T * np.sqrt(len(values) - 1) / sizes[:kept]
    return scaled


def _fit_scale(values: Matrix, names: tuple[str, ...], indicators: bool) -> FittedScale:
    known = ~np.isnan(values)
    count = known.sum(axis=0)
    filled = np.where(known, values, 0.0)
    mean = filled.sum(axis=0) / np.maximum(count, 1)
    variance = (np.where(known, values - mean, 0.0) ** 2).sum(axis=0) / np.maximum(count - 1, 1)
    sd = np.sqrt(variance)
    used = (count >= 2) & (sd > SMALLEST_SD)
    marked = used & (count < len(values)) if indicators else np.zeros_like(used)
    return FittedScale(names, mean, np.where(used, sd, 1.0), used, marked)
