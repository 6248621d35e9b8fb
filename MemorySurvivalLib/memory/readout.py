"""What is kept of a pass over the body: readouts that turn per-slice memories into one memory state."""

from __future__ import annotations

import re
from typing import Annotated, Protocol

import msgspec
import numpy as np
import numpy.typing as npt
import torch

from MemorySurvivalLib.errors import InputError

MAX_LAYERS = 64

_PATTERN = "^(last|mean|max|(bank|stations|tops):([1-9]|[1-5][0-9]|6[0-4]))$"

ReadoutName = Annotated[str, msgspec.Meta(pattern=_PATTERN)]
"""`last`, `mean`, `max`, or `bank:K`, `stations:K` or `tops:K` with K from 1 to 64."""

READOUTS: tuple[ReadoutName, ...] = ("last", "mean", "max", "bank:2", "stations:4", "tops:4")
"""One of each kind, with the usual number of layers."""

Replacements = dict[int, torch.Tensor]
"""Slices whose memory is exchanged: position in the pass -> other memory (channels, h, w)."""


class Readout(Protocol):
    """Keeps what it needs of a pass and answers what the state would be if some slices had other memories."""

    def state(self) -> torch.Tensor:
        """The memory state (layers, channels, h, w), float32."""

    def state_with(self, replacements: Replacements) -> torch.Tensor:
        """The state after exchanging some slices' memories, exactly as if it were read out of those memories."""

    def sees(self, position: int) -> bool:
        """Whether the memory of the slice at `position` of the pass can change the state at all."""


class BankReadout:
    """The memories of the last `layers` slices, the last one last; `last` is the bank of one layer.

    The paper reports two layers "after crop/pad of the memory-layer axis" (section 2.3.1). We crop to the last ones;
    a shorter pass is padded with layers of zeros in front. In `boxed` mode it is blind to every slice before them.
    """

    def __init__(self, memories: torch.Tensor, layers: int = 1) -> None:
        self._start = len(memories) - layers
        """Position of the first layer; negative where the pass is shorter than the bank."""
        self._kept = memories[max(0, self._start) :].float()
        self._padding = memories.new_zeros((max(0, -self._start), *memories.shape[1:]), dtype=torch.float32)

    def state(self) -> torch.Tensor:
        return self.state_with({})

    def state_with(self, replacements: Replacements) -> torch.Tensor:
        state = torch.cat([self._padding, self._kept])
        for position, memory in replacements.items():
            if self.sees(position):
                state[position - self._start] = memory.float()
        return state

    def sees(self, position: int) -> bool:
        return position >= self._start


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


class StationsReadout:
    """The pass cut into `layers` stations of equally many slices, in its order, and the mean within each; with
    `largest` the largest value of each cell instead (`tops`).

    Station k holds the positions from floor(k n / K) up to floor((k + 1) n / K), so sizes differ by one at most. A
    pass of fewer slices than stations repeats slices: station k then holds the position floor(k n / K) alone.
    """

    def __init__(self, memories: torch.Tensor, layers: int, largest: bool = False) -> None:
        count = len(memories)
        starts = [number * count // layers for number in range(layers)]
        stops = [max((number + 1) * count // layers, start + 1) for number, start in enumerate(starts)]
        self.spans = list(zip(starts, stops, strict=True))
        """Positions of each station: the first one, and the one after the last."""
        within = MaxReadout if largest else MeanReadout
        self.within: list[Readout] = [within(memories[start:stop]) for start, stop in self.spans]

    def state(self) -> torch.Tensor:
        return self.state_with({})

    def state_with(self, replacements: Replacements) -> torch.Tensor:
        layers = []
        for (start, stop), one in zip(self.spans, self.within, strict=True):
            layers.append(one.state_with({k - start: m for k, m in replacements.items() if start <= k < stop}))
        return torch.cat(layers)

    def sees(self, position: int) -> bool:
        return True


class MaxReadout:
    """The largest value of each memory cell over all slices.

    Of each cell the few largest values and their slices are kept, so that an exchange only follows the cells whose
    largest value goes, down to the largest that stays. Cells that lose all they keep look at all memories again.
    """

    RUNNERS_UP = 6

    def __init__(self, memories: torch.Tensor) -> None:
        self._cells = memories.flatten(1)
        self._shape = memories.shape[1:]
        top = torch.topk(self._cells, min(len(memories), self.RUNNERS_UP), dim=0)
        self._values, self._owners = top.values.float(), top.indices.to(torch.int32)

    def state(self) -> torch.Tensor:
        return self._values[0].reshape(1, *self._shape).clone()

    def state_with(self, replacements: Replacements) -> torch.Tensor:
        goes = torch.zeros(len(self._cells), dtype=torch.bool)
        goes[list(replacements)] = True
        best = self._values[0].clone()
        lost = goes[self._owners[0]].nonzero()[:, 0]
        for values, owners in zip(self._values[1:], self._owners[1:], strict=True):
            best[lost] = values[lost]
            lost = lost[goes[owners[lost]]]
        if len(lost):
            remaining = self._cells[:, lost].masked_fill(goes[:, None], float("-inf"))
            best[lost] = remaining.amax(dim=0).float()
        for memory in replacements.values():
            best = torch.maximum(best, memory.float().flatten())
        return best.reshape(1, *self._shape)

    def sees(self, position: int) -> bool:
        return True


def check_readout(name: str) -> tuple[str, int]:
    """The kind of readout and its number of layers. Raises InputError for a name that is none."""
    if not re.match(_PATTERN, name):
        raise InputError(
            f"Unknown readout {name!r}; known are last, mean, max, bank:K, stations:K and tops:K with K from 1 to "
            f"{MAX_LAYERS}."
        )
    kind, _, layers = name.partition(":")
    return kind, int(layers or 1)


def read_out(name: ReadoutName, memories: torch.Tensor) -> Readout:
    """The readout `name` of per-slice memories (slices, channels, h, w) in the order of the pass.

    Raises InputError for an unknown name.
    """
    kind, layers = check_readout(name)
    if kind == "mean":
        return MeanReadout(memories)
    if kind == "max":
        return MaxReadout(memories)
    if kind in ("stations", "tops"):
        return StationsReadout(memories, layers, largest=kind == "tops")
    return BankReadout(memories, layers)
