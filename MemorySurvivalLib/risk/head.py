"""The trained part of the model: downsamplers, fusion and the DeepSurv log-risk (paper sections 2.3.1 to 2.3.3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import msgspec
import torch
from torch import nn

from MemorySurvivalLib.imaging.window import Modality
from MemorySurvivalLib.risk.downsamplers import EMBEDDING_SIZE, AverageDownsampler
from MemorySurvivalLib.risk.fusion import FusionName, build_fusion

MAXIMUM_WIDTH = 4096
"""Wider layers are a damaged or hostile bundle, not a survival network."""


class HeadSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Shape of a head: which modalities enter, how they are fused, how wide the survival layers are."""

    modalities: tuple[Modality, ...]
    fusion: FusionName
    covariate_width: int
    downsampler_width: int = 32
    hidden: tuple[int, ...] = (64,)
    dropout: float = 0.3

    def __post_init__(self) -> None:
        if not self.modalities or len(set(self.modalities)) != len(self.modalities):
            raise ValueError(f"a head needs one or both modalities once each, got {list(self.modalities)}")
        if self.fusion == "gated" and len(self.modalities) != 2:
            raise ValueError(f"gated fusion mixes two modalities, got {list(self.modalities)}")
        if not all(1 <= width <= MAXIMUM_WIDTH for width in (self.downsampler_width, *self.hidden)):
            raise ValueError(f"layers must be 1 to {MAXIMUM_WIDTH} wide, got {[self.downsampler_width, *self.hidden]}")
        if not 0 <= self.covariate_width <= MAXIMUM_WIDTH or not 0 <= self.dropout < 1:
            raise ValueError(f"a head cannot have {self.covariate_width} covariates with dropout {self.dropout}")


@dataclass(frozen=True)
class HeadOutput:
    """Log-risk (n,) relative to the training cohort's mean, and the PET's gate weight (n,) where the fusion has one."""

    log_risk: torch.Tensor
    gate_pet: torch.Tensor | None


class RiskHead(nn.Module):
    """Memory states and encoded covariates to a log-risk.

    DeepSurv: fully connected layers with batch norm, ReLU and dropout, then one linear output. `offset` is subtracted
    so that 0 is the mean log-risk of the training cohort.
    """

    offset: torch.Tensor

    def __init__(self, spec: HeadSpec) -> None:
        super().__init__()
        self.spec = spec
        self.downsamplers = nn.ModuleDict(
            {modality: AverageDownsampler(spec.downsampler_width) for modality in spec.modalities}
        )
        self.fusion = build_fusion(spec.fusion, EMBEDDING_SIZE, len(spec.modalities))
        widths = [self.fusion.out_size + spec.covariate_width, *spec.hidden]
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Linear(before, after), nn.BatchNorm1d(after), nn.ReLU(), nn.Dropout(spec.dropout)]
        self.deepsurv = nn.Sequential(*layers, nn.Linear(widths[-1], 1))
        self.register_buffer("offset", torch.zeros(()))

    def forward(self, maps: Mapping[Modality, torch.Tensor], covariates: torch.Tensor) -> HeadOutput:
        """Averaged maps (n, 1, 64, 64) by modality and covariates (n, width) to log-risks."""
        embeddings = [self.downsamplers[modality](maps[modality]) for modality in self.spec.modalities]
        fused, gate = self.fusion(embeddings)
        log_risk = self.deepsurv(torch.cat([fused, covariates], dim=1))[:, 0] - self.offset
        return HeadOutput(log_risk, gate)

    def standardise(self, modality: Modality, maps: torch.Tensor) -> None:
        """Take the mean map and the SD across cases of training maps (n, 1, 64, 64) as a modality's preprocessing."""
        downsampler = self.downsamplers[modality]
        assert isinstance(downsampler, AverageDownsampler)
        downsampler.mean.copy_(maps.mean(dim=0))
        downsampler.sd.copy_(maps.std(dim=0).mean())

    @torch.inference_mode()
    def score(self, states: Mapping[Modality, torch.Tensor], covariates: tuple[float, ...]) -> HeadOutput:
        """One case: memory states (layers, channels, h, w) by modality, encoded covariates (empty for image-only)."""
        maps = {modality: AverageDownsampler.average(states[modality][None]) for modality in self.spec.modalities}
        output: HeadOutput = self(maps, torch.tensor([covariates], dtype=torch.float32).reshape(1, -1))
        return output
