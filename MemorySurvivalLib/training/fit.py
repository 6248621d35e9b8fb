"""Fitting a head on an embedded cohort: DeepSurv's loss, early stopping inside the training cases."""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt
import torch

from MemorySurvivalLib.bundle.manifest import BaselineHazard
from MemorySurvivalLib.imaging.window import Modality
from MemorySurvivalLib.progress import Meter, ProgressCallback, ignore_progress
from MemorySurvivalLib.risk.covariates import (
    CategoricalCovariate,
    CovariateSchema,
    encode_covariates,
)
from MemorySurvivalLib.risk.head import HeadSpec, RiskHead
from MemorySurvivalLib.training.embedded_cohort import EmbeddedCohort
from MemorySurvivalLib.training.stacked_mlp import StackedEfron

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class FitConfig:
    """AdamW with a cosine schedule, full batch; stops after `patience` epochs without a better validation loss."""

    epochs: int = 150
    patience: int = 30
    learning_rate: float = 2e-3
    weight_decay: float = 0.1
    validation_share: float = 0.2
    seed: int = 7


def fit_covariates(schema: CovariateSchema, cohort: EmbeddedCohort) -> CovariateSchema:
    """`schema` with means, SDs and shares taken from the training cohort's recorded values."""
    values = [outcome.covariates for outcome in cohort.outcomes]
    continuous = []
    for number in schema.continuous:
        known = np.array([number.scaled(float(v[number.name])) for v in values if v.get(number.name)])
        continuous.append(msgspec.structs.replace(number, mean=float(known.mean()), sd=float(known.std(ddof=1))))
    categorical = []
    for category in schema.categorical:
        known_levels = [v[category.name] for v in values if v.get(category.name)]
        shares = tuple(known_levels.count(level) / len(known_levels) for level in category.levels)
        categorical.append(CategoricalCovariate(category.name, category.levels, shares))
    return CovariateSchema(tuple(continuous), tuple(categorical))


def covariate_matrix(schema: CovariateSchema | None, cohort: EmbeddedCohort) -> torch.Tensor:
    """Encoded covariates (n, width); width 0 without a schema."""
    if schema is None:
        return torch.zeros(len(cohort.outcomes), 0)
    return torch.tensor([encode_covariates(schema, outcome.covariates).vector for outcome in cohort.outcomes])


def fit_head(
    spec: HeadSpec,
    cohort: EmbeddedCohort,
    covariates: torch.Tensor,
    config: FitConfig,
    progress: ProgressCallback = ignore_progress,
    stage: str = "training",
) -> RiskHead:
    """Train downsamplers, fusion and DeepSurv end to end; the backbone stays frozen (paper section 2.3.3).

    The loss is the mean negative log partial likelihood per event with Efron's ties. A stratified part of the
    training cases decides when to stop; the head is not refitted on it. Torch is all that this needs.
    """
    rng = np.random.default_rng(config.seed)
    torch.manual_seed(config.seed)
    fitting, watching = _split(cohort.events, config.validation_share, rng)
    head = RiskHead(spec)
    for modality in spec.modalities:
        maps = cohort.maps[modality][torch.from_numpy(fitting)]
        head.standardise(modality, maps)
    optimiser = torch.optim.AdamW(head.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, config.epochs)
    best_loss, best_state, best_epoch = float("inf"), copy.deepcopy(head.state_dict()), 0
    meter = Meter(stage, config.epochs, progress)
    for epoch in range(config.epochs):
        head.train()
        loss = _loss(head, cohort, covariates, fitting)
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(head.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        head.eval()
        with torch.inference_mode():
            watched = float(_loss(head, cohort, covariates, watching))
        _LOG.info("epoch %d fitting loss %.4f watching loss %.4f", epoch, loss.detach().item(), watched)
        if watched < best_loss:
            best_loss, best_state, best_epoch = watched, copy.deepcopy(head.state_dict()), epoch
        meter.step()
        if epoch - best_epoch >= config.patience:
            break
    head.load_state_dict(best_state)
    head.eval()
    head.offset.copy_(torch.from_numpy(predict(head, cohort, covariates)).mean())
    return head


@torch.inference_mode()
def predict(head: RiskHead, cohort: EmbeddedCohort, covariates: torch.Tensor) -> npt.NDArray[np.float32]:
    """Log-risks (n,)."""
    log_risks: npt.NDArray[np.float32] = head(cohort.maps, covariates).log_risk.numpy()
    return log_risks


def breslow(cohort: EmbeddedCohort, log_risks: npt.NDArray[np.float32]) -> BaselineHazard:
    """Breslow's estimate of the cumulative baseline hazard at log-risk 0, at each observed event time."""
    times, events = cohort.times_months, cohort.events
    relative = np.exp(log_risks.astype(np.float64))
    at = np.unique(times[events])
    steps = [(events & (times == t)).sum() / relative[times >= t].sum() for t in at]
    return BaselineHazard(tuple(np.round(at, 3).tolist()), tuple(np.round(np.cumsum(steps), 6).tolist()))


def _loss(
    head: RiskHead, cohort: EmbeddedCohort, covariates: torch.Tensor, index: npt.NDArray[np.intp]
) -> torch.Tensor:
    rows = torch.from_numpy(index)
    maps: Mapping[Modality, torch.Tensor] = {m: cohort.maps[m][rows] for m in head.spec.modalities}
    log_risk = head(maps, covariates[rows]).log_risk
    return StackedEfron(cohort.times_months[index], cohort.events[index])(log_risk[None])[0]


def _split(
    events: npt.NDArray[np.bool_], share: float, rng: np.random.Generator
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Indices to fit on and to watch, with the same share of events in both."""
    watching = []
    for flag in (False, True):
        members = rng.permutation(np.flatnonzero(events == flag))
        watching.append(members[: round(share * len(members))])
    watched = np.sort(np.concatenate(watching))
    return np.setdiff1d(np.arange(len(events)), watched), watched
