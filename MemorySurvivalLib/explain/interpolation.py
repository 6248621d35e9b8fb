"""Effects of single slices of a plan's planes: those known, what they say of the others, which to look at next.

Where slices do not look back, a patch's effect is nearly the sum of what its slices do one by one. In a slice,
overlapping planes do much the same; neighbouring slices do not (correlation about 0.25). So each slice of each
modality is a Gaussian process of its own over the planes (kriging), and next comes what best tells which patches are
strong.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from MemorySurvivalLib.explain.plan import Patch

REACH = 0.6
"""Length of the correlation within a slice, in edges of a patch (fitted to simulated patients)."""

STRONG = 0.2
"""The share of patches that counts as strong when the next slices are chosen."""

COMMON = 1.0
"""How many looks the mean over all slices counts for, when it is estimated how strong a slice is: with a readout such
as `max` few slices do nearly everything, and which these are shows soon."""

MOST_SCALING = 2.0
"""An uncertain effect is at most made so many times larger."""

FloatArray = npt.NDArray[np.float64]


class Work(NamedTuple):
    """One plane of one slice of one modality, by their numbers."""

    modality: int
    position: int
    plane: int


@dataclass(frozen=True, eq=False)
class Estimate:
    """Effects of patches (modalities, patches), their uncertainty (patches; standard deviation of the sum over
    modalities), and the covariances of planes (modalities, positions, planes, planes)."""

    effects: FloatArray
    doubt: FloatArray
    covariances: FloatArray


class Interpolation:
    """What is known of a plan. `touched` are the positions whose slices each patch changes, of `positions`."""

    def __init__(
        self,
        patches: Sequence[Patch],
        touched: Sequence[Iterable[int]],
        positions: int,
        modalities: int,
        patch_mm: float,
        spacing_mm: tuple[float, float, float],
    ) -> None:
        self.planes = sorted({patch.plane for patch in patches})
        number = {plane: n for n, plane in enumerate(self.planes)}
        self._plane = np.asarray([number[patch.plane] for patch in patches])
        self._touches = np.zeros((len(patches), positions), dtype=np.bool_)
        for n, there in enumerate(touched):
            self._touches[n, list(there)] = True
        self.possible = np.zeros((modalities, positions, len(self.planes)), dtype=np.bool_)
        for plane, touches in zip(self._plane, self._touches, strict=True):
            self.possible[:, touches, plane] = True
        self.known: FloatArray = np.full(self.possible.shape, np.nan)
        y0, y1, x0, x1 = np.asarray(self.planes, dtype=np.float64).T
        middles = np.stack([(y0 + y1) / 2 * spacing_mm[1], (x0 + x1) / 2 * spacing_mm[0]], axis=1)
        apart = ((middles[:, None] - middles[None]) ** 2).sum(axis=-1)
        self._correlation = np.exp(-apart / 2 / (REACH * patch_mm) ** 2)

    @property
    def open(self) -> npt.NDArray[np.bool_]:
        """Where nothing is known yet."""
        return np.asarray(self.possible & np.isnan(self.known))

    def tell(self, works: Sequence[Work], effects: Iterable[float]) -> None:
        """Take in what slices do."""
        for work, effect in zip(works, effects, strict=True):
            self.known[work] = effect

    def spread(self, every: int) -> list[Work]:
        """To begin with: in every so many slices, all modalities, the plane that says most of the others."""
        works = []
        for position in range(every // 2 if every // 2 < self.known.shape[1] else 0, self.known.shape[1], every):
            there = self.possible[0, position]
            if there.any():
                plane = int(np.where(there, self._correlation[:, there].sum(axis=1), -1).argmax())
                works += [Work(m, position, plane) for m in range(len(self.known))]
        return works

    def estimate(self) -> Estimate:
        """The expected effects given what is known, and how uncertain they are."""
        modalities, positions, planes = self.known.shape
        means = np.zeros(self.known.shape)
        covariances = np.zeros((modalities, positions, planes, planes))
        correlation = self._correlation
        for m in range(modalities):
            known = ~np.isnan(self.known[m])
            variances = self._variances(m)
            for k in range(positions):
                seen = np.flatnonzero(known[k])
                block = correlation[np.ix_(seen, seen)] + 1e-6 * np.eye(len(seen))
                weights = np.linalg.solve(block, correlation[seen]).T
                means[m, k] = weights @ self.known[m, k, seen]
                covariances[m, k] = variances[k] * (correlation - weights @ correlation[seen])
        uncertain = np.maximum(np.diagonal(covariances, axis1=2, axis2=3), 0)
        effects = np.einsum("ik,mki->mi", self._touches, means[:, :, self._plane])
        doubt = np.sqrt(np.einsum("ik,mki->i", self._touches, uncertain[:, :, self._plane]))
        return Estimate(effects, doubt, covariances)

    def _variances(self, modality: int) -> FloatArray:
        """What looks at each slice (positions) show, squared, on average: its own, and the mean over all slices."""
        looks = ~np.isnan(self.known[modality])
        squares = np.where(looks, self.known[modality], 0) ** 2
        overall = squares.sum() / max(int(looks.sum()), 1)
        return np.asarray((squares.sum(axis=1) + COMMON * overall) / (looks.sum(axis=1) + COMMON))

    def choose(self, count: int) -> list[Work]:
        """The works that say most about patches that may be strong; at most one a slice and modality."""
        now = self.estimate()
        sums = now.effects.sum(axis=0)
        strong = float(np.quantile(np.abs(sums), 1 - STRONG))
        doubt = np.maximum(now.doubt, 1e-12)
        likely = ndtr((sums - strong) / doubt) + ndtr((-sums - strong) / doubt)
        gains = np.full(self.known.shape, -1.0)
        for k in range(self.known.shape[1]):
            there = np.flatnonzero(self._touches[:, k])
            for m in range(len(gains)):
                block = now.covariances[m, k]
                told = (block[:, self._plane[there]] ** 2) @ likely[there]
                gains[m, k] = told / np.maximum(np.diagonal(block), 1e-30)
        gains[~self.open] = -1
        best = gains.argmax(axis=2)
        top = gains.max(axis=2)
        order = np.argsort(-top, axis=None, kind="stable")[:count]
        pairs = (divmod(int(n), self.known.shape[1]) for n in order)
        return [Work(m, k, int(best[m, k])) for m, k in pairs if top[m, k] >= 0]

    def finish(self) -> FloatArray:
        """Effects of the patches (modalities, patches), made as strong as such effects are.

        An expected effect is drawn to zero by what is not known. Divided by the square root of its reliability, it is
        of the size of the real ones again, so that it can be held against a noise floor.
        """
        now = self.estimate()
        prior = self._touches @ np.sum([self._variances(m) for m in range(len(self.known))], axis=0)
        reliable = 1 - np.divide(now.doubt**2, prior, out=np.zeros_like(prior), where=prior > 0)
        return np.asarray(now.effects / np.sqrt(np.clip(reliable, MOST_SCALING**-2, 1)))
