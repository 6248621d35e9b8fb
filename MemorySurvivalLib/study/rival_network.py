"""A ResNet, ViT or other ImageNet network of torchvision or timm with weights that the user has: its features."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.memory.weights_checkpoint import load_state_dict

IMAGENET_MEAN, IMAGENET_SD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of the colours that torchvision's networks were trained on; timm says its own."""

_CLASSIFIERS = ("fc", "heads", "head", "classifier")
_SIDE = 224


@dataclass(frozen=True, eq=False)
class RivalNetwork:
    """`library:network`, the hash of the weights' file, and the network without its classifier: grey pictures
    (n, 1, side, side), 0 to 1, to features (n, d)."""

    name: str
    sha256: str
    network: nn.Module
    image_size: int
    mean: tuple[float, ...]
    sd: tuple[float, ...]

    @torch.inference_mode()
    def features(self, greys: torch.Tensor) -> torch.Tensor:
        """Grey is shown in all three colours, as the network's own pictures were normalised."""
        mean, sd = (torch.tensor(values)[None, :, None, None] for values in (self.mean, self.sd))
        found: torch.Tensor = self.network((greys.expand(-1, 3, -1, -1) - mean) / sd)
        return found.flatten(1)


def load_rival(name: str, weights: Path) -> RivalNetwork:
    """The network `name` ("torchvision:resnet50", "timm:vit_base_patch16_224") with the weights of a file.

    A .safetensors file, or one that torch reads as tensors alone; it must fit the network to the last tensor. Raises
    InputError where the library or the network is not there or the weights are another's, WeightsError for a file that
    is no state dict.
    """
    library, _, network = name.partition(":")
    if library not in ("torchvision", "timm") or not network:
        raise InputError(f"{name!r} names no network; write torchvision:NAME or timm:NAME, as in torchvision:resnet50.")
    module = _import(library)
    try:
        built = module.models.get_model(network, weights=None) if library == "torchvision" else _timm(module, network)
    except (ValueError, RuntimeError, KeyError) as error:
        raise InputError(f"{library} has no network {network!r} ({error}); see its list of models.") from error
    state = load_state_dict(weights)
    with weights.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    try:
        built.load_state_dict(state, strict=True)
    except RuntimeError as error:
        first = str(error).strip().splitlines()[-1].strip()
        raise InputError(
            f"The weights {weights.name} do not fit {name} ({first}); give those of this network."
        ) from error
    size, mean, sd = _SIDE, IMAGENET_MEAN, IMAGENET_SD
    if library == "timm":
        said: Mapping[str, Any] = built.default_cfg
        size, mean, sd = int(said["input_size"][-1]), tuple(said["mean"]), tuple(said["std"])
        built.reset_classifier(0)
    else:
        _drop_classifier(built, name)
    return RivalNetwork(name, sha256, built.eval().requires_grad_(False), size, mean, sd)


def _import(library: str) -> ModuleType:
    try:
        return importlib.import_module(library)
    except (ImportError, RuntimeError) as error:  # a build for another torch fails while it registers its operators
        raise InputError(
            f"{library} cannot be used here ({error}); install the build that fits this torch, or leave this row out."
        ) from error


def _timm(module: ModuleType, network: str) -> Any:
    return module.create_model(network, pretrained=False)


def _drop_classifier(network: nn.Module, name: str) -> None:
    for classifier in _CLASSIFIERS:
        if isinstance(getattr(network, classifier, None), nn.Module):
            setattr(network, classifier, nn.Identity())
            return
    raise InputError(
        f"{name} has no classifier by a name that is known ({', '.join(_CLASSIFIERS)}); take another network."
    )
