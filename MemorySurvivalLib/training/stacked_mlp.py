"""Many small DeepSurv networks fitted at once, so that tuning one costs little more than fitting one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import torch

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.training.data import CohortData, Floats
from MemorySurvivalLib.training.models.features import FittedFeatures, VectorFeatures, fit_features
from MemorySurvivalLib.training.models.fingerprint import hash_fitted
from MemorySurvivalLib.training.models.outcomes import check_outcomes, split_for_watching

Weights = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
"""Stacked: hidden weights (models, p, width), hidden biases (models, 1, width), output weights (models, width, 1)."""

_SHRINK_AT = 0.8
"""Share of networks still running below which the others are taken out of the stack."""


@dataclass(frozen=True)
class StackedMlp:
    """DeepSurv with one hidden ReLU layer on a vector a patient: Efron's loss, full batch, AdamW, early stopping.

    Without batch norm. Variants that differ in `learning_rate`, `weight_decay` and `dropout` alone are fitted as one
    stack; they start from the same weights and draw the same dropout numbers, so that a network does not depend on
    its neighbours beyond rounding. A part of the patients, stratified by event, only decides when each was best.
    """

    name: str
    features: VectorFeatures
    learning_rate: float = 3e-3
    weight_decay: float = 0.1
    dropout: float = 0.3
    width: int = 32
    epochs: int = 200
    patience: int = 20
    watched_share: float = 0.2

    def fit(self, data: CohortData, seed: int) -> FittedMlp:
        """One network. Raises InputError for outcomes or columns that cannot be learned from."""
        return self.fit_together([self], data, seed)[0]

    def fit_together(self, variants: Sequence[Self], data: CohortData, seed: int) -> list[FittedMlp]:
        """All variants in one stack."""
        if len({(v.features, v.width, v.epochs, v.patience, v.watched_share) for v in variants}) > 1:
            raise InputError("Networks of one stack must share features and shape; make them alternatives instead.")
        check_outcomes(data)
        features = fit_features(self.features, data)
        x = torch.from_numpy(features.encode(data)).float()
        stacks = [weights.double().numpy() for weights in _train(variants, x, data, seed)]
        fitted = []
        for hidden, bias, out in zip(*stacks, strict=True):
            offset = float(_log_risk(hidden, bias, out, x.double().numpy()).mean())
            fitted.append(FittedMlp(features, hidden, bias, out, offset))
        return fitted


@dataclass(frozen=True, eq=False)
class FittedMlp:
    """Features, weights (p, width), (1, width), (width, 1), and the training patients' mean, which is taken off."""

    features: FittedFeatures
    hidden: Floats
    bias: Floats
    out: Floats
    offset: float

    def log_risk(self, data: CohortData) -> Floats:
        """Log-risks (n,)."""
        return _log_risk(self.hidden, self.bias, self.out, self.features.encode(data)) - self.offset

    def fingerprint(self) -> str:
        """A hash of all that was fitted."""
        return hash_fitted(self.features.fingerprint(), self.hidden, self.bias, self.out, self.offset)


class StackedEfron:
    """Efron's mean negative log partial likelihood per event, of (models, n) log-risks at once."""

    def __init__(self, times_months: Floats, events: npt.NDArray[np.bool_]) -> None:
        order = np.argsort(times_months, kind="stable")
        dying = np.flatnonzero(events[order])
        at = times_months[order][dying]
        first = np.searchsorted(times_months[order], at, side="left")
        _, group, size = np.unique(at, return_inverse=True, return_counts=True)
        rank = np.arange(len(at)) - np.searchsorted(at, at, side="left")
        self._order, self._dying, self._first = map(torch.from_numpy, (order, dying, first))
        self._share = torch.from_numpy(rank / size[group]).float()
        self._group, self._groups = torch.from_numpy(group), len(size)

    def __call__(self, log_risk: torch.Tensor) -> torch.Tensor:
        """Losses (models,)."""
        risk = log_risk[:, self._order]
        risk = risk - risk.detach().amax(dim=1, keepdim=True)
        relative = risk.exp()
        tied = relative.new_zeros(len(risk), self._groups).index_add(1, self._group, relative[:, self._dying])
        at_risk = relative.flip(1).cumsum(1).flip(1)[:, self._first] - self._share * tied[:, self._group]
        # in float32 a sum may vanish where one log-risk is 80 above the rest
        total = at_risk.clamp_min(1e-30).log().sum(1) - risk[:, self._dying].sum(1)
        return total / len(self._dying)


def _train(variants: Sequence[StackedMlp], x: torch.Tensor, data: CohortData, seed: int) -> Weights:
    """The weights of each network at the epoch when its loss on the watched rows was lowest."""
    shared = variants[0]
    fitting, watching = split_for_watching(data.events, shared.watched_share, seed)
    fit_loss, watch_loss = (StackedEfron(data.times_months[rows], data.events[rows]) for rows in (fitting, watching))
    x_fit, x_watch = x[torch.from_numpy(fitting)], x[torch.from_numpy(watching)]
    generator = torch.Generator().manual_seed(seed)
    weights = _start(len(variants), x.shape[1], shared.width, generator)
    optimiser = _StackedAdamW(
        weights, _column([v.learning_rate for v in variants]), _column([v.weight_decay for v in variants])
    )
    keep = 1 - _column([v.dropout for v in variants])
    best: Weights = (weights[0].detach().clone(), weights[1].detach().clone(), weights[2].detach().clone())
    best_loss = torch.full((len(variants),), torch.inf)
    best_epoch = torch.zeros(len(variants))
    running = torch.arange(len(variants))
    for epoch in range(shared.epochs):
        draw = torch.rand(len(x_fit), shared.width, generator=generator)
        risks = _forward(weights, x_fit, (draw < keep) / keep)
        optimiser.step(weights, torch.autograd.grad(fit_loss(risks).sum(), weights))
        with torch.no_grad():
            watched = watch_loss(_forward(weights, x_watch, None))
        going = epoch - best_epoch[running] <= shared.patience
        better = (watched < best_loss[running]) & going
        rows = running[better]
        best_loss[rows], best_epoch[rows] = watched[better], float(epoch)
        for kept, now in zip(best, weights, strict=True):
            kept[rows] = now.detach()[better]
        if not bool(going.any()):
            break
        if int(going.sum()) <= _SHRINK_AT * len(running):  # networks that have stopped cost as much as others
            running, weights, keep = running[going], _only(weights, going), keep[going]
            optimiser.keep_only(going)
    return best


class _StackedAdamW:
    """AdamW with a learning rate and a weight decay for each model; gradients are clipped to length 1 for each."""

    def __init__(self, weights: Weights, rates: torch.Tensor, decays: torch.Tensor) -> None:
        self._rates, self._decays = rates, decays
        self._first = [torch.zeros_like(w) for w in weights]
        self._second = [torch.zeros_like(w) for w in weights]
        self._steps = 0

    def keep_only(self, going: torch.Tensor) -> None:
        """Forget the models that are not `going` (models,)."""
        self._rates, self._decays = self._rates[going], self._decays[going]
        self._first = [moment[going] for moment in self._first]
        self._second = [moment[going] for moment in self._second]

    @torch.no_grad()
    def step(self, weights: Weights, gradients: tuple[torch.Tensor, ...]) -> None:
        self._steps += 1
        correct1, correct2 = 1 - 0.9**self._steps, 1 - 0.999**self._steps
        lengths = torch.stack([g.square().sum(dim=(1, 2), keepdim=True) for g in gradients]).sum(dim=0).sqrt()
        shorten = lengths.clamp_min(1.0).reciprocal()
        for weight, gradient, first, second in zip(weights, gradients, self._first, self._second, strict=True):
            clipped = gradient * shorten
            first.lerp_(clipped, 0.1)
            second.lerp_(clipped.square(), 0.001)
            weight.mul_(1 - self._rates * self._decays)
            weight.sub_(self._rates * (first / correct1) / ((second / correct2).sqrt() + 1e-8))


def _forward(weights: Weights, x: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """Log-risks (models, n) of rows x (n, p)."""
    hidden = torch.relu(torch.matmul(x, weights[0]) + weights[1])
    if mask is not None:
        hidden = hidden * mask
    return torch.matmul(hidden, weights[2])[:, :, 0]


def _only(weights: Weights, going: torch.Tensor) -> Weights:
    hidden, bias, out = (weight.detach()[going].requires_grad_() for weight in weights)
    return hidden, bias, out


def _log_risk(hidden: Floats, bias: Floats, out: Floats, x: Floats) -> Floats:
    risks: Floats = (np.maximum(x @ hidden + bias, 0) @ out)[:, 0]
    return risks


def _start(count: int, inputs: int, width: int, generator: torch.Generator) -> Weights:
    hidden = torch.randn(inputs, width, generator=generator) * (2 / inputs) ** 0.5
    out = torch.randn(width, 1, generator=generator) * 0.1 / width**0.5
    return (
        hidden.repeat(count, 1, 1).requires_grad_(),
        torch.zeros(count, 1, width).requires_grad_(),
        out.repeat(count, 1, 1).requires_grad_(),
    )


def _column(values: Sequence[float]) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float32)[:, None, None]
