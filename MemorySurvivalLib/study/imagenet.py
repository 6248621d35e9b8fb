"""What an ImageNet network sees in a case: some slices of one modality as grey pictures, their features averaged."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from MemorySurvivalLib.imaging.volume import Volume
from MemorySurvivalLib.imaging.window import Window
from MemorySurvivalLib.memory.slices import SliceFrame
from MemorySurvivalLib.study.configuration import ImagenetBaseline
from MemorySurvivalLib.study.imagenet_network import ImagenetNetwork, normalise

IMAGENET = "imagenet"
"""Stands for a readout's name in keys."""

_AT_ONCE = 2
"""Pictures a pass: measured fastest on one thread, whose cache holds no more."""


def choose_levels(levels: Sequence[int], most: int) -> list[int]:
    """At most `most` of the levels, spread evenly, the first and the last among them."""
    if most < 2:
        raise ValueError("the first and the last slice are both read: take two or more")
    places = np.linspace(0, len(levels) - 1, min(most, len(levels)))
    return [levels[place] for place in places.round().astype(int)]


@torch.inference_mode()
def embed_slices(
    network: ImagenetNetwork,
    image: Volume,
    window: Window,
    levels: Sequence[int],
    settings: ImagenetBaseline,
    device: torch.device,
) -> torch.Tensor:
    """The network's features (1280,) of the whole picture, averaged over slices chosen among `levels` of the image.

    `network` lies on `device`. Each slice is windowed, fitted into a square and shown in all three colours.
    """
    frame = SliceFrame.of(image, settings.image_size)
    chosen = choose_levels(levels, settings.most_slices)
    features = []
    for start in range(0, len(chosen), _AT_ONCE):
        greys = frame.greys(image.voxels[chosen[start : start + _AT_ONCE]], window, device)
        pictures = normalise(greys).expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)
        features.append(network(pictures))
    return torch.cat(features).mean(dim=0).cpu()
