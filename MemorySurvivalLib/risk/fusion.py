"""Joining the PET and CT embeddings (paper section 2.3.2)."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import nn

FusionName = Literal["concatenation", "gated"]
FUSIONS: tuple[FusionName, ...] = get_args(FusionName)


class Concatenation(nn.Module):
    """All embeddings side by side."""

    def __init__(self, size: int, count: int) -> None:
        super().__init__()
        self.out_size = size * count

    def forward(self, embeddings: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Embeddings (n, d) each to (n, count * d); no gate."""
        return torch.cat(embeddings, dim=1), None


class GatedFusion(nn.Module):
    """z = alpha z_PET + (1 - alpha) z_CT with alpha = sigmoid(w . [z_PET; z_CT] + b): 2 d + 1 parameters."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.gate = nn.Linear(2 * size, 1)
        self.out_size = size

    def forward(self, embeddings: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Embeddings of PET and CT (n, d) to the mixture (n, d) and the PET's weight alpha (n,)."""
        first, second = embeddings
        alpha = torch.sigmoid(self.gate(torch.cat(embeddings, dim=1)))
        return alpha * first + (1 - alpha) * second, alpha[:, 0]


def build_fusion(name: FusionName, size: int, count: int) -> Concatenation | GatedFusion:
    """The fusion `name` of `count` embeddings of `size` values; gating needs exactly two."""
    if name == "gated":
        if count != 2:
            raise ValueError(f"gated fusion mixes two modalities, got {count}")
        return GatedFusion(size)
    return Concatenation(size, count)
