"""The loss of every network here: the mean negative log partial likelihood per event, with Efron's ties."""

from __future__ import annotations

import warnings

import torch


def cox_loss(log_risk: torch.Tensor, times: torch.Tensor, events: torch.Tensor) -> torch.Tensor:
    """Loss for log-risks (n,), times (n,) float and events (n,) bool; 0 where nobody has an event, NaN where
    a log-risk is no finite number.

    Efron's ties from torchsurv, because follow-up in whole months ties a lot: pycox's own loss depends on the order of
    tied rows. The paper divides by events, torchsurv's mean by distinct event times, so the sum is divided here. Where
    torchsurv, an extra of training, is absent (in Slicer), the same loss comes from `stacked_mlp.StackedEfron`.
    """
    count = events.sum()
    if not count or not torch.isfinite(log_risk).all():
        return log_risk.sum() * (0 if not count else torch.nan)
    try:
        from torchsurv.loss.cox import neg_partial_log_likelihood
    except ImportError:
        from MemorySurvivalLib.training.stacked_mlp import StackedEfron

        alone: torch.Tensor = StackedEfron(times.double().numpy(), events.numpy())(log_risk[None])[0]
        return alone
    with warnings.catch_warnings():
        # Ties are expected and handled; torchsurv says so at every step.
        warnings.filterwarnings("ignore", message="Ties in `time` detected", category=UserWarning)
        # The likelihood does not change with a shift; without it large risks overflow in exp.
        shifted = log_risk - log_risk.detach().max()
        total = neg_partial_log_likelihood(shifted, events, times, ties_method="efron", reduction="sum")
    loss: torch.Tensor = total / count
    return loss
