"""ComBat, fitted on some patients and applied to others: location and scale of each site, shrunk over features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.training.data import Floats

MIN_SITE = 10
"""Sites with fewer patients to fit on are refused: their mean and variance would be mostly chance."""

_ITERATIONS = 200
_TOLERANCE = 1e-6


@dataclass(frozen=True, eq=False)
class FittedComBat:
    """Per feature: grand mean and pooled SD. Per site and feature: shift (in pooled SDs) and scale (a variance)."""

    sites: tuple[str, ...]
    mean: Floats
    sd: Floats
    shift: Floats
    scale: Floats

    def apply(self, features: Floats, sites: Sequence[str]) -> Floats:
        """Features (n, p) as if all were of one site. NaN stays NaN. Raises InputError for a site not fitted."""
        unknown = sorted(set(sites) - set(self.sites))
        if unknown:
            raise InputError(
                f"Patients are from the site {unknown[0]!r}, which the harmonisation has not seen; "
                "it can only be applied to sites that were in the training data."
            )
        at = np.array([self.sites.index(site) for site in sites], dtype=np.intp)
        standard = (features - self.mean) / self.sd
        harmonised: Floats = (standard - self.shift[at]) / np.sqrt(self.scale[at]) * self.sd + self.mean
        return harmonised


def fit_combat(features: Floats, sites: Sequence[str]) -> FittedComBat:
    """Parametric empirical Bayes as in Johnson, Li and Rabinovic (Biostatistics 2007), without covariates.

    `features` (n, p), NaN where missing; `sites` one name a row. Shifts have a normal prior and variances an inverse
    gamma prior over the features of a site; with one feature, or where the prior is a point, nothing is shrunk.
    Raises InputError for fewer than two sites or a site with fewer than MIN_SITE known values of a feature.
    """
    names, at = np.unique(np.asarray(sites, dtype=str), return_inverse=True)
    check_site_sizes(sites)
    known = ~np.isnan(features)
    counts = np.stack([known[at == i].sum(axis=0) for i in range(len(names))])
    if counts.min() < MIN_SITE:
        site, column = np.unravel_index(int(counts.argmin()), counts.shape)
        raise InputError(
            f"The site {str(names[site])!r} has {counts.min()} known values of feature {column + 1}, "
            f"and harmonisation needs at least {MIN_SITE}; leave the feature or the site out."
        )
    raw_means = np.stack([_mean(features[at == i]) for i in range(len(names))])
    total = counts.sum(axis=0)
    mean = (counts * raw_means).sum(axis=0) / total
    residuals = np.where(known, features - raw_means[at], 0.0)
    sd = np.sqrt((residuals**2).sum(axis=0) / total)
    sd = np.where(sd > 1e-9 * np.maximum(np.abs(mean), 1e-9), sd, 1.0)
    standard = (features - mean) / sd
    shifts, scales = [], []
    for i in range(len(names)):
        shift, scale = _shrink(standard[at == i])
        shifts.append(shift)
        scales.append(scale)
    return FittedComBat(tuple(map(str, names)), mean, sd, np.stack(shifts), np.stack(scales))


def check_site_sizes(sites: Sequence[str]) -> None:
    """Raise InputError unless there are two sites or more, each named and with MIN_SITE patients or more."""
    names, counts = np.unique(np.asarray(sites, dtype=str), return_counts=True)
    if len(names) < 2:
        raise InputError("Harmonisation needs patients from at least two sites; there is only one, so leave it out.")
    if (names == "").any():
        raise InputError("Some patients have no site, so they cannot be harmonised; fill in the site column.")
    if counts.min() < MIN_SITE:
        raise InputError(
            f"The site {str(names[counts.argmin()])!r} has {counts.min()} patients to fit on, and harmonisation needs "
            f"at least {MIN_SITE} of each; leave the site or the harmonisation out."
        )


def _shrink(standard: Floats) -> tuple[Floats, Floats]:
    """One site's shifts and variances (p,) from its standardised rows, by iterating the two conditional modes."""
    n = (~np.isnan(standard)).sum(axis=0)
    own_shift = _mean(standard)
    own_scale = np.where(np.isnan(standard), 0, standard - own_shift).__pow__(2).sum(axis=0) / np.maximum(n - 1, 1)
    own_scale = np.where(own_scale > 1e-12, own_scale, 1.0)
    if len(own_shift) < 2:
        return own_shift, own_scale
    prior_shift, prior_variance = own_shift.mean(), own_shift.var(ddof=1)
    m, s2 = own_scale.mean(), own_scale.var(ddof=1)
    if prior_variance < 1e-12 or s2 < 1e-12:
        return own_shift, own_scale
    shape, rate = (2 * s2 + m**2) / s2, (m * s2 + m**3) / s2
    shift, scale = own_shift, own_scale
    for _ in range(_ITERATIONS):
        new_shift = (prior_variance * n * own_shift + scale * prior_shift) / (prior_variance * n + scale)
        squares = np.where(np.isnan(standard), 0, standard - new_shift).__pow__(2).sum(axis=0)
        new_scale = (rate + squares / 2) / (n / 2 + shape - 1)
        change = max(_relative(new_shift, shift), _relative(new_scale, scale))
        shift, scale = new_shift, new_scale
        if change < _TOLERANCE:
            break
    return shift, scale


def _mean(values: Floats) -> Floats:
    known = ~np.isnan(values)
    mean: Floats = np.where(known, values, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    return mean


def _relative(new: Floats, old: npt.NDArray[np.float64]) -> float:
    return float((np.abs(new - old) / np.maximum(np.abs(old), 1e-12)).max())
