"""One finding about a PET that is recorded and shown, never hidden."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["note", "warning"]


@dataclass(frozen=True)
class QualityFlag:
    """One finding about a PET: a short name, how much it matters, one sentence for the user, and the number behind it.

    "note" is worth knowing; "warning" can change the score.
    """

    name: str
    severity: Severity
    sentence: str
    value: float | None = None
