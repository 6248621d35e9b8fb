"""A hash of all that was fitted."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import msgspec
import numpy as np
import numpy.typing as npt
import torch


def hash_fitted(*parts: object) -> str:
    """SHA-256 over arrays, tensors, state dicts and typed settings, in the order given; names and shapes count."""
    digest = hashlib.sha256()
    for part in parts:
        _add(digest, part)
    return digest.hexdigest()


def _add(digest: hashlib._Hash, part: object) -> None:
    if isinstance(part, torch.Tensor):
        part = part.detach().cpu().contiguous().numpy()
    if isinstance(part, np.ndarray):
        array: npt.NDArray[np.generic] = np.ascontiguousarray(part)
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(array.tobytes())
    elif isinstance(part, Mapping):
        for name, value in part.items():
            digest.update(str(name).encode() + b"=")
            _add(digest, value)
    elif isinstance(part, (tuple, list)) and any(isinstance(each, (torch.Tensor, np.ndarray)) for each in part):
        for each in part:
            _add(digest, each)
    else:
        digest.update(msgspec.json.encode(part) + b";")
