"""The memory bank of one pass: what a slice may look back on, and no more than that."""

from __future__ import annotations

from MemorySurvivalLib.memory.engine import History, MemoryEngine, Trace
from MemorySurvivalLib.memory.features import Features
from MemorySurvivalLib.memory.prompts import Prompt


class MemoryBank:
    """Takes the slices of a pass in order; each after the first attends to those before it.

    SAM 2's memory attention looks at the first slice (the conditioning frame), at the memories of the last
    `num_maskmem - 1` slices (6; farther ones with a temporal stride) and at the object pointers of the last
    `max_obj_ptrs_in_encoder - 1` (15). Nothing else is kept, however long the pass is. `count` is the number of
    slices of the whole pass: SAM 2 scales the age of object pointers by it when it is below 16.
    """

    def __init__(self, engine: MemoryEngine, count: int) -> None:
        model = engine.model
        self._engine, self._count, self._position = engine, count, 0
        # The oldest memory asked for: the last slice, then num_maskmem - 2 more on a lattice of `stride` slices.
        oldest_memory = 1 + (model.num_maskmem - 2) * model.memory_temporal_stride_for_eval
        self._reach = max(oldest_memory, model.max_obj_ptrs_in_encoder - 1)
        self._first: dict[int, Trace] = {}
        self._recent: dict[int, Trace] = {}

    @property
    def kept(self) -> int:
        """How many slices are remembered now."""
        return len(self._first) + len(self._recent)

    def take(self, features: Features, prompt: Prompt | None) -> Trace:
        """The next slice (n = 1) and what it leaves. The first one needs a prompt; it attends to nothing."""
        if self._position == 0:
            if prompt is None:
                raise ValueError("the first slice of a pass needs a prompt")
            trace = self._engine.condition(features, prompt)
            self._first[0] = trace
        else:
            history = History(self._position, self._count, self._first, self._recent)
            trace = self._engine.follow(features, prompt, history)
            self._recent[self._position] = trace
        self._position += 1
        self._recent.pop(self._position - self._reach - 1, None)
        return trace
