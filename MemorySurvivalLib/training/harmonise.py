"""A model behind ComBat, fitted with it inside the fold; refused where site and outcome cannot be told apart."""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import dataclass, replace

import numpy as np
import torch

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.training.combat import FittedComBat, check_site_sizes, fit_combat
from MemorySurvivalLib.training.data import CohortData, Floats
from MemorySurvivalLib.training.survival_model import FittedModel, SurvivalModel

CONFOUNDED_P = 0.05
"""A whole cohort whose sites differ in outcome with a smaller log-rank p is refused."""

CONFOUNDED_IN_FOLD_P = 0.001
"""The same within a training fold: stricter, because 25 folds are asked and each may look confounded by chance."""

MAX_STATE_VALUES = 20_000
"""Whole memory states have a quarter of a million values a patient; harmonise pooled ones."""


def compare_sites(data: CohortData) -> float:
    """P value of the log-rank test that all sites have one survival curve."""
    from lifelines.statistics import multivariate_logrank_test

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # sites without events make lifelines warn; the sizes are checked before
        result = multivariate_logrank_test(data.times_months, np.array(data.sites), data.events)
    return float(result.p_value)


def check_harmonisable(data: CohortData, p: float = CONFOUNDED_P) -> None:
    """Raise InputError where sites are missing, too small, or differ in outcome (log-rank test, p below `p`).

    Where sites have different outcomes, taking out the difference of their images takes out signal or puts in
    chance. A test that finds no difference does not prove that there is none.
    """
    if not data.sites:
        raise InputError("The cohort does not say at which site a patient was scanned, so it cannot be harmonised.")
    check_site_sizes(data.sites)
    found = compare_sites(data)
    if not found >= p:  # also where it is not a number
        raise InputError(
            f"Progression differs between sites (log-rank p = {found:.2g}), so harmonising images by site would remove "
            "or add signal; leave the harmonisation out or adjust for site."
        )


@dataclass(frozen=True)
class Harmonised:
    """`base`, seeing statistics (and `states`, by key) as if all patients were of one site.

    Statistics are harmonised on the arcsinh scale (they are skewed) and given back on their own.
    """

    base: SurvivalModel
    states: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The model's name and what was done."""
        return f"{self.base.name}, ComBat"

    def check(self, data: CohortData) -> None:
        """Refuse a cohort before it is split."""
        check_harmonisable(data)

    def fit(self, data: CohortData, seed: int) -> FittedHarmonised:
        """ComBat and the model on these patients alone; raises InputError where they are not harmonisable."""
        check_harmonisable(data, CONFOUNDED_IN_FOLD_P)
        names = tuple(data.statistics)
        statistics = fit_combat(_statistics(data, names), data.sites) if names else None
        states = {key: fit_combat(_flat(data, key), data.sites) for key in self.states}
        if statistics is None and not states:
            raise InputError("The cohort has no statistics and no memory states were named, so nothing is harmonised.")
        scaler = _Harmoniser(names, statistics, states)
        return FittedHarmonised(scaler, self.base.fit(scaler.apply(data), seed))


@dataclass(frozen=True, eq=False)
class FittedHarmonised:
    """Fitted ComBat and the model fitted behind it."""

    harmoniser: _Harmoniser
    fitted: FittedModel

    def log_risk(self, data: CohortData) -> Floats:
        """Log-risks (n,). Raises InputError for patients of a site that was not there."""
        return self.fitted.log_risk(self.harmoniser.apply(data))

    def fingerprint(self) -> str:
        """A hash of ComBat and the model."""
        return hashlib.sha256(f"{self.harmoniser.fingerprint()} {self.fitted.fingerprint()}".encode()).hexdigest()


@dataclass(frozen=True, eq=False)
class _Harmoniser:
    names: tuple[str, ...]
    statistics: FittedComBat | None
    states: dict[str, FittedComBat]

    def apply(self, data: CohortData) -> CohortData:
        statistics, states = dict(data.statistics), dict(data.states)
        if self.statistics is not None:
            values = np.sinh(self.statistics.apply(_statistics(data, self.names), data.sites))
            statistics |= {name: values[:, i] for i, name in enumerate(self.names)}
        for key, fitted in self.states.items():
            flat = torch.from_numpy(fitted.apply(_flat(data, key), data.sites))
            states[key] = flat.reshape(data.states[key].shape).to(data.states[key].dtype)
        return replace(data, statistics=statistics, states=states)

    def fingerprint(self) -> str:
        digest = hashlib.sha256(repr(self.names).encode())
        for combat in (*([self.statistics] if self.statistics else []), *self.states.values()):
            digest.update(repr(combat.sites).encode())
            for array in (combat.mean, combat.sd, combat.shift, combat.scale):
                digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


def _statistics(data: CohortData, names: tuple[str, ...]) -> Floats:
    missing = [name for name in names if name not in data.statistics]
    if missing:
        raise InputError(f"The cohort lacks the statistics {', '.join(missing)} that were harmonised.")
    return np.arcsinh(np.stack([np.asarray(data.statistics[name], np.float64) for name in names], axis=1))


def _flat(data: CohortData, key: str) -> Floats:
    if key not in data.states:
        raise InputError(f"The cohort has no memory states {key} to harmonise.")
    flat = data.states[key].flatten(1)
    if flat.shape[1] > MAX_STATE_VALUES:
        raise InputError(
            f"The memory states {key} have {flat.shape[1]} values a patient, too many to harmonise; pool them first."
        )
    values: Floats = flat.double().numpy()
    return values
