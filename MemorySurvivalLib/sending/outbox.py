"""The outbox: a folder for every send, with the very files that go and what the node acknowledged of them."""

from __future__ import annotations

import hashlib
import re
import secrets
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.files import atomic_file, atomic_folder, explain_os_error
from MemorySurvivalLib.resources import data_folder
from MemorySurvivalLib.sending.answers import Answer
from MemorySurvivalLib.sending.nodes import Node
from MemorySurvivalLib.sending.outgoing import Kind, Outgoing

SCHEMA = "memory-survival-outbox"
SCHEMA_VERSION = 1
JOB_FILE = "job.json"

State = Literal["waiting", "accepted", "refused"]

_ID = re.compile(r"\d{8}-\d{6}-[0-9a-f]{6}")


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One instance of a send: its copy in the job's folder, and what the node said (`said`, empty for plain success).

    The instance's UIDs are here, no name and no ID of a patient.
    """

    file: Annotated[str, msgspec.Meta(pattern=r"^\d{4}\.dcm$")]
    kind: Kind
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    size_bytes: int
    sha256: str
    names_patient: bool
    state: State = "waiting"
    said: str = ""


class Parcel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One send: to which node (its definition at that time), whether names may go there, and every instance."""

    id: Annotated[str, msgspec.Meta(pattern=r"^\d{8}-\d{6}-[0-9a-f]{6}$")]
    created: str
    node: Node
    identified: bool
    entries: tuple[Entry, ...]
    problem: str = ""
    schema: str = SCHEMA
    schema_version: int = SCHEMA_VERSION

    @property
    def left(self) -> tuple[Entry, ...]:
        """The instances that the node has not taken."""
        return tuple(entry for entry in self.entries if entry.state != "accepted")

    @property
    def accepted(self) -> int:
        """How many instances the node took."""
        return len(self.entries) - len(self.left)

    def describe(self) -> str:
        """Where the send stands, in a sentence."""
        done = f"{self.accepted} of {len(self.entries)} objects are at {self.node.name} ({self.node.address})"
        if not self.left:
            notes = sorted({entry.said for entry in self.entries if entry.said})
            return f"{done}; {'; '.join(notes)}." if notes else f"{done}."
        refused = sorted({entry.said for entry in self.left if entry.state == "refused"})
        said = f"; {'; '.join(refused)}" if refused else ""
        return f"{done}, {len(self.left)} wait in the outbox{said}." + (f" {self.problem}" if self.problem else "")


@dataclass(frozen=True)
class Outbox:
    """All sends of this user below one folder. Copies of sent files go when everything was acknowledged."""

    folder: Path = field(default_factory=lambda: data_folder() / "outbox")

    def add(self, node: Node, items: Sequence[Outgoing], *, identified: bool) -> Parcel:
        """Copy the files into a new job folder that only this user may read. Raises OutputError, InputError."""
        now = datetime.now(UTC)
        name = f"{now:%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
        entries = tuple(
            Entry(
                f"{number:04d}.dcm",
                item.kind,
                item.sop_class_uid,
                item.sop_instance_uid,
                item.transfer_syntax_uid,
                item.size_bytes,
                item.sha256,
                item.names_patient,
            )
            for number, item in enumerate(items, start=1)
        )
        parcel = Parcel(name, now.isoformat(timespec="seconds"), node, identified, entries)
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise explain_os_error(error, self.folder) from error
        with atomic_folder(self.folder / name) as folder:
            for entry, item in zip(entries, items, strict=True):
                shutil.copyfile(item.path, folder / entry.file)
                _check_copy(folder / entry.file, entry)
            _write(folder, parcel)
        (self.folder / name).chmod(0o700)
        return parcel

    def parcels(self) -> tuple[tuple[Parcel, ...], tuple[str, ...]]:
        """All sends, oldest first, and a sentence for each that cannot be read."""
        if not self.folder.is_dir():
            return (), ()
        parcels, problems = [], []
        for folder in sorted(self.folder.iterdir()):
            if _ID.fullmatch(folder.name):
                try:
                    parcels.append(self.find(folder.name))
                except InputError as error:
                    problems.append(str(error))
        return tuple(parcels), tuple(problems)

    def unfinished(self) -> tuple[Parcel, ...]:
        """The sends of which something is left, oldest first."""
        return tuple(parcel for parcel in self.parcels()[0] if parcel.left)

    def find(self, id: str) -> Parcel:
        """One send. Raises InputError where it is not there or damaged."""
        path = self._folder(id) / JOB_FILE
        try:
            parcel = msgspec.json.decode(path.read_bytes(), type=Parcel)
        except FileNotFoundError as error:
            raise InputError(f"There is no send {id} in the outbox; see `memory-survival send --list`.") from error
        except (OSError, msgspec.DecodeError) as error:
            raise InputError(
                f"The send {id} in the outbox is damaged ({error}); its files are still in {path.parent}."
            ) from error
        if (parcel.schema, parcel.schema_version, parcel.id) != (SCHEMA, SCHEMA_VERSION, id):
            raise InputError(f"The send {id} in the outbox was made by another version; update MemorySurvival.")
        return parcel

    def path(self, parcel: Parcel, entry: Entry) -> Path:
        """The copy that is sent. Raises InputError where it is gone or not what it was."""
        path = self._folder(parcel.id) / entry.file
        _check_copy(path, entry)
        return path

    def note(self, parcel: Parcel, entry: Entry, answer: Answer) -> Parcel:
        """Write down what the node said of one instance, at once."""
        state: State = "accepted" if answer.accepted else "refused"
        changed = msgspec.structs.replace(entry, state=state, said=answer.said)
        entries = tuple(changed if each.file == entry.file else each for each in parcel.entries)
        return self.keep(msgspec.structs.replace(parcel, entries=entries))

    def keep(self, parcel: Parcel) -> Parcel:
        """Write a send as it stands now; where nothing is left its copies go."""
        folder = self._folder(parcel.id)
        _write(folder, parcel)
        if not parcel.left:
            for entry in parcel.entries:
                (folder / entry.file).unlink(missing_ok=True)
        return parcel

    def discard(self, id: str) -> None:
        """Give a send up: its record and its copies go."""
        folder = self._folder(id)
        if not folder.is_dir():
            raise InputError(f"There is no send {id} in the outbox; see `memory-survival send --list`.")
        try:
            shutil.rmtree(folder)
        except OSError as error:
            raise explain_os_error(error, folder) from error

    def forget_finished(self) -> int:
        """Remove the records of sends that are complete; how many there were."""
        finished = [parcel for parcel in self.parcels()[0] if not parcel.left]
        for parcel in finished:
            self.discard(parcel.id)
        return len(finished)

    def _folder(self, id: str) -> Path:
        if not _ID.fullmatch(id):
            raise InputError(f"{id!r} is not the number of a send; see `memory-survival send --list`.")
        return self.folder / id


def _check_copy(path: Path, entry: Entry) -> None:
    try:
        same = hashlib.sha256(path.read_bytes()).hexdigest() == entry.sha256
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); export and send anew.") from error
    if not same:
        raise InputError(f"{path} is not the file that was to be sent; export and send anew.")


def _write(folder: Path, parcel: Parcel) -> None:
    with atomic_file(folder / JOB_FILE) as temporary:
        temporary.write_bytes(msgspec.json.format(msgspec.json.encode(parcel), indent=1))
