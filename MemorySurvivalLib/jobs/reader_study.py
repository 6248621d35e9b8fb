"""The jobs of a reader study: where a reader stands, open a case, take an estimate, show the score, leave the blinding.

No answer of theirs holds a score before the own estimate is locked in.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from MemorySurvivalLib.jobs.context import JobContext, JobOutput, convert
from MemorySurvivalLib.reader_study.events import (
    EventName,
    ModelAnswer,
    Reading,
    append_event,
    find_reading,
    read_events,
    reader_file,
)
from MemorySurvivalLib.reader_study.sealing import open_sealed, peek, sealed_file
from MemorySurvivalLib.reader_study.study import Estimate, ReaderStudy, read_study


@dataclass(frozen=True)
class Place:
    """Which study, who reads, and in which session."""

    study: Path
    reader: str
    session: int = 1


@dataclass(frozen=True)
class CasePlace(Place):
    """One case of it. `estimate` is an answer; `model` what the panel's own scoring gave, `out` a folder for a sealed
    result."""

    case: str = ""
    estimate: Estimate | None = None
    model: ModelAnswer | None = None
    out: Path | None = None


def read(parameters: dict[str, Any], context: JobContext) -> JobOutput:
    """The study, and where the reader stands with every case, in the reader's order."""
    place = convert(parameters, Place)
    study = read_study(place.study)
    return JobOutput(_state(study, place))


def open_case(parameters: dict[str, Any], context: JobContext) -> JobOutput:
    """A case is opened; the time counts from now."""
    return _append(convert(parameters, CasePlace), "opened")


def estimate(parameters: dict[str, Any], context: JobContext) -> JobOutput:
    """Lock in the first estimate, or the second one where the first is there."""
    place = convert(parameters, CasePlace)
    events = read_events(reader_file(place.study, place.reader))
    before = find_reading(events, place.session, place.case, place.reader)
    return _append(place, "first" if before.first is None else "final")


def reveal(parameters: dict[str, Any], context: JobContext) -> JobOutput:
    """Show the score: the record of it first, then the sealed result, unpacked into `out` where there is one."""
    place = convert(parameters, CasePlace)
    study = read_study(place.study)
    events = read_events(reader_file(place.study, place.reader))
    before = find_reading(events, place.session, place.case, place.reader)
    if not before.revealed_at:
        model = place.model or peek(place.study, place.case)
        if model is None and before.first is not None:  # the panel has to score first; refused where it is too early
            return JobOutput({**_state(study, place), "sealed": False})
        append_event(place.study, study, place.reader, place.session, place.case, "revealed", model=model)
    result, files = None, {}
    if place.out is not None and sealed_file(place.study, place.case).is_file():
        from MemorySurvivalLib.jobs.score import summary_for_panel

        result = summary_for_panel(open_sealed(place.study, place.case, place.out))
        files = {path.stem: str(path) for path in sorted(place.out.iterdir()) if path.is_file()}
    return JobOutput({**_state(study, place), "sealed": result is not None, "result": result}, files)


def leave(parameters: dict[str, Any], context: JobContext) -> JobOutput:
    """The blinding is turned off before the estimate: the case no longer counts."""
    return _append(convert(parameters, CasePlace), "left")


def _append(place: CasePlace, event: EventName) -> JobOutput:
    study = read_study(place.study)
    append_event(place.study, study, place.reader, place.session, place.case, event, estimate=place.estimate)
    return JobOutput(_state(study, place))


def _state(study: ReaderStudy, place: Place) -> dict[str, Any]:
    events = read_events(reader_file(place.study, place.reader))
    order = study.order(place.reader, place.session)
    readings = [find_reading(events, place.session, case, place.reader) for case in order]
    return {
        "title": study.title,
        "question": study.question,
        "ask_again": study.ask_again,
        "sessions": study.sessions,
        "cases": [{**msgspec.to_builtins(each), "blind": each.blind, "state": _word(each, study)} for each in readings],
    }


def _word(reading: Reading, study: ReaderStudy) -> str:
    if reading.left:
        return "uncovered"
    if reading.first is None:
        return "opened" if reading.opened else "to do"
    if not reading.revealed_at:
        return "estimated"
    return "done" if reading.final is not None or not study.ask_again else "revealed"
