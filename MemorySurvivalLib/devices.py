"""Where the model runs: choosing a device and stepping back to the CPU when a GPU has no memory left."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

from MemorySurvivalLib.errors import DeviceError

if TYPE_CHECKING:  # torch takes seconds to import; the command's help must not wait for it
    import torch

DeviceName = Literal["auto", "cpu", "cuda", "mps"]
DEVICES: tuple[DeviceName, ...] = get_args(DeviceName)

OUT_OF_MEMORY_NOTE = "The GPU ran out of memory; the work was done on the CPU instead."


def choose_device(name: DeviceName) -> torch.device:
    """The device `name`, or the best one there is for "auto". Raises DeviceError when it is not there."""
    import torch

    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if name == "auto":
        return torch.device("cuda" if cuda else "mps" if mps else "cpu")
    if (name == "cuda" and not cuda) or (name == "mps" and not mps):
        raise DeviceError(f"No {name} device is available on this computer; use --device auto or --device cpu.")
    return torch.device(name)


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether a GPU had no memory left (MPS reports it as a plain RuntimeError)."""
    import torch

    return isinstance(error, torch.OutOfMemoryError) or "out of memory" in str(error).lower()


def describe_device(device: torch.device) -> str:
    """The device in words, for results and reports."""
    import torch

    return f"cuda: {torch.cuda.get_device_name(device)}" if device.type == "cuda" else str(device.type)
