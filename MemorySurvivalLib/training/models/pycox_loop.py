"""The same fit through pycox's CoxPH and torchtuples' loop, as other groups run DeepSurv."""

from __future__ import annotations

import importlib
from typing import Any

import torch

from MemorySurvivalLib.training.data import CohortData, Index
from MemorySurvivalLib.training.models.fitting import (
    EarlyStopping,
    TrainingConfig,
    TrainingHistory,
    make_optimiser,
    make_schedule,
)
from MemorySurvivalLib.training.models.partial_likelihood import cox_loss


def train_with_pycox(
    network: torch.nn.Module, x: torch.Tensor, data: CohortData, parts: tuple[Index, Index], config: TrainingConfig
) -> TrainingHistory:
    """Fit `network` (vectors (n, p) to (n, 1)) in place, full batch, as `train_network` does.

    Of pycox: the model class (`pycox.models.CoxPH`) and its training loop with callbacks. Not of pycox: the loss (its
    own breaks ties by the order of rows; Efron's is passed in), early stopping (its own goes through files that
    pickle), data sets, and evaluation. pycox is imported here and nowhere else; that alone takes seconds.
    """
    if config.batch_size:
        raise ValueError("through pycox the batch is full: parts of a cohort have incomplete risk sets")
    models = importlib.import_module("pycox.models")
    fitting, watching = (torch.from_numpy(part) for part in parts)
    times, events = torch.from_numpy(data.times_months).float(), torch.from_numpy(data.events)

    def loss(log_risk: torch.Tensor, when: torch.Tensor, happened: torch.Tensor) -> torch.Tensor:
        return cox_loss(log_risk[:, 0], when, happened.bool())

    optimiser = make_optimiser(network, config)
    model = models.CoxPH(network, optimiser, device="cpu", loss=loss)
    watch = EarlyStopping(network, config.patience)
    callback = _callback(
        lambda: float(loss(network(x[watching]), times[watching], events[watching])),
        network,
        make_schedule(optimiser, config),
        watch,
        config,
    )
    model.fit(
        x[fitting],
        (times[fitting], events[fitting].float()),
        batch_size=len(fitting),
        epochs=config.epochs,
        callbacks=[callback],
        verbose=False,
        shuffle=False,
    )
    return watch.finish(callback.epoch)


def _callback(
    watched_loss: Any,
    network: torch.nn.Module,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    watch: EarlyStopping,
    config: TrainingConfig,
) -> Any:
    """Clipping before a step; after an epoch the schedule and the watched part."""
    base: Any = importlib.import_module("torchtuples.callbacks").Callback

    class Watching(base):  # type: ignore[misc]
        epoch = 0

        def on_epoch_start(self) -> None:
            network.train()

        def before_step(self) -> None:
            torch.nn.utils.clip_grad_norm_(network.parameters(), config.clip_norm)

        def on_epoch_end(self) -> bool:
            schedule.step()
            network.eval()
            with torch.inference_mode():
                watched = watched_loss()
            fitted = float(self.model.train_metrics.scores["loss"]["score"][-1])
            self.epoch += 1
            return watch.should_stop(self.epoch - 1, fitted, watched)

    return Watching()
