"""How long one slice takes on this machine: measured once for a backbone and a device, then remembered."""

from __future__ import annotations

import contextlib
import hashlib
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import torch

from MemorySurvivalLib.devices import describe_device
from MemorySurvivalLib.errors import OutputError
from MemorySurvivalLib.files import atomic_file
from MemorySurvivalLib.memory.side_by_side import run_side_by_side
from MemorySurvivalLib.resources import data_folder

if TYPE_CHECKING:
    from MemorySurvivalLib.memory.engine import MemoryEngine

MEASURED_SLICES = 3
_WARM_UP_SLICES = 1
_FILE = "speed.json"


def seconds_per_slice(
    engine: MemoryEngine, backbone_sha256: str, *, passes: int = 1, folder: Path | None = None
) -> float:
    """Seconds to encode one slice and to make its memory from a box, the median of three after a first one.

    With more `passes` that many slices are encoded side by side, and the time is divided by their number. Kept in
    `folder` (the user's data folder) under the backbone, the device, the passes, the threads and the version of
    PyTorch; measured again when one of them is another. A folder that cannot be written only means measuring each time.
    """
    place = (folder or data_folder()) / _FILE
    known = _read(place)
    key = _key(engine, backbone_sha256, passes)
    if key not in known:
        known[key] = measure_slice(engine, passes)
        with contextlib.suppress(OutputError), atomic_file(place) as temporary:
            temporary.write_bytes(msgspec.json.encode(known))
    return known[key]


def measure_slice(engine: MemoryEngine, passes: int = 1) -> float:
    """The same, measured now; does not count into `engine.encoded_slices`."""
    size = engine.image_size
    picture = torch.linspace(-1, 1, size).expand(1, 3, size, size).contiguous()
    box = torch.tensor([[0.4, 0.4, 0.6, 0.6]]) * size
    before = engine.encoded_slices
    taken = []
    with run_side_by_side(engine.device, passes) as run_each:
        for _ in range(_WARM_UP_SLICES + MEASURED_SLICES):
            start = time.perf_counter()
            # Memories end on the CPU, so a GPU has finished too.
            list(run_each(lambda _pass: engine.memories(picture, box), range(passes)))
            taken.append((time.perf_counter() - start) / passes)
    engine.encoded_slices = before
    return statistics.median(taken[_WARM_UP_SLICES:])


def _key(engine: MemoryEngine, backbone_sha256: str, passes: int) -> str:
    threads = str(torch.get_num_threads())
    words = (backbone_sha256, describe_device(engine.device), threads, str(torch.__version__), str(passes))
    return hashlib.sha256("\n".join(words).encode()).hexdigest()[:16]


def _read(place: Path) -> dict[str, float]:
    try:
        return msgspec.json.decode(place.read_bytes(), type=dict[str, float])
    except (OSError, msgspec.DecodeError):
        return {}
