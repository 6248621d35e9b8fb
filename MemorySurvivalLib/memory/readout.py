"""What is kept of a pass over the body: readouts that turn per-slice memories into one memory state."""

from __future__ import annotations

from typing import Literal, Protocol, get_args

import numpy as np
import numpy.typing as npt
import torch

ReadoutName = Literal["last", "mean", "max"]
READOUTS: tuple[ReadoutName, ...] = get_args(ReadoutName)

Replacements = dict[int, torch.Tensor]
"""Slices whose memory is exchanged: position in the pass -> other memory (channels, h, w)."""


class Readout(Protocol):
    """Keeps what it needs of a pass and answers what the state would be if some slices had other memories."""

    def state(self) -> torch.Tensor:
        """The memory state (layers, channels, h, w), float32."""

    def state_with(self, replacements: Replacements) -> torch.Tensor:
        """The state after exchanging some slices' memories, exactly as if the whole pass had been run again."""

    def sees(self, position: int) -> bool:
        """Whether the slice at `position` of the pass can change the state at all."""


class LastReadout:
    """The memory after the last slice (paper section 2.3.1): blind to every slice before it in `boxed` mode."""

    def __init__(self, memories: torch.Tensor) -> None:
        self._count = memories.shape[0]
        self._last = memories[-1].float()

    def state(self) -> torch.Tensor:
        return self._last[None]

    def state_with(self, replacements: Replacements) -> torch.Tensor:
        return replacements.get(self._count - 1, self._last).float()[None]

    def sees(self, position: int) -> bool:
        return position == self._count - 1


class MeanReadout:
    """The mean over all slices: the whole scan counts evenly. Sums are kept in float64, so exchanges are exact."""

    def __init__(self, memories: torch.Tensor) -> None:
        self._memories = memories
        self._sum: npt.NDArray[np.float64] = np.zeros(tuple(memories.shape[1:]), dtype=np.float64)
        for memory in memories:
            self._sum += memory.double().numpy()

    def state(self) -> torch.Tensor:
        return self._mean(self._sum)

    def state_with(self, replacements: Replacements) -> torch.Tensor:
        total = self._sum.copy()
        for position, memory in replacements.items():
            total += memory.double().numpy() - self._memories[position].double().numpy()
        return self._mean(total)

    def sees(self, position: int) -> bool:
        return True

    def _mean(self, total: npt.NDArray[np.float64]) -> torch.Tensor:
        return torch.from_numpy((total / len(self._memories)).astype(np.float32))[None]


class MaxReadout:
    """The largest value of each memory cell over all slices."""

    def __init__(self, memories: torch.Tensor) -> None:
        self._memories = memories

    def state(self) -> torch.Tensor:
        return self._memories.float().amax(dim=0)[None]

    def state_with(self, replacements: Replacements) -> torch.Tensor:
        exchanged = self._memories.clone()
        for position, memory in replacements.items():
            exchanged[position] = memory
        return exchanged.float().amax(dim=0)[None]

    def sees(self, position: int) -> bool:
        return True


def read_out(name: ReadoutName, memories: torch.Tensor) -> Readout:
    """The readout `name` of per-slice memories (slices, channels, h, w) in the order of the pass."""
    readouts: dict[ReadoutName, type[LastReadout] | type[MeanReadout] | type[MaxReadout]] = {
        "last": LastReadout,
        "mean": MeanReadout,
        "max": MaxReadout,
    }
    return readouts[name](memories)
