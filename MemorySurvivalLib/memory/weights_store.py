"""The folder of backbone weights on this machine: each file as it came, with a JSON record of what it is beside it."""

from __future__ import annotations

import contextlib
import hashlib
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from MemorySurvivalLib.errors import OutputError, WeightsError
from MemorySurvivalLib.files import atomic_file
from MemorySurvivalLib.memory.weights_releases import RELEASES, Release, find_release
from MemorySurvivalLib.progress import ProgressCallback, ignore_progress, track
from MemorySurvivalLib.resources import data_folder

SUFFIXES = (".pt", ".pth", ".safetensors")
"""How checkpoint files end."""

Status = Literal["present", "absent", "damaged"]

_CHUNK_BYTES = 2**20
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # names of devices on Windows

Sha256 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]


class Consent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which licence text the user agreed to, what was shown, and when (ISO 8601, UTC)."""

    licence: str
    version: str
    text_url: str
    notice: str
    accepted_at: str


class Stamp(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Times (nanoseconds) and size of a file when its hash was last right; while they stand, it is not read again."""

    modified_ns: int
    changed_ns: int
    size_bytes: int

    @classmethod
    def of(cls, path: Path) -> Stamp:
        status = path.stat()
        return cls(status.st_mtime_ns, status.st_ctime_ns, status.st_size)


class WeightsRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is known of one stored file. `release` is false for weights that match no published release."""

    name: str
    file: str
    sha256: Sha256
    size_bytes: Annotated[int, msgspec.Meta(ge=1)]
    release: bool
    licence: str
    origin: str
    consent: Consent | None
    imported_at: str
    stamp: Stamp

    def __post_init__(self) -> None:
        check_name(self.name)
        if self.file not in [self.name + suffix for suffix in SUFFIXES]:
            raise WeightsError(f"The record of {self.name} names the file {self.file!r}, which is not its own.")


@dataclass(frozen=True)
class StoreEntry:
    """One line of the list: published weights or stored ones, with what is wrong when they are damaged."""

    name: str
    status: Status
    release: Release | None
    record: WeightsRecord | None
    detail: str = ""


def check_name(name: str) -> None:
    """Raise WeightsError unless `name` can name a file on every system."""
    if not _NAME.fullmatch(name) or name.endswith(".") or _RESERVED.fullmatch(name):
        raise WeightsError(
            f"{name!r} cannot name weights; use at most 64 letters, digits, dots, dashes and underscores, a letter or "
            "digit first."
        )


def hash_file(path: Path, stage: str, progress: ProgressCallback = ignore_progress) -> str:
    """Sha256 of a file in hexadecimal. Progress counts mebibytes. Raises WeightsError when it cannot be read."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as stream:
            chunks = -(-path.stat().st_size // _CHUNK_BYTES)
            for chunk in track(iter(lambda: stream.read(_CHUNK_BYTES), b""), stage, chunks, progress):
                digest.update(chunk)
    except OSError as error:
        raise WeightsError(f"{path} cannot be read ({error.strerror or error}); check the path.") from error
    return digest.hexdigest()


def timestamp() -> str:
    """This moment in UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True)
class WeightsStore:
    """The weights below one folder, judged by one table of releases."""

    folder: Path = field(default_factory=lambda: data_folder() / "weights")
    releases: tuple[Release, ...] = field(default_factory=lambda: RELEASES)

    def records(self) -> list[WeightsRecord]:
        """The readable records, in the order of their names."""
        found = (self._read_record(path) for path in self._record_paths())
        return [record for record in found if isinstance(record, WeightsRecord)]

    def path(self, record: WeightsRecord) -> Path:
        """Where the weights of `record` lie."""
        return self.folder / record.file

    def find_name(self, name: str) -> WeightsRecord | None:
        """The record with this name or file name, whatever the case of its letters."""
        wanted = name.casefold()
        return next((r for r in self.records() if wanted in (r.name.casefold(), r.file.casefold())), None)

    def find(self, sha256: str, progress: ProgressCallback = ignore_progress) -> Path:
        """The file with this hash, checked. Raises WeightsError, saying how to get it, when absent or damaged."""
        damaged: WeightsRecord | None = None
        for record in self.records():
            if record.sha256 == sha256:
                if self.is_intact(record, progress):
                    return self.path(record)
                damaged = record
        if damaged is not None:
            raise WeightsError(
                f"The stored weights {self.path(damaged)} are missing or have changed since they were imported; "
                f"{self._advice(sha256, 'again ')}."
            )
        release = next((r for r in self.releases if r.sha256 == sha256), None)
        subject = f"weights {release.name}" if release else "backbone weights"
        raise WeightsError(f"The {subject} with sha256 {sha256} are not on this machine; {self._advice(sha256)}.")

    def is_intact(
        self, record: WeightsRecord, progress: ProgressCallback = ignore_progress, *, reread: bool = False
    ) -> bool:
        """Whether the file still has the recorded hash; it is read again when its times differ or `reread` is set."""
        path = self.path(record)
        if not path.is_file():
            return False
        stamp = Stamp.of(path)
        if stamp == record.stamp and not reread:
            return True
        if stamp.size_bytes != record.size_bytes or hash_file(path, f"check {record.name}", progress) != record.sha256:
            return False
        if stamp != record.stamp:
            # A store shared read-only is checked at every use instead.
            with contextlib.suppress(OutputError):
                self.write_record(msgspec.structs.replace(record, stamp=stamp))
        return True

    def write_record(self, record: WeightsRecord) -> None:
        """Put the record beside its file. Raises OutputError when the folder cannot be written."""
        with atomic_file(self.folder / f"{record.name}.json") as temporary:
            temporary.write_bytes(msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n")

    def entries(self, progress: ProgressCallback = ignore_progress, *, reread: bool = False) -> list[StoreEntry]:
        """Every published release, then the user's own weights, each with its status."""
        stored: dict[str, StoreEntry] = {}
        for path in self._record_paths():
            record = self._read_record(path)
            name, release = path.stem, find_release(path.stem, self.releases)
            if not isinstance(record, WeightsRecord):
                stored[name.casefold()] = StoreEntry(name, "damaged", release, None, record)
            elif release is not None and release.sha256 != record.sha256:
                detail = f"its record has sha256 {record.sha256}, the release {release.sha256}"
                stored[name.casefold()] = StoreEntry(name, "damaged", release, record, detail)
            elif self.is_intact(record, progress, reread=reread):
                stored[name.casefold()] = StoreEntry(name, "present", release, record)
            else:
                detail = f"{self.path(record)} is missing or has another hash than when it was imported"
                stored[name.casefold()] = StoreEntry(name, "damaged", release, record, detail)
        published = [stored.pop(r.name.casefold(), StoreEntry(r.name, "absent", r, None)) for r in self.releases]
        return published + list(stored.values())

    def _record_paths(self) -> list[Path]:
        return sorted(self.folder.glob("[!.]*.json"))

    def _read_record(self, path: Path) -> WeightsRecord | str:
        """The record at `path`, or the sentence that says why it cannot be used."""
        try:
            record = msgspec.json.decode(path.read_bytes(), type=WeightsRecord)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError, WeightsError) as error:
            return f"its record {path} cannot be read ({error})"
        return record if record.name == path.stem else f"its record {path} is that of {record.name}"

    def _advice(self, sha256: str, again: str = "") -> str:
        release = next((r for r in self.releases if r.sha256 == sha256), None)
        if release is None:
            return f"import them {again}with `memory-survival weights import FILE --name NAME`"
        return (
            f"import them {again}with `memory-survival weights import FILE` or fetch them {again}with "
            f"`memory-survival weights fetch {release.name}`"
        )
