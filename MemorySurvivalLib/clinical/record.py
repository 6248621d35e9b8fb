"""Staging scores and the visual reading of a scan as they stand in the record and on the report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from MemorySurvivalLib import RESEARCH_USE

ReadingValue = bool | int | str | tuple[str, ...] | None
"""One answer of the form; None where nothing was answered."""


@dataclass(frozen=True)
class ClinicalScore:
    """One staging score, such as ISS.

    `value` is the stage ("II"), None where an input is missing: then `missing` names the inputs and `sentence` says
    "not computable: FISH missing". `points` is the sum for scores that have one. `inputs` are the values it was
    computed from, as text with units. `citation` is the publication that defines the score.
    """

    name: str
    value: str | None
    sentence: str
    inputs: Mapping[str, str]
    missing: tuple[str, ...]
    citation: str
    points: float | None = None


@dataclass(frozen=True)
class ReadingItem:
    """One question of the IMPeTUs form.

    `suggested` comes from the measurements and `basis` says from which, or why there is none; `answer` is the
    physician's and counts only once `confirmed`. Both are one of `choices`, or a tuple of them where `multiple`.
    Raises ValueError for an answer that is not among them, and for a confirmed item without one.
    """

    key: str
    title: str
    choices: tuple[str, ...]
    suggested: ReadingValue
    basis: str
    answer: ReadingValue = None
    confirmed: bool = False
    multiple: bool = False
    definition: str = ""
    """What the choices mean."""

    def __post_init__(self) -> None:
        for value in (self.suggested, self.answer):
            if value is not None and not self.allows(value):
                raise ValueError(f"{value!r} is no answer to {self.key}; use {self.choices_text}")
        if self.confirmed and self.answer is None:
            raise ValueError(f"{self.key} is confirmed without an answer")

    @property
    def choices_text(self) -> str:
        """The choices in words."""
        return f"{'some' if self.multiple else 'one'} of {', '.join(self.choices)}"

    def allows(self, value: ReadingValue) -> bool:
        """Whether this can be the answer; an empty tuple cannot."""
        if self.multiple:
            return isinstance(value, tuple) and bool(value) and set(value) <= set(self.choices)
        return isinstance(value, str) and value in self.choices


@dataclass(frozen=True)
class VisualReading:
    """The IMPeTUs form of one scan; final only when every item is confirmed and a reader is named."""

    items: tuple[ReadingItem, ...]
    reader: str = ""
    confirmed_at: str = ""
    notes: tuple[str, ...] = ()
    citations: tuple[str, ...] = ()
    research_use: str = RESEARCH_USE
    schema: str = "memory-survival-reading"
    schema_version: int = 1

    @property
    def final(self) -> bool:
        """Whether a named reader has confirmed every item."""
        return bool(self.reader) and bool(self.items) and all(item.confirmed for item in self.items)


@dataclass(frozen=True)
class ClinicalFindings:
    """What stands on the report beside the model's score: staging scores, the visual reading, and which lesions (by
    number) a person has looked at."""

    scores: tuple[ClinicalScore, ...] = ()
    reading: VisualReading | None = None
    reviewed_lesions: tuple[int, ...] = field(default=())
