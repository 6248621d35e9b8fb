"""One training loop for all networks: AdamW, a schedule, clipping, early stopping inside the training fold."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.training.data import CohortData, Index
from MemorySurvivalLib.training.models.partial_likelihood import cox_loss

_LOG = logging.getLogger(__name__)

RiskOf = Callable[[torch.Tensor], torch.Tensor]
"""Log-risks (k,) of the patients at row numbers (k,), through the network in the mode that it is in."""


@dataclass(frozen=True)
class TrainingConfig:
    """AdamW; cosine to 0 over `epochs`, or steps by `step_factor` every `step_epochs`; stops after `patience` epochs
    without a better loss of the watched part. `batch_size` 0: full batch, the only one whose risk sets are whole.
    """

    epochs: int = 200
    patience: int = 30
    learning_rate: float = 2e-3
    weight_decay: float = 0.1
    schedule: Literal["cosine", "step", "constant"] = "cosine"
    step_epochs: int = 50
    step_factor: float = 0.5
    clip_norm: float = 1.0
    validation_share: float = 0.2
    batch_size: int = 0
    modality_dropout: float = 0.0

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.patience < 1 or self.batch_size < 0 or self.batch_size == 1:
            raise ValueError("a fit needs 1 or more epochs and patience, and batches of 2 or more (0: full batch)")
        if not 0 < self.validation_share < 0.5 or not 0 <= self.modality_dropout < 1:
            raise ValueError("the watched share lies between 0 and 0.5, modality dropout between 0 and 1")
        if not (self.learning_rate > 0 and self.weight_decay >= 0 and self.clip_norm > 0 and self.step_epochs > 0):
            raise ValueError("learning rate, clipping and step length are above 0, weight decay is not below")


@dataclass(frozen=True)
class TrainingHistory:
    """How a fit went: epochs run, the one kept, its losses (fitted part, watched part)."""

    epochs: int
    best_epoch: int
    fitted_loss: float
    watched_loss: float


def train_network(
    network: torch.nn.Module,
    risk_of: RiskOf,
    data: CohortData,
    parts: tuple[Index, Index],
    config: TrainingConfig,
    seed: int,
) -> TrainingHistory:
    """Fit `network` in place on the first of `parts`, keep the epoch that is best on the second; ends in eval mode.

    Draws come from torch's generator as the caller seeded it, the order of batches from `seed`. Raises InputError where
    the loss is no longer a number.
    """
    fitting, watching = (torch.from_numpy(part) for part in parts)
    times = torch.from_numpy(data.times_months).float()
    events = torch.from_numpy(data.events)
    optimiser = make_optimiser(network, config)
    schedule = make_schedule(optimiser, config)
    watch = EarlyStopping(network, config.patience)
    rng = np.random.default_rng(seed)
    epoch = 0
    for epoch in range(config.epochs):
        network.train()
        losses = []
        for rows in make_batches(fitting, events, config.batch_size, rng):
            loss = cox_loss(risk_of(rows), times[rows], events[rows])
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            torch.nn.utils.clip_grad_norm_(network.parameters(), config.clip_norm)
            optimiser.step()
            losses.append(loss.detach().item())
        schedule.step()
        network.eval()
        with torch.inference_mode():
            watched = float(cox_loss(risk_of(watching), times[watching], events[watching]))
        if watch.should_stop(epoch, float(np.mean(losses)), watched):
            break
    return watch.finish(epoch + 1)


class EarlyStopping:
    """Keeps the weights of the epoch with the lowest watched loss."""

    def __init__(self, network: torch.nn.Module, patience: int) -> None:
        self._network, self._patience = network, patience
        self._state = copy.deepcopy(network.state_dict())
        self._best = TrainingHistory(0, -1, float("inf"), float("inf"))

    def should_stop(self, epoch: int, fitted: float, watched: float) -> bool:
        """Note an epoch's losses; True after `patience` epochs without a better one."""
        _LOG.debug("epoch %d fitted loss %.4f watched loss %.4f", epoch, fitted, watched)
        if not np.isfinite(fitted) or not np.isfinite(watched):
            raise InputError(
                f"The training went astray in epoch {epoch + 1} (its loss is no number); lower the learning rate, and "
                "check the inputs for values far outside the usual."
            )
        if watched < self._best.watched_loss:
            self._best = TrainingHistory(0, epoch, fitted, watched)
            self._state = copy.deepcopy(self._network.state_dict())
        return epoch - self._best.best_epoch >= self._patience

    def finish(self, epochs: int) -> TrainingHistory:
        """Put the kept weights back."""
        self._network.load_state_dict(self._state)
        self._network.eval()
        best = self._best
        return TrainingHistory(epochs, best.best_epoch, best.fitted_loss, best.watched_loss)


def make_batches(
    rows: torch.Tensor, events: torch.Tensor, size: int, rng: np.random.Generator
) -> Iterator[torch.Tensor]:
    """Rows in batches (all at once for size 0): never one of a single row, on which batch norm has no variance, and
    none without an event, which has no likelihood."""
    if not size or size >= len(rows):
        yield rows
        return
    shuffled = rows[torch.from_numpy(rng.permutation(len(rows)))]
    batches = list(torch.split(shuffled, size))
    if len(batches[-1]) == 1:
        batches[-2:] = [torch.cat(batches[-2:])]
    yield from (batch for batch in batches if events[batch].any())


def make_optimiser(network: torch.nn.Module, config: TrainingConfig) -> torch.optim.Optimizer:
    """AdamW over all parameters."""
    return torch.optim.AdamW(network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)


def make_schedule(optimiser: torch.optim.Optimizer, config: TrainingConfig) -> torch.optim.lr_scheduler.LRScheduler:
    """The learning rate over the epochs."""
    if config.schedule == "cosine":
        return torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, config.epochs)
    factor = config.step_factor if config.schedule == "step" else 1.0
    return torch.optim.lr_scheduler.StepLR(optimiser, config.step_epochs, factor)
