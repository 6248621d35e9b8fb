"""What a replay found, as plain values: the verdict, every number that differs, and what may have caused it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from MemorySurvivalLib import RESEARCH_USE

SCHEMA = "memory-survival-replay"
SCHEMA_VERSION = 1

Verdict = Literal["identical", "same within tolerance", "different"]
CauseKind = Literal["input", "environment"]
"""An input that is not the same is a definite cause; an environment that is not the same is a possible one."""


@dataclass(frozen=True)
class Difference:
    """One value of the record that came out otherwise.

    `name` is its place in result.json. `change` is the absolute difference of two numbers (None for other values),
    `tolerance` what may differ there, `within` whether it stays below.
    """

    name: str
    was: Any
    now: Any
    change: float | None
    tolerance: float
    within: bool


@dataclass(frozen=True)
class Cause:
    """Something that is not as it was in the recorded run; `sentence` says what, for people."""

    kind: CauseKind
    what: str
    was: str
    now: str
    sentence: str


@dataclass(frozen=True)
class ReplayRecord:
    """The outcome of a replay.

    `compared` counts the values of the record that were compared, `bit_for_bit` says whether all were equal without
    any tolerance. `causes` are ordered by how likely each explains the differences; they are listed also where no
    number moved. `notes` say what the replay had to do otherwise than the first run. No path and no name is in here.
    """

    verdict: Verdict
    sentence: str
    bit_for_bit: bool
    compared: int
    differences: tuple[Difference, ...]
    causes: tuple[Cause, ...]
    notes: tuple[str, ...]
    tolerances: Mapping[str, float]
    log_risk_was: float
    log_risk_now: float
    seconds: float
    software: Mapping[str, str] = field(default_factory=dict)
    research_use: str = RESEARCH_USE
    schema: str = SCHEMA
    schema_version: int = SCHEMA_VERSION

    @property
    def same(self) -> bool:
        """Whether the numbers are the same, where need be within the tolerances."""
        return self.verdict != "different"

    def as_json(self) -> bytes:
        """The record as indented UTF-8 JSON."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1)

    def as_builtins(self) -> dict[str, Any]:
        """The record as plain dictionaries and lists."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return plain
