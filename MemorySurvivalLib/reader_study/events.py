"""What a reader did, a JSON line for each event, in a file that only grows; each line holds the hash of the last."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import msgspec

from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.files import explain_os_error
from MemorySurvivalLib.reader_study.study import Estimate, ReaderStudy, check_name

READERS = "readers"
EventName = Literal["opened", "first", "revealed", "final", "left"]
"""A case is opened; the first estimate is locked in; the score is shown; a last estimate is given. `left`: the reader
turned the blinding off before the first estimate, so the case does not count."""

_START = "0" * 64


@dataclass(frozen=True)
class ModelAnswer:
    """What the model said, as it was shown to the reader: the position is a share 0 to 1; None was not shown."""

    log_risk: float
    position: float | None = None
    risk_group: str | None = None
    bundle: str = ""
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Event:
    """One line. `time` is UTC, ISO 8601; `hash` is the sha256 over `previous` and everything else of the line."""

    number: int
    time: str
    reader: str
    session: int
    case: str
    event: EventName
    estimate: Estimate | None = None
    model: ModelAnswer | None = None
    previous: str = _START
    hash: str = ""

    def sealed(self) -> Event:
        """The same event with its hash."""
        plain = msgspec.json.encode(replace(self, hash=""), order="deterministic")
        return replace(self, hash=hashlib.sha256(plain).hexdigest())

    @property
    def at(self) -> datetime:
        """The time."""
        return datetime.fromisoformat(self.time)


def reader_file(folder: Path, reader: str) -> Path:
    """Where a reader's events are."""
    check_name(reader, "reader")
    return folder / READERS / f"{reader}.jsonl"


def read_events(path: Path) -> tuple[Event, ...]:
    """The events of a file; none where there is no file. A last line that a crash cut short is passed over.

    Raises InputError that names the first line which was changed, left out or put elsewhere.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise InputError(f"{path} cannot be opened ({error.strerror}); check the path and its permissions.") from error
    *lines, _unfinished = data.split(b"\n")
    return tuple(_checked(path, lines))


def _checked(path: Path, lines: Sequence[bytes]) -> Iterator[Event]:
    previous = _START
    for number, line in enumerate(lines, start=1):
        try:
            event = msgspec.json.decode(line, type=Event)
        except (msgspec.MsgspecError, ValueError, InputError) as error:
            raise InputError(f"Line {number} of {path} is damaged ({error}); restore the file.") from error
        if event.number != number or event.previous != previous or event.sealed().hash != event.hash:
            raise InputError(
                f"Line {number} of {path} is not as it was written: the file was changed afterwards; restore it."
            )
        previous = event.hash
        yield event


@dataclass(frozen=True)
class Reading:
    """One reader's work on one case in one session."""

    reader: str
    session: int
    case: str
    opened: str = ""
    first: Estimate | None = None
    first_at: str = ""
    revealed_at: str = ""
    model: ModelAnswer | None = None
    final: Estimate | None = None
    final_at: str = ""
    left: bool = False

    @property
    def blind(self) -> bool:
        """Whether the score has to stay hidden still."""
        return self.first is None and not self.left

    @property
    def counts(self) -> bool:
        """Whether the first estimate was given blind."""
        return self.first is not None and not self.left

    @property
    def first_s(self) -> float | None:
        """Seconds from opening to the first estimate."""
        return _seconds(self.opened, self.first_at)

    @property
    def final_s(self) -> float | None:
        """Seconds from seeing the score to the last estimate."""
        return _seconds(self.revealed_at, self.final_at)


def find_reading(events: Sequence[Event], session: int, case: str, reader: str) -> Reading:
    """What the events say of one case; an untouched one where there are none. Times are those of the first time."""
    found = Reading(reader, session, case)
    for event in events:
        if (event.session, event.case) != (session, case):
            continue
        if event.event == "opened":
            found = replace(found, opened=found.opened or event.time)
        elif event.event == "first":
            found = replace(found, first=event.estimate, first_at=event.time)
        elif event.event == "revealed":
            found = replace(found, revealed_at=event.time, model=event.model)
        elif event.event == "final":
            found = replace(found, final=event.estimate, final_at=event.time)
        else:
            found = replace(found, left=True)
    return found


def append_event(
    folder: Path,
    study: ReaderStudy,
    reader: str,
    session: int,
    case: str,
    event: EventName,
    *,
    estimate: Estimate | None = None,
    model: ModelAnswer | None = None,
    now: datetime | None = None,
) -> Reading:
    """Add one event to a reader's file and say where the case stands then.

    Raises InputError for what may not happen: a second first estimate, a score shown before the first estimate, a last
    estimate before the score, a case read again before the washout is over; OutputError where nothing can be written.
    """
    study.check_session(session)
    study.check_case(case)
    path = reader_file(folder, reader)
    events = read_events(path)
    moment = (now or datetime.now(UTC)).astimezone(UTC)
    _check_allowed(study, events, find_reading(events, session, case, reader), event, estimate, model, moment)
    previous = events[-1].hash if events else _START
    time = moment.isoformat(timespec="milliseconds")
    made = Event(len(events) + 1, time, reader, session, case, event, estimate, model, previous).sealed()
    _write(path, msgspec.json.encode(made) + b"\n")
    return find_reading((*events, made), session, case, reader)


def _check_allowed(
    study: ReaderStudy,
    events: Sequence[Event],
    reading: Reading,
    event: EventName,
    estimate: Estimate | None,
    model: ModelAnswer | None,
    moment: datetime,
) -> None:
    if events and moment < events[-1].at:
        raise InputError("The clock of this computer runs behind the last entry of this reader; set it right.")
    if estimate is not None:
        study.check_estimate(estimate)
    if event == "opened":
        _check_washout(study, events, reading, moment)
    elif not reading.opened:
        raise InputError(f"The case {reading.case} was not opened in this session yet.")
    if event == "first" and reading.first is not None:
        raise InputError(f"The first estimate of {reading.case} is locked in and cannot be given again.")
    if event == "first" and reading.left:
        raise InputError(f"The score of {reading.case} was uncovered without an estimate; the case does not count.")
    if event == "revealed" and reading.first is None:
        raise InputError(f"The score of {reading.case} stays hidden until the own estimate is locked in.")
    if (estimate is not None) != (event in ("first", "final")) or (model is not None) != (event == "revealed"):
        raise InputError(f"An event {event!r} with these contents makes no sense.")
    if event == "final" and not study.ask_again:
        raise InputError("This study does not ask for a second estimate.")
    if event == "final" and not reading.revealed_at:
        raise InputError(f"The second estimate of {reading.case} is given after the score was shown.")
    if event == "final" and reading.final is not None:
        raise InputError(f"The second estimate of {reading.case} is locked in and cannot be given again.")
    if event == "left" and reading.first is not None:
        raise InputError(f"The own estimate of {reading.case} is locked in; there is nothing to leave.")


def _check_washout(study: ReaderStudy, events: Sequence[Event], reading: Reading, moment: datetime) -> None:
    if reading.session == 1 or reading.opened:
        return
    before = [one.at for one in events if one.session == reading.session - 1 and one.case == reading.case]
    if not before:
        raise InputError(f"{reading.case} was not read in session {reading.session - 1} yet; read it there first.")
    ends = max(before) + timedelta(days=study.washout_days)
    if moment < ends:
        raise InputError(
            f"{reading.case} may be read again from {ends.isoformat(timespec='minutes')}: the washout is "
            f"{study.washout_days:g} days."
        )


def _write(path: Path, line: bytes) -> None:
    """Append a line whole; what a crash left of an unfinished one is cut off before."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o644)
        try:
            end = path.read_bytes().rfind(b"\n") + 1
            os.ftruncate(descriptor, end)
            os.lseek(descriptor, end, os.SEEK_SET)
            view = memoryview(line)
            while view:
                view = view[os.write(descriptor, view) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise explain_os_error(error, path) from error


def _seconds(start: str, end: str) -> float | None:
    if not start or not end:
        return None
    return round((datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds(), 3)
