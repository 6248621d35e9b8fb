"""Tables of reference cases with their measured burden and, where known, what became of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from MemorySurvivalLib import RESEARCH_USE, __version__
from MemorySurvivalLib.compare.burden import Burden
from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.files import atomic_file
from MemorySurvivalLib.measure.lesion import LesionConfig
from MemorySurvivalLib.resources import locate_resource

SCHEMA = "memory-survival-reference"
SCHEMA_VERSION = 1
Origin = Literal["simulated", "cohort"]

SHIPPED = "Reference/simulated.json"


@dataclass(frozen=True)
class ReferenceCase:
    """One reference case: its burden by the kind of region it was measured in, and its outcome where known.

    `event` is true where it ended in progression or death, false where it was followed for `months` without. `images`
    is a hash of CT and PET, so that a case is never its own twin; empty where there is none. Raises InputError for an
    outcome that cannot be.
    """

    name: str
    burdens: Mapping[str, Burden]
    months: float | None = None
    event: bool | None = None
    images: str = ""

    def __post_init__(self) -> None:
        if (self.months is None) != (self.event is None):
            raise InputError(f"The reference case {self.name} needs both months and event, or neither.")
        if self.months is not None and not self.months >= 0:
            raise InputError(f"The reference case {self.name} has {self.months} months; give zero or more.")


@dataclass(frozen=True)
class ReferenceTable:
    """Reference cases that were all measured the same way. Raises InputError where two have one name."""

    title: str
    origin: Origin
    how: str
    lesion_config: LesionConfig
    cases: tuple[ReferenceCase, ...]
    schema: str = SCHEMA
    schema_version: int = SCHEMA_VERSION
    version: str = __version__
    research_use: str = RESEARCH_USE

    def __post_init__(self) -> None:
        names = [case.name for case in self.cases]
        if len(set(names)) != len(names):
            raise InputError(f"The reference table {self.title!r} names a case twice; give each its own name.")

    def measured_in(self, region: str) -> tuple[ReferenceCase, ...]:
        """The cases that were measured in this kind of region."""
        return tuple(case for case in self.cases if region in case.burdens)

    def as_json(self) -> bytes:
        """Indented UTF-8 JSON."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n"

    def write(self, path: Path) -> None:
        """Write the table whole or not at all. Raises OutputError."""
        with atomic_file(path) as temporary:
            temporary.write_bytes(self.as_json())


def read_reference(path: Path) -> ReferenceTable:
    """Read a table. Raises InputError with one sentence for a file that is none."""
    try:
        table = msgspec.json.decode(path.read_bytes(), type=ReferenceTable)
    except (OSError, msgspec.DecodeError, InputError) as error:
        raise InputError(
            f"{path} is no table of reference cases ({error}); make one with `memory-survival twins build`."
        ) from error
    if (table.schema, table.schema_version) != (SCHEMA, SCHEMA_VERSION):
        raise InputError(
            f"{path} is {table.schema} {table.schema_version} and this version reads {SCHEMA} {SCHEMA_VERSION}; make "
            "it anew with `memory-survival twins build`."
        )
    return table


def read_shipped() -> ReferenceTable:
    """The simulated cases that come along."""
    return read_reference(locate_resource(SHIPPED))
