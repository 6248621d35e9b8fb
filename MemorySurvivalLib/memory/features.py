"""What the image encoder says of slices, and a place for it outside the main memory between two passes."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

import torch

from MemorySurvivalLib.errors import OutputError


@dataclass(frozen=True, eq=False)
class Features:
    """Feature maps of n slices, finest first: `maps` and their position encodings, (n, channels, h, w) each."""

    maps: tuple[torch.Tensor, ...]
    positions: tuple[torch.Tensor, ...]

    def split(self) -> Iterator[Features]:
        """The slices one by one."""
        for index in range(self.maps[0].shape[0]):
            yield Features(
                tuple(one[index : index + 1] for one in self.maps),
                tuple(one[index : index + 1] for one in self.positions),
            )


class FeatureFile:
    """Features of single slices in a temporary file, so that a second pass need not encode them again.

    Slices are numbered as they come; the position encodings are the same for every slice and stay in memory. What is
    read has the values and the memory layout of what was written, since arithmetic on another layout rounds
    differently. Raises OutputError when the temporary folder is full.
    """

    def __init__(self, file: IO[bytes], device: torch.device) -> None:
        self._file, self._device = file, device
        self._first: Features | None = None

    def append(self, features: Features) -> None:
        """Write one more slice."""
        self._first = self._first or features
        try:
            for like, one in zip(self._first.maps, features.maps, strict=True):
                kept = torch.empty_strided(like.shape, like.stride(), dtype=like.dtype).copy_(one)
                self._file.write(kept.as_strided((kept.numel(),), (1,)).view(torch.uint8).numpy().data)
            self._file.flush()
        except OSError as error:
            raise OutputError(
                f"The features of a slice cannot be kept in {tempfile.gettempdir()} ({error.strerror}); free some "
                "space there or choose one direction instead of both."
            ) from error

    def read(self, number: int) -> Features:
        """The slice that was written as `number`, counted from 0."""
        if self._first is None:
            raise IndexError("no slice has been written")
        self._file.seek(number * sum(like.nbytes for like in self._first.maps))
        maps = []
        for like in self._first.maps:
            flat = torch.frombuffer(bytearray(self._file.read(like.nbytes)), dtype=like.dtype)
            maps.append(flat.as_strided(like.shape, like.stride()).to(self._device))
        return Features(tuple(maps), self._first.positions)
