"""Keys of cached memories: one hash over everything that a memory is computed from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import msgspec
import numpy as np
import numpy.typing as npt
import torch

from MemorySurvivalLib import __version__
from MemorySurvivalLib.devices import describe_device
from MemorySurvivalLib.imaging.volume import Affine
from MemorySurvivalLib.imaging.window import Window
from MemorySurvivalLib.memory.backbone import weights_sha256
from MemorySurvivalLib.memory.engine import MemoryEngine
from MemorySurvivalLib.memory.prompts import PointPrompt, Prompt
from MemorySurvivalLib.memory.slices import SliceFrame

if TYPE_CHECKING:
    from sam2.modeling.sam2_base import SAM2Base

CACHE_VERSION = 1
"""Raise it when the meaning of a cached file changes; changes of the code below are noticed without it."""

_CODE = ("acceleration", "backbone", "bank", "engine", "features", "mapped", "prompts", "propagation", "slices")
"""The files of this package that turn voxels into memories."""

_Stamp = tuple[tuple[int, int], ...]
_FINGERPRINTS: WeakKeyDictionary[torch.nn.Module, tuple[_Stamp, str]] = WeakKeyDictionary()


class MemoryKeys:
    """Makes the keys of one pass over one image.

    In every key: this library (version and code), torch, sam2, the device and how it computes, the model (weights,
    their types, its structure and settings), the image's affine, the frame and the window. No key can be turned back
    into what it was made of.
    """

    def __init__(self, engine: MemoryEngine, affine: Affine, frame: SliceFrame, window: Window) -> None:
        self._common = {
            "cache": CACHE_VERSION,
            "library": __version__,
            "code": code_sha256(),
            "arithmetic": {**describe_arithmetic(engine.device), "how": asdict(engine.acceleration)},
            "model": fingerprint_model(engine.model),
            "affine": (np.round(affine.matrix, 6) + 0.0).tolist(),
            "frame": asdict(frame),
            "window": msgspec.structs.asdict(window),
        }

    def of_slices(self, pixels: npt.NDArray[Any], prompt: Prompt) -> str:
        """The key of slices (n, rows, columns) in HU or SUVbw that are encoded together, each prompted and alone.

        Slices of one batch share a key, since the numbers of a slice depend on how many go through the encoder
        together; batches of one slice are keyed slice by slice.
        """
        return self._key({"mode": "boxed"}, [_slice_sha256(one) for one in pixels], [_prompt_sha256(prompt)])

    def of_pass(
        self,
        mode: str,
        direction: str,
        batch_size: int,
        slices: Iterable[npt.NDArray[Any]],
        prompts: Iterable[Prompt | None],
    ) -> str:
        """The key of a whole pass through memory: its slices (rows, columns) and what each is prompted with."""
        how = {"mode": mode, "direction": direction, "batch_size": batch_size}
        given = [_prompt_sha256(prompt) if prompt is not None else "" for prompt in prompts]
        return self._key(how, [_slice_sha256(one) for one in slices], given)

    def _key(self, how: dict[str, Any], slices: list[str], prompts: list[str]) -> str:
        content = {**self._common, **how, "slices": slices, "prompts": prompts}
        return hashlib.sha256(json.dumps(content, sort_keys=True, allow_nan=False).encode()).hexdigest()


@cache
def code_sha256() -> str:
    """Hash of the code that turns voxels into memories, so that a change of it never meets memories made before."""
    digest = hashlib.sha256()
    for name in _CODE:
        found = find_spec(f"MemorySurvivalLib.memory.{name}")
        digest.update(Path(found.origin).read_bytes() if found and found.origin else b"?")
    return digest.hexdigest()


def describe_arithmetic(device: torch.device) -> dict[str, Any]:
    """What decides the last bits of a result besides its inputs: software, hardware, threads, precision."""
    autocast = torch.is_autocast_enabled(device.type)
    return {
        "torch": str(torch.__version__),
        "sam2": version("sam2"),
        "device": describe_device(device),
        "cpu": torch.backends.cpu.get_cpu_capability(),
        # Measured: compact and hiera-tiny memories differ between one and two threads.
        "threads": torch.get_num_threads(),
        "precision": torch.get_float32_matmul_precision(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "autocast": str(torch.get_autocast_dtype(device.type)) if autocast else None,
    }


def fingerprint_model(model: SAM2Base) -> str:
    """Hash of a model's weights with their types and shapes, its structure and its settings.

    Hashing the weights takes 0.2 s for hiera-tiny, so the result is remembered until a weight is changed.
    """
    state: dict[str, torch.Tensor] = model.state_dict()
    stamp = tuple((tensor.data_ptr(), 0 if tensor.is_inference() else tensor._version) for tensor in state.values())
    known = _FINGERPRINTS.get(model)
    if known is not None and known[0] == stamp:
        weights = known[1]
    else:
        weights = weights_sha256(model)
        _FINGERPRINTS[model] = (stamp, weights)
    content = {
        "weights": weights,
        "types": {name: [str(tensor.dtype), list(tensor.shape)] for name, tensor in state.items()},
        "structure": repr(model),
        "settings": {name: _settings(module) for name, module in model.named_modules()},
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _settings(module: torch.nn.Module) -> dict[str, Any]:
    """The plain values among a module's attributes, such as how many memories SAM 2 looks back on."""
    return {name: value for name, value in vars(module).items() if _is_plain(value)}


def _is_plain(value: object) -> bool:
    if isinstance(value, list | tuple):
        return all(_is_plain(one) for one in value)
    return value is None or isinstance(value, bool | int | float | str)


def _slice_sha256(pixels: npt.NDArray[Any]) -> str:
    """Hash of a slice as the frame reads it: float32, whatever type the volume has."""
    values = np.ascontiguousarray(pixels, dtype=np.float32)
    return hashlib.sha256(f"{values.shape}".encode() + b"\0" + values.tobytes()).hexdigest()


def _prompt_sha256(prompt: Prompt) -> str:
    tensors = (prompt.points, prompt.labels) if isinstance(prompt, PointPrompt) else (prompt.masks,)
    digest = hashlib.sha256(type(prompt).__name__.encode())
    for tensor in tensors:
        digest.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
        digest.update(tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
