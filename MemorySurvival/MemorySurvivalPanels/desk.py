"""What the parts of the panel share: the widgets, the worker, the private folder, and a way to say what changed."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from MemorySurvivalPanels.run_panel import RunPanel
from MemorySurvivalPanels.scratch import ScratchFolder
from MemorySurvivalPanels.shortcuts import Shortcuts
from MemorySurvivalPanels.worker_protocol import WorkerProtocol


@dataclass(frozen=True)
class Desk:
    """Handed to every part.

    `worker` is asked for each time, because it may be exchanged; `changed` has every part show what is so now;
    `shortcuts.add(key, text, callback)` gives a part a key that works while the module is open.
    """

    ui: Any
    run_panel: RunPanel
    worker: Callable[[], WorkerProtocol]
    scratch: ScratchFolder
    changed: Callable[[], None]
    shortcuts: Shortcuts
