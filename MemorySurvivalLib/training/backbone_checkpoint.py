"""The state of a backbone's training in one safetensors file: weights, their running mean, and the optimiser's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import safetensors
import safetensors.torch
import torch

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.files import atomic_file

_MOMENTS = ("step", "exp_avg", "exp_avg_sq")


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """`weights` of the network and of the training-only head by name, `mean` their running mean, `moments` AdamW's
    state by name of parameter; `steps` done in `seconds` of training; `settings` is what the training was begun with.
    """

    weights: dict[str, torch.Tensor]
    mean: dict[str, torch.Tensor]
    moments: dict[str, dict[str, torch.Tensor]]
    steps: int
    seconds: float
    settings: str


def save_checkpoint(checkpoint: Checkpoint, path: Path) -> None:
    """Write it whole or not at all. Raises OutputError when there is no room."""
    tensors = {f"weights/{name}": one for name, one in checkpoint.weights.items()}
    tensors |= {f"mean/{name}": one for name, one in checkpoint.mean.items()}
    for name, moments in checkpoint.moments.items():
        tensors |= {f"{key}/{name}": moments[key] for key in _MOMENTS}
    metadata = {
        "steps": str(checkpoint.steps),
        "seconds": repr(checkpoint.seconds),
        "settings": checkpoint.settings,
    }
    # Of its own, since tensors that share memory with others cannot be written.
    apart = {key: one.detach().clone().contiguous() for key, one in tensors.items()}
    with atomic_file(path) as temporary:
        safetensors.torch.save_file(apart, temporary, metadata)


def load_checkpoint(path: Path) -> Checkpoint:
    """Read what `save_checkpoint` wrote. Raises InputError where the file is damaged."""
    kinds: dict[str, dict[str, torch.Tensor]] = {key: {} for key in ("weights", "mean", *_MOMENTS)}
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata: Mapping[str, str] = file.metadata() or {}
            for key in file.keys():  # noqa: SIM118 - not a mapping
                kind, name = key.split("/", 1)
                kinds[kind][name] = file.get_tensor(key)
        steps, seconds, settings = int(metadata["steps"]), float(metadata["seconds"]), metadata["settings"]
    except (OSError, KeyError, ValueError, safetensors.SafetensorError) as error:
        raise InputError(
            f"The training's checkpoint {path} is damaged ({error}); delete it to begin the training anew."
        ) from error
    moments = {name: {key: kinds[key][name] for key in _MOMENTS} for name in kinds["exp_avg"]}
    return Checkpoint(kinds["weights"], kinds["mean"], moments, steps, seconds, settings)
