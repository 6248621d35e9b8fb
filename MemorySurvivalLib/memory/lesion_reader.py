"""A small network that reads lesions in memories: how much of each memory cell it takes for lesion, kind by kind.

Not in the paper. A lesion fills one or two cells of one or two slices, and no channel of a memory stands for lesion
alone; the readouts that keep channels lose most of it. The reader was shown where the lesions of simulated patients lie
(training/lesion_reader.py). It belongs to its backbone, as a head does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch
from torch import nn

from MemorySurvivalLib.imaging.window import MODALITIES, Modality

KINDS = ("focal", "paramedullary")
"""Lesions of bone, and masses that grow out of it."""

WIDTHS = (48, 32)

CONTEXT = 3
"""A cell is read together with the cells around it, so many along each side."""


class LesionReader(nn.Module):
    """Reads memories (n, channels, h, w) of one modality, each slice alone, so that its numbers do not depend on which
    slices go together."""

    def __init__(self, channels: int, kinds: tuple[str, ...] = KINDS, widths: tuple[int, int] = WIDTHS) -> None:
        super().__init__()
        self.kinds = kinds
        self.widths = widths
        self.channels = channels
        self.networks = nn.ModuleDict({modality: _network(channels, len(kinds), widths) for modality in MODALITIES})
        for modality in MODALITIES:
            self.register_buffer(f"{modality}_mean", torch.zeros(channels))
            self.register_buffer(f"{modality}_sd", torch.ones(channels))

    def set_scale(self, modality: Modality, mean: torch.Tensor, sd: torch.Tensor) -> None:
        """Mean and SD (channels,) that its channels are brought to 0 and 1 with."""
        self.get_buffer(f"{modality}_mean").copy_(mean)
        self.get_buffer(f"{modality}_sd").copy_(sd)

    def logits(self, memories: torch.Tensor, modality: Modality) -> torch.Tensor:
        """Logits (n, kinds, h, w), float32, of slices together, as training needs them."""
        mean, sd = (self.get_buffer(f"{modality}_{name}")[:, None, None] for name in ("mean", "sd"))
        found: torch.Tensor = self.networks[modality]((memories.float() - mean) / sd)
        return found

    def shares(self, memories: torch.Tensor, modality: Modality) -> torch.Tensor:
        """The share of each cell that it takes for lesion, 0 to 1: (n, kinds, h, w), float32."""
        return torch.cat([torch.sigmoid(self.logits(one[None], modality)) for one in memories])

    def pool(self, memories: torch.Tensor, cells: torch.Tensor, modality: Modality) -> torch.Tensor:
        """What it finds on each slice: (n, 2 kinds, 1, 1), float32.

        `cells` (n, 1, h, w) says which cells count (0 or 1). First each kind's largest share, then log(1 + the sum of
        its shares), which grows with the number of cells that are lesion.
        """
        found = self.shares(memories, modality) * cells
        together = torch.cat([found.amax(dim=(2, 3)), torch.log1p(found.sum(dim=(2, 3)))], dim=1)
        return together[:, :, None, None]


def _network(channels: int, kinds: int, widths: tuple[int, int]) -> nn.Sequential:
    first, second = widths
    return nn.Sequential(
        nn.Conv2d(channels, first, 1),
        nn.GELU(),
        nn.Dropout2d(0.1),
        nn.Conv2d(first, second, CONTEXT, padding=CONTEXT // 2),
        nn.GELU(),
        nn.Conv2d(second, kinds, 1),
    )


def reader_sha256(reader: LesionReader) -> str:
    """Hash of all parameters and buffers in float32, in the order of their names, and of the kinds."""
    digest = hashlib.sha256(repr(reader.kinds).encode())
    for key, tensor in sorted(reader.state_dict().items()):
        digest.update(key.encode())
        digest.update(tensor.detach().to("cpu", torch.float32).contiguous().numpy().tobytes())
    return digest.hexdigest()


def build_reader(kinds: tuple[str, ...], tensors: Mapping[str, torch.Tensor]) -> LesionReader:
    """The reader of saved tensors, ready to read. Raises ValueError where they do not belong together."""
    try:
        first, channels = tensors["networks.PET.0.weight"].shape[:2]
        second = len(tensors["networks.PET.3.weight"])
    except (KeyError, ValueError) as error:
        raise ValueError(f"they are no lesion reader's ({error})") from error
    reader = LesionReader(channels, kinds, (first, second))
    expected = reader.state_dict()
    wrong = sorted(
        key
        for key in expected.keys() | tensors.keys()
        if key not in tensors or key not in expected or tensors[key].shape != expected[key].shape
    )
    if wrong:
        raise ValueError(f"{wrong[0]} does not fit")
    if not all(bool(torch.isfinite(tensor).all()) for tensor in tensors.values()):
        raise ValueError("not every number is finite")
    reader.load_state_dict({key: tensor.float() for key, tensor in tensors.items()})
    return reader.eval().requires_grad_(False)
