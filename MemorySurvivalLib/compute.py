"""Which devices this computer has, which of them "auto" takes, how much memory is free, and why one cannot be used."""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import dataclass
from pathlib import Path

from MemorySurvivalLib.devices import DeviceName, choose_device


@dataclass(frozen=True)
class DeviceState:
    """One choice in the list of devices. Memory in bytes, None where the system does not tell.

    `title` names the hardware, `reason` says in one sentence why it cannot be used ("" where it can).
    """

    name: DeviceName
    title: str
    available: bool
    reason: str
    free_bytes: int | None
    total_bytes: int | None


def list_devices() -> tuple[DeviceName, list[DeviceState]]:
    """What "auto" takes now, and the state of cpu, cuda and mps."""
    chosen = choose_device("auto").type
    taken: DeviceName = "cuda" if chosen == "cuda" else "mps" if chosen == "mps" else "cpu"
    return taken, [_cpu(), _cuda(), _mps()]


def _cpu() -> DeviceState:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    free, total = _main_memory()
    return DeviceState("cpu", f"{cores} cores" if cores > 1 else "1 core", True, "", free, total)


def _cuda() -> DeviceState:
    import torch

    if torch.cuda.is_available():
        index = torch.cuda.current_device()
        try:
            free, total = torch.cuda.mem_get_info(index)
        except RuntimeError as error:  # the driver is there, but another process holds the card alone
            reason = f"The graphics card does not answer ({str(error).splitlines()[0]})."
            return DeviceState("cuda", torch.cuda.get_device_name(index), False, reason, None, None)
        return DeviceState("cuda", torch.cuda.get_device_name(index), True, "", int(free), int(total))
    if torch.version.cuda is None:
        reason = "The installed PyTorch was built without CUDA."
    else:
        reason = f"No NVIDIA graphics card with a driver for CUDA {torch.version.cuda} was found."
    return DeviceState("cuda", "", False, reason, None, None)


def _mps() -> DeviceState:
    import torch

    if torch.backends.mps.is_available():
        total = int(torch.mps.recommended_max_memory())
        free = max(total - int(torch.mps.driver_allocated_memory()), 0)
        return DeviceState("mps", platform.processor() or "Apple", True, "", free, total)
    if sys.platform != "darwin":
        reason = "Only Apple computers have it."
    elif not torch.backends.mps.is_built():
        reason = "The installed PyTorch was built without MPS."
    else:
        reason = "This Mac has no graphics that PyTorch can use (Apple silicon and macOS 12.3 or newer)."
    return DeviceState("mps", "", False, reason, None, None)


def _main_memory() -> tuple[int | None, int | None]:
    """Free and installed main memory, as far as the standard library tells."""
    if sys.platform == "win32":
        return _windows_memory()
    table = Path("/proc/meminfo")
    if table.is_file():
        lines = (line.split() for line in table.read_text(encoding="ascii").splitlines())
        kilobytes = {words[0].rstrip(":"): int(words[1]) for words in lines if len(words) > 1}
        free, total = kilobytes.get("MemAvailable"), kilobytes.get("MemTotal")
        return (None if free is None else free * 1024), (None if total is None else total * 1024)
    try:
        return None, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return None, None


def _windows_memory() -> tuple[int | None, int | None]:
    import ctypes

    class Status(ctypes.Structure):
        _fields_ = (
            ("length", ctypes.c_ulong),
            ("load", ctypes.c_ulong),
            *((name, ctypes.c_ulonglong) for name in ("total", "free", "tp", "fp", "tv", "fv", "ev")),
        )

    status = Status()
    status.length = ctypes.sizeof(Status)
    if not ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status)):  # type: ignore[attr-defined]
        return None, None
    return int(status.free), int(status.total)
