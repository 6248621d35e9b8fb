"""Cox's proportional hazards model with a ridge penalty, by Newton's method on the partial likelihood."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.training.data import CohortData
from MemorySurvivalLib.training.models.clinical_table import SMALLEST_SD
from MemorySurvivalLib.training.models.features import FittedFeatures, VectorFeatures, fit_features
from MemorySurvivalLib.training.models.fingerprint import hash_fitted
from MemorySurvivalLib.training.models.outcomes import check_outcomes

Array = npt.NDArray[np.float64]
Ties = Literal["efron", "breslow"]

LARGEST_COEFFICIENT = 20.0
"""A log hazard ratio per SD beyond this means that the likelihood has no maximum, not that an effect is large."""
ITERATIONS = 100
HALVINGS = 40
TOLERANCE = 1e-10


def fit_cox(
    x: Array, times: Array, events: npt.NDArray[np.bool_], penalty: float | Array, ties: Ties = "efron"
) -> Array:
    """Coefficients (p,) for x (n, p) as it is.

    Maximises log partial likelihood / n - penalty / 2 * sum of squares of the coefficients per SD of each column: what
    lifelines' `penalizer` means, so that one number serves both. `penalty` may be one for each column (p,). Constant
    columns get 0. Raises InputError where the likelihood has no maximum (separated or collinear columns without a
    penalty).
    """
    sd = x.std(axis=0, ddof=1)
    used = sd > SMALLEST_SD
    beta = np.zeros(x.shape[1])
    if not used.any():
        return beta
    weights = np.broadcast_to(np.asarray(penalty, dtype=np.float64), sd.shape)[used]
    z = (x[:, used] - x[:, used].mean(axis=0)) / sd[used]
    back = None
    if z.shape[1] >= len(x) and weights.min() > 0:
        # More columns than patients: the best coefficients are a mix of the patients' rows, so these directions are
        # enough, and the penalty is the same in each.
        _, sizes, axes = np.linalg.svd(z / np.sqrt(weights), full_matrices=False)
        kept = sizes > SMALLEST_SD * sizes[0]
        back = axes[kept].T / np.sqrt(weights)[:, None]
        z, weights = z @ back, np.ones(int(kept.sum()))
    order = np.argsort(times, kind="stable")
    likelihood = PartialLikelihood(z[order], times[order], events[order], ties)
    n, coefficients = len(x), np.zeros(z.shape[1])
    value, gradient, hessian = likelihood.at(coefficients)
    for _ in range(ITERATIONS):
        slope = gradient / n - weights * coefficients
        curvature = hessian / n + np.diag(weights)
        try:
            step = np.linalg.solve(curvature, slope)
        except np.linalg.LinAlgError:
            raise _no_maximum() from None
        objective = value / n - weights @ coefficients**2 / 2
        for _ in range(HALVINGS):
            tried = coefficients + step
            # Too long a step leaves the last patients no relative risk at all: neither value nor curvature is a number.
            with np.errstate(all="ignore"):
                value, gradient, hessian = likelihood.at(tried)
            finite = np.isfinite(value) and bool(np.isfinite(hessian).all())
            if finite and value / n - weights @ tried**2 / 2 >= objective - TOLERANCE:
                break
            step = step / 2
        if not finite:
            raise _no_maximum()
        coefficients = tried
        if np.abs(coefficients if back is None else back @ coefficients).max() > LARGEST_COEFFICIENT:
            raise _no_maximum()
        if np.abs(step).max() < 1e-8:
            break
    if back is not None:
        coefficients = back @ coefficients
    beta[used] = coefficients / sd[used]
    return beta


def _no_maximum() -> InputError:
    return InputError(
        "The columns of this model separate the patients with an event from the others, or repeat each other, so that "
        "no finite coefficients fit best; give a penalty above 0 or fewer columns."
    )


class PartialLikelihood:
    """Log partial likelihood, gradient and negative Hessian for rows in rising order of time.

    Efron 1977, Breslow 1974. Risk sets are suffixes of the rows, so everything is a reversed cumulative sum; the
    Hessian needs one weighted cross product instead of one matrix a row.
    """

    def __init__(self, z: Array, times: Array, events: npt.NDArray[np.bool_], ties: Ties) -> None:
        self._z = z
        self._rows = np.flatnonzero(events)
        at = times[self._rows]
        self._first = np.searchsorted(times, at, side="left")
        _, self._starts, self._group = np.unique(at, return_index=True, return_inverse=True)
        deaths = np.bincount(self._group)
        rank = np.arange(len(at)) - self._starts[self._group]
        self._fraction = rank / deaths[self._group] if ties == "efron" else np.zeros(len(at))

    def at(self, coefficients: Array) -> tuple[float, Array, Array]:
        """Log partial likelihood, its gradient (p,) and its negative Hessian (p, p)."""
        eta = self._z @ coefficients
        eta = eta - eta.max()
        relative = np.exp(eta)
        weighted = relative[:, None] * self._z
        risk = np.cumsum(relative[::-1])[::-1]
        moment = np.cumsum(weighted[::-1], axis=0)[::-1]
        tied = np.add.reduceat(relative[self._rows], self._starts)
        tied_moment = np.add.reduceat(weighted[self._rows], self._starts, axis=0)
        total = risk[self._first] - self._fraction * tied[self._group]
        mean = (moment[self._first] - self._fraction[:, None] * tied_moment[self._group]) / total[:, None]
        shares = np.zeros(len(relative))
        np.add.at(shares, self._first, 1 / total)
        shares = np.cumsum(shares)
        taken = np.bincount(self._group, weights=self._fraction / total)
        shares[self._rows] -= taken[self._group]
        value = float((eta[self._rows] - np.log(total)).sum())
        gradient = (self._z[self._rows] - mean).sum(axis=0)
        hessian = (relative * shares * self._z.T) @ self._z - mean.T @ mean
        return value, gradient, hessian


@dataclass(frozen=True)
class RidgeCox:
    """Ridge Cox on a vector a patient. `penalty` as lifelines' `penalizer`; `engine` says who maximises.

    `state_penalty` is that of columns from memory states where it is another one: hundreds of them beside a few
    clinical columns need more.
    Both engines give the same coefficients (tested); the default is the one without data frames, which is faster.
    """

    name: str
    features: VectorFeatures
    penalty: float = 0.1
    ties: Ties = "efron"
    engine: Literal["newton", "lifelines"] = "newton"
    state_penalty: float | None = None

    def __post_init__(self) -> None:
        for penalty in (self.penalty, self.state_penalty or 0.0):
            if not penalty >= 0:
                raise ValueError(f"a ridge penalty is 0 or more, got {penalty}")
        if self.engine == "lifelines" and (self.ties != "efron" or self.state_penalty is not None):
            raise ValueError("lifelines has Efron's ties only, and one penalty for all columns here")

    def fit(self, data: CohortData, seed: int) -> FittedCox:
        """Fit features and coefficients; nothing is drawn, so `seed` changes nothing."""
        check_outcomes(data)
        features = fit_features(self.features, data)
        x = features.encode(data)
        if self.engine == "lifelines":
            beta = _fit_lifelines(x, data.times_months, data.events, self.penalty)
        else:
            penalties = np.full(x.shape[1], self.penalty)
            if self.state_penalty is not None and features.state_columns:
                penalties[-features.state_columns :] = self.state_penalty
            beta = fit_cox(x, data.times_months, data.events, penalties, self.ties)
        return FittedCox(features, beta, float((x @ beta).mean()))


@dataclass(frozen=True, eq=False)
class FittedCox:
    """Features, coefficients (p,) and the training patients' mean, which is taken off so that 0 is their mean."""

    features: FittedFeatures
    coefficients: Array
    offset: float

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences on columns that could not be used."""
        return self.features.notes

    def log_risk(self, data: CohortData) -> Array:
        """Log-risks (n,)."""
        risk: Array = self.features.encode(data) @ self.coefficients - self.offset
        return risk

    def fingerprint(self) -> str:
        """A hash of all that was fitted."""
        return hash_fitted(self.features.fingerprint(), self.coefficients, self.offset)


def _fit_lifelines(x: Array, times: Array, events: npt.NDArray[np.bool_], penalty: float) -> Array:
    import pandas as pd
    from lifelines import CoxPHFitter
    from lifelines.exceptions import ConvergenceError

    used = x.std(axis=0, ddof=1) > SMALLEST_SD
    frame = pd.DataFrame(x[:, used], columns=[f"x{i}" for i in np.flatnonzero(used)])
    frame["time"], frame["event"] = times, events
    beta = np.zeros(x.shape[1])
    try:
        beta[used] = CoxPHFitter(penalizer=penalty).fit(frame, "time", "event").params_.to_numpy()
    except ConvergenceError:
        raise _no_maximum() from None
    return beta
