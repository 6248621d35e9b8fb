"""What an export wrote: every object with its kind, UIDs and whether it carries a risk (dicom.json)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import msgspec

from MemorySurvivalLib import RESEARCH_USE, __version__
from MemorySurvivalLib.files import atomic_file
from MemorySurvivalLib.report.stored import read_stored
from MemorySurvivalLib.report.subject import IdentityChoice

SCHEMA = "memory-survival-dicom"
SCHEMA_VERSION = 1
FILE_NAME = "dicom.json"

Kind = Literal["seg", "sr", "pm", "pdf", "sc"]
"""What a user asks for: masks, structured reports, parametric map, encapsulated PDF, secondary captures."""

KINDS: tuple[Kind, ...] = get_args(Kind)

ObjectKind = Literal["region", "lesions", "structures", "measurements", "risk", "heatmap", "report", "picture"]

RISK_KINDS: frozenset[ObjectKind] = frozenset({"risk", "heatmap", "report", "picture"})
"""Objects that tell of the risk. Those of a demonstration bundle never leave for a node."""


@dataclass(frozen=True)
class ExportedObject:
    """One file: what it is, where it lies below the folder, its UIDs, its size and hash."""

    kind: ObjectKind
    asked: Kind
    file: str
    carries_risk: bool
    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    transfer_syntax_uid: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class ExportedObjects:
    """What an export left in `folder`.

    `left_out` are sentences on what was asked for and could not be written; `notes` what to know of the rest.
    """

    study_instance_uid: str
    same_study: bool
    identity: IdentityChoice
    bundle_status: str
    labels: tuple[str, ...]
    objects: tuple[ExportedObject, ...]
    left_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    version: str = __version__
    research_use: str = RESEARCH_USE
    schema: str = SCHEMA
    schema_version: int = SCHEMA_VERSION

    @property
    def sendable(self) -> tuple[ExportedObject, ...]:
        """What may go to a node: everything, or of a demonstration bundle what carries no risk."""
        demonstration = self.bundle_status == "demonstration"
        return tuple(one for one in self.objects if not (demonstration and one.carries_risk))

    def files(self, folder: Path, *, sendable_only: bool = False) -> tuple[Path, ...]:
        """Paths of the objects of an export that lies in `folder`."""
        return tuple(folder / one.file for one in (self.sendable if sendable_only else self.objects))

    def write(self, path: Path) -> None:
        """Write dicom.json whole or not at all. Raises OutputError."""
        with atomic_file(path) as temporary:
            temporary.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=1))


def read_manifest(folder: Path) -> ExportedObjects:
    """What a folder of exported objects holds. Raises InputError where it is none."""
    return read_stored(folder / FILE_NAME, ExportedObjects, SCHEMA, (SCHEMA_VERSION,), "exported DICOM objects")
