"""Where each case of a worklist stands: a file beside the results, so that tomorrow goes on where today ended."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import msgspec

from MemorySurvivalLib import RESEARCH_USE
from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.files import atomic_file

STATUS_FILE = "worklist.json"

State = Literal["to do", "prepared", "scored", "reviewed", "failed"]
"""`prepared`: mask and embedding are there. `reviewed`: a person has said that they are done with it."""


@dataclass(frozen=True)
class CaseStatus:
    """One case: its state, by whom it was reviewed, why it failed, and what came out; `fingerprint` of its request."""

    state: State = "to do"
    reviewer: str = ""
    sentence: str = ""
    log_risk: float | None = None
    fingerprint: str = ""
    changed: str = ""


@dataclass(frozen=True)
class WorklistStatus:
    """The states of all cases by name; a case that is not named is still to do."""

    cases: dict[str, CaseStatus] = field(default_factory=dict)
    research_use: str = RESEARCH_USE
    schema: str = "memory-survival-worklist"
    schema_version: int = 1

    def of(self, case: str) -> CaseStatus:
        """Where one case stands."""
        return self.cases.get(case, CaseStatus())

    def with_case(self, case: str, status: CaseStatus) -> WorklistStatus:
        """The same with one case changed now."""
        stamped = replace(status, changed=datetime.now(UTC).isoformat(timespec="seconds"))
        return replace(self, cases={**self.cases, case: stamped})


def read_status(folder: Path) -> WorklistStatus:
    """The states kept in a result folder; all to do where there are none. Raises InputError for a damaged file."""
    place = folder / STATUS_FILE
    if not place.is_file():
        return WorklistStatus()
    try:
        return msgspec.json.decode(place.read_bytes(), type=WorklistStatus)
    except (OSError, msgspec.DecodeError) as error:
        raise InputError(
            f"{place} cannot be read ({error}); move it away to start over, the results beside it stay."
        ) from error


def write_status(folder: Path, status: WorklistStatus) -> None:
    """Keep the states; a kill leaves the earlier file or the new one. Raises OutputError where that cannot be."""
    with atomic_file(folder / STATUS_FILE) as place:
        place.write_bytes(msgspec.json.format(msgspec.json.encode(status), indent=2) + b"\n")
