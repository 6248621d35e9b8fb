"""The trained part of the model: downsamplers, fusion and the DeepSurv log-risk (paper sections 2.3.1 to 2.3.3)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import msgspec
import torch
from torch import nn

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.imaging.window import Modality
from MemorySurvivalLib.risk.downsamplers import (
    EMBEDDING_SIZE,
    LAYER_CHANNELS,
    AverageDownsampler,
    DownsamplerName,
    MemoryShape,
    PooledDownsampler,
    PoolingName,
    StandardisedDownsampler,
    build_downsampler,
)
from MemorySurvivalLib.risk.fusion import FusionName, build_fusion

MAXIMUM_WIDTH = 4096
"""Wider layers are a damaged or hostile bundle, not a survival network."""

MAXIMUM_STATE = 2**22
"""Values of one memory state; the largest that is used has 2**18 in each of a few layers."""

SMALLEST_SD = 1e-4
"""What varies less between training patients counts as constant; bundles keep float16, which ends near 6e-8."""

MAXIMUM_MIX, MAXIMUM_LAYER = 256, 2**26
"""Widest first layer of a downsampler that keeps channels, and the most weights that it may have."""


class HeadSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Shape of a head: which modalities enter, how they are fused, how wide the survival layers are.

    The fields after `dropout` came later; their defaults are what every earlier head is. `memory_shape` (channels of
    all layers, h, w) matters to all downsamplers but "average". `statistics` names numbers measured in the region,
    which enter as one more token, or as they are, z-scored (`statistics_as`). `missing_modality`: a missing image is
    replaced by a learned vector, not refused. `pooling` and `components` (principal axes, 0: none) matter to the
    downsampler "pooled"; with it and no `hidden` layer the head is a Cox model on vectors.
    """

    modalities: tuple[Modality, ...]
    fusion: FusionName
    covariate_width: int
    downsampler_width: int = 32
    hidden: tuple[int, ...] = (64,)
    dropout: float = 0.3
    downsampler: DownsamplerName = "average"
    memory_shape: MemoryShape = (64, 16, 16)
    statistics: tuple[str, ...] = ()
    missing_modality: bool = False
    pooling: PoolingName = "mean"
    components: int = 0
    statistics_as: Literal["token", "values"] = "token"
    batch_norm: bool = True

    @property
    def embedding_size(self) -> int:
        """How many values a downsampler makes of a modality's state."""
        if self.downsampler == "pooled":
            return self.components or self.memory_shape[0]
        return EMBEDDING_SIZE

    @property
    def keeps_float32(self) -> bool:
        """Whether bundles keep its tensors whole: what pooled states differ by is lost in float16."""
        return self.downsampler == "pooled"

    @property
    def is_linear(self) -> bool:
        """Whether the log-risk is a weighted sum of pooled values, as in Cox's model, and no network."""
        return self.downsampler == "pooled" and not self.hidden

    def __post_init__(self) -> None:
        if not self.modalities or len(set(self.modalities)) != len(self.modalities):
            raise ValueError(f"a head needs one or both modalities once each, got {list(self.modalities)}")
        if self.fusion == "gated" and len(self.modalities) != 2:
            raise ValueError(f"gated fusion mixes two modalities, got {list(self.modalities)}")
        if not all(1 <= width <= MAXIMUM_WIDTH for width in (self.downsampler_width, *self.hidden)):
            raise ValueError(f"layers must be 1 to {MAXIMUM_WIDTH} wide, got {[self.downsampler_width, *self.hidden]}")
        if not 0 <= self.covariate_width <= MAXIMUM_WIDTH or not 0 <= self.dropout < 1:
            raise ValueError(f"a head cannot have {self.covariate_width} covariates with dropout {self.dropout}")
        self._check_state()
        if len(set(self.statistics)) != len(self.statistics) or len(self.statistics) > MAXIMUM_WIDTH:
            raise ValueError("a head names each statistic once")
        if not 0 <= self.components <= self.memory_shape[0] or (self.components and self.downsampler != "pooled"):
            raise ValueError(f"{self.components} principal axes cannot be made of this head's states")

    def _check_state(self) -> None:
        """Refuse what no backbone gives, and layers that would fill the memory before they are compared with it."""
        shape, width = self.memory_shape, self.downsampler_width
        if min(shape) < 1 or shape[0] > MAXIMUM_WIDTH or math.prod(shape) > MAXIMUM_STATE:
            raise ValueError(f"memory states of {list(shape)} are not what a backbone gives")
        if self.downsampler == "attention" and shape[0] > LAYER_CHANNELS and shape[0] % LAYER_CHANNELS:
            raise ValueError(f"{shape[0]} channels are no whole number of memory layers of {LAYER_CHANNELS}")
        inputs = math.prod(shape) if self.downsampler == "flatten" else shape[0]
        if self.downsampler != "average" and (width > MAXIMUM_MIX or inputs * width > MAXIMUM_LAYER):
            raise ValueError(f"a layer of {inputs} to {width} is wider than a head needs")


FAR_SD = 5.0
"""From here on a statistic lies beyond what a head can have learned from: under a normal law one in two million."""


@dataclass(frozen=True)
class HeadOutput:
    """Log-risk (n,) relative to the training cohort's mean, and the PET's gate weight (n,) where the fusion has one."""

    log_risk: torch.Tensor
    gate_pet: torch.Tensor | None


class StatisticsToken(nn.Module):
    """Statistics (n, p), NaN where missing, to one token (n, 128): arcsinh, z-score, missing flags, two layers."""

    mean: torch.Tensor
    sd: torch.Tensor

    def __init__(self, count: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(count))
        self.register_buffer("sd", torch.ones(count))
        self.layers = nn.Sequential(
            nn.Linear(2 * count, EMBEDDING_SIZE), nn.ReLU(), nn.Linear(EMBEDDING_SIZE, EMBEDDING_SIZE)
        )

    def forward(self, statistics: torch.Tensor) -> torch.Tensor:
        """Statistics as they were measured to the token; a missing one takes the training cohort's mean."""
        token: torch.Tensor = self.layers(_scale_statistics(statistics, self.mean, self.sd))
        return token

    def standardise(self, statistics: torch.Tensor) -> None:
        """Take mean and SD of training statistics (n, p); a constant one keeps SD 1, so that it stays 0."""
        _standardise_statistics(self, statistics)


class StatisticsValues(nn.Module):
    """Statistics (n, p), NaN where missing, to (n, 2 p): arcsinh and z-score (0 where missing), then missing flags."""

    mean: torch.Tensor
    sd: torch.Tensor

    def __init__(self, count: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(count))
        self.register_buffer("sd", torch.ones(count))

    def forward(self, statistics: torch.Tensor) -> torch.Tensor:
        """Statistics as they were measured; a missing one takes the training cohort's mean."""
        return _scale_statistics(statistics, self.mean, self.sd)

    def standardise(self, statistics: torch.Tensor) -> None:
        """As `StatisticsToken.standardise`."""
        _standardise_statistics(self, statistics)


def _scale_statistics(statistics: torch.Tensor, mean: torch.Tensor, sd: torch.Tensor) -> torch.Tensor:
    scaled = torch.nan_to_num((torch.arcsinh(statistics) - mean) / sd)
    return torch.cat([scaled, torch.isnan(statistics).float()], dim=1)


def _standardise_statistics(module: StatisticsToken | StatisticsValues, statistics: torch.Tensor) -> None:
    values = torch.arcsinh(statistics)
    known = ~torch.isnan(values)
    count = known.sum(dim=0).clamp(min=1)
    mean = torch.nan_to_num(values).sum(dim=0) / count
    sd = ((torch.where(known, values - mean, 0.0) ** 2).sum(dim=0) / count).sqrt()
    module.mean.copy_(mean)
    module.sd.copy_(torch.where(sd > SMALLEST_SD, sd, 1.0))


def build_deepsurv(width: int, hidden: tuple[int, ...], dropout: float, batch_norm: bool = True) -> nn.Sequential:
    """DeepSurv: fully connected layers with batch norm, ReLU and dropout, then one linear output (n, 1)."""
    widths = [width, *hidden]
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        norm = [nn.BatchNorm1d(after)] if batch_norm else []
        layers += [nn.Linear(before, after), *norm, nn.ReLU(), nn.Dropout(dropout)]
    return nn.Sequential(*layers, nn.Linear(widths[-1], 1))


class RiskHead(nn.Module):
    """Memory states, region statistics and encoded covariates to a log-risk.

    `offset` is subtracted so that 0 is the mean log-risk of the training cohort.
    """

    offset: torch.Tensor

    def __init__(self, spec: HeadSpec) -> None:
        super().__init__()
        self.spec = spec
        self.downsamplers = nn.ModuleDict(
            {
                modality: build_downsampler(
                    spec.downsampler, spec.memory_shape, spec.downsampler_width, spec.pooling, spec.components
                )
                for modality in spec.modalities
            }
        )
        self.fusion = build_fusion(spec.fusion, spec.embedding_size, len(spec.modalities))
        token = 0
        if spec.statistics:
            token = EMBEDDING_SIZE if spec.statistics_as == "token" else 2 * len(spec.statistics)
        size = self.fusion.out_size + token + spec.covariate_width
        self.deepsurv = build_deepsurv(size, spec.hidden, spec.dropout, spec.batch_norm)
        self.register_buffer("offset", torch.zeros(()))
        # Only heads that need them have these parts, so that earlier heads keep their tensors.
        if spec.statistics:
            kind = StatisticsToken if spec.statistics_as == "token" else StatisticsValues
            self.statistics: StatisticsToken | StatisticsValues = kind(len(spec.statistics))
        if spec.missing_modality:
            empty = {m: nn.Parameter(torch.zeros(spec.embedding_size)) for m in spec.modalities}
            self.absent = nn.ParameterDict(empty)

    def forward(
        self,
        maps: Mapping[Modality, torch.Tensor],
        covariates: torch.Tensor,
        statistics: torch.Tensor | None = None,
        present: Mapping[Modality, torch.Tensor] | None = None,
        weights: Mapping[Modality, torch.Tensor] | None = None,
    ) -> HeadOutput:
        """Prepared states by modality (see `prepare`) and covariates (n, width) to log-risks.

        `statistics` (n, p) in the order of the spec, NaN where missing. `present` (n,) bool by modality, for heads that
        can do without one; what stands in the maps of an absent image does not matter as long as it is finite.
        `weights` (n, 1, h, w) by modality: the region, for pooling inside it. Raises InputError where the head takes
        statistics and gets none or another number: they are never silently taken as missing.
        """
        given = 0 if statistics is None else statistics.shape[1]
        if given != len(self.spec.statistics):
            raise InputError(
                f"This head takes {len(self.spec.statistics)} statistics of the region "
                f"({', '.join(self.spec.statistics) or 'none'}), but {given} were given; measure them."
            )
        embeddings = []
        for modality in self.spec.modalities:
            extra = () if weights is None or modality not in weights else (weights[modality],)
            embedding = self.downsamplers[modality](maps[modality], *extra)
            if present is not None and self.spec.missing_modality:
                embedding = torch.where(present[modality][:, None], embedding, self.absent[modality])
            embeddings.append(embedding)
        fused, gate = self.fusion(embeddings)
        tokens = [fused]
        if self.spec.statistics and statistics is not None:
            tokens.append(self.statistics(statistics))
        log_risk = self.deepsurv(torch.cat([*tokens, covariates], dim=1))[:, 0] - self.offset
        return HeadOutput(log_risk, gate)

    @torch.inference_mode()
    def far_statistics(self, statistics: tuple[float, ...]) -> dict[str, float]:
        """Those of a case's statistics (in the order of the spec, NaN where missing) that lie FAR_SD standard
        deviations or more from the training cohort's mean, on the scale that the head sees: the distance by name."""
        if not self.spec.statistics:
            return {}
        found = torch.arcsinh(torch.tensor(statistics)) - self.statistics.mean
        distances = torch.nan_to_num(found / self.statistics.sd).tolist()
        return {name: sds for name, sds in zip(self.spec.statistics, distances, strict=True) if abs(sds) >= FAR_SD}

    def prepare(self, states: torch.Tensor) -> torch.Tensor:
        """Memory states (n, layers, channels, h, w) to what `forward` takes: maps (n, 1, 64, 64) of the average
        downsampler, else (n, layers * channels, h, w) as float32."""
        if self.spec.downsampler == "average":
            return AverageDownsampler.average(states)
        return states.float().flatten(1, 2)

    def standardise(self, modality: Modality, maps: torch.Tensor) -> None:
        """Take the mean and the SD across cases of prepared training states as a modality's preprocessing.

        The average downsampler has one SD for the map, the others one for each channel; "pooled" takes those of the
        pooled values.
        """
        downsampler = self.downsamplers[modality]
        if isinstance(downsampler, PooledDownsampler):
            downsampler.standardise(maps)
            return
        if isinstance(downsampler, AverageDownsampler):
            downsampler.mean.copy_(maps.mean(dim=0))
            downsampler.sd.copy_(maps.std(dim=0).mean())
            return
        assert isinstance(downsampler, StandardisedDownsampler)
        downsampler.mean.copy_(maps.mean(dim=0))
        sd = maps.std(dim=0).mean(dim=(1, 2), keepdim=True)
        downsampler.sd.copy_(torch.where(sd > SMALLEST_SD, sd, 1.0))

    @torch.inference_mode()
    def score(
        self,
        states: Mapping[Modality, torch.Tensor],
        covariates: tuple[float, ...],
        statistics: tuple[float, ...] | None = None,
    ) -> HeadOutput:
        """One case: memory states (layers, channels, h, w) by modality, encoded covariates (empty for image-only).

        `statistics` in the order of the spec, NaN where missing. A head made for missing images takes states of fewer
        modalities than it has. Raises InputError where the head takes statistics and gets none or another number.
        """
        maps, present = {}, {}
        for modality in self.spec.modalities:
            present[modality] = torch.tensor([modality in states])
            if modality in states or not self.spec.missing_modality:
                maps[modality] = self.prepare(states[modality][None])
            else:
                mean = self.downsamplers[modality].mean
                assert isinstance(mean, torch.Tensor)
                maps[modality] = mean[None]
        vector = torch.tensor([covariates], dtype=torch.float32).reshape(1, -1)
        measured = torch.tensor([statistics], dtype=torch.float32) if statistics is not None else None
        output: HeadOutput = self(maps, vector, measured, present)
        return output
