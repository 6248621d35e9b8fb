"""Memories kept on disk between runs, so that what did not change is not encoded again."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from pathlib import Path

import safetensors
import safetensors.torch
import torch

from MemorySurvivalLib.errors import OutputError
from MemorySurvivalLib.memory.cache_folder import CacheFolder
from MemorySurvivalLib.memory.cache_keys import CACHE_VERSION

_LOG = logging.getLogger(__name__)


class MemoryCache:
    """The cache of one run. It never changes a number, and no trouble with its files ever stops the run.

    `reused_slices` and `made_slices` count what came from the cache and what did not. `trouble` is a sentence for
    the user when memories could not be written (disk full, no permission); the run then goes on without writing.
    `root` and `limit_bytes` default to `default_cache_folder` and `default_limit_bytes`; a limit of 0 bytes caches
    nothing.
    """

    def __init__(self, root: Path | None = None, limit_bytes: int | None = None) -> None:
        self.folder = CacheFolder(root, limit_bytes)
        self.reused_slices = 0
        self.made_slices = 0
        self.trouble: str | None = None

    def remember(self, key: str, make: Callable[[], torch.Tensor]) -> torch.Tensor:
        """The memories (slices, channels, h, w), on the CPU, that are kept under `key`, else those that `make` makes.

        Both are contiguous, since arithmetic on another memory layout rounds differently.
        """
        if self.folder.limit_bytes > 0:
            found = self._find(key)
            if found is not None:
                self.reused_slices += len(found)
                return found
        memories = make().contiguous()
        self.made_slices += len(memories)
        if self.folder.limit_bytes > 0:
            self._keep(key, memories)
        return memories

    def _find(self, key: str) -> torch.Tensor | None:
        try:
            content = self.folder.read(key)
        except OutputError as error:
            _LOG.warning("The cached memories %s cannot be read and are made again: %s", key[:12], error)
            return None
        if content is None:
            return None
        memories = unpack(key, content)
        if memories is None:
            _LOG.warning("The cached memories %s are damaged or of another version; they are made again.", key[:12])
            self.folder.drop(key)
        return memories

    def _keep(self, key: str, memories: torch.Tensor) -> None:
        if self.trouble is not None:
            return
        try:
            self.folder.write(key, pack(key, memories))
        except OutputError as error:
            self.trouble = f"Memories could not be cached, so scoring this case again will take as long: {error}"
            _LOG.warning("%s", self.trouble)


def pack(key: str, memories: torch.Tensor) -> bytes:
    """A safetensors file of contiguous memories and a checksum."""
    stored = memories.detach()
    return safetensors.torch.save({"memories": stored, "check": _checksum(key, stored)})


def unpack(key: str, content: bytes) -> torch.Tensor | None:
    """The memories of a file that `pack` made for `key`; None where the file is anything else.

    The checksum is over every value, since a power cut may leave a file of the right size that holds zeros.
    """
    try:
        tensors = safetensors.torch.load(content)
    except (safetensors.SafetensorError, KeyError, ValueError, RuntimeError):  # a damaged header asks for anything
        return None
    if tensors.keys() != {"memories", "check"}:
        return None
    memories = tensors["memories"]
    return memories if torch.equal(tensors["check"], _checksum(key, memories)) else None


def _checksum(key: str, memories: torch.Tensor) -> torch.Tensor:
    what = f"{CACHE_VERSION} {key} {memories.dtype} {tuple(memories.shape)}"
    digest = hashlib.sha256(what.encode())
    digest.update(memories.flatten().view(torch.uint8).numpy().data)
    return torch.tensor(list(digest.digest()), dtype=torch.uint8)
