"""What a reader study is: its question, its cases, and in which order each reader sees them."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np

from MemorySurvivalLib import RESEARCH_USE
from MemorySurvivalLib.errors import InputError, OutputError
from MemorySurvivalLib.files import atomic_file
from MemorySurvivalLib.report.stored import read_stored

SCHEMA = "memory-survival-reader-study"
SCHEMA_VERSION = 1
STUDY_FILE = "study.json"

Question = Literal["group", "percentile"]
GROUPS = ("low", "intermediate", "high")
CONFIDENCES = (1, 2, 3, 4, 5)
"""From "guessed" to "certain"."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True)
class Estimate:
    """What a reader thinks of one case: a risk group, or a percentile (0 to 100) among patients; and how sure.

    Raises InputError unless exactly one of the two is given and can be true.
    """

    confidence: int
    group: str | None = None
    percentile: float | None = None

    def __post_init__(self) -> None:
        if (self.group is None) == (self.percentile is None):
            raise InputError("An estimate is either a risk group or a percentile; give exactly one of them.")
        if self.group is not None and self.group not in GROUPS:
            raise InputError(f"There is no risk group {self.group!r}; give one of {', '.join(GROUPS)}.")
        if self.percentile is not None and not 0 <= self.percentile <= 100:
            raise InputError(f"The percentile {self.percentile:g} is not between 0 and 100.")
        if self.confidence not in CONFIDENCES:
            raise InputError(f"The confidence {self.confidence} is not between 1 (guessed) and 5 (certain).")


@dataclass(frozen=True)
class ReaderStudy:
    """The definition that study.json holds; frozen when the study is made.

    `question` is the same for all cases. Cases come in random order, another one for each reader and session, that
    follows from `seed`. `sessions` readings of every case are asked for, `washout_days` apart. `ask_again` asks for a
    second estimate after the score was seen. Raises InputError for a study that cannot be run.
    """

    title: str
    question: Question
    cases: tuple[str, ...]
    seed: int = 0
    sessions: int = 1
    washout_days: float = 0.0
    ask_again: bool = True
    research_use: str = RESEARCH_USE
    schema: str = SCHEMA
    schema_version: int = SCHEMA_VERSION

    def __post_init__(self) -> None:
        if not self.cases:
            raise InputError("A reader study needs at least one case.")
        if len(set(self.cases)) != len(self.cases):
            raise InputError("Two cases of the reader study have the same name; give each its own.")
        for case in self.cases:
            check_name(case, "case")
        if self.sessions < 1:
            raise InputError(f"A reader study has at least one session, not {self.sessions}.")
        if not 0 <= self.washout_days <= 3650:
            raise InputError(f"A washout of {self.washout_days:g} days is not between 0 and 3650.")

    def order(self, reader: str, session: int) -> tuple[str, ...]:
        """The cases in this reader's order of this session."""
        self.check_session(session)
        digest = hashlib.sha256(f"{self.seed}\0{reader}\0{session}".encode()).digest()
        shuffled = np.random.default_rng(int.from_bytes(digest[:8], "little")).permutation(len(self.cases))
        return tuple(self.cases[index] for index in shuffled)

    def check_session(self, session: int) -> None:
        """Raise InputError for a session that the study does not have."""
        if not 1 <= session <= self.sessions:
            raise InputError(f"The study has {self.sessions} sessions, there is no session {session}.")

    def check_case(self, case: str) -> None:
        """Raise InputError for a case that the study does not have."""
        if case not in self.cases:
            raise InputError(f"The case {case!r} is not part of this reader study.")

    def check_estimate(self, estimate: Estimate) -> None:
        """Raise InputError for an answer to the other question."""
        if (estimate.group is not None) != (self.question == "group"):
            wanted = "a risk group" if self.question == "group" else "a percentile"
            raise InputError(f"This study asks for {wanted}.")


def check_name(name: str, what: str) -> None:
    """Raise InputError for a reader's or case's name that could not name a file everywhere."""
    if not _NAME.fullmatch(name):
        raise InputError(
            f"{name!r} cannot name a {what}: use 1 to 64 letters, digits, dots, dashes and underscores, and begin with "
            "a letter or a digit."
        )


def make_study(folder: Path, study: ReaderStudy) -> None:
    """Write study.json into a folder. Raises OutputError where there is a study already."""
    if (folder / STUDY_FILE).exists():
        raise OutputError(
            f"{folder} holds a reader study already; its definition is not changed. Choose another folder."
        )
    with atomic_file(folder / STUDY_FILE) as path:
        path.write_bytes(msgspec.json.format(msgspec.json.encode(study), indent=1))


def read_study(folder: Path) -> ReaderStudy:
    """The study of a folder. Raises InputError where there is none."""
    return read_stored(folder / STUDY_FILE, ReaderStudy, SCHEMA, (SCHEMA_VERSION,), "a reader study")


def third_of(percentile: float) -> str:
    """The group that a percentile belongs to when the patients are cut into three equal parts."""
    return GROUPS[min(int(percentile * len(GROUPS) / 100), len(GROUPS) - 1)]
