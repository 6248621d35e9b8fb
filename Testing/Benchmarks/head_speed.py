"""Heads on memory states: seconds of a fit on 227 patients, paired with a plain pycox loop, and what a search costs."""

from __future__ import annotations

import copy
import importlib
import time
import warnings
from typing import Any

import numpy as np
import torch
from torch import nn

from MemorySurvivalLib.imaging.window import Modality
from MemorySurvivalLib.risk.downsamplers import DownsamplerName
from MemorySurvivalLib.risk.head import RiskHead
from MemorySurvivalLib.training.data import CohortData
from MemorySurvivalLib.training.models.fitting import TrainingConfig
from MemorySurvivalLib.training.models.image import FittedImageModel, ImageModel
from MemorySurvivalLib.training.models.outcomes import split_for_watching
from MemorySurvivalLib.training.search import HEAD_BUDGET
from Testing.Benchmarks.nested_speed import made_up_outcomes

PATIENTS, SEED = 227, 5
MODALITIES: tuple[Modality, ...] = ("PET", "CT")
OUTER_FOLDS = 25
ROUNDS = 3
LIMIT_RATIO = 1.5
"""Above 1, because our loop also breaks ties by Efron, clips, keeps the best weights and prepares the maps."""

HEADS: dict[DownsamplerName, tuple[tuple[int, int, int], int]] = {
    "average": ((1, 16, 16), 3),
    "attention": ((64, 8, 8), 20),
    "channels": ((64, 8, 8), 20),
    "flatten": ((64, 8, 8), 60),
}
"""Shape of the maps that the study keeps for each downsampler, and epochs of a paired run, about as long for each."""


class PlainNetwork(nn.Module):
    """A head as pycox takes a network: one tensor an input, one column of log-risks."""

    def __init__(self, head: RiskHead) -> None:
        super().__init__()
        self.head = head

    def forward(self, *maps: torch.Tensor) -> torch.Tensor:
        """Prepared maps of each modality to log-risks (n, 1)."""
        given = dict(zip(MODALITIES, maps, strict=True))
        log_risk: torch.Tensor = self.head(given, torch.zeros(len(maps[0]), 0)).log_risk
        return log_risk[:, None]


def made_up_maps(patients: int, shape: tuple[int, int, int]) -> CohortData:
    """Maps of random values whose means follow a made-up hazard; monthly times."""
    rng = np.random.default_rng(SEED)
    latent, times, events = made_up_outcomes(rng, patients)
    states = {
        f"{modality}/mean": torch.from_numpy(
            (latent @ rng.normal(size=(latent.shape[1], shape[0])))[:, :, None, None] + rng.normal(size=(1, *shape))
        )
        + torch.from_numpy(rng.normal(size=(patients, *shape)))
        for modality in MODALITIES
    }
    return CohortData(
        tuple(f"made up {i}" for i in range(patients)),
        times,
        events,
        states={key: values.half() for key, values in states.items()},
        simulated=True,
    )


def fit_ours(data: CohortData, name: DownsamplerName, training: TrainingConfig) -> tuple[FittedImageModel, float]:
    """The fitted head, and seconds of all of it: preparation, standardisation, epochs."""
    model = ImageModel(name, downsampler=name, training=training)
    start = time.perf_counter()
    fitted = model.fit(data, SEED)
    return fitted, time.perf_counter() - start


def fit_plain(data: CohortData, fitted: FittedImageModel, epochs: int) -> tuple[int, float]:
    """The same network through pycox as its own examples run it: epochs run, and seconds of `fit` alone.

    Full batch, AdamW, the same watched part looked at after each epoch; pycox's own loss, no schedule, no clipping.
    The maps are prepared before the clock starts, which favours pycox.
    """
    models, optimisers = importlib.import_module("pycox.models"), importlib.import_module("torchtuples.optim")
    config = fitted.config
    inputs = config.prepare(fitted.head, None, data)
    fitting, watching = split_for_watching(data.events, config.training.validation_share, SEED)

    def part(rows: Any) -> tuple[Any, Any]:
        maps = tuple(inputs.maps[modality][torch.from_numpy(rows)] for modality in MODALITIES)
        outcome = (data.times_months[rows], data.events[rows])
        return maps, tuple(torch.from_numpy(one).float() for one in outcome)

    given, watched = part(fitting), part(watching)
    network = PlainNetwork(copy.deepcopy(fitted.head))
    model = models.CoxPH(network, optimisers.AdamW(lr=config.training.learning_rate), device="cpu")
    with warnings.catch_warnings():
        # torchtuples decays weights with a call that torch has deprecated.
        warnings.filterwarnings("ignore", message="This overload of add is deprecated", category=UserWarning)
        start = time.perf_counter()
        log = model.fit(
            *given,
            batch_size=len(fitting),
            epochs=epochs,
            verbose=False,
            val_data=watched,
            val_batch_size=len(watching),
        )
        seconds = time.perf_counter() - start
    return len(log.epochs), seconds


def measure(name: DownsamplerName, patients: int, most_epochs: int | None, rounds: int) -> dict[str, Any]:
    """One row. `most_epochs` shortens fits, for tests; None: as they are by default."""
    shape, epochs = HEADS[name]
    training = TrainingConfig()
    if most_epochs is not None:
        training, epochs = TrainingConfig(epochs=most_epochs), min(epochs, most_epochs)
    data = made_up_maps(patients, shape)
    fixed = TrainingConfig(epochs=epochs, patience=epochs)
    warm, _ = fit_ours(data, name, TrainingConfig(epochs=1))
    fit_plain(data, warm, 1)  # what only the first step costs is no part of a loop
    ratios, ours, plain = [], [], []
    for number in range(rounds):
        for which in ("ours", "plain") if number % 2 == 0 else ("plain", "ours"):
            if which == "ours":
                ours.append(fit_ours(data, name, fixed)[1])
            else:
                ran, seconds = fit_plain(data, warm, epochs)
                assert ran == epochs, f"pycox ran {ran} of {epochs} epochs"
                plain.append(seconds)
        ratios.append(ours[-1] / plain[-1])
    fitted, seconds = fit_ours(data, name, training)
    return {
        "downsampler": name,
        "map": "x".join(map(str, shape)),
        "seconds_a_fit": round(seconds, 2),
        "epochs_of_it": fitted.history.epochs,
        "paired_epochs": epochs,
        "ms_an_epoch": round(1000 * float(np.median(ours)) / epochs, 1),
        "ms_an_epoch_plain_pycox": round(1000 * float(np.median(plain)) / epochs, 1),
        "ratio": round(float(np.median(ratios)), 2),
        "ratio_least": round(min(ratios), 2),
        "ratio_most": round(max(ratios), 2),
        "minutes_an_outer_fold": round(seconds * fits_of_all_patients() / 60, 2),
        "hours_nested_5x5": round(seconds * fits_of_all_patients() * OUTER_FOLDS / 3600, 2),
    }


def fits_of_all_patients() -> float:
    """What the default budget costs in one outer fold of five, in fits of all patients: a fit's time goes with its
    patients, and the inner ones have 2 / 3 of 4 / 5 of them."""
    share, inner = 4 / 5, (HEAD_BUDGET.inner_folds - 1) / HEAD_BUDGET.inner_folds
    return share * (HEAD_BUDGET.trials * HEAD_BUDGET.inner_folds * inner + 1)


def run(patients: int = PATIENTS, most_epochs: int | None = None, rounds: int = ROUNDS) -> dict[str, Any]:
    """Measure the heads in one thread, one after the other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        rows = [measure(name, patients, most_epochs, rounds) for name in HEADS]
    finally:
        torch.set_num_threads(threads)
    fits = HEAD_BUDGET.trials * HEAD_BUDGET.inner_folds + 1
    return {
        "patients": patients,
        "images": "PET and CT, concatenated, DeepSurv with one hidden layer of 64",
        "default_budget": (
            f"{HEAD_BUDGET.trials} trials x {HEAD_BUDGET.inner_folds} inner folds and the last fit: {fits} fits an "
            f"outer fold, {fits * OUTER_FOLDS} in nested 5 x 5"
        ),
        "costs": "minutes_an_outer_fold and hours_nested_5x5 are computed from seconds_a_fit, not run",
        "threads": 1,
        "rounds": rounds,
        "heads": rows,
        "cohort": "made-up maps; how many epochs a fit runs before it stops depends on them",
        "goal": (
            f"an epoch takes at most {LIMIT_RATIO:g} times what it takes in a plain pycox loop: the same network and "
            "number of epochs, full batch, paired in one run"
        ),
        "ok": all(row["ratio"] <= LIMIT_RATIO for row in rows),
    }
