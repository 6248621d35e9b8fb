"""From a memory state to an embedding vector: the paper's two (section 2.3.1), ours, and those the paper rejected."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import nn
from torch.nn.functional import adaptive_avg_pool2d, avg_pool3d, interpolate

GRID = 64
"""Maps are brought to 64 x 64 (the paper's size) whatever the backbone's memory grid."""

EMBEDDING_SIZE = 128

LAYER_CHANNELS = 32
"""Channels of one memory layer in the paper's reading of a state (2 x 32 x 64 x 64); 64 channels are two layers."""

SMALLEST_POOLED_SD = 1e-6
"""What varies less between training patients is rounding of a mean over a grid."""

DownsamplerName = Literal["average", "attention", "channels", "volume", "flatten", "pooled"]
DOWNSAMPLERS: tuple[DownsamplerName, ...] = get_args(DownsamplerName)
MemoryShape = tuple[int, int, int]
PoolingName = Literal["mean", "max"]


class AverageDownsampler(nn.Module):
    """Mean over memory layers and channels to one map, then a small CNN to 128 values.

    Two 3 x 3 convolutions with 2 x 2 max-pools take (1, 64, 64) to (64, 16, 16), a third to (128, 16, 16), and global
    average pooling to 128. The first width (32) is our choice; the paper does not state it. The training
    cohort's mean map is subtracted and its mean SD across cases divided out first: what all patients share is several
    times larger than what tells them apart.
    """

    mean: torch.Tensor
    sd: torch.Tensor

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(1, GRID, GRID))
        self.register_buffer("sd", torch.ones(()))
        self.layers = nn.Sequential(
            nn.Conv2d(1, width, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(width, 64, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(64, EMBEDDING_SIZE, 3, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )

    @staticmethod
    def average(state: torch.Tensor) -> torch.Tensor:
        """Memory states (n, layers, channels, h, w) to maps (n, 1, 64, 64)."""
        maps = state.float().mean(dim=(1, 2))[:, None]
        return interpolate(maps, (GRID, GRID), mode="bilinear", align_corners=False)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Averaged maps (n, 1, 64, 64) to embeddings (n, 128)."""
        embedding: torch.Tensor = self.layers((maps - self.mean) / self.sd)
        return embedding


class StandardisedDownsampler(nn.Module):
    """Takes states (n, channels, h, w); subtracts the training cohort's mean state, divides by each channel's SD."""

    mean: torch.Tensor
    sd: torch.Tensor

    def __init__(self, shape: MemoryShape) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("sd", torch.ones(shape[0], 1, 1))

    def _standardise(self, states: torch.Tensor) -> torch.Tensor:
        return (states - self.mean) / self.sd


class LightAttentionDownsampler(StandardisedDownsampler):
    """The paper's light attention over memory layers (C, D, H, W).

    Average pool (1, 2, 2); 1 x 1 x 1 convolution to `width`, norm, GELU; the mean over (H, W) of each layer goes
    through a two-layer MLP with GELU to one weight a layer (softmax over D); weighted sum over D; adaptive pool to
    8 x 8, mean, linear to 128. The norm is over a case's own values (GroupNorm), so that no case depends on its batch.
    """

    def __init__(self, shape: MemoryShape, width: int) -> None:
        super().__init__(shape)
        layers = max(1, shape[0] // LAYER_CHANNELS)
        self._layers = layers
        self.mix = nn.Sequential(nn.Conv3d(shape[0] // layers, width, 1), nn.GroupNorm(1, width), nn.GELU())
        self.weigh = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, 1))
        self.out = nn.Linear(width, EMBEDDING_SIZE)

    def forward(self, states: torch.Tensor, weights: torch.Tensor | None = None) -> torch.Tensor:
        """States (n, channels, h, w) to embeddings (n, 128); `weights` of a region are not used."""
        n, channels, *grid = states.shape
        layers = self._standardise(states).reshape(n, self._layers, channels // self._layers, *grid)
        volume = layers.transpose(1, 2)
        mixed = self.mix(avg_pool3d(volume, (1, 2, 2)))
        shares = torch.softmax(self.weigh(mixed.mean(dim=(3, 4)).transpose(1, 2)), dim=1)[:, None, :, :, None]
        summed = (mixed * shares).sum(dim=2)
        embedding: torch.Tensor = self.out(adaptive_avg_pool2d(summed, 8).mean(dim=(2, 3)))
        return embedding


class ChannelsDownsampler(StandardisedDownsampler):
    """All channels kept: 1 x 1 convolution to `width`, a 3 x 3 one to 128, then the mean over the grid.

    With `weights` (n, 1, h, w), the share of each cell that the region covers, the mean is taken inside the region.
    Not in the paper, which averages the channels away first.
    """

    def __init__(self, shape: MemoryShape, width: int) -> None:
        super().__init__(shape)
        self.layers = nn.Sequential(
            nn.Conv2d(shape[0], width, 1), nn.ReLU(), nn.Conv2d(width, EMBEDDING_SIZE, 3, padding=1), nn.ReLU()
        )

    def forward(self, states: torch.Tensor, weights: torch.Tensor | None = None) -> torch.Tensor:
        """States (n, channels, h, w) to embeddings (n, 128)."""
        features = self.layers(self._standardise(states))
        return features.mean(dim=(2, 3)) if weights is None else pool_in_region(features, weights)


class VolumeDownsampler(StandardisedDownsampler):
    """A 3D CNN over (channels, h, w) as if channels were slices; the paper rejected it (at chance)."""

    def __init__(self, shape: MemoryShape, width: int) -> None:
        super().__init__(shape)
        self.layers = nn.Sequential(
            nn.Conv3d(1, width, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv3d(width, 2 * width, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool3d(1),
            nn.Flatten(),
            nn.Linear(2 * width, EMBEDDING_SIZE),
        )

    def forward(self, states: torch.Tensor, weights: torch.Tensor | None = None) -> torch.Tensor:
        """States (n, channels, h, w) to embeddings (n, 128)."""
        embedding: torch.Tensor = self.layers(self._standardise(states)[:, None])
        return embedding


class FlattenDownsampler(StandardisedDownsampler):
    """Every value of the state into one linear layer; the paper rejected it (at chance)."""

    def __init__(self, shape: MemoryShape, width: int) -> None:
        super().__init__(shape)
        size = shape[0] * shape[1] * shape[2]
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(size, width), nn.ReLU(), nn.Linear(width, EMBEDDING_SIZE))

    def forward(self, states: torch.Tensor, weights: torch.Tensor | None = None) -> torch.Tensor:
        """States (n, channels, h, w) to embeddings (n, 128)."""
        embedding: torch.Tensor = self.layers(self._standardise(states))
        return embedding


class PooledDownsampler(nn.Module):
    """Each channel's mean or largest value over the grid, z-scored, or principal axes of those; nothing is trained.

    Not in the paper. Small cohorts can learn a weight a channel, and hardly more.
    """

    mean: torch.Tensor
    sd: torch.Tensor
    axes: torch.Tensor

    def __init__(self, shape: MemoryShape, pooling: PoolingName, components: int) -> None:
        super().__init__()
        self._pooling = pooling
        self.register_buffer("mean", torch.zeros(shape[0], 1, 1))
        self.register_buffer("sd", torch.ones(shape[0], 1, 1))
        if components:
            self.register_buffer("axes", torch.eye(shape[0], components))
        self._components = components

    def pool(self, states: torch.Tensor) -> torch.Tensor:
        """States (n, channels, h, w) to one value a channel (n, channels, 1, 1)."""
        dims = (2, 3)
        return states.mean(dim=dims, keepdim=True) if self._pooling == "mean" else states.amax(dim=dims, keepdim=True)

    def standardise(self, states: torch.Tensor) -> None:
        """Take mean and SD of training states; a constant channel keeps SD 1, so that it stays 0."""
        pooled = self.pool(states)
        sd = pooled.std(dim=0)
        self.mean.copy_(pooled.mean(dim=0))
        self.sd.copy_(torch.where(sd > SMALLEST_POOLED_SD, sd, 1.0))

    def forward(self, states: torch.Tensor, weights: torch.Tensor | None = None) -> torch.Tensor:
        """States (n, channels, h, w) to (n, channels or components); `weights` of a region are not used."""
        scaled = ((self.pool(states) - self.mean) / self.sd).flatten(1)
        return scaled @ self.axes if self._components else scaled


def build_downsampler(
    name: DownsamplerName, shape: MemoryShape, width: int, pooling: PoolingName = "mean", components: int = 0
) -> nn.Module:
    """The downsampler `name`; `shape` (channels, h, w) of the states matters to all but "average", `pooling` and
    `components` to "pooled" alone."""
    if name == "average":
        return AverageDownsampler(width)
    if name == "pooled":
        return PooledDownsampler(shape, pooling, components)
    kinds = {
        "attention": LightAttentionDownsampler,
        "channels": ChannelsDownsampler,
        "volume": VolumeDownsampler,
        "flatten": FlattenDownsampler,
    }
    return kinds[name](shape, width)


def pool_in_region(features: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """The mean of features (n, c, h, w) over the grid, weighted by `weights` (n, 1, *, *) >= 0 brought to their grid.

    The plain mean where a case's weights are all 0 (or NaN).
    """
    brought = interpolate(torch.nan_to_num(weights.float()), features.shape[2:], mode="area")
    empty = brought.sum(dim=(1, 2, 3), keepdim=True) <= 0
    brought = torch.where(empty, torch.ones_like(brought), brought)
    pooled: torch.Tensor = (features * brought).sum(dim=(2, 3)) / brought.sum(dim=(2, 3))
    return pooled
