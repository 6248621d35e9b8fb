"""A reader study in numbers: agreement between readers, with the model, before and after, between sessions, times."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from statistics import median
from typing import Literal

import msgspec

from MemorySurvivalLib import RESEARCH_USE
from MemorySurvivalLib.errors import InputError
from MemorySurvivalLib.files import atomic_file
from MemorySurvivalLib.reader_study.agreement import Agreement, rank_correlation, weighted_kappa
from MemorySurvivalLib.reader_study.events import READERS, Reading, find_reading, read_events
from MemorySurvivalLib.reader_study.study import GROUPS, Estimate, Question, ReaderStudy, read_study, third_of

SCHEMA = "memory-survival-reader-analysis"
SCHEMA_VERSION = 1
MODEL = "model"

Kind = Literal["between readers", "reader and model", "before and after", "between sessions"]

KAPPA_NOTE = (
    "Kappa is Cohen's with quadratic weights over low, intermediate and high; 0 is chance, 1 is full agreement. "
    "Intervals are 95 %, by drawing cases with replacement, and say nothing about other readers."
)
THIRDS_NOTE = "Percentiles are put into groups by thirds (below 33.3, below 66.7) for kappa."
POSITION_NOTE = (
    "Where the model gave no risk group, its place among the reference cases was put into thirds; where it gave "
    "neither (a demonstration bundle on real images), the case is left out of the comparison with the model."
)


@dataclass(frozen=True)
class Comparison:
    """Two columns of answers over the cases that both have. `when` is "first" or "final", `session` 0 for several.

    `ranks` is the rank correlation of the percentiles, None where groups were asked. `equal` is the share of cases with
    the same group.
    """

    kind: Kind
    one: str
    other: str
    when: str
    session: int
    kappa: Agreement
    ranks: Agreement | None
    equal: float | None


@dataclass(frozen=True)
class ReaderSummary:
    """One reader in one session. Seconds are medians; `changed` counts second estimates that differ from the first,
    `toward` those that came nearer to the model's answer, `away` those that went from it."""

    reader: str
    session: int
    opened: int
    counted: int
    uncovered: int
    second: int
    changed: int
    toward: int
    away: int
    first_s: float | None
    final_s: float | None
    confidence_first: float | None
    confidence_final: float | None


@dataclass(frozen=True)
class Analysis:
    """Everything that comes of a study, as plain values. `heads` are the last hashes of the readers' files: who keeps
    them can tell later whether a file was cut short."""

    title: str
    question: Question
    cases: int
    readers: tuple[ReaderSummary, ...]
    comparisons: tuple[Comparison, ...]
    readings: tuple[Reading, ...]
    heads: dict[str, str]
    notes: tuple[str, ...]
    research_use: str = RESEARCH_USE
    schema: str = SCHEMA
    schema_version: int = SCHEMA_VERSION

    def write(self, path: Path) -> None:
        """Write it as JSON, whole or not at all."""
        with atomic_file(path) as temporary:
            temporary.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=1))


def analyse(folder: Path) -> Analysis:
    """Analyse the study in a folder. Raises InputError where there is no study, no reader, or a file was tampered with.

    Only first estimates that were given blind count; cases of which a reader uncovered the score before are counted
    apart and left out everywhere.
    """
    study = read_study(folder)
    files = sorted((folder / READERS).glob("*.jsonl"))
    if not files:
        raise InputError(f"No reader has opened a case of the study in {folder} yet.")
    readings, heads = [], {}
    for file in files:
        events = read_events(file)
        heads[file.stem] = events[-1].hash if events else ""
        touched = dict.fromkeys((event.session, event.case) for event in events)
        readings += [find_reading(events, session, case, file.stem) for session, case in sorted(touched)]
    notes = [KAPPA_NOTE, POSITION_NOTE, *((THIRDS_NOTE,) if study.question == "percentile" else ())]
    return Analysis(
        study.title,
        study.question,
        len(study.cases),
        tuple(_summaries(readings)),
        tuple(_comparisons(study, readings)),
        tuple(readings),
        heads,
        tuple(notes),
    )


def group_of(estimate: Estimate | None) -> str | None:
    """The group of an answer; a percentile's third."""
    if estimate is None:
        return None
    return estimate.group if estimate.percentile is None else third_of(estimate.percentile)


def model_percentile(reading: Reading) -> float | None:
    """The model's position in percent, where it was shown."""
    position = reading.model.position if reading.model is not None else None
    return None if position is None else 100 * position


def model_group(reading: Reading) -> str | None:
    """The model's risk group, or the third of its position; None where the bundle may show neither."""
    if reading.model is not None and reading.model.risk_group in GROUPS:
        return reading.model.risk_group
    percentile = model_percentile(reading)
    return None if percentile is None else third_of(percentile)


def _summaries(readings: Sequence[Reading]) -> list[ReaderSummary]:
    found = []
    for reader, session in dict.fromkeys((each.reader, each.session) for each in readings):
        mine = [each for each in readings if (each.reader, each.session) == (reader, session)]
        counted = [each for each in mine if each.counts]
        second = [each for each in counted if each.final is not None]
        moves = [_move(each) for each in second]
        found.append(
            ReaderSummary(
                reader,
                session,
                opened=len(mine),
                counted=len(counted),
                uncovered=sum(each.left for each in mine),
                second=len(second),
                changed=sum(_answer(each.first) != _answer(each.final) for each in second),
                toward=moves.count(-1),
                away=moves.count(1),
                first_s=_median([each.first_s for each in counted]),
                final_s=_median([each.final_s for each in second]),
                confidence_first=_median([each.first.confidence for each in counted if each.first]),
                confidence_final=_median([each.final.confidence for each in second if each.final]),
            )
        )
    return found


def _answer(estimate: Estimate | None) -> str | float | None:
    return None if estimate is None else estimate.group if estimate.percentile is None else estimate.percentile


def _move(reading: Reading) -> int:
    """-1 where the second estimate is nearer to the model's answer than the first, 1 where it is farther, else 0."""
    first, final = reading.first, reading.final
    if first is None or final is None:
        return 0
    if first.percentile is not None and final.percentile is not None:
        percentile = model_percentile(reading)
        if percentile is None:
            return 0
        before, after = abs(first.percentile - percentile), abs(final.percentile - percentile)
    else:
        model, one, other = model_group(reading), group_of(first), group_of(final)
        if model is None or one is None or other is None:
            return 0
        place = GROUPS.index
        before, after = abs(place(one) - place(model)), abs(place(other) - place(model))
    return (after > before) - (after < before)


Column = dict[str, tuple[str, float | None]]
"""Answers by case: the group, and the percentile where that was asked."""


def _column(readings: Sequence[Reading], reader: str, session: int, when: str) -> Column:
    column: Column = {}
    for each in readings:
        if (each.reader, each.session) != (reader, session) or not each.counts:
            continue
        estimate = each.first if when == "first" else each.final
        group = group_of(estimate)
        if estimate is not None and group is not None:
            column[each.case] = (group, estimate.percentile)
    return column


def _model_column(readings: Sequence[Reading], reader: str, session: int) -> Column:
    column: Column = {}
    for each in readings:
        group = model_group(each)
        if (each.reader, each.session) == (reader, session) and group is not None:
            column[each.case] = (group, model_percentile(each))
    return column


def _comparisons(study: ReaderStudy, readings: Sequence[Reading]) -> list[Comparison]:
    readers = sorted({each.reader for each in readings})
    found = []
    for session in range(1, study.sessions + 1):
        for when in ("first", "final"):
            columns = {reader: _column(readings, reader, session, when) for reader in readers}
            for one, other in combinations(readers, 2):
                found.append(_compare("between readers", one, other, when, session, columns[one], columns[other]))
            for reader in readers:
                model = _model_column(readings, reader, session)
                found.append(_compare("reader and model", reader, MODEL, when, session, columns[reader], model))
        for reader in readers:
            pair = [_column(readings, reader, session, when) for when in ("first", "final")]
            found.append(_compare("before and after", reader, reader, "both", session, *pair))
    for earlier in range(1, study.sessions):
        for reader in readers:
            pair = [_column(readings, reader, session, "first") for session in (earlier, earlier + 1)]
            name = f"{reader}, session {earlier}", f"{reader}, session {earlier + 1}"
            found.append(_compare("between sessions", *name, "first", 0, *pair))
    return [each for each in found if each.kappa.cases]


def _compare(kind: Kind, one: str, other: str, when: str, session: int, first: Column, second: Column) -> Comparison:
    cases = [case for case in first if case in second]
    pairs = [(first[case], second[case]) for case in cases]
    numbers = [(a[1], b[1]) for a, b in pairs if a[1] is not None and b[1] is not None]
    asked = bool(first) and all(each[1] is not None for each in first.values())
    return Comparison(
        kind,
        one,
        other,
        when,
        session,
        weighted_kappa([a[0] for a, _ in pairs], [b[0] for _, b in pairs]),
        rank_correlation([a for a, _ in numbers], [b for _, b in numbers]) if asked and numbers else None,
        sum(a[0] == b[0] for a, b in pairs) / len(pairs) if pairs else None,
    )


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(median(known)) if known else None


COLUMNS = (
    *("reader", "session", "case", "opened_utc", "first_estimate", "first_confidence", "first_seconds", "revealed_utc"),
    *("model_log_risk", "model_position", "model_group", "model_bundle", "model_labels"),
    *("final_estimate", "final_confidence", "final_seconds", "uncovered_before", "notice"),
)


def write_table(readings: Sequence[Reading], path: Path) -> None:
    """Write a row for each reading (UTF-8 CSV, C locale), for a statistician. Raises OutputError where it cannot."""
    with atomic_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(COLUMNS)
        rows.writerows(_row(each) for each in readings)


def _row(each: Reading) -> list[str]:
    model, first, final = each.model, each.first, each.final
    values = (
        each.reader,
        each.session,
        each.case,
        each.opened,
        _answer(first),
        first.confidence if first else None,
        each.first_s,
        each.revealed_at,
        model.log_risk if model else None,
        model.position if model else None,
        model.risk_group if model else None,
        model.bundle if model else None,
        "; ".join(model.labels) if model else None,
        _answer(final),
        final.confidence if final else None,
        each.final_s,
        "yes" if each.left else "no",
        RESEARCH_USE,
    )
    return ["" if value is None else str(value) for value in values]
