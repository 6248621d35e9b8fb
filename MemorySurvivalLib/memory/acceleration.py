"""How a device runs the backbone: in which arithmetic, and how many slices go through the encoder together."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch

BYTES_PER_PIXEL = 1024
"""What the encoder of a slice takes at most for each pixel of its picture: 0.25 GB at 512 x 512. A guess on the safe
side; where it is too low, `MemoryEngine` halves what it does together."""

SHARE_OF_FREE = 0.5
MOST_TOGETHER = 32


@dataclass(frozen=True)
class Acceleration:
    """`bfloat16`: arithmetic in bfloat16 where SAM 2's own scripts use it. `together`: slices a batch, at least.

    `compiled` is a mode of `torch.compile` for the image encoder ("reduce-overhead" replays CUDA graphs), None for
    none: the first batch of every size then takes minutes.
    """

    bfloat16: bool = False
    together: int = 1
    compiled: str | None = None

    @classmethod
    def of(cls, device: torch.device, image_size: int) -> Acceleration:
        """What suits `device` now: nothing on a CPU, where bfloat16 is slower and batches gain nothing (measured), nor
        on MPS, where it was never tried; on CUDA both, with a batch that fits half of the memory that is free."""
        if device.type != "cuda":
            return cls()
        free, _total = torch.cuda.mem_get_info(device)
        return cls(torch.cuda.is_bf16_supported(), fitting(free, image_size))

    def arithmetic(self, device: torch.device) -> AbstractContextManager[object]:
        """The context in which the model runs."""
        return torch.autocast(device.type, torch.bfloat16) if self.bfloat16 else nullcontext()

    def describe(self) -> str:
        """In words, for results; empty where nothing is done."""
        words = ["bfloat16"] if self.bfloat16 else []
        words += [f"up to {self.together} slices together"] if self.together > 1 else []
        words += [f"compiled ({self.compiled})"] if self.compiled else []
        return ", ".join(words)


def fitting(free_bytes: int, image_size: int) -> int:
    """How many slices go together in so much free memory: a power of two, 1 to 32."""
    room = int(SHARE_OF_FREE * free_bytes / (BYTES_PER_PIXEL * image_size**2))
    return 1 << max(0, min(room, MOST_TOGETHER).bit_length() - 1)
