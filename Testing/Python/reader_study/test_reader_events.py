"""The reader's file: what may follow what, what happens when it is tampered with or cut short, washout, orders."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from MemorySurvivalLib.errors import InputError, OutputError
from MemorySurvivalLib.reader_study.events import (
    ModelAnswer,
    Reading,
    append_event,
    find_reading,
    read_events,
    reader_file,
)
from MemorySurvivalLib.reader_study.study import Estimate, ReaderStudy, make_study, read_study, third_of

STUDY = ReaderStudy("Trial", "group", ("a", "b", "c", "d", "e"), seed=3, sessions=2, washout_days=14)
START = datetime(2026, 1, 5, 9, tzinfo=UTC)
HIGH, LOW = Estimate(4, "high"), Estimate(2, "low")
MODEL = ModelAnswer(0.4, 0.7, "intermediate")


class Desk:
    """Adds events a minute apart."""

    def __init__(self, folder: Path, study: ReaderStudy = STUDY, session: int = 1) -> None:
        self.folder, self.study, self.session, self.now = folder, study, session, START

    def __call__(self, event: str, case: str = "a", **content: Any) -> Reading:
        self.now += timedelta(minutes=1)
        return append_event(
            self.folder,
            self.study,
            "anna",
            self.session,
            case,
            event,  # type: ignore[arg-type]
            now=self.now,
            **content,
        )

    @property
    def file(self) -> Path:
        return reader_file(self.folder, "anna")


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_a_case_from_opening_to_the_second_estimate(desk: Desk) -> None:
    assert desk("opened").blind
    locked = desk("first", estimate=HIGH)
    assert not locked.blind and locked.first_s == 60.0 and locked.model is None
    assert desk("revealed", model=MODEL).model == MODEL
    last = desk("final", estimate=LOW)
    assert (last.first, last.final, last.final_s) == (HIGH, LOW, 60.0)
    again = find_reading(read_events(desk.file), 1, "a", "anna")
    assert again == last and again.counts


@pytest.mark.parametrize(
    ("before", "event", "content", "sentence"),
    [
        ([], "first", {"estimate": HIGH}, "was not opened"),
        (["opened"], "revealed", {"model": MODEL}, "stays hidden until the own estimate"),
        (["opened"], "revealed", {}, "stays hidden until the own estimate"),
        (["opened"], "final", {"estimate": LOW}, "after the score was shown"),
        (["opened", "first"], "first", {"estimate": LOW}, "locked in and cannot be given again"),
        (["opened", "first"], "final", {"estimate": LOW}, "after the score was shown"),
        (["opened", "first"], "left", {}, "nothing to leave"),
        (["opened", "left"], "first", {"estimate": HIGH}, "does not count"),
        (["opened", "first", "revealed", "final"], "final", {"estimate": LOW}, "cannot be given again"),
        (["opened"], "first", {}, "makes no sense"),
        (["opened"], "first", {"estimate": Estimate(3, percentile=50)}, "asks for a risk group"),
    ],
)
def test_what_may_not_happen_is_refused_and_leaves_nothing(
    desk: Desk, before: list[str], event: str, content: dict[str, Any], sentence: str
) -> None:
    contents: dict[str, dict[str, Any]] = {
        "first": {"estimate": HIGH},
        "revealed": {"model": MODEL},
        "final": {"estimate": HIGH},
    }
    for each in before:
        desk(each, **contents.get(each, {}))
    kept = desk.file.read_bytes() if desk.file.exists() else b""
    with pytest.raises(InputError, match=sentence):
        desk(event, **content)
    assert (desk.file.read_bytes() if desk.file.exists() else b"") == kept


@pytest.mark.parametrize("damage", ["estimate", "time", "left out", "swapped", "added"])
def test_a_changed_file_is_noticed(desk: Desk, damage: str) -> None:
    desk("opened")
    desk("first", estimate=HIGH)
    desk("revealed", model=MODEL)
    lines = desk.file.read_text().splitlines(keepends=True)
    if damage == "estimate":
        lines[1] = lines[1].replace('"high"', '"low"')
    elif damage == "time":
        lines[0] = lines[0].replace("2026-01-05", "2026-01-04")
    elif damage == "left out":
        del lines[1]
    elif damage == "swapped":
        lines[0], lines[1] = lines[1], lines[0]
    else:
        plain = json.loads(lines[2])
        lines.append(json.dumps({**plain, "number": 4}) + "\n")
    desk.file.write_text("".join(lines))
    with pytest.raises(InputError, match=r"Line \d of .* the file was changed afterwards"):
        read_events(desk.file)
    with pytest.raises(InputError, match="changed afterwards"):
        desk("final", estimate=LOW)


def test_a_line_that_a_crash_cut_short_is_passed_over_and_then_replaced(desk: Desk) -> None:
    desk("opened")
    desk("first", estimate=HIGH)
    whole = desk.file.read_bytes()
    desk.file.write_bytes(whole[:-20])
    assert len(read_events(desk.file)) == 1
    desk("first", estimate=LOW)
    events = read_events(desk.file)
    assert [each.event for each in events] == ["opened", "first"] and events[1].estimate == LOW


def test_a_file_that_cannot_be_written_says_so(desk: Desk) -> None:
    desk.file.parent.write_text("a file where the folder should be")
    with pytest.raises((InputError, OutputError), match=r"readers"):
        desk("opened")


def test_a_second_session_waits_for_the_washout(desk: Desk) -> None:
    desk("opened")
    desk("first", estimate=HIGH)
    second = Desk(desk.folder, session=2)
    second.now = desk.now + timedelta(days=13)
    with pytest.raises(InputError, match="may be read again from 2026-01-19"):
        second("opened")
    with pytest.raises(InputError, match="not read in session 1 yet"):
        second("opened", "b")
    second.now = desk.now + timedelta(days=14)
    assert second("opened").blind, "the first session's estimate does not uncover the second"
    second("first", estimate=LOW)
    assert find_reading(read_events(desk.file), 1, "a", "anna").first == HIGH


def test_a_clock_that_runs_behind_is_refused(desk: Desk) -> None:
    desk("opened")
    desk.now = START - timedelta(days=1)
    with pytest.raises(InputError, match="clock"):
        desk("opened", "b")


def test_orders_are_random_by_reader_and_session_and_always_the_same() -> None:
    orders = {STUDY.order(reader, session) for reader in ("anna", "bo", "cy") for session in (1, 2)}
    assert len(orders) > 3
    assert all(sorted(order) == list(STUDY.cases) for order in orders)
    assert STUDY.order("anna", 1) == STUDY.order("anna", 1)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"cases": ()}, "at least one case"),
        ({"cases": ("a", "a")}, "same name"),
        ({"cases": ("../a",)}, "cannot name a case"),
        ({"sessions": 0}, "at least one session"),
        ({"washout_days": -1}, "washout"),
    ],
)
def test_a_study_that_cannot_be_run_is_refused(changes: dict[str, Any], sentence: str) -> None:
    fields: dict[str, Any] = {"title": "Trial", "question": "group", "cases": ("a",), **changes}
    with pytest.raises(InputError, match=sentence):
        ReaderStudy(**fields)


def test_readers_names_cannot_leave_the_folder(desk: Desk) -> None:
    for name in ("../anna", "", "a b", "Ä", "x" * 65):
        with pytest.raises(InputError, match="cannot name a reader"):
            reader_file(desk.folder, name)


def test_a_study_is_written_once_and_read_again(tmp_path: Path) -> None:
    make_study(tmp_path, STUDY)
    assert read_study(tmp_path) == STUDY
    with pytest.raises(OutputError, match="already"):
        make_study(tmp_path, STUDY)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"confidence": 6, "group": "low"}, "confidence"),
        ({"confidence": 3, "group": "medium"}, "no risk group"),
        ({"confidence": 3, "percentile": 101.0}, "between 0 and 100"),
        ({"confidence": 3}, "exactly one"),
        ({"confidence": 3, "group": "low", "percentile": 3.0}, "exactly one"),
    ],
)
def test_impossible_estimates_are_refused(fields: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        Estimate(**fields)


def test_thirds() -> None:
    assert [third_of(each) for each in (0, 33.3, 33.4, 66.6, 66.7, 100)] == [
        *("low", "low", "intermediate", "intermediate", "high", "high")
    ]
