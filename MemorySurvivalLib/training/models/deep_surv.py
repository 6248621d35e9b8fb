"""DeepSurv on one vector a patient: clinical columns, region statistics, pooled or compressed memory states."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch

from MemorySurvivalLib.risk.head import build_deepsurv
from MemorySurvivalLib.training.data import CohortData, Floats
from MemorySurvivalLib.training.models.features import FittedFeatures, VectorFeatures, fit_features
from MemorySurvivalLib.training.models.fingerprint import hash_fitted
from MemorySurvivalLib.training.models.fitting import TrainingConfig, TrainingHistory, train_network
from MemorySurvivalLib.training.models.outcomes import check_outcomes, split_for_watching
from MemorySurvivalLib.training.models.pycox_loop import train_with_pycox


@dataclass(frozen=True)
class DeepSurv:
    """Fully connected layers with batch norm and dropout (Katzman 2018) on `features`, Efron's ties, full batch.

    `engine` says whose loop trains it; "pycox" is an extra of training and slow to import. Features are fitted on all
    patients given, the network on those not watched.
    """

    name: str
    features: VectorFeatures
    hidden: tuple[int, ...] = (32,)
    dropout: float = 0.3
    training: TrainingConfig = field(default_factory=TrainingConfig)
    engine: Literal["torch", "pycox"] = "torch"

    def fit(self, data: CohortData, seed: int) -> FittedDeepSurv:
        """Fit on these patients; equal seeds give equal networks."""
        check_outcomes(data)
        features = fit_features(self.features, data)
        x = torch.from_numpy(features.encode(data)).float()
        parts = split_for_watching(data.events, self.training.validation_share, seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = build_deepsurv(x.shape[1], self.hidden, self.dropout)
            if self.engine == "pycox":
                history = train_with_pycox(network, x, data, parts, self.training)
            else:
                history = train_network(network, lambda rows: network(x[rows])[:, 0], data, parts, self.training, seed)
        with torch.inference_mode():
            offset = float(network(x).mean())
        return FittedDeepSurv(features, network, offset, history)


@dataclass(frozen=True, eq=False)
class FittedDeepSurv:
    """Features and network; `offset` is the training patients' mean, taken off so that 0 is their mean."""

    features: FittedFeatures
    network: torch.nn.Sequential
    offset: float
    history: TrainingHistory

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences on columns that could not be used."""
        return self.features.notes

    @torch.inference_mode()
    def log_risk(self, data: CohortData) -> Floats:
        """Log-risks (n,)."""
        x = torch.from_numpy(self.features.encode(data)).float()
        risk: Floats = self.network(x)[:, 0].double().numpy() - self.offset
        return risk

    def fingerprint(self) -> str:
        """A hash of all that was fitted."""
        return hash_fitted(self.features.fingerprint(), self.network.state_dict(), self.offset)
