"""What every model of the study is, from a stage table to a network: fitted on some patients, asked for log-risks."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from MemorySurvivalLib.training.data import CohortData


class FittedModel(Protocol):
    """A fitted model. Everything that was learned, also means, shares and thresholds, is inside it."""

    def log_risk(self, data: CohortData) -> npt.NDArray[np.float64]:
        """Log-risks (n,); higher is worse. Does not look at outcomes."""
        ...

    def fingerprint(self) -> str:
        """A hash of all that was fitted, so that a test can prove that held-out rows did not change it."""
        ...


class SurvivalModel(Protocol):
    """A recipe: configuration without any data in it. Equal recipe, data and seed give equal models."""

    @property
    def name(self) -> str:
        """Its name in tables."""
        ...

    def fit(self, data: CohortData, seed: int) -> FittedModel:
        """Fit everything, preprocessing included, on these patients alone."""
        ...
