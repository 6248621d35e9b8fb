"""Reading a checkpoint file without running code from it, and comparing it with the network it is meant for."""

from __future__ import annotations

import pickle  # for the name of the error that torch's restricted reader raises; nothing is unpickled here
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from MemorySurvivalLib.errors import WeightsError

_LARGEST_BYTES = 2 * 2**30  # hiera-tiny with a whole optimizer state is half a gigabyte


def load_state_dict(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a checkpoint, on the CPU, by name.

    Reads `.safetensors`, or what `torch.save` wrote: `{"model": state_dict}` or a bare state dict. Files are read
    with torch's restricted reader, so code inside is never run. Raises WeightsError when the file is missing,
    damaged, holds code, or holds something else than named tensors.
    """
    if not path.is_file():
        raise WeightsError(f"The checkpoint {path} does not exist; check the path.")
    _check_size(path)
    content: object = _read_safetensors(path) if path.suffix.lower() == ".safetensors" else _read_torch(path)
    if isinstance(content, Mapping) and isinstance(content.get("model"), Mapping):
        content = content["model"]
    if not isinstance(content, Mapping) or not content:
        raise WeightsError(f"{path} holds no state dict (named tensors, bare or under 'model'); choose a checkpoint.")
    state: dict[str, torch.Tensor] = {}
    for key, value in content.items():
        if not isinstance(key, str) or not isinstance(value, torch.Tensor) or value.layout != torch.strided:
            raise WeightsError(
                f"{path} is not a plain state dict: the entry {key!r} is not a named dense tensor; save only "
                "model.state_dict()."
            )
        state[key] = value.detach()
    return state


def check_keys(state: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor], what: str) -> None:
    """Compare names, shapes and kinds of `state` with those of `expected`, a model's state dict.

    `what` names the checkpoint in the message. Raises WeightsError naming the first difference.
    """
    missing, unexpected = sorted(expected.keys() - state.keys()), sorted(state.keys() - expected.keys())
    if missing or unexpected:
        first = f"{missing[0]} is missing" if missing else f"{unexpected[0]} is not part of the model"
        raise WeightsError(
            f"{what} is not a checkpoint of sam2.1 hiera-tiny: {len(missing)} of {len(expected)} keys are missing and "
            f"{len(unexpected)} are unknown (first: {first}); choose a checkpoint of that model."
        )
    for key, tensor in expected.items():
        if state[key].shape != tensor.shape:
            raise WeightsError(
                f"{what} is not a checkpoint of sam2.1 hiera-tiny: {key} has shape {tuple(state[key].shape)} where "
                f"{tuple(tensor.shape)} belongs; choose a checkpoint of that model."
            )
        if state[key].is_floating_point() != tensor.is_floating_point():
            raise WeightsError(
                f"{what} does not fit sam2.1 hiera-tiny: {key} is stored as {state[key].dtype} where {tensor.dtype} "
                "belongs; choose a checkpoint in floating point."
            )


def check_finite(state: Mapping[str, torch.Tensor], what: str) -> None:
    """Raise WeightsError when a tensor holds NaN or infinity, as a diverged training leaves behind."""
    for key, tensor in state.items():
        if not torch.isfinite(tensor).all():
            raise WeightsError(f"{what} holds values that are not finite in {key}; choose a checkpoint that is sound.")


def _check_size(path: Path) -> None:
    """Refuse a file that would fill the memory, also one that only does so once unpacked."""
    size_bytes = path.stat().st_size
    if zipfile.is_zipfile(path):
        try:
            with zipfile.ZipFile(path) as archive:
                size_bytes = max(size_bytes, sum(member.file_size for member in archive.infolist()))
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise WeightsError(f"{path} is damaged ({error}); get it again from where it came.") from error
    if size_bytes > _LARGEST_BYTES:
        raise WeightsError(
            f"{path} unpacks to {size_bytes / 1e9:.1f} GB, far more than a hiera-tiny checkpoint; choose another file."
        )


def _read_safetensors(path: Path) -> dict[str, torch.Tensor]:
    try:
        return load_file(path, device="cpu")
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise WeightsError(f"{path} is not a sound safetensors file ({_first_line(error)}); get it again.") from error


def _read_torch(path: Path) -> object:
    # Read, not mapped: on Windows a mapped file could not be moved into place, and a scan must survive its deletion.
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "Unsupported" in str(error) or "weights_only" in str(error).lower():
            raise WeightsError(
                f"{path} holds Python objects or code beside its weights, which are never run here; save only "
                "model.state_dict(), or convert the file to safetensors where you trust it."
            ) from error
        raise WeightsError(
            f"{path} is not a PyTorch checkpoint ({_first_line(error)}); choose another file."
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, LookupError, TypeError, AttributeError, struct.error) as error:
        # What the restricted reader raises on files that are cut short or are no checkpoints at all.
        raise WeightsError(
            f"{path} is damaged or not a PyTorch checkpoint ({_first_line(error)}); get it again from where it came."
        ) from error


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:160].rstrip(".") if lines else type(error).__name__
