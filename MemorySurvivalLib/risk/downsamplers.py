"""From a memory state to an embedding vector (paper section 2.3.1, "average embedding")."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import interpolate

GRID = 64
"""Maps are brought to 64 x 64 (the paper's size) whatever the backbone's memory grid."""

EMBEDDING_SIZE = 128


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
